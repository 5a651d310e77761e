//! What a request says about its client.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::authorization_server::error::OAuthError;
use crate::authorization_server::form::Form;
use crate::secret_text::SecretText;

use super::REFUSED;
use super::assertion;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Nothing of it is proven yet.
#[derive(Debug)]
pub(super) enum Presented {
    Nothing { client_id: String },
    Secret { client_id: String, secret: Zeroizing<String> },
    Assertion { client_id: String, assertion: SecretText },
}

impl Presented {
    pub(super) fn client_id(&self) -> &str {
        match self {
            Self::Nothing { client_id }
            | Self::Secret { client_id, .. }
            | Self::Assertion { client_id, .. } => client_id,
        }
    }

    pub(super) const fn is_secret(&self) -> bool {
        matches!(self, Self::Secret { .. })
    }

    /// Empty where none was sent.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::Secret { secret, .. } => secret,
            Self::Nothing { .. } | Self::Assertion { .. } => "",
        }
    }
}

/// Whose secret somebody may be guessing, before anything else is looked at. `None` where no
/// secret came: an assertion cannot be guessed.
pub(super) fn guessed(headers: &HeaderMap, form: &Form) -> Option<Vec<u8>> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let encoded = value.as_bytes().get(6..).unwrap_or_default().trim_ascii();
        let pair = Zeroizing::new(STANDARD.decode(encoded).unwrap_or_default());
        // As the client is found: one id has many spellings.
        let id = pair.split(|byte| *byte == b':').next()?;
        return Some(form_decoded(id).map_or_else(|| id.to_vec(), String::into_bytes));
    }
    form.get("client_secret")?;
    Some(form.get("client_id").unwrap_or_default().as_bytes().to_vec())
}

/// # Errors
///
/// [`OAuthError::InvalidRequest`] for two methods at once or two ids (N40), else [`REFUSED`].
pub(super) fn read(headers: &HeaderMap, form: &Form) -> Result<Presented, OAuthError> {
    const TWICE: OAuthError =
        OAuthError::InvalidRequest("one method of client authentication only");
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let (authorization, more) = (authorizations.next(), authorizations.next());
    let posted = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let stated = form.get("client_id");
    let methods = [authorization.is_some(), posted.is_some(), assertion.is_some()];
    if more.is_some() || methods.into_iter().filter(|used| *used).count() > 1 {
        return Err(TWICE);
    }
    let presented = if let Some(value) = authorization {
        basic(value.as_bytes()).ok_or(REFUSED)?
    } else if let Some(assertion) = assertion {
        by_assertion(form, assertion)?
    } else {
        let client_id = stated.ok_or(REFUSED)?.to_owned();
        match posted {
            Some(secret) => {
                Presented::Secret { client_id, secret: Zeroizing::new(secret.to_owned()) }
            }
            None => Presented::Nothing { client_id },
        }
    };
    match stated {
        Some(stated) if stated != presented.client_id() => {
            Err(OAuthError::InvalidRequest("client_id is not the client that authenticated"))
        }
        _ => Ok(presented),
    }
}

/// RFC 7523 §2.2. The id is read from the assertion before anything in it is checked; [`assertion::check`] does that.
fn by_assertion(form: &Form, text: &str) -> Result<Presented, OAuthError> {
    if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(OAuthError::InvalidRequest(
            "client_assertion_type must be the one of RFC 7523",
        ));
    }
    let client_id = assertion::unverified_subject(text).ok_or(REFUSED)?;
    Ok(Presented::Assertion { client_id, assertion: text.to_owned().into() })
}

/// RFC 7617 with both parts form-encoded first (RFC 6749 §2.3.1). `None` for any other scheme and bad shapes (N41).
fn basic(header: &[u8]) -> Option<Presented> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let encoded = encoded.trim_ascii();
    let pair = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (id, rest) = pair.split_at_checked(colon)?;
    let client_id = form_decoded(id)?;
    let secret = Zeroizing::new(form_decoded(rest.get(1..)?)?);
    (!client_id.is_empty()).then_some(Presented::Secret { client_id, secret })
}

fn form_decoded(bytes: &[u8]) -> Option<String> {
    let spaced: Zeroizing<Vec<u8>> =
        Zeroizing::new(bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
    percent_decode(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn presented(authorization: &[&str], form: &str) -> Result<(String, String), OAuthError> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let form = Form::decode(form.as_bytes())?;
        read(&headers, &form).map(|read| (read.client_id().to_owned(), read.secret().to_owned()))
    }

    fn basic_of(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    // RFC 6749 §2.3.1, RFC 7617 §2 — N41
    #[test]
    fn both_parts_of_basic_are_form_decoded() {
        for (pair, id, secret) in [
            ("id:secret", "id", "secret"),
            ("a%3Ab:c%2Bd+e", "a:b", "c+d e"),
            ("id:a:b", "id", "a:b"),
            ("https%3A%2F%2Fa.example%2Fc:%C3%A9", "https://a.example/c", "é"),
        ] {
            let read = presented(&[&basic_of(pair)], "").unwrap();
            assert_eq!(read, (id.to_owned(), secret.to_owned()), "{pair}");
        }
        let lower = basic_of("id:secret").replace("Basic", "bAsIc");
        assert!(presented(&[&lower], "").is_ok());
    }

    /// Else each spelling of an id would have tries of its own.
    #[test]
    fn tries_at_a_secret_are_counted_for_the_client_that_is_meant() {
        let tried = |pair: &str| {
            let value = basic_of(pair).parse().unwrap();
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            guessed(&headers, &Form::decode(b"").unwrap())
        };
        for spelling in ["nightly:a", "%6eightly:b", "n%69ghtly:c"] {
            assert_eq!(tried(spelling).as_deref(), Some(&b"nightly"[..]), "{spelling}");
        }
    }

    // RFC 6749 §2.3.1, RFC 7617 §2 — N41
    #[test]
    fn a_malformed_header_is_an_unauthenticated_client() {
        let not_utf8 = format!("Basic {}", STANDARD.encode(b"id:%ff"));
        for header in
            [basic_of(":secret"), basic_of("id"), "Basic ###".into(), "Bearer x".into(), not_utf8]
        {
            let error = presented(&[&header], "client_id=id").unwrap_err();
            assert_eq!(error.code(), "invalid_client", "{header}");
        }
    }

    // RFC 6749 §2.3 — N40
    #[test]
    fn two_methods_at_once_are_refused() {
        let basic = basic_of("id:secret");
        for (headers, form) in [
            (vec![basic.as_str()], "client_id=id&client_secret=secret"),
            (vec![basic.as_str()], "client_assertion=x"),
            (vec![], "client_id=id&client_secret=s&client_assertion=x"),
            (vec![basic.as_str(), basic.as_str()], ""),
            (vec![basic.as_str()], "client_id=other"),
        ] {
            let error = presented(&headers, form).unwrap_err();
            assert_eq!(error.code(), "invalid_request", "{form}");
        }
        assert!(presented(&[&basic], "client_id=id").is_ok());
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}",
            Presented::Assertion { client_id: "a".into(), assertion: "s3cret".to_owned().into() }
        );
        assert!(!shown.contains("s3cret"));
    }
}
