//! What a login endpoint's answer means. Decided in a fixed order; unknown error codes stay safe.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use uuid::Uuid;

use crate::outbound::{Answer, OutboundError};
use crate::secret_text::SecretText;
use crate::time::Timestamp;

use super::error::{Detail, Diagnostics, TokenError};

/// What a 429 without `Retry-After` is taken to ask for.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// What a throttled tenant or a detected loop is given (AADSTS50196 wants a minute).
const THROTTLED_WAIT: Duration = Duration::from_mins(1);

/// A successful answer (RFC 6749 §5.1), checked.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: SecretText,
    /// The same as the value of `Authorization`, marked sensitive.
    pub(super) authorization: HeaderValue,
    pub(super) expires_in: Duration,
    pub(super) refresh_in: Option<Duration>,
}

#[derive(Deserialize)]
struct RawGranted {
    access_token: Option<SecretText>,
    token_type: Option<String>,
    expires_in: Option<Number>,
    expires_on: Option<Number>,
    refresh_in: Option<Number>,
}

/// Seconds, as a number or as text of digits: managed identities send text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    fn get(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

#[derive(Deserialize)]
struct RawRefused {
    error: Option<String>,
    #[serde(default)]
    error_codes: Vec<u32>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
    claims: Option<serde_json::Value>,
}

/// Reads the answer of a token endpoint (RFC 6749 §5.1, §5.2, and Entra's additions).
///
/// Does not look into the token: Microsoft's tokens for its own APIs are opaque to clients.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Granted, TokenError> {
    let status = answer.status;
    let retry_after = answer.retry_after(now);
    if status.is_redirection() {
        return Err(TokenError::BadResponse { detail: Detail::Redirect });
    }
    if status.as_u16() == 429 {
        let retry_after = retry_after.unwrap_or(DEFAULT_WAIT);
        return Err(TokenError::RateLimited { retry_after, diagnostics: Diagnostics::default() });
    }
    if status.is_server_error() {
        let diagnostics = Diagnostics::default();
        return Err(TokenError::Unavailable { detail: None, retry_after, diagnostics });
    }
    if status.is_success() {
        granted(&answer.body, now)
    } else {
        Err(refused(&answer.body, retry_after))
    }
}

fn granted(body: &[u8], now: Timestamp) -> Result<Granted, TokenError> {
    let incomplete = || TokenError::BadResponse { detail: Detail::Incomplete };
    let raw: RawGranted = serde_json::from_slice(body)
        .map_err(|_| TokenError::BadResponse { detail: Detail::NotJson })?;
    let bearer = raw.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    let access_token = raw.access_token.filter(is_token).ok_or_else(incomplete)?;
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", access_token.expose()))
        .map_err(|_| incomplete())?;
    authorization.set_sensitive(true);
    let left = |at: u64| {
        let at = Timestamp::from_unix_seconds(i64::try_from(at).unwrap_or(i64::MAX));
        at.since(now).as_secs()
    };
    let expires_in = match (&raw.expires_in, &raw.expires_on) {
        (Some(seconds), _) => seconds.get(),
        (None, Some(at)) => at.get().map(left),
        (None, None) => None,
    };
    let expires_in = expires_in.filter(|seconds| *seconds > 0).ok_or_else(incomplete)?;
    if !bearer {
        return Err(incomplete());
    }
    let refresh_in = raw.refresh_in.as_ref().and_then(Number::get).map(Duration::from_secs);
    let expires_in = Duration::from_secs(expires_in);
    Ok(Granted { access_token, authorization, expires_in, refresh_in })
}

/// `b64token` (RFC 6750 §2.1), so that it fits into one header and nothing else does.
fn is_token(token: &SecretText) -> bool {
    const MAX: usize = 64 * 1024;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    !token.is_empty() && token.len() <= MAX && token.expose().bytes().all(plain)
}

fn refused(body: &[u8], retry_after: Option<Duration>) -> TokenError {
    let raw: RawRefused = match serde_json::from_slice(body) {
        Ok(raw) => raw,
        Err(_) => return TokenError::BadResponse { detail: Detail::NotJson },
    };
    let id = |text: Option<String>| text.and_then(|text| Uuid::try_parse(&text).ok());
    let mut error_codes = raw.error_codes;
    error_codes.truncate(8);
    let diagnostics = Diagnostics {
        error: raw.error.filter(|error| is_error_code(error)),
        error_codes,
        trace_id: id(raw.trace_id),
        correlation_id: id(raw.correlation_id),
        claims: raw.claims.as_ref().and_then(claims_request),
    };
    judge(diagnostics, retry_after)
}

/// A claims request (OIDC Core §5.5): the text of a JSON object that fits into a header.
fn claims_request(member: &serde_json::Value) -> Option<Arc<str>> {
    const MAX: usize = 4096;
    let text = member.as_str().filter(|text| text.len() <= MAX)?;
    matches!(serde_json::from_str(text), Ok(serde_json::Value::Object(_))).then(|| text.into())
}

fn is_error_code(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn judge(diagnostics: Diagnostics, retry_after: Option<Duration>) -> TokenError {
    let any = |codes: &[u32]| diagnostics.error_codes.iter().any(|code| codes.contains(code));
    if diagnostics.error.as_deref() == Some("temporarily_unavailable") {
        TokenError::Unavailable { detail: None, retry_after, diagnostics }
    } else if any(&[90055, 50196, 50166]) {
        let retry_after = retry_after.unwrap_or(THROTTLED_WAIT);
        TokenError::RateLimited { retry_after, diagnostics }
    } else if any(&[90012]) {
        TokenError::Timeout { diagnostics }
    } else if any(&[50033, 50087, 90006, 90024, 90033, 90090, 90091, 70012]) {
        TokenError::Unavailable { detail: None, retry_after, diagnostics }
    } else {
        let detail = diagnostics.error_codes.iter().find_map(|code| detail_of(*code));
        TokenError::Refused { detail, diagnostics }
    }
}

/// AADSTS codes, from Microsoft's "Microsoft Entra authentication and authorization error codes".
const fn detail_of(code: u32) -> Option<Detail> {
    Some(match code {
        7_000_215 | 70002 => Detail::SecretInvalid,
        7_000_222 => Detail::SecretExpired,
        7_000_218 | 7_000_216 => Detail::CredentialMissing,
        700_025 => Detail::PublicClient,
        700_027 | 700_030 | 50012 | 50013 | 500_133 => Detail::AssertionInvalid,
        700_024 => Detail::AssertionTime,
        70021 | 700_211 | 700_212 | 700_213 | 7_002_138 => Detail::FederationNoMatch,
        700_016 | 700_011 => Detail::AppNotFound,
        7_000_112 | 70001 => Detail::AppDisabled,
        90002 | 50059 | 50128 => Detail::TenantNotFound,
        90038 | 900_382 | 900_432 | 90051 => Detail::WrongCloud,
        70011 | 28002 | 1_002_012 => Detail::ScopeInvalid,
        700_022 | 700_023 => Detail::MultiResource,
        500_011 | 50001 | 650_057 | 650_052 => Detail::ResourceNotFound,
        65001 | 650_056 | 90094 => Detail::ConsentRequired,
        53000 | 53003 | 530_032 | 530_035 => Detail::ConditionalAccess,
        50074 | 50076 | 50079 | 700_020 => Detail::InteractionRequired,
        7_000_114 | 700_229 => Detail::OboNotAllowed,
        900_144 | 90014 | 9_002_313 | 90023 | 9_001_023 | 9_010_010 => Detail::RequestMalformed,
        _ => return None,
    })
}

/// What it means that there was no answer. Why there was none stays with it, for the operator's log.
pub(super) fn unanswered(error: OutboundError) -> TokenError {
    match error {
        OutboundError::Timeout { .. } => {
            TokenError::Timeout { diagnostics: Diagnostics::default() }
        }
        OutboundError::TooLarge { .. } => TokenError::BadResponse { detail: Detail::TooLarge },
        OutboundError::Compressed { .. } => TokenError::BadResponse { detail: Detail::NotJson },
        OutboundError::Tls { .. }
        | OutboundError::Connect { .. }
        | OutboundError::Broken { .. }
        | OutboundError::PrivateAddress { .. } => TokenError::Unreachable(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use crate::code::Code;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_000);

    fn answer(status: u16, body: &str) -> Result<Granted, TokenError> {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        read(&Answer { status, headers: HeaderMap::new(), body }, NOW)
    }

    fn outcome(status: u16, body: &str) -> (Code, Option<Detail>) {
        let error = answer(status, body).unwrap_err();
        (error.code(), error.detail())
    }

    #[test]
    fn a_token_needs_a_type_and_a_lifetime() {
        let ok = answer(
            200,
            r#"{"access_token":"t","token_type":"bearer","expires_in":"60","refresh_in":30}"#,
        );
        let ok = ok.unwrap();
        assert_eq!((ok.expires_in.as_secs(), ok.refresh_in), (60, Some(Duration::from_secs(30))));
        let absolute = r#"{"access_token":"t","token_type":"Bearer","expires_on":"1060"}"#;
        assert_eq!(answer(200, absolute).unwrap().expires_in.as_secs(), 60);
        for bad in [
            r#"{"token_type":"Bearer","expires_in":60}"#,
            r#"{"access_token":"","token_type":"Bearer","expires_in":60}"#,
            r#"{"access_token":"a\nb","token_type":"Bearer","expires_in":60}"#,
            r#"{"access_token":"t","expires_in":60}"#,
            r#"{"access_token":"t","token_type":"mac","expires_in":60}"#,
            r#"{"access_token":"t","token_type":"Bearer"}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":0}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":"soon"}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_on":"999"}"#,
        ] {
            assert_eq!(
                outcome(200, bad),
                (Code::ProviderBadResponse, Some(Detail::Incomplete)),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_outcome_table_is_decided_in_order() {
        use Code as C;
        use Detail as D;
        for (status, body, code, detail) in [
            (302, "", C::ProviderBadResponse, Some(D::Redirect)),
            (429, "", C::ProviderRateLimited, None),
            (500, "", C::ProviderUnavailable, None),
            (200, "<html>", C::ProviderBadResponse, Some(D::NotJson)),
            (400, "<html>", C::ProviderBadResponse, Some(D::NotJson)),
            (400, r#"{"error":"temporarily_unavailable"}"#, C::ProviderUnavailable, None),
            (400, r#"{"error_codes":[90055]}"#, C::ProviderRateLimited, None),
            (400, r#"{"error_codes":[90033]}"#, C::ProviderUnavailable, None),
            (400, r#"{"error_codes":[90012]}"#, C::ProviderTimeout, None),
            (401, r#"{"error_codes":[7000215]}"#, C::ProviderAuthFailed, Some(D::SecretInvalid)),
            (401, r#"{"error_codes":[7000222]}"#, C::ProviderAuthFailed, Some(D::SecretExpired)),
            (400, r#"{"error_codes":[1002012]}"#, C::ProviderAuthFailed, Some(D::ScopeInvalid)),
            (400, r#"{"error_codes":[700211]}"#, C::ProviderAuthFailed, Some(D::FederationNoMatch)),
            (400, r#"{"error_codes":[424242]}"#, C::ProviderAuthFailed, None),
            (400, "{}", C::ProviderAuthFailed, None),
        ] {
            assert_eq!(outcome(status, body), (code, detail), "{status} {body}");
        }
    }

    #[test]
    fn what_the_provider_says_in_words_is_not_kept() {
        let body = r#"{"error":"s3cret words","error_description":"CANARY","error_codes":[7000215],
            "trace_id":"CANARY","correlation_id":"0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b"}"#;
        let error = answer(401, body).unwrap_err();
        let shown = format!(
            "{error} {error:?} {}",
            serde_json::to_string(error.diagnostics().unwrap()).unwrap()
        );
        assert!(!shown.contains("CANARY") && !shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b"));
    }
}
