//! A token for a server, in exchange for what says who calls (RFC 8693).
//!
//! The caller's own token goes to the authorization server that issued it, and to nobody else: there it says nothing
//! that is not known. Every other authorization server gets a minute's word of ours instead, about this caller and for it
//! alone.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use url::Url;

use crate::id::Issuer;
use crate::resource_server::Principal;
use crate::secret_text::SecretText;

use super::caller_tokens::{For, Obtained};
use super::client_credentials::ClientCredentials;
use super::identity::Identity;
use crate::oauth_client::NoToken;
use crate::oauth_client::TokenEndpoint;

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Our client at one authorization server, for one server behind us.
#[derive(Debug)]
pub struct TokenExchange {
    pub endpoint: TokenEndpoint,
    /// What says there who calls.
    pub subject: Subject,
    /// The server's URL (RFC 8707 §2): the token is for it and nothing else.
    pub resource: Url,
    /// The server by the name that its authorization server has for it, where that wants one.
    pub audience: Option<String>,
    /// Joined by spaces; may be empty.
    pub scope: String,
    /// A token of ours, sent as `actor_token`: who acts.
    pub actor: Option<Arc<ClientCredentials>>,
}

impl TokenExchange {
    pub(super) async fn obtain(&self, caller: For<'_>) -> Result<Obtained, NoToken> {
        let (subject, kind) = self.subject.of(caller).await?;
        let actor = match &self.actor {
            Some(actor) => Some(actor.obtain_token().await?),
            None => None,
        };
        let mut fields = vec![
            ("grant_type", GRANT),
            ("subject_token", subject.expose()),
            ("subject_token_type", kind),
            ("requested_token_type", ACCESS_TOKEN),
            ("resource", self.resource.as_str()),
        ];
        if let Some(audience) = &self.audience {
            fields.push(("audience", audience));
        }
        if !self.scope.is_empty() {
            fields.push(("scope", &self.scope));
        }
        if let Some(actor) = &actor {
            fields.extend([("actor_token", actor.expose()), ("actor_token_type", ACCESS_TOKEN)]);
        }
        let granted = self.endpoint.ask(&fields).await?;
        match granted.issued_token_type.as_deref() {
            // Left out by some; of another type it would be no token to call with.
            None | Some(ACCESS_TOKEN | JWT) => {}
            Some(_) => return Err(NoToken::Unreadable),
        }
        let lasts = granted.lasts();
        Ok(Obtained { token: granted.access_token, lasts })
    }
}

/// ID tokens of people who logged in here at one identity provider, for our client there.
///
/// A seam, because people log in at the authorization server, which this edge does not know.
#[async_trait]
pub trait IdTokens: Send + Sync + fmt::Debug {
    /// One that lasts. `None`: the caller is nobody who logged in there, or none is kept.
    async fn of(&self, principal: &Principal) -> Result<Option<SecretText>, NoToken>;
}

/// What says to one authorization server who calls.
#[derive(Debug)]
pub struct Subject {
    /// Whose it is: callers whose token this issuer made are known there by that. `None`: we always vouch.
    pub issuer: Option<Issuer>,
    /// Our word about a caller, for this authorization server.
    pub vouch: Identity,
    /// Its own word about who logged in there, which goes before ours. `None`: none is kept.
    pub id_tokens: Option<Arc<dyn IdTokens>>,
}

impl Subject {
    /// A token, and of which type it is (RFC 8693 §3). For one that is bound our word stands with its issuer, too.
    pub(super) async fn of(&self, caller: For<'_>) -> Result<(SecretText, &'static str), NoToken> {
        let theirs = self.issuer.as_ref() == Some(caller.principal.issuer());
        if let Some(id_tokens) = &self.id_tokens
            && let Some(token) = id_tokens.of(caller.principal).await?
        {
            return Ok((token, ID_TOKEN));
        }
        match caller.own_token() {
            Some(token) if theirs => Ok((token.clone(), ACCESS_TOKEN)),
            _ => {
                let word = self.vouch.sign(caller.principal).await;
                Ok((word.ok_or(NoToken::NoSecret)?, JWT))
            }
        }
    }
}
