//! What a logout token of a provider must say (OIDC Back-Channel Logout §2.6) once its signature is good.

use serde_json::{Map, Value};

use crate::authorization_server::logout::EVENT;
use crate::resource_server::SignedJwt;
use crate::store::LogoutToken;
use crate::time::Timestamp;

use super::UpstreamError;
use super::claims::session_id;
use super::id_token::SKEW_SECONDS;
use super::settings::IdentityProviderSettings;

/// How old one may be that does not say when it ends, as those of older providers do not.
const LIVES: i64 = 600;
/// None is remembered for longer.
const MOST: i64 = 86_400;

/// Which log-ins it ends.
///
/// # Errors
///
/// [`UpstreamError::LogoutToken`] saying which rule was broken
pub(super) fn check(
    settings: &IdentityProviderSettings,
    token: SignedJwt,
    now: Timestamp,
) -> Result<LogoutToken, UpstreamError> {
    let SignedJwt { typ, claims, .. } = token;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let wrong = |rule| Err(UpstreamError::LogoutToken(rule));
    // An ID token is none, nor is an access token (RFC 8725 §3.11); not every provider says `logout+jwt`.
    if !matches!(typ.as_str(), "" | "jwt" | "logout+jwt") {
        return wrong("typ");
    }
    if text("iss") != Some(settings.issuer.as_str()) {
        return wrong("iss");
    }
    if !is_for(&claims, settings.client_id.as_str()) {
        return wrong("aud");
    }
    if claims.contains_key("nonce") {
        return wrong("nonce");
    }
    if claims
        .get("events")
        .and_then(|events| events.get(EVENT))
        .is_none_or(|event| !event.is_object())
    {
        return wrong("events");
    }
    let jti = text("jti").filter(|jti| (1..=512).contains(&jti.len()));
    let Some(jti) = jti else { return wrong("jti") };
    let remember_until = dates(&claims, now.unix_seconds())?;
    let subject = claims.get(&settings.claims.subject).and_then(Value::as_str);
    let sid = claims.get("sid").map(|sid| sid.as_str().and_then(session_id));
    if subject.is_none() && sid.is_none() {
        return wrong("sub");
    }
    // One that cannot be read must not be taken for none.
    let sid = match sid {
        Some(None) => return wrong("sid"),
        sid => sid.flatten(),
    };
    Ok(LogoutToken {
        issuer: settings.issuer.clone(),
        subject: subject.map(str::to_owned),
        sid,
        jti: jti.to_owned(),
        remember_until,
    })
}

/// Until when it could come again.
fn dates(claims: &Map<String, Value>, now: i64) -> Result<Timestamp, UpstreamError> {
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let iat = seconds("iat").filter(|iat| *iat <= now.saturating_add(SKEW_SECONDS));
    let iat = iat.ok_or(UpstreamError::LogoutToken("iat"))?;
    let exp = match claims.get("exp") {
        None => iat.saturating_add(LIVES),
        Some(_) => seconds("exp").ok_or(UpstreamError::LogoutToken("exp"))?,
    };
    if exp <= now.saturating_sub(SKEW_SECONDS) || exp > now.saturating_add(MOST) {
        return Err(UpstreamError::LogoutToken("exp"));
    }
    Ok(Timestamp::from_unix_seconds(exp.saturating_add(2 * SKEW_SECONDS)))
}

/// As in an ID token (OIDC Core §3.1.3.7): we are in it.
fn is_for(claims: &Map<String, Value>, client_id: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == client_id,
        Some(Value::Array(many)) => many.iter().any(|one| one == client_id),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::resource_server::Algorithm;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn outcome(typ: &str, change: impl FnOnce(&mut Value)) -> Result<LogoutToken, String> {
        let mut claims = json!({
            "iss": "https://idp.example", "aud": "broker", "sub": "1", "sid": "s", "jti": "j",
            "exp": NOW + 120, "iat": NOW, "events": { EVENT: {} },
        });
        change(&mut claims);
        let settings = IdentityProviderSettings::of("https://idp.example");
        let claims = claims.as_object().unwrap().clone();
        let token = SignedJwt { typ: typ.to_owned(), algorithm: Algorithm::ES256, claims };
        match check(&settings, token, Timestamp::from_unix_seconds(NOW)) {
            Err(UpstreamError::LogoutToken(rule)) => Err(rule.to_owned()),
            other => Ok(other.unwrap()),
        }
    }

    // OIDC Back-Channel Logout §2.6
    #[test]
    fn every_rule_of_a_logout_token_is_enforced() {
        for (name, value) in [
            ("iss", json!("https://evil.example")),
            ("aud", json!("them")),
            ("aud", json!(["them"])),
            ("nonce", json!("n")),
            ("nonce", Value::Null),
            ("events", json!({})),
            ("events", json!({ EVENT: "x" })),
            ("events", json!([EVENT])),
            ("jti", json!("")),
            ("jti", json!(7)),
            ("iat", json!(NOW + 61)),
            ("iat", Value::Null),
            ("exp", json!(NOW - 60)),
            ("exp", json!("9999999999")),
            ("exp", json!(NOW + 86_401)),
            ("sid", json!(7)),
            ("sid", json!("")),
        ] {
            let shown = format!("{name} {value}");
            let broken = outcome("logout+jwt", |claims| claims[name] = value);
            assert_eq!(broken.unwrap_err(), name, "{shown}");
        }
    }

    // OIDC Back-Channel Logout §2.4
    #[test]
    fn it_names_a_session_or_a_person_or_both() {
        let both = outcome("jwt", |_| {}).unwrap();
        assert_eq!((both.subject.as_deref(), both.sid.as_deref()), (Some("1"), Some("s")));
        let without = |name: &'static str| {
            outcome("", move |claims| drop(claims.as_object_mut().unwrap().remove(name)))
        };
        assert_eq!(without("sub").unwrap().subject, None);
        assert_eq!(without("sid").unwrap().sid, None);
        let neither = outcome("", |claims| {
            claims.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "sid");
        });
        assert_eq!(neither.unwrap_err(), "sub");
    }

    // RFC 8725 §3.11
    #[test]
    fn no_other_token_of_the_provider_is_one() {
        assert_eq!(outcome("at+jwt", |_| {}).unwrap_err(), "typ");
        assert_eq!(outcome("secevent+jwt", |_| {}).unwrap_err(), "typ");
    }

    #[test]
    fn it_is_remembered_for_as_long_as_it_could_come_again() {
        let until = |change: fn(&mut Value)| outcome("", change).unwrap().remember_until;
        assert_eq!(until(|_| {}).unix_seconds(), NOW + 240);
        let old = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("exp"));
        assert_eq!(until(old).unix_seconds(), NOW + 720);
        let stale = outcome("", |claims| {
            old(claims);
            claims["iat"] = json!(NOW - 661);
        });
        assert_eq!(stale.unwrap_err(), "exp");
    }
}
