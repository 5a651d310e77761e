//! Our client at somebody's token endpoint (RFC 6749 §3.2): what is sent, and what may come back.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use url::form_urlencoded;

use crate::outbound::{Call, Limits, Outbound, OutboundError};
use crate::secret_text::SecretText;
use crate::time::Clock;

use super::at::At;
use super::held::Held;
use super::no_token::NoToken;

/// For one exchange.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 64 * 1024 };
/// How long before its end a token is no longer used.
const SKEW: Duration = Duration::from_secs(30);
/// The longest that a token is used; also for one that does not say when it ends.
const LONGEST: Duration = Duration::from_mins(50);

/// One token endpoint, and who we are there.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    pub at: At,
    pub client_id: String,
    pub authentication: Authentication,
    pub outbound: Outbound,
    pub clock: Arc<dyn Clock>,
}

/// How our client proves itself (RFC 6749 §2.3).
#[derive(Clone, Debug)]
pub enum Authentication {
    /// `none`: it only names itself.
    None,
    /// `client_secret_basic`
    Basic(Held),
    /// `client_secret_post`
    Post(Held),
}

impl Authentication {
    /// The same with the secret itself in place of where it is.
    ///
    /// # Errors
    ///
    /// [`NoToken::NoSecret`]
    pub(super) async fn read(&self, clock: &Arc<dyn Clock>) -> Result<Self, NoToken> {
        let read = async |held: &Held| {
            held.read(clock).await.map(Held::Text).map_err(|_| NoToken::NoSecret)
        };
        Ok(match self {
            Self::None => Self::None,
            Self::Basic(held) => Self::Basic(read(held).await?),
            Self::Post(held) => Self::Post(read(held).await?),
        })
    }
}

/// What a token endpoint gave. `Debug` shows no token.
#[derive(Clone, Debug, Deserialize)]
pub struct Granted {
    pub access_token: SecretText,
    token_type: String,
    expires_in: Option<u64>,
    pub refresh_token: Option<SecretText>,
    pub scope: Option<String>,
    /// RFC 8693 §2.2.1
    pub issued_token_type: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Granted {
    /// Whether it is one to call with (RFC 6750), and none that can be exchanged alone.
    #[must_use]
    pub fn is_bearer(&self) -> bool {
        self.token_type.eq_ignore_ascii_case("Bearer")
    }

    /// For how long it is used, from when it was asked for.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        let lasts = self.expires_in.map_or(LONGEST, Duration::from_secs).min(LONGEST);
        lasts.saturating_sub(SKEW)
    }

    /// The same for one that cannot be had anew: to its own end, and without one until it is refused.
    #[must_use]
    pub fn lasts_alone(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.expires_in?).saturating_sub(SKEW))
    }
}

impl TokenEndpoint {
    /// Posts `fields` and reads the answer (RFC 6749 §5.1). Does *not* look into the token, nor at its scopes.
    ///
    /// # Errors
    ///
    /// [`NoToken`]. What the other side says in words is neither kept nor logged: it may hold what we sent.
    pub async fn ask(&self, fields: &[(&str, &str)]) -> Result<Granted, NoToken> {
        let body = self.post(fields).await?;
        let Ok(granted) = serde_json::from_slice::<Granted>(&body) else {
            // Some refuse with 200, GitHub among them.
            return Err(match serde_json::from_slice::<Refused>(&body) {
                Ok(_) => self.refusal(StatusCode::OK, &body),
                Err(_) => NoToken::Unreadable,
            });
        };
        // `N_A` is for tokens that are no access tokens (RFC 8693 §2.2.1), such as an ID-JAG.
        let usable =
            ["Bearer", "N_A"].iter().any(|kind| granted.token_type.eq_ignore_ascii_case(kind));
        if usable && !granted.access_token.is_empty() {
            Ok(granted)
        } else {
            Err(NoToken::Unreadable)
        }
    }

    /// Posts `fields`; gives the body of an answer with 200.
    ///
    /// # Errors
    ///
    /// As [`TokenEndpoint::ask`].
    pub async fn post(&self, fields: &[(&str, &str)]) -> Result<bytes::Bytes, NoToken> {
        let call = self.authenticated(fields).await?;
        let answer = self.outbound.send(call, LIMITS).await.map_err(|error| unanswered(&error))?;
        if answer.status == StatusCode::OK {
            Ok(answer.body)
        } else {
            Err(self.refusal(answer.status, &answer.body))
        }
    }

    async fn authenticated(&self, fields: &[(&str, &str)]) -> Result<Call, NoToken> {
        let url = self.at.url(&self.outbound, &self.clock).await?;
        let mut fields = fields.to_vec();
        let read = |held: &'_ Held| {
            let (held, clock) = (held.clone(), Arc::clone(&self.clock));
            async move { held.read(&clock).await.map_err(|_| NoToken::NoSecret) }
        };
        let mut authorization = None;
        let secret;
        match &self.authentication {
            Authentication::None => fields.push(("client_id", &self.client_id)),
            Authentication::Basic(held) => {
                authorization = Some(basic(&self.client_id, &read(held).await?)?);
            }
            Authentication::Post(held) => {
                secret = read(held).await?;
                fields.push(("client_id", &self.client_id));
                fields.push(("client_secret", secret.expose()));
            }
        }
        let call = Call::post_form(url, &fields)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(match authorization {
            Some(value) => call.header(header::AUTHORIZATION, value),
            None => call,
        })
    }

    /// RFC 6749 §5.2. Only the code is read, and logged where it is spelled like one.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> NoToken {
        let refused = serde_json::from_slice::<Refused>(body).ok();
        let code = refused.map(|refused| refused.error).filter(|code| is_code(code));
        let code = code.as_deref().unwrap_or_default();
        tracing::warn!(%status, error = code, client_id = self.client_id, "oauth_client.token_refused");
        match (code, status.as_u16()) {
            // The last two are GitHub's own words for it.
            ("invalid_grant" | "bad_refresh_token" | "bad_verification_code", _) => {
                NoToken::GrantEnded
            }
            ("temporarily_unavailable" | "server_error", _) | (_, 429 | 500..) => NoToken::Away,
            _ => NoToken::Refused,
        }
    }
}

fn is_code(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !text.is_empty() && text.len() <= 40 && text.bytes().all(plain)
}

fn unanswered(error: &OutboundError) -> NoToken {
    tracing::warn!(error = error as &dyn std::error::Error, "oauth_client.token_endpoint_away");
    match error {
        OutboundError::Timeout { .. } => NoToken::Slow,
        OutboundError::TooLarge { .. } | OutboundError::Compressed { .. } => NoToken::Unreadable,
        _ => NoToken::Away,
    }
}

/// `client_secret_basic` (RFC 6749 §2.3.1): both halves are form-encoded first.
fn basic(client_id: &str, secret: &SecretText) -> Result<HeaderValue, NoToken> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = [encode(client_id), encode(secret.expose())].join(":");
    let value = HeaderValue::try_from(["Basic ", &STANDARD.encode(pair)].concat());
    let mut value = value.map_err(|_| NoToken::NoSecret)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(text: &str) -> Result<Granted, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_token_is_used_no_longer_than_it_lasts() {
        let of = |seconds: &str| {
            let text = format!(r#"{{"access_token":"t","token_type":"Bearer"{seconds}}}"#);
            granted(&text).unwrap().lasts().as_secs()
        };
        assert_eq!((of(r#","expires_in":60"#), of(r#","expires_in":10"#)), (30, 0));
        assert_eq!((of(""), of(r#","expires_in":999999"#)), (2970, 2970));
    }

    #[test]
    fn one_that_cannot_be_had_anew_is_used_to_its_own_end() {
        let of = |seconds: &str| {
            let text = format!(r#"{{"access_token":"t","token_type":"Bearer"{seconds}}}"#);
            granted(&text).unwrap().lasts_alone().map(|lasts| lasts.as_secs())
        };
        assert_eq!((of(""), of(r#","expires_in":604800"#)), (None, Some(604_770)));
    }

    #[test]
    fn nothing_of_a_token_is_shown() {
        let all = r#"{"access_token":"s3cret","token_type":"Bearer","refresh_token":"s3cret"}"#;
        assert!(!format!("{:?}", granted(all).unwrap()).contains("s3cret"));
    }
}
