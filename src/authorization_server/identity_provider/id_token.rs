//! What an ID token must say (OIDC Core §3.1.3.7) once its signature is good.

use serde_json::{Map, Value};

use crate::resource_server::SignedJwt;
use crate::time::Timestamp;

use super::UpstreamError;

/// How far two clocks may differ.
pub(super) const SKEW_SECONDS: i64 = 60;

/// What the token is compared with.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// `None`: nobody has logged in for it (OIDC Core §12.2).
    pub(super) nonce: Option<&'a str>,
    pub(super) now: Timestamp,
}

impl Expected<'_> {
    /// Gives the claims.
    ///
    /// Does *not* check `at_hash` (OIDC Core §3.1.3.8, optional): the access token came beside it from the token endpoint,
    /// and what userinfo says for it has to be about the same `sub`.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::IdToken`] saying which rule was broken
    pub(super) fn check(&self, token: SignedJwt) -> Result<Map<String, Value>, UpstreamError> {
        let SignedJwt { typ, claims, .. } = token;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // An access token or logout token of the same provider is none (RFC 8725 §3.11).
        if !matches!(typ.as_str(), "" | "jwt") {
            return Err(UpstreamError::IdToken("typ"));
        }
        if text("iss") != Some(self.issuer) {
            return Err(UpstreamError::IdToken("iss"));
        }
        self.check_audience(&claims)?;
        let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
        let now = self.now.unix_seconds();
        if seconds("exp").is_none_or(|exp| exp <= now.saturating_sub(SKEW_SECONDS)) {
            return Err(UpstreamError::IdToken("exp"));
        }
        if seconds("iat").is_none_or(|iat| iat > now.saturating_add(SKEW_SECONDS)) {
            return Err(UpstreamError::IdToken("iat"));
        }
        if claims.contains_key("nbf")
            && seconds("nbf").is_none_or(|nbf| nbf > now.saturating_add(SKEW_SECONDS))
        {
            return Err(UpstreamError::IdToken("nbf"));
        }
        if self.nonce.is_some_and(|nonce| text("nonce") != Some(nonce)) {
            return Err(UpstreamError::IdToken("nonce"));
        }
        Ok(claims)
    }

    /// We are in `aud`, nobody else is without `azp`, and `azp`, where it is, is us.
    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), UpstreamError> {
        let alone = match claims.get("aud") {
            Some(Value::String(one)) if one == self.client_id => true,
            Some(Value::Array(many)) if many.iter().any(|one| one == self.client_id) => {
                many.len() == 1
            }
            _ => return Err(UpstreamError::IdToken("aud")),
        };
        match claims.get("azp") {
            None if alone => Ok(()),
            Some(Value::String(azp)) if azp == self.client_id => Ok(()),
            _ => Err(UpstreamError::IdToken("azp")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::resource_server::Algorithm;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn outcome(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        outcome_of("jwt", change)
    }

    fn outcome_of(typ: &str, change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut claims = json!({
            "iss": "https://idp.example", "aud": "us", "sub": "1", "nonce": "n", "exp": NOW + 300, "iat": NOW,
        });
        change(&mut claims);
        let claims = claims.as_object().unwrap().clone();
        let token = SignedJwt { typ: typ.to_owned(), algorithm: Algorithm::ES256, claims };
        let now = Timestamp::from_unix_seconds(NOW);
        let expected =
            Expected { issuer: "https://idp.example", client_id: "us", nonce: Some("n"), now };
        match expected.check(token) {
            Ok(_) => Ok(()),
            Err(UpstreamError::IdToken(rule)) => Err(rule.to_owned()),
            Err(other) => Err(other.to_string()),
        }
    }

    // N109
    #[test]
    fn every_rule_of_openid_connect_core_3_1_3_7_is_enforced() {
        assert_eq!(outcome(|_| {}), Ok(()));
        let wrong = [
            ("iss", json!("https://idp.example/")),
            ("iss", json!("https://evil.example")),
            ("aud", json!("them")),
            ("aud", json!([])),
            ("aud", json!(["them"])),
            ("azp", json!("them")),
            ("azp", json!(7)),
            ("exp", json!(NOW - 61)),
            ("exp", json!("9999999999")),
            ("iat", json!(NOW + 61)),
            ("iat", Value::Null),
            ("nbf", json!(NOW + 61)),
            ("nonce", json!("other")),
            ("nonce", Value::Null),
        ];
        for (name, value) in wrong {
            let shown = value.to_string();
            assert_eq!(
                outcome(|claims| claims[name] = value),
                Err(name.to_owned()),
                "{name} {shown}"
            );
        }
    }

    // N109
    #[test]
    fn a_token_for_several_must_name_us_as_the_authorized_party() {
        assert_eq!(outcome(|claims| claims["aud"] = json!(["us", "them"])), Err("azp".to_owned()));
        let named = |claims: &mut Value| {
            claims["aud"] = json!(["us", "them"]);
            claims["azp"] = json!("us");
        };
        assert_eq!(outcome(named), Ok(()));
    }

    // N66
    #[test]
    fn an_access_token_is_no_id_token() {
        assert_eq!(outcome_of("at+jwt", |_| {}), Err("typ".to_owned()));
        assert_eq!(outcome_of("logout+jwt", |_| {}), Err("typ".to_owned()));
        assert_eq!(outcome_of("", |_| {}), Ok(()));
    }
}
