//! Proof Key for Code Exchange, S256 alone (RFC 7636): `plain` protects nobody.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A `code_challenge` made with S256: 43 characters of base64url (§4.2).
#[derive(Clone, PartialEq, Eq)]
pub struct CodeChallenge(String);

/// Not a challenge or verifier of the shape that RFC 7636 §4.1 and §4.2 ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not of the shape that RFC 7636 asks for")]
pub struct Misshapen;

impl CodeChallenge {
    /// Parses what an authorization request brings.
    ///
    /// # Errors
    ///
    /// [`Misshapen`] for another length or alphabet (N19).
    pub fn parse(unverified: &str) -> Result<Self, Misshapen> {
        let fits = unverified.len() == 43
            && unverified
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        fits.then(|| Self(unverified.to_owned())).ok_or(Misshapen)
    }

    /// What a `code_verifier` answers to (§4.6): equal to the stored challenge, or the code is not this client's.
    ///
    /// # Errors
    ///
    /// [`Misshapen`] for a verifier of under 43 or over 128 characters, or of another alphabet (N34).
    pub fn of_verifier(unverified: &str) -> Result<Self, Misshapen> {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if !(43..=128).contains(&unverified.len()) || !unverified.bytes().all(unreserved) {
            return Err(Misshapen);
        }
        Ok(Self(URL_SAFE_NO_PAD.encode(digest(&SHA256, unverified.as_bytes()))))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeChallenge")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_standard_fits() {
        // RFC 7636 appendix B
        assert_eq!(CodeChallenge::of_verifier(VERIFIER), CodeChallenge::parse(CHALLENGE));
    }

    // RFC 7636 §4.2 — N19
    #[test]
    fn a_challenge_of_another_length_or_alphabet_is_refused() {
        for bad in ["", &CHALLENGE[1..], &format!("{CHALLENGE}A"), &CHALLENGE.replace('-', "+")] {
            assert_eq!(CodeChallenge::parse(bad), Err(Misshapen), "{bad}");
        }
    }

    // RFC 7636 §4.1, §4.6 — N34
    #[test]
    fn a_verifier_of_another_shape_is_refused_and_the_challenge_is_no_verifier() {
        for bad in [&"a".repeat(42), &"a".repeat(129), &format!("{}!", "a".repeat(42))] {
            assert_eq!(CodeChallenge::of_verifier(bad), Err(Misshapen));
        }
        assert_ne!(CodeChallenge::of_verifier(CHALLENGE), CodeChallenge::parse(CHALLENGE));
    }
}
