//! The JWT that a platform gives to a workload (MCP workload identity federation, SEP-1933): it stands for a client of the
//! settings, which has neither secret nor key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use serde_json::{Map, Value};

use crate::audit::{AuditEvent, GrantType};
use crate::authorization_server::client::{Client, from_settings};
use crate::authorization_server::error::OAuthError::{self, InvalidAssertion};
use crate::authorization_server::posted::Posted;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::settings::WorkloadRules;
use crate::resource_server::JwtHint;
use crate::time::Timestamp;

use super::id_jag_claims::sole;
use super::issuers::Keys;
use super::seconds::Life;
use super::{ID_JAG_TYPE, MAX_JTI, NAME, Once};
use crate::authorization_server::token::client_credentials::of_its_own;
use crate::authorization_server::token::exchange::{Exchange, Granted, Refused};
use crate::authorization_server::token::resource;

/// The longest that one may live: platforms give them for up to a day.
const MAX_LIFE: Duration = Duration::from_hours(24);

/// The assertion of a request that names no client and has no other credential: then the assertion says who asks. An ID-JAG
/// never does.
pub(in crate::authorization_server::token) fn asks<'a>(
    server: &AuthorizationServer,
    posted: &'a Posted,
) -> Option<&'a str> {
    let form = &posted.form;
    let named = ["client_id", "client_secret", "client_assertion"];
    let bare = !posted.headers.contains_key(header::AUTHORIZATION)
        && named.iter().all(|name| form.get(name).is_none());
    if !bare || form.get("grant_type") != Some(NAME) || !server.settings.has_workloads() {
        return None;
    }
    let assertion = form.get("assertion")?;
    let is_id_jag = JwtHint::read(assertion).is_some_and(|hint| hint.typ == ID_JAG_TYPE);
    (!is_id_jag).then_some(assertion)
}

/// The client that a workload is: the first of the settings whose rules its JWT meets, all of them.
///
/// # Errors
///
/// - [`OAuthError::InvalidAssertion`]: of nobody in the settings, for somebody else, late, or of a workload that no rule names
/// - [`OAuthError::Unavailable`] while the issuer's keys cannot be had
pub(in crate::authorization_server::token) async fn find(
    server: &AuthorizationServer,
    unverified: &str,
) -> Result<(Client, Once), OAuthError> {
    let hint = JwtHint::read(unverified).ok_or(InvalidAssertion("form: it is no JWT"))?;
    let (issuer, now) = (hint.issuer, server.clock.now());
    let token_endpoint = server.url("/token");
    let mut verified: Option<(&Keys, Map<String, Value>)> = None;
    // Of the last of several: the others are in the broker's own log.
    let mut refused = "iss: nobody who is trusted here";
    for (client_id, rules, keys) in server.assertions.of_workloads(&issuer) {
        // Rules of one issuer share its keys, as a rule: then one signature is checked once.
        if !verified.as_ref().is_some_and(|(with, _)| with.is(keys)) {
            let (typ, claims) = match keys.verify(unverified).await {
                Ok(signed) => signed,
                // Another client may name other keys of that issuer, or other algorithms.
                Err(InvalidAssertion(rule)) => {
                    refused = rule;
                    continue;
                }
                Err(away) => return Err(away),
            };
            // An access token or ID-JAG of the same issuer is none (RFC 8725 §3.11).
            if !matches!(typ.as_str(), "" | "jwt") {
                return Err(InvalidAssertion("typ"));
            }
            verified = Some((keys, claims));
        }
        let Some((_, claims)) = &verified else { continue };
        let audience = rules.audience.as_deref().unwrap_or(&token_endpoint);
        match once(rules, claims, (audience, now)) {
            Ok(once) => {
                let place = server.clients.configured(client_id);
                let known = place.and_then(|place| server.settings.clients.get(place));
                let known = known.ok_or(InvalidAssertion("client"))?;
                return Ok((from_settings(known).await?, once));
            }
            Err(rule) => {
                tracing::info!(client = client_id.as_str(), rule, "workload.refused");
                refused = rule;
            }
        }
    }
    Err(InvalidAssertion(refused))
}

/// # Errors
///
/// The claim that does not fit.
fn once(
    rules: &WorkloadRules,
    claims: &Map<String, Value>,
    (audience, now): (&str, Timestamp),
) -> Result<Once, &'static str> {
    let issuer = rules.from.issuer.as_str();
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err("iss");
    }
    if claims.get("aud").and_then(sole) != Some(audience) {
        return Err("aud");
    }
    let life = Life::read(claims, now, MAX_LIFE)?;
    if !meets(claims, &rules.claims) {
        return Err("claims");
    }
    let jti = claims.get("jti").and_then(Value::as_str);
    let jti = jti.filter(|jti| (1..=MAX_JTI).contains(&jti.len()));
    if rules.single_use && jti.is_none() {
        return Err("jti");
    }
    // One of the values that the settings list: nothing else is said of it.
    let subject = claims.get("sub").and_then(Value::as_str);
    let subject = subject.filter(|_| rules.claims.contains_key("sub"));
    Ok(Once {
        issuer: issuer.to_owned(),
        name: jti.map(str::to_owned),
        again: !rules.single_use,
        workload: subject.map(Arc::from),
        until: life.until(),
    })
}

/// Each claim is one of its values, whole: nothing is a pattern, and a list is no value.
fn meets(claims: &Map<String, Value>, rules: &BTreeMap<String, Vec<String>>) -> bool {
    let whole = Value::Object(claims.clone());
    let found =
        |name: &str| if name.starts_with('/') { whole.pointer(name) } else { claims.get(name) };
    !rules.is_empty()
        && rules.iter().all(|(name, accepted)| match found(name) {
            Some(Value::String(text)) => accepted.contains(text),
            Some(Value::Number(number)) => accepted.contains(&number.to_string()),
            Some(Value::Bool(flag)) => accepted.contains(&flag.to_string()),
            _ => false,
        })
}

/// The client acts for itself, as with `client_credentials`.
///
/// # Errors
///
/// As [`super::exchange`].
pub(super) async fn exchange(exchange: &Exchange<'_>, once: &Once) -> Result<Granted, Refused> {
    let target = resource::requested(exchange.server, exchange.form).await?;
    let (issued, scope) = of_its_own(exchange, &target).await?;
    once.spend(exchange.server).await?;
    let event = AuditEvent::TokenIssue {
        grant_type: GrantType::JwtBearer,
        token: issued.token,
        grant_id: None,
        resource: target.uri,
        scopes: scope,
        subject_token: once.name(),
        workload_subject: once.workload.clone(),
    };
    Ok(Granted { body: issued.body, subject: issued.subject, event, used_up: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::authorization_server::settings::AssertionIssuer;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const TOKEN: &str = "https://broker.example/token";

    fn outcome(claims: &Value, rules: &Value, single_use: bool) -> Result<(), &'static str> {
        let from = AssertionIssuer {
            issuer: "https://ci.example".parse().unwrap(),
            jwks_uri: None,
            algorithms: Vec::new(),
        };
        let claims_of = serde_json::from_value(rules.clone()).unwrap();
        let rules = WorkloadRules { from, audience: None, claims: claims_of, single_use };
        let now = Timestamp::from_unix_seconds(NOW);
        once(&rules, claims.as_object().unwrap(), (TOKEN, now)).map(drop)
    }

    fn github() -> Value {
        json!({
            "iss": "https://ci.example", "aud": TOKEN, "iat": NOW, "exp": NOW + 300, "jti": "j",
            "sub": "repo:contoso/app:ref:refs/heads/main", "run_attempt": 1, "ok": true,
            "kubernetes.io": { "namespace": "prod", "pod": { "name": "p-1" } },
            "groups": ["repo:contoso/app:ref:refs/heads/main"],
        })
    }

    // MCP workload identity federation, claim rules — N86
    #[test]
    fn a_rule_is_met_by_the_whole_value_and_nothing_like_it() {
        let sub = "repo:contoso/app:ref:refs/heads/main";
        let one = |name: &str, value: &str| outcome(&github(), &json!({ name: [value] }), true);
        for (name, value) in [
            ("sub", sub),
            ("run_attempt", "1"),
            ("ok", "true"),
            ("/kubernetes.io/namespace", "prod"),
            ("/kubernetes.io/pod/name", "p-1"),
        ] {
            assert_eq!(one(name, value), Ok(()), "{name}");
        }
        for (name, value) in [
            ("sub", "repo:contoso/app:*"),
            ("sub", "repo:contoso/app:ref:refs/heads/mai"),
            ("sub", "REPO:contoso/app:ref:refs/heads/main"),
            ("sub", ""),
            ("absent", ""),
            ("groups", sub),
            ("kubernetes.io", "prod"),
            ("/kubernetes.io", "prod"),
        ] {
            assert_eq!(one(name, value), Err("claims"), "{name} {value}");
        }
        let both = json!({ "sub": [sub, "other"], "run_attempt": ["2"] });
        assert_eq!(outcome(&github(), &both, true), Err("claims"), "all of them");
        assert_eq!(outcome(&github(), &json!({}), true), Err("claims"), "no rule lets nobody in");
    }

    // RFC 7523 §3, MCP workload identity federation — N86
    #[test]
    fn it_is_for_the_token_endpoint_alone_and_counts_once_unless_an_operator_says_otherwise() {
        let rules = json!({ "sub": ["repo:contoso/app:ref:refs/heads/main"] });
        let with = |name: &str, value: Value, single_use: bool| {
            let mut claims = github();
            claims[name] = value;
            outcome(&claims, &rules, single_use)
        };
        for aud in [json!("https://broker.example"), json!([TOKEN, "x"]), json!([]), json!(null)] {
            assert_eq!(with("aud", aud.clone(), true), Err("aud"), "{aud}");
        }
        assert_eq!(with("aud", json!([TOKEN]), true), Ok(()));
        assert_eq!(with("iss", json!("https://ci.example/"), true), Err("iss"));
        assert_eq!(with("jti", Value::Null, true), Err("jti"));
        assert_eq!(with("jti", Value::Null, false), Ok(()));
        assert_eq!(with("exp", json!(NOW + 86_401), true), Err("exp"));
    }
}
