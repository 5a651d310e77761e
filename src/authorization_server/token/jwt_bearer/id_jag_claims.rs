//! What an ID-JAG must say once its signature is good (MCP Enterprise-Managed Authorization §5.1).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::authorization_server::dpop::is_thumbprint;
use crate::scope::Scope;
use crate::time::Timestamp;

use super::seconds::{Life, SKEW, date};
use super::{ID_JAG_TYPE, MAX_JTI};

/// The longest that one may live.
const MAX_LIFE: Duration = Duration::from_mins(5);

/// What it is compared with.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// `iss` of whoever signed it.
    pub(super) issuer: &'a str,
    /// Our own issuer.
    pub(super) audience: &'a str,
    /// The client that brings it, authenticated.
    pub(super) client_id: &'a str,
    /// The key that it has just proven to hold.
    pub(super) key: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// What of it counts. Who the person is is read by whoever knows the provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IdJag {
    pub(super) jti: String,
    pub(super) life: Life,
    /// The server that its token is to be for; `None` where the provider does not say.
    pub(super) resource: Option<String>,
    /// The most that the provider allows; `None` where it does not say.
    pub(super) scope: Option<Scope>,
    /// When the person logged in there.
    pub(super) auth_time: Option<Timestamp>,
}

impl Expected<'_> {
    /// # Errors
    ///
    /// The rule that is broken, by the name of its claim: for our log, never for an answer.
    pub(super) fn check(
        &self,
        typ: &str,
        claims: &Map<String, Value>,
    ) -> Result<IdJag, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if typ != ID_JAG_TYPE {
            return Err("typ");
        }
        if text("iss") != Some(self.issuer) {
            return Err("iss");
        }
        let aud = claims.get("aud").and_then(sole).ok_or("aud")?;
        // Issuers with and without the last slash are one server, and this one writes its own without.
        if aud.strip_suffix('/').unwrap_or(aud) != self.audience {
            return Err("aud");
        }
        if text("client_id") != Some(self.client_id) {
            return Err("client_id");
        }
        let jti = text("jti").filter(|jti| (1..=MAX_JTI).contains(&jti.len())).ok_or("jti")?;
        let life = Life::read(claims, self.now, MAX_LIFE)?;
        let auth_time = date(claims, "auth_time").ok_or("auth_time")?;
        if auth_time.is_some_and(|at| at > self.now.plus(SKEW)) {
            return Err("auth_time");
        }
        self.check_key(claims)?;
        // Limits that nobody here would keep to.
        if claims.contains_key("authorization_details") {
            return Err("authorization_details");
        }
        Ok(IdJag {
            jti: jti.to_owned(),
            life,
            resource: resource(claims)?,
            scope: scope(claims)?,
            auth_time,
        })
    }

    /// RFC 7800 §3.1: bound to a key of the client, and in no other way.
    fn check_key(&self, claims: &Map<String, Value>) -> Result<(), &'static str> {
        let Some(confirmation) = claims.get("cnf") else { return Ok(()) };
        let members = confirmation.as_object().filter(|members| members.len() == 1);
        let jkt = members.and_then(|members| members.get("jkt")?.as_str());
        let jkt = jkt.filter(|jkt| is_thumbprint(jkt)).ok_or("cnf")?;
        if self.key == Some(jkt) { Ok(()) } else { Err("cnf") }
    }
}

/// A text, or a list of exactly one.
pub(super) fn sole(value: &Value) -> Option<&str> {
    match value {
        Value::Array(all) => match all.as_slice() {
            [one] => one.as_str(),
            _ => None,
        },
        one => one.as_str(),
    }
}

fn resource(claims: &Map<String, Value>) -> Result<Option<String>, &'static str> {
    let Some(named) = claims.get("resource") else { return Ok(None) };
    sole(named).map(|one| Some(one.to_owned())).ok_or("resource")
}

fn scope(claims: &Map<String, Value>) -> Result<Option<Scope>, &'static str> {
    match claims.get("scope") {
        None => Ok(None),
        Some(scope) => {
            let text = scope.as_str().ok_or("scope")?;
            text.parse().map(Some).map_err(|_| "scope")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn good() -> Value {
        json!({
            "iss": "https://idp.example", "aud": "https://broker.example", "sub": "ada",
            "client_id": "agent", "jti": "j1", "iat": NOW, "exp": NOW + 300,
            "resource": "https://broker.example/mcp", "scope": "graph:read mail:read",
        })
    }

    fn checked(typ: &str, claims: &Value, key: Option<&str>) -> Result<IdJag, &'static str> {
        let expected = Expected {
            issuer: "https://idp.example",
            audience: "https://broker.example",
            client_id: "agent",
            key,
            now: Timestamp::from_unix_seconds(NOW),
        };
        expected.check(typ, claims.as_object().unwrap())
    }

    fn outcome(name: &str, value: Value) -> Result<(), &'static str> {
        let mut claims = good();
        claims[name] = value;
        checked(ID_JAG_TYPE, &claims, None).map(drop)
    }

    // MCP Enterprise-Managed Authorization §4.3, RFC 7523 §3 — N86
    #[test]
    fn every_claim_that_is_wrong_is_refused() {
        for (name, wrong) in [
            ("iss", json!("https://idp.example/")),
            ("iss", json!(["https://idp.example"])),
            ("aud", json!("https://broker.example/token")),
            ("aud", json!("https://broker.example//")),
            ("aud", json!(["https://broker.example", "https://other.example"])),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("client_id", json!("other")),
            ("client_id", Value::Null),
            ("jti", json!("")),
            ("jti", json!("j".repeat(257))),
            ("jti", json!(7)),
            ("exp", json!(NOW + 301)),
            ("iat", json!(NOW + 61)),
            ("resource", Value::Null),
            ("resource", json!(["https://broker.example/mcp", "https://b.example/mcp"])),
            ("scope", json!(["graph:read"])),
            ("scope", json!("a\"b")),
            ("auth_time", json!(NOW + 61)),
            ("auth_time", json!("today")),
            ("cnf", json!({ "x5t#S256": KEY })),
            ("authorization_details", json!([])),
        ] {
            assert_eq!(outcome(name, wrong.clone()), Err(name), "{wrong}");
        }
        for typ in ["", "jwt", "at+jwt", "id-jag+jwt"] {
            assert_eq!(checked(typ, &good(), None), Err("typ"), "{typ}");
        }
    }

    // MCP Enterprise-Managed Authorization §4.3 — N86
    #[test]
    fn both_spellings_of_our_issuer_are_ours_alone_or_as_a_list_of_one() {
        for fine in [json!("https://broker.example/"), json!(["https://broker.example"])] {
            assert_eq!(outcome("aud", fine.clone()), Ok(()), "{fine}");
        }
        let mut unsaid = good();
        unsaid.as_object_mut().unwrap().remove("resource");
        assert_eq!(checked(ID_JAG_TYPE, &unsaid, None).unwrap().resource, None);
        let read = checked(ID_JAG_TYPE, &good(), None).unwrap();
        assert_eq!(read.resource.as_deref(), Some("https://broker.example/mcp"));
        assert_eq!(read.scope, Some("graph:read mail:read".parse().unwrap()));
        assert_eq!(read.life.until(), Timestamp::from_unix_seconds(NOW + 360));
    }

    // RFC 7800 §3.1, RFC 9449 §6.1 — N86
    #[test]
    fn one_that_is_bound_to_a_key_is_worth_something_with_that_key_alone() {
        let mut bound = good();
        bound["cnf"] = json!({ "jkt": KEY });
        let other = "1ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert!(checked(ID_JAG_TYPE, &bound, Some(KEY)).is_ok());
        assert_eq!(checked(ID_JAG_TYPE, &bound, Some(other)), Err("cnf"));
        assert_eq!(checked(ID_JAG_TYPE, &bound, None), Err("cnf"));
        bound["cnf"] = json!({ "jkt": KEY, "x5t#S256": KEY });
        assert_eq!(checked(ID_JAG_TYPE, &bound, Some(KEY)), Err("cnf"));
        assert!(checked(ID_JAG_TYPE, &good(), Some(KEY)).is_ok(), "a key more is no harm");
    }
}
