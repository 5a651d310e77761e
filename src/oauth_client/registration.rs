//! A client id at an authorization server that nobody registered us with: CIMD, else RFC 7591.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

use crate::outbound::{Call, Limits, Outbound};
use crate::secret_text::SecretText;

use super::discovery::ServerMetadata;
use super::held::Held;
use super::identity::ClientIdentity;
use super::token_endpoint::Authentication;
use super::unusable::Unusable;

const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 64 * 1024 };

/// Who we are at one authorization server. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Whose client it is: no other issuer ever sees it.
    pub issuer: String,
    pub client_id: String,
    pub authentication: Authentication,
}

/// RFC 7591 §3.2.1
#[derive(Deserialize)]
struct Answer {
    client_id: String,
    client_secret: Option<SecretText>,
    token_endpoint_auth_method: Option<String>,
}

/// As it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    method: String,
}

/// Our metadata document where the server takes such ids, else a registration.
///
/// # Errors
///
/// [`Unusable::NoRegistration`], [`Unusable::NotRegistered`], [`Unusable::Away`]
pub async fn register(
    identity: &ClientIdentity,
    server: &ServerMetadata,
    outbound: &Outbound,
) -> Result<Registered, Unusable> {
    let issuer = server.issuer.clone();
    if server.takes_metadata_documents() && identity.has_a_document() {
        let client_id = identity.document.to_string();
        return Ok(Registered { issuer, client_id, authentication: Authentication::None });
    }
    let endpoint = server.registration_endpoint.clone().ok_or(Unusable::NoRegistration)?;
    let preferred = ["client_secret_basic", "client_secret_post", "none"];
    let method = preferred.into_iter().find(|method| server.takes(method)).unwrap_or("none");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let body = identity.metadata(method).to_bytes().into();
    let call = Call { method: Method::POST, url: endpoint, headers, body };
    let answer = outbound.send(call, LIMITS).await.map_err(|_| Unusable::Away)?;
    if !matches!(answer.status.as_u16(), 200 | 201) {
        tracing::warn!(status = %answer.status, "oauth_client.not_registered");
        return Err(Unusable::NotRegistered);
    }
    let answer: Answer =
        serde_json::from_slice(&answer.body).map_err(|_| Unusable::NotRegistered)?;
    let method = answer.token_endpoint_auth_method.as_deref().unwrap_or(method);
    let authentication = authentication(method, answer.client_secret)?;
    Ok(Registered { issuer, client_id: answer.client_id, authentication })
}

fn authentication(method: &str, secret: Option<SecretText>) -> Result<Authentication, Unusable> {
    match (method, secret) {
        ("none", _) => Ok(Authentication::None),
        ("client_secret_basic", Some(secret)) => Ok(Authentication::Basic(Held::Text(secret))),
        ("client_secret_post", Some(secret)) => Ok(Authentication::Post(Held::Text(secret))),
        _ => Err(Unusable::NotRegistered),
    }
}

impl Registered {
    /// A client that an operator registered, with the way to authenticate that the server takes.
    #[must_use]
    pub fn configured(server: &ServerMetadata, client_id: &str, secret: Option<Held>) -> Self {
        let post = !server.takes("client_secret_basic") && server.takes("client_secret_post");
        let authentication = match secret {
            None => Authentication::None,
            Some(secret) if post => Authentication::Post(secret),
            Some(secret) => Authentication::Basic(secret),
        };
        Self { issuer: server.issuer.clone(), client_id: client_id.to_owned(), authentication }
    }

    /// As one text, to be sealed: it may hold a secret. `None` for one whose secret is kept elsewhere.
    #[must_use]
    pub fn to_text(&self) -> Option<SecretText> {
        let secret = |held: &Held| match held {
            Held::Text(text) => Some(text.expose().to_owned()),
            Held::Reference(..) => None,
        };
        let (method, client_secret) = match &self.authentication {
            Authentication::None => ("none", None),
            Authentication::Basic(held) => ("client_secret_basic", Some(secret(held)?)),
            Authentication::Post(held) => ("client_secret_post", Some(secret(held)?)),
        };
        let kept = Kept {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret,
            method: method.to_owned(),
        };
        serde_json::to_string(&kept).ok().map(SecretText::new)
    }

    /// What [`Registered::to_text`] made.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_str(text).ok()?;
        let secret = kept.client_secret.map(SecretText::new);
        let authentication = authentication(&kept.method, secret).ok()?;
        Some(Self { issuer: kept.issuer, client_id: kept.client_id, authentication })
    }
}
