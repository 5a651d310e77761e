//! The token endpoint: client credentials and on-behalf-of, with a secret or an assertion, errors as Entra words them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::json;

use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::answer::{Reply, problem};
use super::on_behalf_of;
use super::{CLIENT_ID, Server, TENANT};

const LIFETIME: Duration = Duration::from_secs(3599);
const FEDERATION_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A key whose assertions the app may present.
#[derive(Clone, Debug)]
pub enum TrustedKey {
    /// Of a certificate registered on the app, until it ends: assertions are our own, PS256 or RS256.
    Certificate { thumbprint: String, public_key_pem: String, ends: Option<Timestamp> },
    /// Of another issuer that the app federates with, RS256.
    Federated { issuer: String, subject: String, public_key_pem: String },
}

#[derive(Debug)]
pub(super) struct Login {
    origin: String,
    /// What tokens are asked for here.
    resource: String,
    client_secret: SecretText,
    trusted: Vec<TrustedKey>,
    /// Tokens given out, and the monotonic time at which they end.
    tokens: Mutex<HashMap<String, Duration>>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
}

/// A refusal: status, OAuth error, AADSTS code, words.
pub(super) type Refusal = (u16, &'static str, u32, &'static str);

impl Login {
    pub(super) fn new(
        origin: String,
        resource: String,
        client_secret: SecretText,
        trusted: Vec<TrustedKey>,
    ) -> Self {
        Self { origin, resource, client_secret, trusted, tokens: Mutex::default() }
    }

    /// The answer, if the path is one of a login endpoint.
    pub(super) fn route(
        &self,
        server: &Server,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Reply> {
        let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
        match (method.as_str(), rest) {
            ("GET", "v2.0/.well-known/openid-configuration") => Some(self.discovery(tenant)),
            ("POST", "oauth2/v2.0/token") => {
                let form = headers.get("content-type").is_some_and(|kind| {
                    kind.as_bytes().starts_with(b"application/x-www-form-urlencoded")
                });
                let fields: BTreeMap<String, String> =
                    url::form_urlencoded::parse(if form { body } else { b"" })
                        .into_owned()
                        .collect();
                let granted = self.check(tenant, &fields, server);
                Some(
                    granted.map_or_else(|refusal| refuse(server, refusal), |()| self.grant(server)),
                )
            }
            _ => None,
        }
    }

    fn discovery(&self, tenant: &str) -> Reply {
        let base = format!("{}/{tenant}", self.origin);
        Reply::json(
            StatusCode::OK,
            json!({
                "issuer": format!("{base}/v2.0"),
                "token_endpoint": format!("{base}/oauth2/v2.0/token"),
                "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            }),
        )
    }

    fn check(
        &self,
        tenant: &str,
        form: &BTreeMap<String, String>,
        server: &Server,
    ) -> Result<(), Refusal> {
        let field = |name: &str| form.get(name).map(String::as_str);
        if tenant != TENANT {
            return Err((400, "invalid_request", 90002, "Tenant not found."));
        }
        match field("grant_type") {
            Some("client_credentials" | on_behalf_of::GRANT) => {}
            Some(_) => {
                return Err((
                    400,
                    "unsupported_grant_type",
                    70003,
                    "The grant type is not supported.",
                ));
            }
            None => {
                return Err((
                    400,
                    "invalid_request",
                    900_144,
                    "The request body must contain 'grant_type'.",
                ));
            }
        }
        if field("client_id") != Some(CLIENT_ID) {
            return Err((
                400,
                "unauthorized_client",
                700_016,
                "Application not found in the directory.",
            ));
        }
        if field("grant_type") == Some(on_behalf_of::GRANT) {
            on_behalf_of::check(form, server)?;
        } else if field("scope").and_then(|scope| scope.strip_suffix("/.default"))
            != Some(self.resource.as_str())
        {
            return Err((
                400,
                "invalid_scope",
                1_002_012,
                "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.",
            ));
        }
        match (field("client_secret"), field("client_assertion_type"), field("client_assertion")) {
            (Some(secret), None, None)
                if SecretText::new(secret.to_owned()) == self.client_secret =>
            {
                Ok(())
            }
            (Some(_), None, None) => {
                Err((401, "invalid_client", 7_000_215, "Invalid client secret provided."))
            }
            (None, Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), Some(jwt)) => {
                self.check_assertion(jwt, server)
            }
            _ => Err((
                401,
                "invalid_client",
                7_000_218,
                "The request body must contain 'client_assertion' or 'client_secret'.",
            )),
        }
    }

    fn check_assertion(&self, jwt: &str, server: &Server) -> Result<(), Refusal> {
        const BAD: Refusal =
            (401, "invalid_client", 700_027, "The assertion's signature or key is not valid.");
        let header = jsonwebtoken::decode_header(jwt).map_err(|_| BAD)?;
        let own = format!("{}/{TENANT}/oauth2/v2.0/token", self.origin);
        for key in &self.trusted {
            let (pem, audience, issuer, subject) = match key {
                TrustedKey::Certificate { thumbprint, public_key_pem, ends } => {
                    // Some clients pad the value, although base64url has no padding (RFC 7515 §2).
                    let named = header.x5t_s256.as_deref().map(|name| name.trim_end_matches('='));
                    if named != Some(thumbprint.as_str()) {
                        continue;
                    }
                    if ends.is_some_and(|ends| ends <= server.clock.now()) {
                        return Err((401, "invalid_client", 700_027, "The key used is expired."));
                    }
                    (public_key_pem, own.as_str(), CLIENT_ID, CLIENT_ID)
                }
                TrustedKey::Federated { issuer, subject, public_key_pem } => {
                    (public_key_pem, FEDERATION_AUDIENCE, issuer.as_str(), subject.as_str())
                }
            };
            let key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| BAD)?;
            let Some(claims) = verify(jwt, &key, audience, server)? else { continue };
            if claims.iss == issuer && claims.sub == subject {
                return Ok(());
            }
            return Err((
                400,
                "invalid_request",
                700_211,
                "No matching federated identity record found.",
            ));
        }
        Err(BAD)
    }

    fn grant(&self, server: &Server) -> Reply {
        let token = format!("simulated.{}.{}", server.new_id(), server.new_id());
        let now = server.clock.monotonic();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, ends| *ends > now);
        tokens.insert(token.clone(), now.saturating_add(LIFETIME));
        let seconds = LIFETIME.as_secs();
        Reply::json(
            StatusCode::OK,
            json!({
                "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
            }),
        )
    }

    /// Graph's door: a token of ours that has not ended.
    pub(super) fn check_bearer(&self, server: &Server, headers: &HeaderMap) -> Result<(), Reply> {
        let value = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer "));
        let now = server.clock.monotonic();
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if token.and_then(|token| tokens.get(token)).is_some_and(|ends| *ends > now) {
            return Ok(());
        }
        let text = if token.is_some() {
            "Access token validation failure."
        } else {
            "Access token is empty."
        };
        let reply = problem(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", text);
        Err(reply.header("www-authenticate", "Bearer realm=\"\", error=\"invalid_token\""))
    }
}

/// `None` if another key signed it; times are read from the passed clock, with five minutes of leeway.
fn verify(
    jwt: &str,
    key: &DecodingKey,
    audience: &str,
    server: &Server,
) -> Result<Option<Claims>, Refusal> {
    #[derive(Deserialize)]
    struct Times {
        /// `NumericDate` (RFC 7519 §2) may have a fraction, and msal sends one.
        exp: f64,
        #[serde(default)]
        nbf: f64,
        #[serde(flatten)]
        claims: Claims,
    }
    let mut validation = Validation::new(Algorithm::PS256);
    validation.algorithms = vec![Algorithm::PS256, Algorithm::RS256];
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    validation.validate_exp = false; // compared below, with our own clock
    let Ok(decoded) = jsonwebtoken::decode::<Times>(jwt, key, &validation) else { return Ok(None) };
    let times = decoded.claims;
    let now = f64::from(u32::try_from(server.clock.now().unix_seconds()).unwrap_or(u32::MAX));
    if times.exp + 300.0 < now || times.nbf - 300.0 > now {
        return Err((
            401,
            "invalid_client",
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    Ok(Some(times.claims))
}

fn refuse(server: &Server, (status, error, code, text): Refusal) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let trace_id = server.new_id();
    let mut body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text} Trace ID: {trace_id}"),
        "error_codes": [code],
        "timestamp": server.clock.now().to_string(),
        "trace_id": trace_id,
        "correlation_id": server.new_id(),
    });
    if let (on_behalf_of::INTERACTION_REQUIRED, Some(members)) = (code, body.as_object_mut()) {
        members.insert("claims".to_owned(), json!(on_behalf_of::CLAIMS));
    }
    Reply::json(status, body)
}
