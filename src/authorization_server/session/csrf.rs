//! Whether a form was sent by our own page in this very browser (RFC 6749 §10.12, RFC 9700 §4.7).

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::cookie::CookieValue;

/// What a form is for. Its token fits nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormPurpose<'a> {
    pub(crate) action: &'static str,
    /// What was shown, such as the request and a digest of it.
    pub(crate) about: &'a [&'a str],
}

impl FormPurpose<'_> {
    /// HMAC-SHA256 under the cookie's value: who cannot read the cookie cannot make one, and nothing is stored.
    pub(crate) fn token(&self, cookie: &CookieValue) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&key(cookie), &self.message()))
    }

    /// Compares in constant time.
    pub(crate) fn fits(&self, cookie: &CookieValue, unverified: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(unverified)
            .is_ok_and(|tag| hmac::verify(&key(cookie), &self.message(), &tag).is_ok())
    }

    /// Each part with its length, so that no two purposes read the same.
    fn message(&self) -> Vec<u8> {
        let parts = ["form v1", self.action].into_iter().chain(self.about.iter().copied());
        parts.fold(Vec::new(), |mut message, part| {
            message.extend_from_slice(&part.len().to_be_bytes());
            message.extend_from_slice(part.as_bytes());
            message
        })
    }
}

fn key(cookie: &CookieValue) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, cookie.key())
}

/// Whether the browser says that one of our own pages sent this (Fetch Metadata §2.1; RFC 6454 §7).
///
/// Browsers send `Origin: null` with forms of a page that has `Referrer-Policy: no-referrer`, as ours do; then
/// `Sec-Fetch-Site` decides, and where that is missing as well (old browsers, plain http), the form's token alone.
pub(crate) fn is_same_origin(headers: &HeaderMap, ours: &[Url]) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin") {
        return false;
    }
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let serialised = |url: &Url| url.origin().ascii_serialization();
        origin == "null" || ours.iter().any(|url| origin.as_bytes() == serialised(url).as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use crate::random::SystemRandom;

    use super::*;

    fn cookie() -> CookieValue {
        CookieValue::generate(&SystemRandom::new())
    }

    // N103
    #[test]
    fn a_token_fits_one_cookie_one_action_and_what_was_shown() {
        let (mine, other) = (cookie(), cookie());
        let shown = FormPurpose { action: "consent", about: &["request", "digest"] };
        let token = shown.token(&mine);
        assert!(shown.fits(&mine, &token));
        assert!(!shown.fits(&other, &token));
        for purpose in [
            FormPurpose { action: "logout", about: &["request", "digest"] },
            FormPurpose { action: "consent", about: &["request", "other"] },
            FormPurpose { action: "consent", about: &["requestdigest"] },
            FormPurpose { action: "consent", about: &["requestd", "igest"] },
        ] {
            assert!(!purpose.fits(&mine, &token), "{purpose:?}");
        }
        for bad in ["", "AAAA", &token[1..], &format!("{token}=")] {
            assert!(!shown.fits(&mine, bad), "{bad}");
        }
    }

    // N103
    #[test]
    fn a_form_of_another_site_is_told_by_its_headers() {
        let ours = ["https://broker.example".parse().unwrap()];
        let same = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            is_same_origin(&pairs.collect::<HeaderMap>(), &ours)
        };
        assert!(same(&[("origin", "https://broker.example")]));
        assert!(same(&[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(same(&[]));
        assert!(!same(&[("origin", "https://evil.example")]));
        assert!(!same(&[("origin", "https://broker.example.evil")]));
        assert!(!same(&[("origin", "http://broker.example")]));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!same(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}
