//! One request to the token endpoint whose client is authenticated, and what it leads to.

use axum::body::Bytes;
use zeroize::Zeroizing;

use crate::audit::{AuditEvent, Reused};
use crate::authorization_server::client::Client;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::form::Form;
use crate::authorization_server::server::AuthorizationServer;
use crate::id::{GrantId, Subject};
use crate::store::CodeRedemption;

use super::jwt_bearer::Once;

/// What a grant is given. The client is authenticated as it is registered, which says nothing about its person.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) server: &'a AuthorizationServer,
    pub(super) client: &'a Client,
    pub(super) form: &'a Form,
    /// The key that the client has just proven to hold (RFC 9449 §5), or the certificate of its connection where its tokens
    /// are bound to that (RFC 8705 §3), as [`Confirmation::of_text`](crate::authorization_server::confirmation::Confirmation::of_text) reads it.
    pub(super) key: Option<&'a str>,
    /// What the client is known by, where its platform's assertion is all that it has.
    pub(super) workload: Option<&'a Once>,
}

impl Exchange<'_> {
    /// What a refresh token is bound to that is given now (RFC 9449 §5, RFC 8705 §4): the key or certificate of a client that
    /// has nothing else to prove itself by. One that has may change its key, or have its certificate renewed.
    pub(super) fn key_of_refresh_token(&self) -> Option<String> {
        self.key.filter(|_| !self.client.is_confidential()).map(str::to_owned)
    }
}

/// What a grant gives.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) body: Body,
    pub(super) subject: Subject,
    pub(super) event: AuditEvent,
    /// What used a code up: given back where the answer is not given, so that trying again is no replay.
    pub(super) used_up: Option<CodeRedemption>,
}

/// Why it gives nothing.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: OAuthError,
    /// Something came a second time, which proves a theft: its grant is revoked already.
    pub(super) reused: Option<(Reused, GrantId)>,
}

impl<E: Into<OAuthError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { error: error.into(), reused: None }
    }
}

impl Refused {
    pub(super) fn reused(what: Reused, grant_id: GrantId) -> Self {
        Self { error: DEAD, reused: Some((what, grant_id)) }
    }
}

/// Unknown, used, late, revoked, or of another client: not told apart (N31).
pub(super) const DEAD: OAuthError =
    OAuthError::InvalidGrant("the code or token is not valid here, not of this client, or used up");

/// The JSON of a successful answer, with tokens in it. Zeroed when the last copy is gone; `Debug` shows nothing.
#[derive(Clone)]
pub(super) struct Body(Bytes);

impl Body {
    pub(super) fn new(json: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(json))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
