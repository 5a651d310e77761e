//! `private_key_jwt`: a client proves itself by a JWT that only it can sign (RFC 7523 §2.2, §3).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::authorization_server::authorize::PUSHED_PATH;
use crate::authorization_server::client::{AuthMethod, Client, PublicKeys, denied_keys};
use crate::authorization_server::device::PATH as DEVICE_PATH;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::resource_server::{SignedAssertion, TokenError};
use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::REFUSED;

pub(in crate::authorization_server) use crate::resource_server::AssertionKeys;

/// Longest life of an assertion, and how far two clocks may be apart.
const MAX_LIFE: Duration = Duration::from_mins(5);
const SKEW: Duration = Duration::from_mins(1);
/// Where a client proves itself like this: the URL of each is a name of ours (RFC 7523 §3, item 3; RFC 9126 §2), beside
/// the issuer's.
const PATHS: [&str; 3] = ["/token", PUSHED_PATH, DEVICE_PATH];
const MAX_JTI: usize = 256;
const MAX_BYTES: usize = 8 * 1024;

/// Who the assertion says it is from. Not verified: only to find the keys to verify it with.
pub(super) fn unverified_subject(assertion: &str) -> Option<String> {
    let read = (assertion.len() <= MAX_BYTES).then(|| SignedAssertion::parse(assertion).ok())??;
    Some(read.unverified_claims().get("sub")?.as_str()?.to_owned())
}

/// Checks an assertion of `client`, and that it was never used before. Of the fetches of key sets that nobody of ours
/// named, the network of `address` has a share (N101).
///
/// # Errors
///
/// [`REFUSED`]; [`OAuthError::Unavailable`] while the client's keys cannot be had; [`OAuthError::Store`]
pub(super) async fn check(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    client: &Client,
    assertion: &SecretText,
) -> Result<(), OAuthError> {
    if !client.auth_methods().contains(&AuthMethod::PrivateKeyJwt) {
        return Err(REFUSED);
    }
    let read = SignedAssertion::parse(assertion.expose()).map_err(|_| REFUSED)?;
    let now = server.clock.now();
    // Cheap checks first: nobody makes us fetch a key set with an assertion that says nothing right.
    let used = claims(server, client, read.unverified_claims(), now).ok_or(REFUSED)?;
    let keys = keys(server, client)?;
    let may_fetch = || may_fetch(server, address, client, &keys);
    match keys.verify(&read, may_fetch).await {
        Ok(()) => {}
        Err(TokenError::IssuerUnavailable) => {
            return Err(OAuthError::Unavailable("the client's key set cannot be read now"));
        }
        Err(_wrong) => return Err(REFUSED),
    }
    let first = server.store.first_use(client.id().as_str(), &used.jti, used.expires_at).await?;
    if first { Ok(()) } else { Err(REFUSED) }
}

struct Used {
    jti: String,
    /// After which it would be refused anyway.
    expires_at: Timestamp,
}

/// RFC 7523 §3, items 1 to 7. `None` where one does not hold (N87).
fn claims(
    server: &AuthorizationServer,
    client: &Client,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Option<Used> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let ours = |aud: &str| {
        aud == server.settings.issuer.as_str()
            || PATHS.into_iter().any(|path| aud == server.url(path))
    };
    let for_us = match claims.get("aud")? {
        Value::String(aud) => ours(aud),
        Value::Array(all) => all.len() == 1 && all.iter().all(|aud| aud.as_str().is_some_and(ours)),
        _ => false,
    };
    let itself =
        [text("iss"), text("sub")].into_iter().all(|who| who == Some(client.id().as_str()));
    let date = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(date) => date.as_i64().map(Timestamp::from_unix_seconds).map(Some),
    };
    let expires_at = date("exp")??;
    let alive = now < expires_at.plus(SKEW) && expires_at <= now.plus(MAX_LIFE).plus(SKEW);
    let begun = [date("iat")?, date("nbf")?].into_iter().flatten().all(|at| at <= now.plus(SKEW));
    let jti = text("jti").filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI)?;
    (for_us && itself && alive && begun)
        .then(|| Used { jti: jti.to_owned(), expires_at: expires_at.plus(SKEW) })
}

pub(super) fn keys(
    server: &AuthorizationServer,
    client: &Client,
) -> Result<Arc<AssertionKeys>, OAuthError> {
    match client.jwks() {
        Some(PublicKeys::Inline(jwks)) => {
            AssertionKeys::inline(jwks.as_bytes()).map(Arc::new).map_err(|_| REFUSED)
        }
        Some(PublicKeys::Remote(_)) if denied_keys(server, client) => Err(REFUSED),
        Some(PublicKeys::Remote(url)) => {
            Ok(server.clients.key_set(url, client.is_trusted(), || {
                // Whoever publishes a metadata document names any URL.
                let trusted = client.is_trusted();
                let outbound = if trusted { &server.outbound } else { &server.to_clients };
                let (outbound, clock) = (outbound.clone(), Arc::clone(&server.clock));
                AssertionKeys::remote(url.clone(), outbound, clock)
            }))
        }
        None => Err(REFUSED),
    }
}

/// Whether this network may make us fetch the client's key set: out of the budgets of metadata documents, because it is
/// they that name it. What an operator named costs nobody's share.
pub(super) fn may_fetch(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    client: &Client,
    keys: &AssertionKeys,
) -> bool {
    let Some(PublicKeys::Remote(url)) = client.jwks() else { return true };
    client.is_trusted() || server.spend_fetch(address, url, keys.is_known())
}
