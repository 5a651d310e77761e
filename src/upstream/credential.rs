//! What the broker shows a server: never the caller's own token.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::oauth_client::{BearerChallenge, Held, NoToken};
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::caller_tokens::{CallerTokens, For};
use super::client_credentials::ClientCredentials;
use super::fault::Fault;
use super::per_user::PerUser;

/// The credential for one server.
#[derive(Clone, Debug)]
pub enum Credential {
    None,
    /// A fixed header; of `Authorization` with `Bearer ` before the secret.
    Fixed {
        header: HeaderName,
        bearer: bool,
        value: Held,
    },
    /// A token of the broker's own.
    ClientCredentials(Arc<ClientCredentials>),
    /// A token that is obtained for each caller.
    ForCaller(Arc<CallerTokens>),
    /// The token of the caller's own account at the server.
    PerUser(PerUser),
}

/// What the broker shows a server for itself.
pub(super) enum Own {
    Nothing,
    Header(HeaderName, HeaderValue),
    ForCallersAlone,
}

impl Credential {
    #[must_use]
    pub const fn bearer(value: Held) -> Self {
        Self::Fixed { header: header::AUTHORIZATION, bearer: true, value }
    }

    /// Whether the caller's own token has to be noted: to be exchanged with its issuer, and to find what was obtained
    /// with it.
    pub(super) const fn needs_the_callers_token(&self) -> bool {
        matches!(self, Self::ForCaller(_))
    }

    /// Whether it is the same for all callers.
    pub(super) const fn is_the_brokers_own(&self) -> bool {
        matches!(self, Self::None | Self::Fixed { .. } | Self::ClientCredentials(_))
    }

    /// Adds it to a call. What was added, where it is a token that can be obtained anew.
    pub(super) async fn add(
        &self,
        headers: &mut HeaderMap,
        caller: For<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<SecretText>, Fault> {
        let token = match self {
            Self::PerUser(accounts) => Box::pin(accounts.token(caller)).await?,
            Self::ForCaller(tokens) => Box::pin(tokens.token(caller)).await?,
            Self::ClientCredentials(client) => Box::pin(client.obtain_token()).await?,
            Self::None | Self::Fixed { .. } => {
                if let Own::Header(header, shown) = self.own(clock).await? {
                    headers.insert(header, shown);
                }
                return Ok(None);
            }
        };
        headers.insert(header::AUTHORIZATION, header_value(&token, true)?);
        Ok(Some(token))
    }

    /// What is shown whoever calls.
    pub(super) async fn own(&self, clock: &Arc<dyn Clock>) -> Result<Own, Fault> {
        Ok(match self {
            Self::None => Own::Nothing,
            Self::Fixed { header, bearer, value } => {
                let read = value.read(clock).await;
                let secret = read.map_err(|error| Fault::NoCredential(Box::new(error)))?;
                Own::Header(header.clone(), header_value(&secret, *bearer)?)
            }
            Self::ClientCredentials(client) => {
                let token = Box::pin(client.obtain_token()).await?;
                Own::Header(header::AUTHORIZATION, header_value(&token, true)?)
            }
            Self::ForCaller(_) | Self::PerUser(_) => Own::ForCallersAlone,
        })
    }

    /// What a refusal of the server means, where it says that a token with more scopes would do.
    pub(super) async fn wants_more(&self, caller: For<'_>, headers: &HeaderMap) -> Option<NoToken> {
        let Self::PerUser(accounts) = self else { return None };
        let challenge = BearerChallenge::of(headers);
        let scope = challenge.scope.as_deref().filter(|_| challenge.wants_more_scopes())?;
        Box::pin(accounts.wants_more(caller, scope)).await
    }

    /// The server did not accept this token (401, RFC 6750 §3.1): it is obtained anew for the next call, if it is still
    /// the one that is kept, and not more often than [`Forced`](crate::oauth_client::Forced) says.
    pub(super) async fn refused(&self, caller: For<'_>, shown: &SecretText) {
        match self {
            Self::ClientCredentials(client) => client.forget(shown).await,
            Self::ForCaller(tokens) => tokens.forget(caller, shown).await,
            Self::PerUser(accounts) => Box::pin(accounts.forget(caller, shown)).await,
            Self::None | Self::Fixed { .. } => {}
        }
    }
}

fn header_value(secret: &SecretText, bearer: bool) -> Result<HeaderValue, Fault> {
    let value = if bearer {
        HeaderValue::try_from(["Bearer ", secret.expose()].concat())
    } else {
        HeaderValue::try_from(secret.expose())
    };
    let mut value = value.map_err(|_| Fault::NoCredential("it cannot stand in a header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}
