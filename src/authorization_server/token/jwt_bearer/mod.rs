//! `jwt-bearer` (RFC 7523 §2.1): what somebody whom an operator trusts has signed becomes an access token, once.
//!
//! Two kinds have one name, and are told apart by `typ` and by whom they are for: an ID-JAG, in which an identity provider
//! vouches for a person to a client, and the JWT that a platform gives to a workload. Neither gives a refresh token: whoever
//! needs a newer access token brings a newer assertion, so that the issuer decides each time.

mod id_jag;
mod id_jag_claims;
mod issuers;
mod seconds;
mod workload;

use std::sync::Arc;

use crate::audit::TokenName;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::time::Timestamp;

use super::exchange::{Exchange, Granted, Refused};

pub(in crate::authorization_server) use issuers::AssertionIssuers;
pub(super) use workload::{asks as asks_as_workload, find as find_workload};

pub(in crate::authorization_server) const NAME: &str =
    "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// What metadata says of ID-JAGs (draft-ietf-oauth-identity-assertion-authz-grant).
pub(in crate::authorization_server) const ID_JAG_PROFILE: &str =
    "urn:ietf:params:oauth:grant-profile:id-jag";
/// `typ` of an ID-JAG, as it is compared.
const ID_JAG_TYPE: &str = "oauth-id-jag+jwt";
const MAX_JTI: usize = 256;

/// What an assertion is known by, so that it counts once.
#[derive(Debug)]
pub(in crate::authorization_server) struct Once {
    /// `iss`
    issuer: String,
    /// `jti`
    name: Option<String>,
    /// Whether it may come again.
    again: bool,
    /// Of a workload: by which value of the settings it is known. For the audit log.
    workload: Option<Arc<str>>,
    /// After which it would be refused anyway.
    until: Timestamp,
}

impl Once {
    /// # Errors
    ///
    /// [`OAuthError::InvalidAssertion`] for one that came before, at whichever replica; [`OAuthError::Store`]
    async fn spend(&self, server: &AuthorizationServer) -> Result<(), OAuthError> {
        let Some(jti) = self.name.as_ref().filter(|_| !self.again) else { return Ok(()) };
        let whose = format!("urn:assertion of {}", self.issuer);
        let first = server.store.first_use(&whose, jti, self.until).await?;
        if first { Ok(()) } else { Err(OAuthError::InvalidAssertion("jti: it was used before")) }
    }

    /// For the audit log, beside what the issuer has in its own.
    fn name(&self) -> Option<TokenName> {
        self.name.as_deref().map(|jti| TokenName(Arc::from(jti)))
    }
}

/// # Errors
///
/// - `400 invalid_grant`: [`OAuthError::InvalidAssertion`] (N86)
/// - `400 unauthorized_client`: a client that is not set up for it, or proves nothing about itself
/// - `400 invalid_target`, `invalid_scope`; `503` while the issuer's keys or the store cannot be had
pub(super) async fn exchange(exchange: &Exchange<'_>) -> Result<Granted, Refused> {
    match exchange.workload {
        Some(once) => workload::exchange(exchange, once).await,
        None => id_jag::exchange(exchange).await,
    }
}
