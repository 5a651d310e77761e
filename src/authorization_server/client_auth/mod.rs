//! Client authentication at the token endpoint and its like (RFC 6749 §2.3, RFC 7523 §2.2).

mod assertion;
mod certificate;
mod presented;

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::api_key::BearerSecret;
use crate::id::ClientId;
use crate::resource_server::ClientCertificate;

use super::client::{AuthMethod, Client, Secrets, find, with_secret_of_now};
use super::error::OAuthError;
use super::form::Form;
use super::server::AuthorizationServer;

pub(super) use assertion::AssertionKeys;
pub use certificate::{Authorities, ClientCertificates};
use presented::Presented;

/// One answer for an unknown client, a wrong secret, a wrong method and a bad assertion: none tells more (N57).
pub(super) const REFUSED: OAuthError = OAuthError::InvalidClient(
    "the client is not known here or did not authenticate as it is registered",
);

/// Where a request comes from, which nobody can write into it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    pub address: Option<IpAddr>,
    /// The certificate of the connection, where TLS ends here: never that of a header.
    pub certificate: Option<&'a ClientCertificate>,
}

/// Finds the client that sent a request and checks that it authenticated as it is registered.
///
/// A public client only names itself: what it sends must prove more (PKCE, a refresh token). So does one with a certificate
/// (RFC 8705 §2): the rest is the connection's. Does *not* check that the client may use the grant.
///
/// # Errors
///
/// - [`OAuthError::InvalidRequest`]: two methods at once (RFC 6749 §2.3), or the same header twice
/// - [`OAuthError::InvalidClient`]: everything else that is wrong, with the same text for all but hosts that are denied
/// - [`OAuthError::Store`], [`OAuthError::Unavailable`]: it could not be checked
pub async fn authenticate(
    server: &AuthorizationServer,
    sender: Sender<'_>,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Client, OAuthError> {
    tried(server, sender, (headers, form), Tries::Left).await
}

/// Whether who sent a request has tries at a secret left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tries {
    Left,
    /// A secret that can be guessed is not looked at, right or wrong.
    Used,
}

async fn tried(
    server: &AuthorizationServer,
    sender: Sender<'_>,
    (headers, form): (&HeaderMap, &Form),
    tries: Tries,
) -> Result<Client, OAuthError> {
    let presented = presented::read(headers, form)?;
    let id: ClientId = presented.client_id().parse().map_err(|_| REFUSED)?;
    // What nobody made here is no secret that a client was given. Who is in the settings has one that an operator chose.
    let chosen = server.clients.configured(&id).is_some();
    if !chosen && presented.is_secret() && !BearerSecret::ClientSecret.may_be(presented.secret()) {
        return Err(refused_like_others(server, &presented));
    }
    let mut client = match find(server, sender.address, &id).await {
        Ok(client) => client,
        Err(error) if !error.is_lasting() => return Err(error.into()),
        Err(error) if error.denied_host().is_some() => return Err(error.into()),
        Err(_) => return Err(refused_like_others(server, &presented)),
    };
    match &presented {
        Presented::Nothing { .. } if client.auth_methods().contains(&AuthMethod::None) => {}
        Presented::Secret { secret, .. } => {
            if by_secret(server, &client, (secret, tries)).is_err() {
                // One that was replaced a moment ago counts at once.
                client = with_secret_of_now(server, client).await?;
                by_secret(server, &client, (secret, tries))?;
            }
        }
        Presented::Assertion { assertion, .. } => {
            assertion::check(server, sender.address, &client, assertion).await?;
        }
        Presented::Nothing { .. } => certificate::check(server, sender, &client).await?,
    }
    if !matches!(client.kind(), super::client::Kind::Configured) {
        server.store.client_used(client.id(), server.clock.now());
    }
    Ok(client)
}

/// With as much work as for a client with a secret (N57).
fn refused_like_others(server: &AuthorizationServer, presented: &Presented) -> OAuthError {
    let _never = Secrets::default().accepts(presented.secret(), server.clock.now());
    REFUSED
}

/// Which client somebody says they are, for the log of refusals alone. Nothing is proven.
pub(super) fn claimed(headers: &HeaderMap, form: &Form) -> Option<ClientId> {
    presented::read(headers, form).ok()?.client_id().parse().ok()
}

/// As [`authenticate`], with a bound on guesses at a secret from one network.
///
/// Beyond it the right secret still passes, where that is one that nobody guesses: whoever sends a stale one again and again
/// must not keep out who has the new one. An operator's own short secret is not looked at then.
///
/// # Errors
///
/// As [`authenticate`]; [`OAuthError::TooManyRequests`] after too many failures.
pub(super) async fn authenticate_from(
    server: &AuthorizationServer,
    sender: Sender<'_>,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Client, OAuthError> {
    let guesses = &server.tokens.guesses;
    let claimed = presented::guessed(headers, form);
    let attempt = claimed.map(|claimed| guesses.attempt(&claimed, sender.address));
    let waits = attempt.and_then(|attempt| guesses.check(attempt).err());
    let tries = if waits.is_some() { Tries::Used } else { Tries::Left };
    let outcome = tried(server, sender, (headers, form), tries).await;
    if let (Some(attempt), Err(OAuthError::InvalidClient(_))) = (attempt, &outcome) {
        if let Some(too_many) = waits {
            return Err(too_many);
        }
        guesses.failed(attempt)?;
    }
    outcome
}

fn by_secret(
    server: &AuthorizationServer,
    client: &Client,
    (secret, tries): (&str, Tries),
) -> Result<(), OAuthError> {
    let right = client.secrets.accepts(secret, server.clock.now());
    let registered = client.auth_methods().iter().any(|method| method.is_secret());
    let looked_at = tries == Tries::Left || !client.secrets.is_guessable();
    if right && registered && looked_at { Ok(()) } else { Err(REFUSED) }
}
