//! The answer of the token endpoint (RFC 6749 §5.1) and the tokens in it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::audit::TokenName;
use crate::authorization_server::access_token::{Behind, MintError, NewAccessToken, Words};
use crate::authorization_server::confirmation::Confirmation;
use crate::authorization_server::derived::{Actor, Origin};
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::id_token::NewIdToken;
use crate::authorization_server::server::AuthorizationServer;
use crate::id::{ClientId, Subject};
use crate::scope::Scope;
use crate::secret_text::SecretText;
use crate::store::{GrantRow, LoginOrigin, UserRow};
use crate::time::Timestamp;

use super::exchange::Body;
use super::resource::Target;
use super::token_exchange;

/// Who gets tokens for what. All of it was checked.
#[derive(Debug)]
pub(super) struct Issue<'a> {
    pub(super) client_id: &'a ClientId,
    pub(super) target: &'a Target,
    pub(super) scope: &'a Scope,
    /// What a person allowed; `None` for a client that acts for itself.
    pub(super) grant: Option<&'a GrantRow>,
    pub(super) user: Option<&'a UserRow>,
    /// What it is made from, where that is another token.
    pub(super) derived: Option<&'a Derived>,
    pub(super) refresh_token: Option<&'a str>,
    /// The key or the certificate that the client has just proven to hold: the token is bound to it.
    pub(super) key: Option<&'a str>,
    /// Where the client is to be told about the login, too (OIDC Core §3.1.3.3).
    pub(super) login: Option<Login<'a>>,
    /// Whether the answer names the resource: who brings an assertion may not have named it (MCP Enterprise-Managed
    /// Authorization §5.1).
    pub(super) tells_resource: bool,
    pub(super) now: Timestamp,
}

/// What a token takes over from the one it is made from (RFC 8693).
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) subject: Subject,
    pub(super) ends_at: Timestamp,
    pub(super) act: Actor,
    pub(super) origins: Vec<Origin>,
}

/// What an ID token says beside who and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    /// That of the authorization request, where it had one.
    pub(super) nonce: Option<&'a str>,
}

/// Tokens that are made, and named for the audit log.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) body: Body,
    pub(super) subject: Subject,
    pub(super) token: TokenName,
}

/// RFC 6749 §5.1. `scope` is always there: it may be less than what was asked for (§3.3).
#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    /// RFC 8693 §2.2.1
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    scope: &'a Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
}

impl Issue<'_> {
    /// Signs, and writes the answer. Writes nothing to the store.
    ///
    /// # Errors
    ///
    /// [`MintError`] as [`OAuthError::Mint`]; [`OAuthError::InvalidDpopProof`] for a resource whose tokens must be bound
    pub(super) fn sign(&self, server: &AuthorizationServer) -> Result<Issued, OAuthError> {
        let bound_to = self.key.map(Confirmation::of_text);
        let has_key = bound_to.as_ref().is_some_and(Confirmation::is_key);
        if self.target.dpop_required && !has_key {
            return Err(OAuthError::InvalidDpopProof(
                "tokens for this resource must be bound to a key",
            ));
        }
        let lifetime = self.lifetime(server);
        let subject = match (self.derived, self.user) {
            (Some(derived), _) => derived.subject.clone(),
            (None, Some(user)) => Subject::from(user.id),
            (None, None) => Subject::from(self.client_id),
        };
        let (keys, random) = (server.keys.current(), &*server.random);
        let access_token = NewAccessToken {
            issuer: server.settings.issuer.clone(),
            audience: self.target.uri.clone(),
            subject: subject.clone(),
            client_id: self.client_id.clone(),
            scope: self.scope.clone(),
            issued_at: self.now,
            expires_at: self.now.plus(lifetime),
        };
        let algorithm = server.settings.signing_algorithm_for(&self.target.uri);
        let key = keys.signing_with(algorithm).ok_or(MintError::NoKey)?;
        let (signed, jti) = access_token.sign_for(&self.behind(), key, random)?;
        let id_token = match (self.login, self.user) {
            (Some(login), Some(_)) => Some(self.id_token(&access_token, login).sign(&keys)?),
            _ => None,
        };
        let answer = Answer {
            access_token: signed.expose(),
            issued_token_type: self.derived.map(|_| token_exchange::ACCESS_TOKEN),
            token_type: bound_to.as_ref().map_or("Bearer", Confirmation::token_type),
            expires_in: lifetime.as_secs(),
            scope: self.scope,
            resource: self.tells_resource.then_some(&*self.target.uri),
            refresh_token: self.refresh_token,
            id_token: id_token.as_ref().map(SecretText::expose),
        };
        let mut json = Zeroizing::new(Vec::with_capacity(2048));
        serde_json::to_writer(&mut *json, &answer).map_err(|_| MintError::NoKey)?;
        Ok(Issued { body: Body::new(json), subject, token: TokenName(Arc::from(jti)) })
    }

    /// No access token outlives its grant, or the token it is made from; whole seconds, as `exp` has them.
    fn lifetime(&self, server: &AuthorizationServer) -> Duration {
        let wanted = self.target.lifetime.unwrap_or(server.settings.access_token_ttl);
        let left = self.grant.map_or(wanted, |grant| grant.expires_at.since(self.now));
        let derived = self.derived.map_or(wanted, |derived| derived.ends_at.since(self.now));
        Duration::from_secs(wanted.min(left).min(derived).as_secs())
    }

    fn behind(&self) -> Behind<'_> {
        Behind {
            grant_id: self.grant.map(|grant| grant.id),
            auth_time: self.grant.and_then(|grant| grant.auth_time),
            acr: self.login_origin().and_then(|origin| origin.acr.as_deref()),
            amr: self.login_origin().and_then(|origin| origin.amr.as_deref()).map(Words),
            groups: self.user.map_or(&[], |user| &user.groups),
            groups_incomplete: self.user.is_some_and(|user| user.groups_incomplete),
            roles: self.user.map_or(&[], |user| &user.roles),
            roles_incomplete: self.user.is_some_and(|user| user.roles_incomplete),
            cnf: self.key.map(Confirmation::of_text),
            act: self.derived.map(|derived| &derived.act),
            derived_from: self.derived.map_or(&[], |derived| &derived.origins),
        }
    }

    fn login_origin(&self) -> Option<&LoginOrigin> {
        self.grant.map(|grant| &grant.login)
    }

    fn id_token<'a>(&'a self, beside: &'a NewAccessToken, login: Login<'a>) -> NewIdToken<'a> {
        NewIdToken {
            issuer: &beside.issuer,
            subject: &beside.subject,
            client_id: self.client_id,
            nonce: login.nonce,
            auth_time: self.grant.and_then(|grant| grant.auth_time),
            origin: self.login_origin(),
            issued_at: beside.issued_at,
            expires_at: beside.expires_at,
        }
    }
}
