//! Which protected resource a token is to be for (RFC 8707): one, and one that is registered here.

use std::time::Duration;

use url::Url;

use crate::scope::{Scope, ScopeToken};
use crate::store::{PageRequest, StoreError};

use super::authorize::OWN_SCOPES;
use super::error::OAuthError;
use super::form::Form;
use super::server::{AuthorizationServer, UsedAt};

/// Why a request names no resource that a token can be for.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// `invalid_target` (RFC 8707 §2), with words of ours.
    #[error("{0}")]
    Invalid(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TargetError> for OAuthError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Invalid(text) => Self::InvalidTarget(text),
            TargetError::Store(error) => Self::Store(error),
        }
    }
}

const UNKNOWN: TargetError = TargetError::Invalid("resource is not registered with this server");
const SEVERAL: TargetError =
    TargetError::Invalid("one token is for one resource: send one resource");

/// The identifier that becomes `aud`, as it is registered, whatever spelling of it the request has (N61).
///
/// `None` where the request names none: the caller knows what is meant then (N62).
///
/// # Errors
///
/// [`TargetError`]: unknown, disabled, no absolute URL (N59), or several that differ (N63).
pub(super) async fn requested(
    server: &AuthorizationServer,
    form: &Form,
) -> Result<Option<String>, TargetError> {
    let mut target = None;
    for asked in form.all("resource") {
        let found = find(server, asked).await?;
        match &target {
            Some(known) if *known != found => return Err(SEVERAL),
            Some(_) => {}
            None => target = Some(found),
        }
    }
    Ok(target)
}

/// As [`requested`], for a name that comes in another parameter (RFC 8693 §2.1, `audience`).
///
/// # Errors
///
/// [`TargetError`]
pub(super) async fn named(
    server: &AuthorizationServer,
    asked: &str,
) -> Result<String, TargetError> {
    find(server, asked).await
}

/// Whether two texts name one resource. Nothing is looked up.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let one = canonical(one);
    one.is_some() && one == canonical(other)
}

/// Which scopes tokens for one resource may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    /// The broker's own tools: policy alone decides.
    Ours,
    /// A server behind us, with the scopes that its grants name. Policy alone decides.
    Behind { id: String, scopes: Scope },
    /// A server that was registered, with the scopes that it names. Where it names none, policy alone decides.
    Registered { id: String, scopes: Scope },
}

impl Carries {
    /// What of `wanted` there is. The broker's own scopes are worth something here alone: a server that is sent such a
    /// token could use it against us (RFC 9700 §2.3).
    pub(super) fn narrow(&self, wanted: &Scope) -> Scope {
        let named = match self {
            Self::Ours => return wanted.clone(),
            Self::Behind { .. } => &Scope::empty(),
            Self::Registered { scopes, .. } => scopes,
        };
        let may = |token: &ScopeToken| {
            let own = token.as_str() == "*" || token.as_str().split(':').next() == Some("broker");
            OWN_SCOPES.contains(&token.as_str())
                || (!own && (named.is_empty() || named.permits(token)))
        };
        wanted.iter().filter(|token| may(token)).cloned().collect()
    }

    /// What is asked for where a request does not say: what the resource's own metadata and challenge name.
    pub(super) fn defaults<'a>(&'a self, server: &'a AuthorizationServer) -> &'a Scope {
        match self {
            Self::Ours => &server.settings.default_scopes,
            Self::Behind { scopes, .. } | Self::Registered { scopes, .. } => scopes,
        }
    }

    /// Where they are to be of use.
    pub(super) fn used_at(&self) -> UsedAt<'_> {
        match self {
            Self::Ours => UsedAt::Broker,
            Self::Behind { id, .. } => UsedAt::Behind(id),
            Self::Registered { id, scopes } => UsedAt::Elsewhere(id, scopes),
        }
    }
}

/// How long access tokens for the resource with this identifier are good, where it says so itself.
///
/// # Errors
///
/// [`StoreError`]
pub(super) async fn lifetime(
    server: &AuthorizationServer,
    uri: &str,
) -> Result<Option<Duration>, StoreError> {
    if server.settings.resources.iter().any(|own| own.uri == uri) {
        return Ok(None);
    }
    let row = server.store.find_resource_by_uri(uri).await?;
    let seconds = row.and_then(|row| row.access_token_ttl_seconds);
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

/// What tokens for the resource with this identifier may carry. One that is registered no more gets no token anyway.
///
/// # Errors
///
/// [`StoreError`]
pub(super) async fn carries(
    server: &AuthorizationServer,
    uri: &str,
) -> Result<Carries, StoreError> {
    if let Some(own) = server.settings.resources.iter().find(|own| own.uri == uri) {
        let behind = own.behind.as_ref();
        return Ok(behind.map_or(Carries::Ours, |behind| Carries::Behind {
            id: behind.id.clone(),
            scopes: behind.scopes.clone(),
        }));
    }
    let row = server.store.find_resource_by_uri(uri).await?;
    let (id, scopes) =
        row.map_or_else(|| (String::new(), Scope::empty()), |row| (row.id, row.scopes));
    Ok(Carries::Registered { id, scopes })
}

/// The one of this process that is meant where a request names none.
pub(super) fn default(server: &AuthorizationServer) -> Option<&str> {
    server.settings.resources.first().map(|resource| resource.uri.as_str())
}

/// The only one there is, here or registered; `None` where there are several, or none.
///
/// # Errors
///
/// [`StoreError`]
pub(super) async fn only(server: &AuthorizationServer) -> Result<Option<String>, StoreError> {
    let mut all: Vec<String> =
        server.settings.resources.iter().map(|own| own.uri.clone()).collect();
    let mut page = PageRequest { after: None, limit: 100 };
    while all.len() < 2 {
        let found = server.store.list_resources(&page).await?;
        let enabled = found.rows.into_iter().filter(|row| row.disabled_at.is_none());
        all.extend(enabled.map(|row| row.uri));
        let Some(after) = found.next else { break };
        page.after = Some(after);
    }
    let one = all.pop();
    Ok(one.filter(|_| all.is_empty()))
}

async fn find(server: &AuthorizationServer, asked: &str) -> Result<String, TargetError> {
    let wanted = canonical(asked)
        .ok_or(TargetError::Invalid("resource must be an absolute URL without a fragment"))?;
    let is_wanted = |uri: &String| canonical(uri).is_some_and(|uri| uri == wanted);
    let ours = server.settings.resources.iter();
    let mut ours = ours.filter(|own| is_wanted(&own.uri) || own.aliases.iter().any(is_wanted));
    if let Some(own) = ours.next() {
        return Ok(own.uri.clone());
    }
    for spelling in [asked, &wanted, &format!("{wanted}/")] {
        if let Some(row) = server.store.find_resource_by_uri(spelling).await? {
            return row.disabled_at.is_none().then_some(row.uri).ok_or(UNKNOWN);
        }
    }
    Err(UNKNOWN)
}

/// One text for all spellings of one resource: scheme and host in lower case, without default port and final slash.
fn canonical(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !plain || !url.has_host() || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let text = String::from(url);
    Some(text.strip_suffix('/').map_or(text.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6749 §3.3, RFC 9700 §2.3 — N115
    #[test]
    fn tokens_for_a_registered_server_carry_what_it_names_and_never_the_brokers_own() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let wanted = scope("openid weather:read files:read broker:admin broker *");
        let registered = |named: &str| Carries::Registered { id: "w".into(), scopes: scope(named) };
        let narrowed = |named: &str| registered(named).narrow(&wanted);
        assert_eq!(narrowed("weather:read"), scope("openid weather:read"));
        assert_eq!(narrowed("weather:read broker:admin"), scope("openid weather:read"));
        let none = Carries::Registered { id: "w".into(), scopes: Scope::empty() }.narrow(&wanted);
        assert_eq!(none, scope("openid weather:read files:read"));
        let behind = Carries::Behind { id: "w".into(), scopes: Scope::empty() };
        assert_eq!(behind.narrow(&wanted), none);
        assert_eq!(Carries::Ours.narrow(&wanted), wanted);
    }

    // RFC 8707 §2 — N61, RS-5
    #[test]
    fn spellings_of_one_resource_are_one() {
        for same in ["HTTPS://B.Example/mcp", "https://b.example:443/mcp", "https://b.example/mcp/"]
        {
            assert_eq!(canonical(same).as_deref(), Some("https://b.example/mcp"), "{same}");
        }
        assert_ne!(canonical("https://b.example/MCP"), canonical("https://b.example/mcp"));
        assert_ne!(canonical("https://b.example"), canonical("https://b.example/mcp"));
    }

    // RFC 8707 §2 — N59
    #[test]
    fn what_is_no_plain_url_is_no_resource() {
        for bad in
            ["/mcp", "mcp", "https://b.example/mcp#x", "https://u@b.example/mcp", "urn:x:y", ""]
        {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
