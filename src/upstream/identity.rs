//! Telling a server who calls, where the settings say so.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::resource_server::Principal;
use crate::secret_text::SecretText;

use super::fault::Fault;

const HEADER: HeaderName = HeaderName::from_static("x-broker-identity");

/// Says who a caller is, for one server.
#[async_trait]
pub trait Vouch: Send + Sync {
    /// `None`: it cannot be signed, or is not known.
    async fn sign(&self, principal: &Principal) -> Option<SecretText>;
}

/// Adds `X-Broker-Identity`. What a caller sends under that name never gets this far.
#[derive(Clone)]
pub struct Identity(Arc<dyn Vouch>);

impl Identity {
    #[must_use]
    pub fn new(vouch: impl Vouch + 'static) -> Self {
        Self(Arc::new(vouch))
    }

    /// Our word about this caller. `None`: it cannot be signed.
    pub(super) async fn sign(&self, principal: &Principal) -> Option<SecretText> {
        self.0.sign(principal).await
    }

    /// A call without it does not go out: the server may take one for somebody else's.
    pub(super) async fn add(
        &self,
        principal: &Principal,
        headers: &mut HeaderMap,
    ) -> Result<(), Fault> {
        let token = self.sign(principal).await;
        let value = token.and_then(|token| HeaderValue::try_from(token.expose()).ok());
        let mut value = value.ok_or(Fault::NoIdentity)?;
        value.set_sensitive(true);
        headers.insert(HEADER, value);
        Ok(())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
