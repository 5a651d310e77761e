//! From a server's URL to its authorization server (RFC 9728, RFC 8414, `OpenID` Connect Discovery).

use std::time::Duration;

use http::{HeaderValue, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::outbound::{Call, Limits, Outbound};

use super::challenge::BearerChallenge;
use super::unusable::Unusable;

/// For one document.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 64 * 1024 };

/// What was found out about a server.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// As the server itself spells it: what `resource` has to be (RFC 8707 §2).
    pub resource: String,
    /// What the server would have asked for. `None`: it does not say.
    pub scopes: Option<Vec<String>>,
    /// Its authorization server.
    pub server: ServerMetadata,
}

/// RFC 9728 §2
#[derive(Deserialize)]
struct ResourceDocument {
    resource: String,
    authorization_servers: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
}

/// Authorization server metadata (RFC 8414 §2), checked.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub registration_endpoint: Option<Url>,
    pub revocation_endpoint: Option<Url>,
    pub scopes_supported: Option<Vec<String>>,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    client_id_metadata_document_supported: Option<bool>,
    authorization_response_iss_parameter_supported: Option<bool>,
    /// An operator wrote its endpoints down and not its name.
    #[serde(skip)]
    is_unnamed: bool,
}

impl ServerMetadata {
    /// Of a server that publishes none: an operator wrote its endpoints down. Without `issuer` it is named by its
    /// authorization endpoint here. It is believed to support PKCE: one that does not ignores it.
    #[must_use]
    pub fn explicit(
        authorization_endpoint: Url,
        token_endpoint: Url,
        revocation_endpoint: Option<Url>,
        issuer: Option<String>,
    ) -> Self {
        Self {
            is_unnamed: issuer.is_none(),
            issuer: issuer.unwrap_or_else(|| authorization_endpoint.to_string()),
            authorization_endpoint,
            token_endpoint,
            registration_endpoint: None,
            revocation_endpoint,
            scopes_supported: None,
            token_endpoint_auth_methods_supported: None,
            code_challenge_methods_supported: None,
            client_id_metadata_document_supported: None,
            authorization_response_iss_parameter_supported: None,
        }
    }

    /// Whether a client may be the URL of its metadata document.
    #[must_use]
    pub fn takes_metadata_documents(&self) -> bool {
        self.client_id_metadata_document_supported == Some(true)
    }

    /// Whether its answers say who gives them (RFC 9207 §3).
    #[must_use]
    pub fn states_issuer(&self) -> bool {
        self.authorization_response_iss_parameter_supported == Some(true)
    }

    /// Whether what an answer states as its issuer can be compared with anything.
    pub(super) const fn is_unnamed(&self) -> bool {
        self.is_unnamed
    }

    /// How a client may authenticate (RFC 8414 §2: `client_secret_basic` where nothing is said).
    #[must_use]
    pub fn takes(&self, method: &str) -> bool {
        match &self.token_endpoint_auth_methods_supported {
            Some(methods) => methods.iter().any(|known| known == method),
            None => method == "client_secret_basic",
        }
    }

    /// Whether `scope` is one that it names.
    #[must_use]
    pub fn offers(&self, scope: &str) -> bool {
        self.scopes_supported.iter().flatten().any(|known| known == scope)
    }

    /// RFC 8414 §3.3, byte for byte: whose metadata it is decides who gets codes. PKCE with S256, or nothing.
    fn check(self, issuer: &str, outbound: &Outbound) -> Result<Self, Unusable> {
        if self.issuer != issuer {
            return Err(Unusable::OtherIssuer);
        }
        let methods = self.code_challenge_methods_supported.iter().flatten();
        if !methods.clone().any(|method| method == "S256") {
            return Err(Unusable::NoPkce);
        }
        let optional = self.registration_endpoint.iter().chain(&self.revocation_endpoint);
        let urls = [&self.authorization_endpoint, &self.token_endpoint].into_iter().chain(optional);
        for url in urls {
            secure(url, outbound)?;
        }
        Ok(self)
    }
}

/// Finds out who gives tokens for the server at `url`, from what it answered without one.
///
/// # Errors
///
/// [`Unusable`]. Does *not* judge whether that authorization server is to be trusted: it is the server that names it,
/// and what it gets is no more than a token of its own.
pub async fn discover(
    url: &Url,
    challenge: &BearerChallenge,
    outbound: &Outbound,
) -> Result<Discovered, Unusable> {
    let document = resource_document(url, challenge, outbound).await?;
    if !is_about(&document.resource, url) {
        return Err(Unusable::OtherResource);
    }
    let issuers = document.authorization_servers.unwrap_or_default();
    let issuer = issuers.first().ok_or(Unusable::NoAuthorizationServer)?;
    let server = server_metadata(issuer, outbound).await?;
    Ok(Discovered { resource: document.resource, scopes: document.scopes_supported, server })
}

/// Where the challenge says, else below the path, else at the root (MCP authorization, discovery).
async fn resource_document(
    url: &Url,
    challenge: &BearerChallenge,
    outbound: &Outbound,
) -> Result<ResourceDocument, Unusable> {
    let mut places = Vec::new();
    if let Some(named) = &challenge.resource_metadata {
        places.push(named.clone());
    } else {
        places.push(well_known(url, "oauth-protected-resource", url.path()));
        places.push(well_known(url, "oauth-protected-resource", ""));
    }
    places.dedup();
    for place in places {
        if let Some(document) = read(place, outbound).await? {
            return Ok(document);
        }
    }
    Err(Unusable::NoAuthorizationServer)
}

/// RFC 8414 §3.1, and `OpenID` Connect Discovery in both of its forms.
async fn server_metadata(issuer: &str, outbound: &Outbound) -> Result<ServerMetadata, Unusable> {
    metadata::<ServerMetadata>(issuer, outbound).await?.check(issuer, outbound)
}

/// What metadata says to a client that sends nobody to log in.
#[derive(Deserialize)]
struct TokenMetadata {
    issuer: String,
    token_endpoint: Url,
}

/// The token endpoint of an authorization server that an operator named.
///
/// # Errors
///
/// [`Unusable`]; metadata of another issuer is none (RFC 8414 §3.3).
pub(super) async fn token_endpoint(issuer: &str, outbound: &Outbound) -> Result<Url, Unusable> {
    let found: TokenMetadata = metadata(issuer, outbound).await?;
    if found.issuer != issuer {
        return Err(Unusable::OtherIssuer);
    }
    secure(&found.token_endpoint, outbound)?;
    Ok(found.token_endpoint)
}

async fn metadata<T: DeserializeOwned>(issuer: &str, outbound: &Outbound) -> Result<T, Unusable> {
    let url: Url = issuer.parse().map_err(|_| Unusable::NoMetadata)?;
    secure(&url, outbound)?;
    let path = url.path();
    let mut below = url.clone();
    below.set_path(&format!("{}/.well-known/openid-configuration", path.trim_end_matches('/')));
    below.set_query(None);
    let mut places = vec![
        well_known(&url, "oauth-authorization-server", path),
        well_known(&url, "openid-configuration", path),
        below,
    ];
    places.dedup();
    for place in places {
        if let Some(metadata) = read(place, outbound).await? {
            return Ok(metadata);
        }
    }
    Err(Unusable::NoMetadata)
}

fn well_known(url: &Url, name: &str, path: &str) -> Url {
    let mut place = url.clone();
    place.set_path(&format!("/.well-known/{name}{}", path.trim_end_matches('/')));
    place.set_query(None);
    place.set_fragment(None);
    place
}

/// `None` where there is no such document.
async fn read<T: DeserializeOwned>(url: Url, outbound: &Outbound) -> Result<Option<T>, Unusable> {
    secure(&url, outbound)?;
    let call = Call::get(url).header(header::ACCEPT, HeaderValue::from_static("application/json"));
    let answer = outbound.send(call, LIMITS).await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "oauth_client.metadata_away");
        Unusable::Away
    })?;
    match answer.status.as_u16() {
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|_| Unusable::NoMetadata),
        400..=499 => Ok(None),
        _ => Err(Unusable::Away),
    }
}

/// Whether metadata for `resource` speaks of the server at `url`: the same origin, and its path or one above it.
fn is_about(resource: &str, url: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let (above, path) = (resource.path().trim_end_matches('/'), url.path());
    let rest = path.strip_prefix(above);
    resource.fragment().is_none()
        && resource.origin() == url.origin()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// https; http only where the operator allows private addresses: in a trial on this machine or network.
pub(super) fn secure(url: &Url, outbound: &Outbound) -> Result<(), Unusable> {
    let plain = url.scheme() == "http" && outbound.may_be_private(url);
    if url.scheme() == "https" || plain { Ok(()) } else { Err(Unusable::NotHttps) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9728 §3.3
    #[test]
    fn metadata_is_about_a_server_at_or_below_its_resource() {
        let url: Url = "https://s.example/a/mcp".parse().unwrap();
        for good in [
            "https://s.example/a/mcp",
            "https://s.example/a/",
            "https://s.example",
            "HTTPS://S.example/a",
        ] {
            assert!(is_about(good, &url), "{good}");
        }
        for other in [
            "https://s.example/a/m",
            "https://evil.example/a/mcp",
            "http://s.example/a/mcp",
            "https://s.example/a/mcp/x",
            "https://s.example#x",
            "x",
        ] {
            assert!(!is_about(other, &url), "{other}");
        }
    }

    // RFC 8414 §3.1, RFC 9728 §3.1
    #[test]
    fn a_path_comes_after_the_well_known_part() {
        let url: Url = "https://s.example/tenant?x=1".parse().unwrap();
        let place = well_known(&url, "oauth-authorization-server", url.path());
        assert_eq!(
            place.as_str(),
            "https://s.example/.well-known/oauth-authorization-server/tenant"
        );
    }
}
