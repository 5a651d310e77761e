//! Tokens that the broker gets for itself at a server's authorization server (RFC 6749 §4.4).

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use crate::outbound::{Call, Limits, Outbound};
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::credential::Held;
use super::fault::Fault;

/// For one exchange with the token endpoint.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 64 * 1024 };
/// How long before its end a token is no longer used.
const SKEW: Duration = Duration::from_secs(30);
/// The longest that a token is used; also for one that does not say when it ends.
const LONGEST: Duration = Duration::from_mins(50);
/// How long nobody is asked again after a refusal.
const PAUSE: Duration = Duration::from_secs(5);

/// Our client at one token endpoint, and its token while it lasts. One request at a time gets a new one; the others wait for it.
#[derive(Debug)]
pub struct ClientCredentials {
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: Held,
    /// Joined by spaces; may be empty.
    pub scope: String,
    pub outbound: Outbound,
    pub clock: Arc<dyn Clock>,
    pub token: Mutex<Cached>,
}

/// Times are monotonic.
#[derive(Debug, Default)]
pub enum Cached {
    #[default]
    Nothing,
    Token(SecretText, Duration),
    Refused(Duration),
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl ClientCredentials {
    /// A token that lasts.
    pub(super) async fn token(&self) -> Result<SecretText, Fault> {
        let mut cached = self.token.lock().await;
        let now = self.clock.monotonic();
        match &*cached {
            Cached::Token(token, until) if now < *until => return Ok(token.clone()),
            Cached::Refused(until) if now < *until => return Err(Fault::NoToken),
            _ => {}
        }
        match self.obtain().await {
            Ok((token, lasts)) => {
                *cached = Cached::Token(token.clone(), self.clock.monotonic() + lasts);
                Ok(token)
            }
            Err(fault) => {
                *cached = Cached::Refused(self.clock.monotonic() + PAUSE);
                Err(fault)
            }
        }
    }

    /// The server did not accept it.
    pub(super) async fn forget(&self) {
        *self.token.lock().await = Cached::Nothing;
    }

    async fn obtain(&self) -> Result<(SecretText, Duration), Fault> {
        let secret = self.client_secret.read(&self.clock).await?;
        let mut fields = vec![("grant_type", "client_credentials")];
        if !self.scope.is_empty() {
            fields.push(("scope", self.scope.as_str()));
        }
        let call = Call::post_form(self.token_url.clone(), &fields)
            .header(header::AUTHORIZATION, basic(&self.client_id, &secret)?)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.outbound.send(call, LIMITS).await?;
        if answer.status != StatusCode::OK {
            tracing::warn!(status = %answer.status, client_id = self.client_id, "upstream.token_refused");
            return Err(Fault::NoToken);
        }
        let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| Fault::NoToken)?;
        if !answer.token_type.eq_ignore_ascii_case("Bearer") || answer.access_token.is_empty() {
            return Err(Fault::NoToken);
        }
        let lasts = answer.expires_in.map_or(LONGEST, Duration::from_secs).min(LONGEST);
        Ok((SecretText::new(answer.access_token), lasts.saturating_sub(SKEW)))
    }
}

/// `client_secret_basic` (RFC 6749 §2.3.1): both halves are form-encoded first.
fn basic(client_id: &str, secret: &SecretText) -> Result<HeaderValue, Fault> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = [encode(client_id), encode(secret.expose())].join(":");
    let value = HeaderValue::try_from(["Basic ", &STANDARD.encode(pair)].concat());
    let mut value = value.map_err(|_| Fault::NoToken)?;
    value.set_sensitive(true);
    Ok(value)
}
