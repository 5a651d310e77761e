//! The one resource that a token is for, and for how long (RFC 8707 §2.2).

use std::time::Duration;

use serde::Deserialize;

use crate::authorization_server::error::OAuthError;
use crate::authorization_server::form::Form;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::target;
use crate::store::ResourceRow;

use super::exchange::DEAD;

/// What becomes `aud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) uri: String,
    /// Of its access tokens, where it was registered with one.
    pub(super) lifetime: Option<Duration>,
    /// Whether its tokens must be bound to a key.
    pub(super) dpop_required: bool,
}

/// What a client that acts for itself asks for, else our own resource (N62).
///
/// # Errors
///
/// [`OAuthError::InvalidTarget`], [`OAuthError::Store`]
pub(super) async fn requested(
    server: &AuthorizationServer,
    form: &Form,
) -> Result<Target, OAuthError> {
    let missing = OAuthError::InvalidTarget("resource is missing");
    let uri = match target::requested(server, form).await? {
        Some(uri) => uri,
        None => target::default(server).ok_or(missing)?.to_owned(),
    };
    let gone = OAuthError::InvalidTarget("resource is not registered with this server");
    registered(server, uri).await?.ok_or(gone)
}

/// The granted one. A request may name it again, and no other (N60).
///
/// # Errors
///
/// [`OAuthError::InvalidTarget`]; [`DEAD`] where the resource is there no more (N51); [`OAuthError::Store`]
pub(super) async fn granted(
    server: &AuthorizationServer,
    form: &Form,
    granted: &str,
) -> Result<Target, OAuthError> {
    let asked = target::requested(server, form).await?;
    if asked.is_some_and(|asked| asked != granted) {
        return Err(OAuthError::InvalidTarget("the grant is for another resource"));
    }
    registered(server, granted.to_owned()).await?.ok_or(DEAD)
}

/// The resource with this very identifier, while it is registered.
///
/// # Errors
///
/// [`OAuthError::Store`]
pub(super) async fn registered(
    server: &AuthorizationServer,
    uri: String,
) -> Result<Option<Target>, OAuthError> {
    if let Some(own) = server.settings.resources.iter().find(|own| own.uri == uri) {
        return Ok(Some(Target { uri, lifetime: None, dpop_required: own.dpop_required }));
    }
    let row = server.store.find_resource_by_uri(&uri).await?;
    Ok(row.filter(|row| row.disabled_at.is_none()).map(|row| {
        let seconds = row.access_token_ttl_seconds;
        Target {
            dpop_required: is_bound(server, &row),
            uri: row.uri,
            lifetime: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }))
}

/// Of what is said of a server that is reached through us, what its tokens are to be.
#[derive(Deserialize)]
struct Proxied {
    #[serde(default)]
    dpop_required: bool,
}

/// What is not reached through us asks for what it likes itself. What cannot be read may ask for it, and is not served here.
fn is_bound(server: &AuthorizationServer, row: &ResourceRow) -> bool {
    let is_free = |proxy: &str| {
        serde_json::from_str::<Proxied>(proxy).is_ok_and(|proxied| !proxied.dpop_required)
    };
    let free = row.proxy.as_deref().is_none_or(is_free);
    row.url.is_some() && (server.settings.dpop_required || !free)
}
