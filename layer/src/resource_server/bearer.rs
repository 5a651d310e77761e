//! Takes the bearer token out of a request (RFC 6750 §2.1), and out of reach of whatever comes next.

use std::fmt;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::error::TokenError;

/// The token of a request, not verified. `Debug` shows nothing of it.
#[derive(Clone)]
pub(super) struct UnverifiedBearer {
    /// The whole header value: sharing it costs no copy.
    value: HeaderValue,
    start: usize,
    /// Whether it came with the scheme `DPoP`: it counts only with a proof.
    bound: bool,
}

impl UnverifiedBearer {
    pub(super) const fn is_bound(&self) -> bool {
        self.bound
    }

    pub(super) fn as_str(&self) -> &str {
        self.value.to_str().ok().and_then(|text| text.get(self.start..)).unwrap_or_default()
    }
}

impl fmt::Debug for UnverifiedBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedBearer([redacted])")
    }
}

/// Removes every `Authorization` header and returns the bearer token it held.
///
/// The scheme compares without case (RFC 9110 §11.1). Tokens in the URI or in a form are not looked at
/// (OAuth 2.1 §5.1): who sends one there has sent none.
///
/// # Errors
///
/// - [`TokenError::Missing`]: no header, or one of another scheme
/// - [`TokenError::MalformedRequest`]: several headers, or a value that is not one `b64token`
pub(super) fn take(headers: &mut HeaderMap) -> Result<UnverifiedBearer, TokenError> {
    let token = read(headers);
    headers.remove(AUTHORIZATION);
    token
}

/// The same; the scheme `DPoP` counts as well (RFC 9449 §7.1).
///
/// # Errors
///
/// As [`take`].
pub(super) fn take_either(headers: &mut HeaderMap) -> Result<UnverifiedBearer, TokenError> {
    let token = read_as(headers, true);
    headers.remove(AUTHORIZATION);
    token
}

/// The same, where the headers are not ours to change.
///
/// # Errors
///
/// As [`take`].
pub(super) fn read(headers: &HeaderMap) -> Result<UnverifiedBearer, TokenError> {
    read_as(headers, false)
}

fn read_as(headers: &HeaderMap, dpop: bool) -> Result<UnverifiedBearer, TokenError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().cloned().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::MalformedRequest);
    }
    let text = value.to_str().map_err(|_| TokenError::MalformedRequest)?;
    let scheme = text.split(' ').next().unwrap_or_default();
    let bound = dpop && scheme.eq_ignore_ascii_case("dpop");
    if !bound && !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    let token = text.get(scheme.len()..).unwrap_or_default().trim_start_matches(' ');
    if !is_b64token(token) {
        return Err(TokenError::MalformedRequest);
    }
    let start = text.len().saturating_sub(token.len());
    Ok(UnverifiedBearer { value, start, bound })
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !body.is_empty() && body.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> (Result<String, TokenError>, bool) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let token = take(&mut headers).map(|token| token.as_str().to_owned());
        (token, headers.contains_key(AUTHORIZATION))
    }

    // RS-13
    #[test]
    fn the_bearer_scheme_is_read_in_any_case() {
        for value in ["Bearer abc.D-_~+/==", "bearer abc.D-_~+/==", "BEARER   abc.D-_~+/=="] {
            assert_eq!(taken(&[value]).0.as_deref(), Ok("abc.D-_~+/=="), "{value}");
        }
    }

    #[test]
    fn another_scheme_counts_as_no_credentials() {
        for value in ["Basic YTpi", "DPoP abc", "Bearerabc", ""] {
            assert_eq!(taken(&[value]).0, Err(TokenError::Missing), "{value}");
        }
        assert_eq!(taken(&[]).0, Err(TokenError::Missing));
    }

    // RS-17
    #[test]
    fn a_malformed_authorization_is_a_bad_request() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer \"a\"",
        ] {
            assert_eq!(taken(&[value]).0, Err(TokenError::MalformedRequest), "{value}");
        }
        assert_eq!(taken(&["Bearer a", "Bearer a"]).0, Err(TokenError::MalformedRequest));
        assert_eq!(taken(&["Basic a", "Bearer a"]).0, Err(TokenError::MalformedRequest));
    }

    // RS-10
    #[test]
    fn the_header_is_gone_whatever_it_held() {
        for values in [&["Bearer a"][..], &["Basic a"], &["Bearer a", "Bearer b"], &["Bearer"]] {
            assert!(!taken(values).1, "{values:?}");
        }
    }
}
