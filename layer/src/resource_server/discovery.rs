//! Finds where another issuer keeps its keys: authorization server metadata (RFC 8414) or OIDC Discovery 1.0.

use std::net::IpAddr;
use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderValue, StatusCode};
use url::{Host, Url};

use crate::id::Issuer;
use crate::outbound::{Answer, Call, Limits, Outbound, OutboundError};

use super::issuer::TENANT_PLACEHOLDER;
use super::json;
use super::jwks::is_json;

const MAX_BYTES: usize = 64 * 1024;

/// Why the key set of an issuer was not found. Nothing of the answer is shown: only its shape.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The issuer could not be reached.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The issuer is no https URL.
    #[error("the issuer is no https URL")]
    NotAnUrl,
    /// Nobody answered in time; how long that was.
    #[error("no metadata within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The answer has another status than 200.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked.
        url: Url,
        /// The status of the answer.
        status: StatusCode,
    },
    /// The answer is not a JSON object by content type and content.
    #[error("{0} does not answer a JSON object by content type and content")]
    NotMetadata(Url),
    /// The metadata is of another `issuer`, which must equal the configured one byte for byte (RFC 8414 §3.3).
    #[error(
        "{0} states another `issuer`\n  hint: the configured issuer must equal it byte for byte (RFC 8414 §3.3)"
    )]
    OtherIssuer(Url),
    /// The metadata states no `jwks_uri` that is an https URL.
    #[error("{0} states no `jwks_uri` that is an https URL")]
    NoKeySet(Url),
}

impl DiscoveryError {
    /// What an operator can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Outbound(error) => error.hint(),
            Self::NotAnUrl => "give the key set itself: jwks_uri",
            Self::Timeout(_) => {
                "the issuer is slow or away; its key set may be given itself: jwks_uri"
            }
            Self::Status { .. } | Self::NotMetadata(_) | Self::NoKeySet(_) => {
                "compare issuer with the provider's page about itself, or give the key set: jwks_uri"
            }
            Self::OtherIssuer(_) => {
                "the configured issuer must equal it byte for byte (RFC 8414 §3.3)"
            }
        }
    }
}

impl DiscoveryError {
    /// Whether another well-known form may still hold the metadata. Not where nobody answers: that is an outage.
    fn try_next(&self) -> bool {
        match self {
            Self::Status { status, .. } => status.is_client_error() || status.is_redirection(),
            Self::NotMetadata(_) | Self::OtherIssuer(_) => true,
            Self::NotAnUrl | Self::Outbound(_) | Self::Timeout(_) | Self::NoKeySet(_) => false,
        }
    }
}

/// The `jwks_uri` of an issuer, asked for once: whether discovery works, for a check before the start.
///
/// # Errors
///
/// [`DiscoveryError`]
pub async fn discover(
    issuer: &Issuer,
    outbound: &Outbound,
    limit: Duration,
) -> Result<Url, DiscoveryError> {
    let discovery = Discovery::new(issuer).ok_or(DiscoveryError::NotAnUrl)?;
    discovery.find(outbound, limit).await
}

/// An issuer whose metadata can be asked for.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    issuer: Issuer,
    /// The issuer is `http` on loopback, which tests are; then its key set may be there, too.
    loopback: bool,
    forms: Vec<Url>,
}

impl Discovery {
    /// `None` where the issuer is no `https` URL (`http` on loopback) without query, fragment and user information (RFC 8414 §2).
    pub(super) fn new(issuer: &Issuer) -> Option<Self> {
        // Entra states the template itself in the metadata for all tenants.
        let text = issuer.as_str().replace(TENANT_PLACEHOLDER, "common");
        let url = Url::parse(&text).ok()?;
        let loopback = is_loopback_http(&url);
        let plain = is_plain(&url) && url.query().is_none();
        let usable = plain && (url.scheme() == "https" || loopback);
        usable.then(|| Self { issuer: issuer.clone(), loopback, forms: forms(&url) })
    }

    /// Who is asked, for logs.
    pub(super) fn host(&self) -> &str {
        self.forms.first().and_then(Url::host_str).unwrap_or_default()
    }

    /// The issuer's `jwks_uri`. Asks one form after the other, within `limit` together.
    ///
    /// Does *not* look at anything else in the metadata: what we accept is configured, not discovered.
    ///
    /// # Errors
    ///
    /// The [`DiscoveryError`] that tells most: that of an outage, else that of the first form whose answer was more
    /// than "not here", else that of the last form.
    pub(super) async fn find(
        &self,
        outbound: &Outbound,
        limit: Duration,
    ) -> Result<Url, DiscoveryError> {
        let asking = self.ask_each(outbound, limit);
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(DiscoveryError::Timeout(limit)))
    }

    async fn ask_each(&self, outbound: &Outbound, limit: Duration) -> Result<Url, DiscoveryError> {
        let mut telling = None;
        for form in &self.forms {
            let error = match self.ask(form, outbound, limit).await {
                Ok(found) => return Ok(found),
                Err(error) if !error.try_next() => return Err(error),
                Err(error) => error,
            };
            let absent = |error: &DiscoveryError| matches!(error, DiscoveryError::Status { .. });
            if telling.as_ref().is_none_or(absent) {
                telling = Some(error);
            }
        }
        Err(telling.unwrap_or(DiscoveryError::Timeout(limit)))
    }

    async fn ask(
        &self,
        form: &Url,
        outbound: &Outbound,
        timeout: Duration,
    ) -> Result<Url, DiscoveryError> {
        let accept = HeaderValue::from_static("application/json");
        let call = Call::get(form.clone()).header(ACCEPT, accept);
        let answer = outbound.send(call, Limits { timeout, max_bytes: MAX_BYTES }).await?;
        self.read(form, &answer)
    }

    /// RFC 8414 §3.3, OIDC Discovery §4.3: the `issuer` must be the one that was asked for, byte for byte.
    fn read(&self, form: &Url, answer: &Answer) -> Result<Url, DiscoveryError> {
        if answer.status != StatusCode::OK {
            return Err(DiscoveryError::Status { url: form.clone(), status: answer.status });
        }
        let not_metadata = || DiscoveryError::NotMetadata(form.clone());
        if !is_json(answer) {
            return Err(not_metadata());
        }
        let metadata = json::object(&answer.body).ok_or_else(not_metadata)?;
        if json::text(&metadata, "issuer") != Some(self.issuer.as_str()) {
            return Err(DiscoveryError::OtherIssuer(form.clone()));
        }
        json::text(&metadata, "jwks_uri")
            .and_then(|text| Url::parse(text).ok())
            .filter(is_plain)
            .filter(|url| url.scheme() == "https" || (self.loopback && is_loopback_http(url)))
            .ok_or_else(|| DiscoveryError::NoKeySet(form.clone()))
    }
}

/// The places where clients look, in the order that MCP gives them (2026-07-28, authorization server discovery):
/// RFC 8414 §3.1 inserts before the path; OIDC Discovery §4 appends to it.
fn forms(issuer: &Url) -> Vec<Url> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![format!("{OAUTH}{path}"), format!("{OPENID}{path}")];
    if !path.is_empty() {
        paths.push(format!("{path}{OPENID}"));
    }
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    paths.into_iter().map(at).collect()
}

/// A URL without user information and fragment.
fn is_plain(url: &Url) -> bool {
    url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

fn is_loopback_http(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && loopback
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn discovery(issuer: &str) -> Option<Discovery> {
        Discovery::new(&issuer.parse().unwrap())
    }

    fn places(issuer: &str) -> String {
        let forms = discovery(issuer).unwrap().forms;
        forms.iter().map(Url::as_str).collect::<Vec<_>>().join("\n")
    }

    fn read(issuer: &str, body: &str) -> Result<Url, DiscoveryError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = Answer {
            status: StatusCode::OK,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let discovery = discovery(issuer).unwrap();
        discovery.read(&discovery.forms[0], &answer)
    }

    #[test]
    fn the_well_known_path_is_inserted_before_and_appended_to_the_issuers_own() {
        insta::assert_snapshot!(places("https://idp.example/"), @r"
        https://idp.example/.well-known/oauth-authorization-server
        https://idp.example/.well-known/openid-configuration
        ");
        insta::assert_snapshot!(places("https://login.example/{tenantid}/v2.0/"), @r"
        https://login.example/.well-known/oauth-authorization-server/common/v2.0
        https://login.example/.well-known/openid-configuration/common/v2.0
        https://login.example/common/v2.0/.well-known/openid-configuration
        ");
    }

    #[test]
    fn an_issuer_that_is_no_https_url_cannot_be_discovered() {
        for bad in [
            "idp",
            "http://idp.example",
            "https://a@idp.example",
            "https://idp.example?x=1",
            "https://idp.example#x",
            "http://127.0.0.1.example",
            "urn:idp",
        ] {
            assert!(discovery(bad).is_none(), "{bad}");
        }
        assert!(discovery("http://127.0.0.1:9/").is_some());
    }

    // RFC 8414 §3.3: whoever serves this host for several issuers must not pass off one as another
    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let issuer = "https://idp.example";
        let stating = |stated: &str| {
            let body = format!(r#"{{"issuer":{stated},"jwks_uri":"https://keys.example/k"}}"#);
            read(issuer, &body)
        };
        assert_eq!(stating(r#""https://idp.example""#).unwrap().as_str(), "https://keys.example/k");
        for other in [
            r#""https://idp.example/""#,
            r#""https://IDP.example""#,
            r#""https://idp.example:443""#,
            r#"["https://idp.example"]"#,
            "null",
        ] {
            assert!(matches!(stating(other), Err(DiscoveryError::OtherIssuer(_))), "{other}");
        }
    }

    #[test]
    fn a_key_set_is_read_over_https_only() {
        let with = |issuer: &str, uri: &str| {
            read(issuer, &format!(r#"{{"issuer":"{issuer}","jwks_uri":"{uri}"}}"#))
        };
        for bad in ["http://keys.example/", "http://127.0.0.1/", "file:///k", "https://a:b@k/", "k"]
        {
            let outcome = with("https://idp.example", bad);
            assert!(matches!(outcome, Err(DiscoveryError::NoKeySet(_))), "{bad}");
        }
        assert!(with("http://127.0.0.1:8", "http://127.0.0.1:9/k").is_ok());
        assert!(with("http://127.0.0.1:8", "http://keys.example/k").is_err());
    }

    #[test]
    fn a_repeated_member_makes_it_no_metadata() {
        let twice = r#"{"issuer":"https://a","issuer":"https://a","jwks_uri":"https://k/"}"#;
        assert!(matches!(read("https://a", twice), Err(DiscoveryError::NotMetadata(_))));
    }
}
