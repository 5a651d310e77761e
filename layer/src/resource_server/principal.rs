//! Who calls: the claims of a token whose signature, issuer, audience and dates were checked.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::id::{ClientId, Issuer, Subject, TenantId};
use crate::scope::Scope;
use crate::time::Timestamp;

/// A verified caller. Only this module's parent makes one, and only out of a token that passed every check.
///
/// Cheap to clone. `Debug` shows identifiers only, never other claims.
#[derive(Clone)]
pub struct Principal {
    verified: Arc<Verified>,
    fresh: bool,
}

/// What the verifier found out, before it becomes a [`Principal`].
pub(super) struct Verified {
    pub(super) issuer: Issuer,
    pub(super) subject: Option<Subject>,
    pub(super) client_id: Option<ClientId>,
    pub(super) scopes: Scope,
    pub(super) groups: Vec<Arc<str>>,
    pub(super) groups_incomplete: bool,
    pub(super) roles: Vec<Arc<str>>,
    pub(super) roles_incomplete: bool,
    pub(super) claims: Arc<Map<String, Value>>,
    pub(super) token_name: Arc<str>,
    pub(super) expires_at: Timestamp,
    pub(super) audiences: Vec<Arc<str>>,
    pub(super) entra: Option<EntraIdentity>,
    /// `cnf.jkt`
    pub(super) key_thumbprint: Option<Arc<str>>,
    /// `cnf["x5t#S256"]`
    pub(super) certificate_thumbprint: Option<Arc<str>>,
}

/// Who somebody is in Entra: stable and never reused, unlike `upn`, `name` or `preferred_username`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntraIdentity {
    /// `tid`
    pub tenant: TenantId,
    /// `oid`, or the application.
    pub object: EntraObject,
}

/// What kind of thing calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EntraObject {
    /// A person, by `oid`.
    User(Arc<str>),
    /// An application that acts for itself, by `azp` or `appid`.
    Application(Arc<str>),
}

impl Principal {
    pub(super) fn fresh(verified: Verified) -> Self {
        Self { verified: Arc::new(verified), fresh: true }
    }

    /// The same caller, found again in the cache.
    pub(super) fn remembered(&self) -> Self {
        Self { verified: Arc::clone(&self.verified), fresh: false }
    }

    /// `iss`
    pub fn issuer(&self) -> &Issuer {
        &self.verified.issuer
    }

    /// `sub`. A token that a client got for itself may have none.
    pub fn subject(&self) -> Option<&Subject> {
        self.verified.subject.as_ref()
    }

    /// `client_id`, else `azp`, else `appid`, else `cid`.
    pub fn client_id(&self) -> Option<&ClientId> {
        self.verified.client_id.as_ref()
    }

    /// The union of the configured scope claims.
    pub fn scopes(&self) -> &Scope {
        &self.verified.scopes
    }

    /// `groups`. Empty where [`Principal::groups_incomplete`].
    pub fn groups(&self) -> &[Arc<str>] {
        &self.verified.groups
    }

    /// Whether the issuer left groups out because there were too many: a rule that *denies* by group must then deny.
    pub fn groups_incomplete(&self) -> bool {
        self.verified.groups_incomplete
    }

    /// `roles`. Empty where [`Principal::roles_incomplete`].
    pub fn roles(&self) -> &[Arc<str>] {
        &self.verified.roles
    }

    /// Whether the issuer left roles out: a rule that *denies* by role must then deny.
    pub fn roles_incomplete(&self) -> bool {
        self.verified.roles_incomplete
    }

    /// Every claim, as signed by the issuer. For conditions; never for logs.
    pub fn claims(&self) -> &Arc<Map<String, Value>> {
        &self.verified.claims
    }

    /// How logs name the token: its `jti` where that is short and printable, else 8 hex digits of its SHA-256.
    pub fn token_name(&self) -> &Arc<str> {
        &self.verified.token_name
    }

    /// `exp`, without skew.
    pub fn expires_at(&self) -> Timestamp {
        self.verified.expires_at
    }

    /// Those values of `aud` that are configured for the issuer. Never empty.
    pub fn audiences(&self) -> &[Arc<str>] {
        &self.verified.audiences
    }

    /// For tokens of an issuer that is marked as Entra.
    pub fn entra(&self) -> Option<&EntraIdentity> {
        self.verified.entra.as_ref()
    }

    /// `cnf.jkt` (RFC 9449 §6.1): the key that the token is bound to. Where there is one, this request has proven that its
    /// sender holds it.
    pub fn key_thumbprint(&self) -> Option<&str> {
        self.verified.key_thumbprint.as_deref()
    }

    /// `cnf["x5t#S256"]` (RFC 8705 §3.1): the certificate that the token is bound to. Where there is one, the connection of
    /// this request has it.
    pub fn certificate_thumbprint(&self) -> Option<&str> {
        self.verified.certificate_thumbprint.as_deref()
    }

    /// Whether the token is anybody's who has it.
    pub(super) fn is_unbound(&self) -> bool {
        self.key_thumbprint().is_none() && self.certificate_thumbprint().is_none()
    }

    /// Whether the token was verified for this very request, not found in the cache.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("issuer", &self.verified.issuer)
            .field("subject", &self.verified.subject)
            .field("client_id", &self.verified.client_id)
            .field("token", &self.verified.token_name)
            .finish_non_exhaustive()
    }
}
