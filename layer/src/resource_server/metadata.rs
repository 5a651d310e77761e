//! The protected resource metadata document (RFC 9728 §2) and where it is found (§3).

use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use url::Url;

use crate::scope::{Scope, ScopeToken};

use super::cache::hex;
use super::dpop::PROOF_ALGORITHMS;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What a client needs to get a token for a resource.
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    /// The URL that clients use, from configuration and never from `Host`: clients compare it (§3.3).
    pub resource: Url,
    /// Issuer identifiers, exactly as those publish them. At least one.
    pub authorization_servers: Vec<String>,
    /// The least that is useful, not the catalogue: clients without a challenge ask for all of it.
    pub scopes_supported: Scope,
    /// What people read.
    pub resource_name: Option<String>,
    /// Where developers read about it.
    pub resource_documentation: Option<Url>,
    /// How its data may be used.
    pub resource_policy_uri: Option<Url>,
    /// Its terms of service.
    pub resource_tos_uri: Option<Url>,
    /// Whether it takes tokens that are bound to a key (RFC 9449).
    pub dpop: DpopUse,
}

/// Whether a resource takes tokens that are bound to a key (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpopUse {
    /// It refuses them.
    #[default]
    Off,
    /// Those, and others.
    Allowed,
    /// Those alone.
    Required,
}

/// Why metadata cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// No authorization server is named (MCP, Authorization Server Location).
    #[error("no authorization server is named (MCP, Authorization Server Location)")]
    NoAuthorizationServer,
    /// The resource has a fragment (RFC 9728 §1.2).
    #[error("the resource has a fragment (RFC 9728 §1.2)")]
    Fragment,
    /// The resource is not an http or https URL with a host.
    #[error("the resource is not an http or https URL with a host")]
    NotWeb,
}

/// The document as bytes, made once.
#[derive(Clone, Debug)]
pub struct PublishedMetadata {
    body: Bytes,
    etag: HeaderValue,
}

/// The wire form: absent members are left out, never null (§3.2).
#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    authorization_servers: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'a str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_policy_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_tos_uri: Option<&'a str>,
}

impl Document<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "texts and lists of texts always serialise")]
        serde_json::to_vec(self).expect("a document of texts serialises")
    }
}

impl ResourceMetadata {
    /// With what is required, and nothing else.
    #[must_use]
    pub fn new(resource: Url, authorization_servers: Vec<String>) -> Self {
        Self {
            resource,
            authorization_servers,
            scopes_supported: Scope::empty(),
            resource_name: None,
            resource_documentation: None,
            resource_policy_uri: None,
            resource_tos_uri: None,
            dpop: DpopUse::Off,
        }
    }

    /// Writes the document. `offline_access` is left out of the scopes: it is no scope of a resource (SEP-2207).
    ///
    /// # Errors
    ///
    /// [`MetadataError`], all of it configuration.
    pub fn publish(&self) -> Result<PublishedMetadata, MetadataError> {
        if self.authorization_servers.is_empty() {
            return Err(MetadataError::NoAuthorizationServer);
        }
        if self.resource.fragment().is_some() {
            return Err(MetadataError::Fragment);
        }
        if !matches!(self.resource.scheme(), "http" | "https") || !self.resource.has_host() {
            return Err(MetadataError::NotWeb);
        }
        let scopes = self.scopes_supported.iter().map(ScopeToken::as_str);
        let document = Document {
            resource: canonical(&self.resource),
            authorization_servers: &self.authorization_servers,
            scopes_supported: scopes.filter(|scope| *scope != "offline_access").collect(),
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: match self.dpop {
                DpopUse::Off => Vec::new(),
                DpopUse::Allowed | DpopUse::Required => {
                    PROOF_ALGORITHMS.iter().map(|algorithm| algorithm.as_str()).collect()
                }
            },
            dpop_bound_access_tokens_required: self.dpop == DpopUse::Required,
            resource_name: self.resource_name.as_deref(),
            resource_documentation: self.resource_documentation.as_ref().map(Url::as_str),
            resource_policy_uri: self.resource_policy_uri.as_ref().map(Url::as_str),
            resource_tos_uri: self.resource_tos_uri.as_ref().map(Url::as_str),
        };
        let body = document.to_bytes();
        let etag = etag(&body);
        Ok(PublishedMetadata { body: body.into(), etag })
    }
}

impl PublishedMetadata {
    /// The JSON text.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The entity tag of the document (RFC 9110 §8.8.3).
    #[must_use]
    pub const fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// The answer to a `GET`: `304` where the client has this document already (RFC 9110 §13.1.2).
    #[must_use]
    pub fn answer(&self, if_none_match: Option<&HeaderValue>) -> Response<Bytes> {
        let known = if_none_match.and_then(|value| value.to_str().ok()).is_some_and(|tags| {
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || self.etag == tag)
        });
        let mut response = Response::new(if known { Bytes::new() } else { self.body.clone() });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        if !known {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }
}

/// A resource URL as it is published and expected in `aud`: without a lone trailing slash (MCP, Canonical Server URI).
#[must_use]
pub fn canonical(resource: &Url) -> &str {
    let text = resource.as_str();
    if resource.path() == "/" && resource.query().is_none() {
        text.strip_suffix('/').unwrap_or(text)
    } else {
        text
    }
}

/// The path of a resource's metadata: the well-known name goes between host and path (§3.1). For a router.
#[must_use]
pub fn well_known_path(resource: &Url) -> String {
    match resource.path() {
        "/" => WELL_KNOWN.to_owned(),
        path => format!("{WELL_KNOWN}{path}"),
    }
}

/// The URL of a resource's metadata, for the challenge. A query of the resource stays (§3.1).
#[must_use]
pub fn well_known_url(resource: &Url) -> Url {
    let mut url = resource.clone();
    url.set_path(&well_known_path(resource));
    url.set_fragment(None);
    url
}

fn etag(body: &[u8]) -> HeaderValue {
    let digest = digest::digest(&digest::SHA256, body);
    let hex = hex(digest.as_ref().get(..8).unwrap_or_default());
    #[expect(clippy::expect_used, reason = "quoted hex is printable ASCII")]
    HeaderValue::try_from(format!("\"{hex}\"")).expect("quoted hex is a legal header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn metadata(resource: &str) -> ResourceMetadata {
        let mut metadata =
            ResourceMetadata::new(url(resource), vec!["https://b.example".to_owned()]);
        metadata.scopes_supported = "graph:read offline_access public:read".parse().unwrap();
        metadata.resource_name = Some("Broker".to_owned());
        metadata
    }

    // RS-1, RS-2, RS-4, RS-6
    #[test]
    fn the_document_names_the_resource_its_servers_and_no_offline_access() {
        let published = metadata("https://b.example/mcp").publish().unwrap();
        let text = std::str::from_utf8(published.body()).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"resource":"https://b.example/mcp","authorization_servers":["https://b.example"],"scopes_supported":["graph:read","public:read"],"bearer_methods_supported":["header"],"resource_name":"Broker"}
        "#);
    }

    // RS-2
    #[test]
    fn a_resource_without_an_authorization_server_is_not_published() {
        let mut metadata = metadata("https://b.example/mcp");
        metadata.authorization_servers.clear();
        assert_eq!(metadata.publish().unwrap_err(), MetadataError::NoAuthorizationServer);
    }

    // RS-5
    #[test]
    fn the_resource_is_canonical() {
        for (given, published) in [
            ("HTTPS://B.example", "https://b.example"),
            ("https://b.example/", "https://b.example"),
            ("https://b.example:443/mcp", "https://b.example/mcp"),
            ("https://b.example/mcp/", "https://b.example/mcp/"),
        ] {
            assert_eq!(canonical(&url(given)), published);
        }
        let outcome = metadata("https://b.example/mcp#x").publish();
        assert_eq!(outcome.unwrap_err(), MetadataError::Fragment);
        assert_eq!(metadata("urn:x").publish().unwrap_err(), MetadataError::NotWeb);
    }

    // RS-3
    #[test]
    fn the_well_known_name_goes_between_host_and_path() {
        let root = "/.well-known/oauth-protected-resource";
        assert_eq!(well_known_path(&url("https://b.example")), root);
        assert_eq!(
            well_known_path(&url("https://b.example/servers/a/mcp")),
            format!("{root}/servers/a/mcp")
        );
        let found = well_known_url(&url("https://b.example:8443/mcp?x=1"));
        assert_eq!(found.as_str(), format!("https://b.example:8443{root}/mcp?x=1"));
    }

    #[test]
    fn a_client_that_knows_the_document_gets_304() {
        let published = metadata("https://b.example/mcp").publish().unwrap();
        let again = published.answer(Some(published.etag()));
        assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
        let other = HeaderValue::from_static("\"0000\"");
        assert_eq!(published.answer(Some(&other)).status(), StatusCode::OK);
        assert_eq!(published.answer(None).headers()[CONTENT_TYPE], "application/json");
    }
}
