//! A client by hand: registers, and writes authorization requests that may be wrong.

use std::collections::BTreeMap;

use serde_json::json;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::support::child::Served;
use crate::support::product::Product;
use crate::support::raw_http::{self, Answer, Request};

pub(super) const REDIRECT: &str = "http://127.0.0.1:53682/callback";
/// RFC 7636 appendix B
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The same: what the challenge was made of.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A broker of a test, in this process or in one of its own.
pub(super) trait Reached {
    fn authority(&self) -> &str;
}

impl Reached for Product {
    fn authority(&self) -> &str {
        &self.authority
    }
}

impl Reached for Served {
    fn authority(&self) -> &str {
        &self.authority
    }
}

/// Sends one request on a connection of its own.
pub(super) async fn send(at: &impl Reached, request: Request) -> Answer {
    raw_http::exchange(at.authority(), &request.bytes(at.authority())).await
}

/// Registers a public client with these redirect URIs (RFC 7591).
pub(super) async fn register(at: &impl Reached, redirect_uris: &[&str]) -> String {
    let body = json!({
        "client_name": "a test", "redirect_uris": redirect_uris,
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    let request = Request::new("POST", "/register")
        .header("content-type", "application/json")
        .body(body.to_string());
    let answer = send(at, request).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// An authorization request that is right, to be made wrong.
#[derive(Clone)]
pub(super) struct Asking(Vec<(String, String)>);

impl Asking {
    pub(super) fn new(client_id: &str) -> Self {
        let fields = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("state", "s t+ä"),
            ("scope", "public:read graph:read"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    /// Replaces a parameter; an empty value takes it away.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        if value.is_empty() { self } else { self.and(name, value) }
    }

    /// Adds a parameter, though it be there.
    pub(super) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn fields(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(super) fn query(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    pub(super) fn path(&self) -> String {
        format!("/authorize?{}", self.query())
    }

    pub(super) async fn send(&self, product: &Product) -> Answer {
        product.send(Request::new("GET", &self.path())).await
    }
}

/// What a redirect to the client tells it. Every parameter must be there once.
pub(super) fn told(location: &str) -> BTreeMap<String, String> {
    let url: Url = location.parse().unwrap();
    let mut told = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        assert!(told.insert(name.into_owned(), value.into_owned()).is_none(), "{location}");
    }
    told
}
