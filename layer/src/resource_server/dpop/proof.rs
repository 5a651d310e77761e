//! One proof (RFC 9449 §4.2): a JWT that is signed with the key it carries.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use url::Url;

use crate::resource_server::algorithm::Algorithm;
use crate::resource_server::json;
use crate::resource_server::jwt::{self, Form, UnverifiedJwt};
use crate::resource_server::key::verify_with;

/// What a proof may be signed with, as metadata lists it (RFC 9449 §5.1).
pub const PROOF_ALGORITHMS: [Algorithm; 6] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::RS256,
    Algorithm::RS384,
];

const MAX_BYTES: usize = 8 * 1024;
const MAX_JTI: usize = 256;

/// A proof whose signature is good. Whether it is for this request is still to be looked at.
pub(super) struct Proof {
    /// SHA-256 of its key (RFC 7638), in base64url.
    pub(super) thumbprint: Arc<str>,
    claims: Map<String, Value>,
}

impl Proof {
    /// `None` for what is no proof, whatever is wrong with it (RFC 9449 §4.3, items 2 to 7).
    pub(super) fn parse(unverified: &str) -> Option<Self> {
        if unverified.len() > MAX_BYTES {
            return None;
        }
        let Form::Jwt(jwt) = jwt::parse(unverified).ok()? else { return None };
        if jwt.typ != "dpop+jwt" || !PROOF_ALGORITHMS.contains(&jwt.algorithm) {
            return None;
        }
        let jwk = key_of(unverified)?;
        // Refuses private and symmetric keys, weak ones, and those for another algorithm.
        let UnverifiedJwt { signed, algorithm, signature, .. } = &*jwt;
        verify_with(&jwk, *algorithm, (signed.as_bytes(), signature)).ok()?;
        Some(Self { thumbprint: thumbprint(&jwk)?.into(), claims: jwt.claims })
    }

    /// `htm`, exactly (item 8).
    pub(super) fn is_for_method(&self, method: &str) -> bool {
        json::text(&self.claims, "htm") == Some(method)
    }

    /// `htu`, without query and fragment on either side (item 9).
    pub(super) fn is_for_url(&self, urls: &[Url]) -> bool {
        let stated = json::text(&self.claims, "htu").and_then(|text| Url::parse(text).ok());
        let Some(stated) = stated.filter(|url| url.username().is_empty()) else { return false };
        if stated.password().is_some() {
            return false;
        }
        let stated = plain(stated);
        urls.iter().any(|url| plain(url.clone()) == stated)
    }

    /// `iat`, in seconds since 1970.
    pub(super) fn issued_at(&self) -> Option<i64> {
        self.claims.get("iat")?.as_i64()
    }

    pub(super) fn jti(&self) -> Option<&str> {
        json::text(&self.claims, "jti").filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI)
    }

    pub(super) fn nonce(&self) -> Option<&str> {
        json::text(&self.claims, "nonce")
    }

    /// `ath`: SHA-256 of the access token that goes with it (item 12).
    pub(super) fn is_for_token(&self, token: &str) -> bool {
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
        json::text(&self.claims, "ath") == Some(&hash)
    }
}

fn plain(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The `jwk` of the header, which the parser of tokens rightly never looks at.
fn key_of(unverified: &str) -> Option<Map<String, Value>> {
    let header = URL_SAFE_NO_PAD.decode(unverified.split('.').next()?).ok()?;
    match json::object(&header)?.remove("jwk")? {
        Value::Object(jwk) => Some(jwk),
        _ => None,
    }
}

/// RFC 7638 §3.2: the required members alone, in this order. Their values are base64url or names, which JSON does not
/// escape; others are refused.
fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let names: &[&str] = match json::text(jwk, "kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut text = String::from("{");
    for name in names {
        let value = json::text(jwk, name)?;
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return None;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.extend(["\"", name, "\":\"", value, "\""]);
    }
    text.push('}');
    Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7638 §3.1
    #[test]
    fn the_thumbprint_is_that_of_the_specification() {
        let jwk = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
        let jwk: Map<String, Value> = serde_json::from_str(jwk).unwrap();
        assert_eq!(thumbprint(&jwk).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    // RFC 9449 §4.1 — N88
    #[test]
    fn the_proof_of_the_specification_is_one() {
        let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
        let read = Proof::parse(proof).unwrap();
        assert_eq!(&*read.thumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let url = |text: &str| [text.parse::<Url>().unwrap()];
        assert!(read.is_for_method("POST") && !read.is_for_method("post"));
        assert!(read.is_for_url(&url("https://SERVER.example.com:443/token?x=1#y")));
        for other in ["http://server.example.com/token", "https://server.example.com/token/"] {
            assert!(!read.is_for_url(&url(other)), "{other}");
        }
        assert_eq!((read.issued_at(), read.jti()), (Some(1_562_262_616), Some("-BwC3ESc6acc2lTc")));
        let forged = proof.replace("2-GxA6", "3-GxA6");
        assert!(Proof::parse(&forged).is_none() && Proof::parse("x").is_none());
    }
}
