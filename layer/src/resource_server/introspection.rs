//! Asks the issuer whether a token is good (RFC 7662), and remembers the answer for a short while.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::id::ClientId;
use crate::outbound::{Call, Limits, Outbound};
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::cache::TokenHash;
use super::error::TokenError;
use super::json;
use super::jwks::{KeyHealth, is_json};
use super::secret_source::SecretSource;

/// How long answers are remembered, and how many calls may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntrospectionTiming {
    /// Of a token that is active; never past its `exp`.
    pub positive: Duration,
    /// Of one that is not.
    pub negative: Duration,
    /// Of one call.
    pub timeout: Duration,
    /// Answers remembered at once.
    pub entries: u64,
    /// Calls under way at once; more are answered with 503.
    pub concurrency: usize,
}

impl Default for IntrospectionTiming {
    fn default() -> Self {
        Self {
            positive: Duration::from_mins(1),
            negative: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            entries: 10_000,
            concurrency: 64,
        }
    }
}

/// What the issuer said, until when it counts (monotonic).
#[derive(Clone)]
struct Answered {
    verdict: Result<Arc<Map<String, Value>>, TokenError>,
    until: Duration,
}

pub(super) struct Introspection {
    url: Url,
    client_id: ClientId,
    client_secret: SecretSource,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    pub(super) timing: IntrospectionTiming,
    answers: Arc<Answers>,
}

/// What is known of the tokens that one issuer was asked about.
pub(super) struct Answers {
    /// Also the single flight: requests with the same token wait for one call.
    by_token: moka::future::Cache<TokenHash, Answered>,
    calls: Semaphore,
    /// How the last call ended: [`UNUSED`], [`ANSWERED`] or [`FAILED`].
    last: AtomicU8,
}

const UNUSED: u8 = 0;
const ANSWERED: u8 = 1;
const FAILED: u8 = 2;

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Introspection({})", self.url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({} tokens)", self.by_token.entry_count())
    }
}

impl Answers {
    pub(super) fn none(timing: IntrospectionTiming) -> Self {
        Self {
            by_token: moka::future::Cache::builder()
                .max_capacity(timing.entries)
                .time_to_live(timing.positive.max(timing.negative))
                .build(),
            calls: Semaphore::new(timing.concurrency),
            last: AtomicU8::new(UNUSED),
        }
    }
}

/// Where to ask, and as whom.
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) client_id: ClientId,
    pub(super) client_secret: SecretSource,
}

impl Introspection {
    /// `answers` are those of before, to the same client in the same place, with the same timing, by the same clock.
    pub(super) fn going_on(
        answers: Arc<Answers>,
        endpoint: Endpoint,
        outbound: Outbound,
        clock: Arc<dyn Clock>,
        timing: IntrospectionTiming,
    ) -> Self {
        let Endpoint { url, client_id, client_secret } = endpoint;
        Self { url, client_id, client_secret, outbound, clock, timing, answers }
    }

    pub(super) fn known(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    /// The claims of a token that the issuer calls active, and for how long that may still be believed.
    ///
    /// Does *not* check `aud`, `iss` or dates: the caller does, as for a JWT.
    ///
    /// # Errors
    ///
    /// - [`TokenError::Inactive`]: the issuer does not vouch for it (§2.2)
    /// - [`TokenError::ClaimsInvalid`]: it is not a bearer token
    /// - [`TokenError::IssuerUnavailable`]: no answer, not a proper answer, or our own credentials were refused
    pub(super) async fn ask(
        &self,
        hash: TokenHash,
        unverified: &str,
    ) -> Result<(Arc<Map<String, Value>>, Duration), TokenError> {
        let now = self.clock.monotonic();
        let entry = self
            .answers
            .by_token
            .entry(hash)
            .or_insert_with_if(self.call(unverified), |known| known.until <= now)
            .await;
        let Answered { verdict, until } = entry.into_value();
        Ok((verdict?, until.saturating_sub(self.clock.monotonic())))
    }

    async fn call(&self, unverified: &str) -> Answered {
        let verdict = match self.answers.calls.try_acquire() {
            Ok(_permit) => {
                let verdict = self.send(unverified).await;
                let failed = matches!(verdict, Err(TokenError::IssuerUnavailable));
                self.answers.last.store(if failed { FAILED } else { ANSWERED }, Ordering::Relaxed);
                verdict
            }
            Err(_) => Err(TokenError::IssuerUnavailable),
        };
        let keep = match &verdict {
            Ok(_) => self.timing.positive,
            Err(TokenError::IssuerUnavailable) => Duration::ZERO,
            Err(_) => self.timing.negative,
        };
        Answered { verdict, until: self.clock.monotonic().saturating_add(keep) }
    }

    async fn send(&self, unverified: &str) -> Result<Arc<Map<String, Value>>, TokenError> {
        let Some(secret) = self.client_secret.get().await else {
            let hint = "look at introspection.client_secret; secret.read_failed says more";
            tracing::warn!(hint, "the secret for introspection cannot be read");
            return Err(TokenError::IssuerUnavailable);
        };
        let fields = [("token", unverified), ("token_type_hint", "access_token")];
        let call = Call::post_form(self.url.clone(), &fields)
            .header(AUTHORIZATION, basic(&self.client_id, &secret))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        let limits = Limits { timeout: self.timing.timeout, max_bytes: 64 * 1024 };
        let answer = self.outbound.send(call, limits).await.map_err(|error| {
            tracing::warn!(error = %error, hint = error.hint(), "introspection got no answer");
            TokenError::IssuerUnavailable
        })?;
        if answer.status != StatusCode::OK || !is_json(&answer) {
            let hint = "check introspection.url, and whether it takes client_id and client_secret by HTTP Basic";
            let status = answer.status.as_u16();
            tracing::warn!(http.status = status, hint, "introspection was not answered");
            return Err(TokenError::IssuerUnavailable);
        }
        let claims = json::object(&answer.body).ok_or(TokenError::IssuerUnavailable)?;
        match claims.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(TokenError::Inactive),
            Some(_) | None => return Err(TokenError::IssuerUnavailable),
        }
        let bearer = |kind: &Value| {
            kind.as_str().is_some_and(|kind| {
                ["bearer", "access_token"].iter().any(|known| kind.eq_ignore_ascii_case(known))
            })
        };
        if !claims.get("token_type").is_none_or(bearer) {
            return Err(TokenError::ClaimsInvalid);
        }
        Ok(Arc::new(claims))
    }

    /// By the last call that was made. Calls that were not, for too many were under way, say nothing about the issuer.
    pub(super) fn health(&self) -> KeyHealth {
        match self.answers.last.load(Ordering::Relaxed) {
            UNUSED => KeyHealth::Unused,
            FAILED => KeyHealth::Unavailable,
            _ => KeyHealth::Good,
        }
    }

    pub(super) fn forget(&self) {
        self.answers.by_token.invalidate_all();
    }
}

/// HTTP Basic with both parts form-encoded (RFC 6749 §2.3.1).
fn basic(client_id: &ClientId, client_secret: &SecretText) -> HeaderValue {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(byte_serialize(client_id.as_str().as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(client_secret.expose().as_bytes()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    #[expect(clippy::expect_used, reason = "base64 is printable ASCII")]
    let mut value = HeaderValue::from_str(&text).expect("base64 is a legal header value");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_form_encoded_before_they_become_basic() {
        let value = basic(&"a:b".parse().unwrap(), &SecretText::new("p%ss w:rd".to_owned()));
        let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(text).unwrap(), b"a%3Ab:p%25ss+w%3Ard");
        assert!(value.is_sensitive());
    }
}
