//! The token of the provider: made in this module only, usable as a header, never printable.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::Serialize;

use crate::id::{ProfileName, TenantId};
use crate::secret_text::SecretText;

use super::slot::Slot;

/// Whether a token was already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenSource {
    Cache,
    Minted,
}

/// A token for one tenant and resource. No `Serialize`, and `Debug` shows no value.
#[derive(Clone)]
pub struct ProviderToken {
    pub(super) text: Arc<SecretText>,
    pub(super) authorization: HeaderValue,
    pub(super) proof: Option<Arc<SecretText>>,
    pub(super) source: TokenSource,
    pub(super) expires_in: Duration,
    pub(super) profile: ProfileName,
    pub(super) tenant: TenantId,
    pub(super) resource: Arc<str>,
    pub(super) slot: Arc<Slot>,
    pub(super) generation: u64,
}

impl ProviderToken {
    #[must_use]
    pub const fn source(&self) -> TokenSource {
        self.source
    }

    /// How long the broker will go on using it: its lifetime less the skew, at most the configured maximum.
    #[must_use]
    pub const fn expires_in(&self) -> Duration {
        self.expires_in
    }

    #[must_use]
    pub const fn profile(&self) -> &ProfileName {
        &self.profile
    }

    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    #[must_use]
    pub const fn resource(&self) -> &Arc<str> {
        &self.resource
    }

    /// The value of `Authorization` (RFC 6750 §2.1), marked sensitive so that nothing prints it.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// The values that no answer may contain: this token, and the secret it was obtained with.
    pub fn known_values(&self) -> impl Iterator<Item = &SecretText> {
        std::iter::once(&*self.text).chain(self.proof.as_deref())
    }
}

impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderToken({}, {:?}, [redacted])", self.tenant, self.source)
    }
}
