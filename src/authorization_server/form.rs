//! Parameters as OAuth sends them: `application/x-www-form-urlencoded`, decoded once, none twice.

use std::borrow::Cow;
use std::fmt;

use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode;

use super::error::OAuthError;

/// More than any client sends (N111).
const MAX_PARAMETERS: usize = 64;
/// Of a whole query or body.
pub(super) const MAX_FORM_BYTES: usize = 32 * 1024;

/// The parameters of one request. Empty values count as left out (RFC 6749 §3.1). `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Form {
    values: Vec<(String, String)>,
    repeated: Vec<String>,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// A body of the token endpoint and its like (RFC 6749 §3.2).
    ///
    /// # Errors
    ///
    /// [`OAuthError::InvalidRequest`] for another content type (N38) and for a parameter that comes twice (N39);
    /// `resource` may be repeated (RFC 8707 §2).
    pub fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let stated = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = stated.split(';').next().unwrap_or_default().trim();
        if types.next().is_some()
            || !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(OAuthError::InvalidRequest(
                "the body must be application/x-www-form-urlencoded",
            ));
        }
        let form = Self::decode(body)?;
        form.without_repetition()
    }

    /// Decodes a query or a body once. What came twice is noted, not refused: `/authorize` must know the client first.
    ///
    /// # Errors
    ///
    /// [`OAuthError::InvalidRequest`] where a name or value is not UTF-8 (RFC 6749 appendix B), or there are too many;
    /// [`OAuthError::TooLarge`].
    pub(super) fn decode(text: &[u8]) -> Result<Self, OAuthError> {
        if text.len() > MAX_FORM_BYTES {
            return Err(OAuthError::TooLarge);
        }
        let mut form = Self::default();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = text_of(parts.next().unwrap_or_default())?;
            let value = text_of(parts.next().unwrap_or_default())?;
            form.add(name, value)?;
        }
        Ok(form)
    }

    fn add(&mut self, name: String, value: String) -> Result<(), OAuthError> {
        if self.values.len() >= MAX_PARAMETERS {
            return Err(OAuthError::InvalidRequest("there are too many parameters"));
        }
        if name != "resource" && self.values.iter().any(|(known, _)| *known == name) {
            self.repeated.push(name.clone());
        }
        self.values.push((name, value));
        Ok(())
    }

    /// # Errors
    ///
    /// [`OAuthError::InvalidRequest`] where a parameter came twice (RFC 6749 §3.1).
    pub(super) fn without_repetition(self) -> Result<Self, OAuthError> {
        if self.repeated.is_empty() { Ok(self) } else { Err(REPEATED) }
    }

    /// Whether this parameter came more than once.
    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.repeated.iter().any(|repeated| repeated == name)
    }

    pub(super) const fn has_repetition(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// The value of a parameter that is there and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.values.iter().find(|(known, value)| known == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// All that came, with what is empty.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.values.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// # Errors
    ///
    /// [`OAuthError::InvalidRequest`] with `missing` where it is left out.
    pub(super) fn require(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::InvalidRequest(missing))
    }
}

pub(super) const REPEATED: OAuthError =
    OAuthError::InvalidRequest("a parameter is there more than once");

/// `+` is a space (RFC 6749 appendix B); everything else is percent-decoded once.
fn text_of(encoded: &[u8]) -> Result<String, OAuthError> {
    let spaced: Cow<'_, [u8]> = if encoded.contains(&b'+') {
        encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
    } else {
        encoded.into()
    };
    let decoded = percent_decode(&spaced).decode_utf8();
    let text = decoded.map_err(|_| OAuthError::InvalidRequest("a parameter is not UTF-8"))?;
    // No parameter has one (RFC 6749 appendix A), and PostgreSQL keeps no such text.
    if text.contains('\0') {
        return Err(OAuthError::InvalidRequest("a parameter has a zero byte"));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn posted(content_type: &'static str, body: &str) -> Result<Form, OAuthError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Form::parse(&headers, body.as_bytes())
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    // RFC 6749 §3.2 — N39, N13
    #[test]
    fn a_parameter_that_comes_twice_is_refused_however_it_is_spelled() {
        for body in ["code=a&code=a", "client%5Fid=a&client_id=b", "a=1&a="] {
            assert!(posted(FORM, body).is_err(), "{body}");
        }
        let form = posted(FORM, "resource=a&resource=b").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
    }

    // RFC 6749 appendix B — N13
    #[test]
    fn values_are_decoded_once_and_must_be_utf_8() {
        let form = posted("application/x-www-form-urlencoded; charset=UTF-8", "s=a+b%20c%252F&e=");
        let form = form.unwrap();
        assert_eq!((form.get("s"), form.get("e")), (Some("a b c%2F"), None));
        assert!(posted(FORM, "s=%ff").is_err());
        assert!(posted(FORM, "s=%c0%af").is_err());
        for zero in ["nonce=a%00b", "a%00b=c", "s=a\0b"] {
            assert!(posted(FORM, zero).is_err(), "{zero:?}");
        }
    }

    // RFC 6749 §3.2 — N38
    #[test]
    fn only_a_form_is_a_form() {
        for other in ["application/json", "multipart/form-data", "", "text/plain"] {
            assert!(posted(other, "grant_type=x").is_err(), "{other}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        twice.append(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        assert!(Form::parse(&twice, b"a=b").is_err());
    }

    #[test]
    fn debug_shows_no_values() {
        let form = posted(FORM, "client_secret=hunter2").unwrap();
        assert_eq!(format!("{form:?}"), "[\"client_secret\"]");
    }
}
