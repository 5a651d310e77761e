//! Whether the claims of an authentic token give access here, and to whom (RFC 7519 §4.1, RFC 9068 §4).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::id::Issuer;
use crate::scope::{Scope, ScopeToken};
use crate::time::Timestamp;

use super::error::TokenError;
use super::issuer::IssuerSettings;
use super::principal::Verified;
use super::{dates, entra, json};

pub(super) type Claims = Map<String, Value>;

/// What is known besides the claims.
pub(super) struct Circumstances {
    pub(super) issuer: Issuer,
    pub(super) token_name: Arc<str>,
    pub(super) now: Timestamp,
    /// Until when a token without `exp` counts as good; none where `exp` is required.
    pub(super) without_exp: Option<Timestamp>,
}

/// Decides on claims that are known to come from the issuer.
///
/// # Errors
///
/// - [`TokenError::WrongAudience`]: `aud` names none of the issuer's configured audiences
/// - [`TokenError::Expired`], [`TokenError::NotYetValid`]: `exp`, `nbf`, `iat`, with the issuer's skew
/// - [`TokenError::ClaimsInvalid`]: a claim of the wrong type or out of range, or a token that is bound to something that
///   we cannot check
pub(super) fn admit(
    settings: &IssuerSettings,
    claims: Claims,
    at: Circumstances,
) -> Result<Verified, TokenError> {
    let audiences = audiences(settings, &claims)?;
    let expires_at = dates::check(&claims, settings.skew, &at)?;
    let (key_thumbprint, certificate_thumbprint) = bound_to(&claims)?.into_pair();
    let subject = optional_text(&claims, "sub")?.map(str::parse).transpose();
    let client_id = client(&claims)?.map(str::parse).transpose();
    let (groups, groups_incomplete) = listed(&claims, "groups", "hasgroups");
    let (roles, roles_incomplete) = listed(&claims, "roles", "hasroles");
    Ok(Verified {
        issuer: at.issuer,
        subject: subject.map_err(|_| TokenError::ClaimsInvalid)?,
        client_id: client_id.map_err(|_| TokenError::ClaimsInvalid)?,
        scopes: scopes(&claims, &settings.scope_claims)?,
        groups,
        groups_incomplete,
        roles,
        roles_incomplete,
        key_thumbprint,
        certificate_thumbprint,
        entra: if settings.entra { Some(entra::identity(&claims)?) } else { None },
        claims: Arc::new(claims),
        token_name: at.token_name,
        expires_at,
        audiences,
    })
}

/// What a token is bound to.
#[derive(Debug, PartialEq, Eq)]
enum BoundTo {
    Nothing,
    /// RFC 9449 §6.1
    Key(Arc<str>),
    /// RFC 8705 §3.1
    Certificate(Arc<str>),
}

impl BoundTo {
    fn into_pair(self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        match self {
            Self::Nothing => (None, None),
            Self::Key(thumbprint) => (Some(thumbprint), None),
            Self::Certificate(thumbprint) => (None, Some(thumbprint)),
        }
    }
}

/// `cnf`, where it is the thumbprint of a key or of a certificate and nothing else: whoever calls this must have it proven,
/// or refuse the token. Of a token that is bound in two ways, one would go unproven.
fn bound_to(claims: &Claims) -> Result<BoundTo, TokenError> {
    let Some(cnf) = claims.get("cnf") else { return Ok(BoundTo::Nothing) };
    let is_digest = |text: &&str| {
        text.len() == 43
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let members = cnf.as_object().filter(|members| members.len() == 1);
    let member =
        |name: &str| members.and_then(|members| json::text(members, name)).filter(is_digest);
    match (member("jkt"), member("x5t#S256")) {
        (Some(jkt), _) => Ok(BoundTo::Key(Arc::from(jkt))),
        (None, Some(certificate)) => Ok(BoundTo::Certificate(Arc::from(certificate))),
        (None, None) => Err(TokenError::ClaimsInvalid),
    }
}

/// The name of an authentic token in logs: its `jti` where that is harmless, else the given one.
pub(super) fn token_name(claims: &Claims, hash_name: String) -> Arc<str> {
    let harmless = |jti: &&str| {
        (1..=64).contains(&jti.len())
            && jti
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
    };
    json::text(claims, "jti").filter(harmless).map_or_else(|| hash_name.into(), Into::into)
}

/// Those audiences of the token that are ours; never none (RFC 8707 §2, RFC 9068 §4).
fn audiences(settings: &IssuerSettings, claims: &Claims) -> Result<Vec<Arc<str>>, TokenError> {
    let (mut found, malformed) = texts(claims.get("aud"));
    if malformed {
        return Err(TokenError::ClaimsInvalid);
    }
    found.retain(|audience| {
        !audience.is_empty() && settings.audiences.iter().any(|ours| **ours == **audience)
    });
    if found.is_empty() { Err(TokenError::WrongAudience) } else { Ok(found) }
}

/// The client, by the first of the names issuers use.
pub(super) fn client(claims: &Claims) -> Result<Option<&str>, TokenError> {
    for name in ["client_id", "azp", "appid", "cid"] {
        if let Some(client) = optional_text(claims, name)? {
            return Ok(Some(client));
        }
    }
    Ok(None)
}

pub(super) fn optional_text<'a>(
    claims: &'a Claims,
    name: &str,
) -> Result<Option<&'a str>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::ClaimsInvalid),
    }
}

/// One text or a list of them; and whether there was something else.
pub(super) fn texts(value: Option<&Value>) -> (Vec<Arc<str>>, bool) {
    match value {
        None => (Vec::new(), false),
        Some(Value::String(text)) => (vec![text.as_str().into()], false),
        Some(Value::Array(items)) => {
            let found: Vec<Arc<str>> =
                items.iter().filter_map(Value::as_str).map(Arc::from).collect();
            let other = found.len() != items.len();
            (found, other)
        }
        Some(_) => (Vec::new(), true),
    }
}

/// The union of the named claims: texts split at spaces, lists item by item.
///
/// An item that is no scope token (a role named `Site Owner`) is left out: no rule can ask for it.
fn scopes(claims: &Claims, names: &[String]) -> Result<Scope, TokenError> {
    const MAX_SCOPES: usize = 256;
    let mut found = Vec::new();
    for value in names.iter().filter_map(|name| claims.get(name)) {
        let (items, malformed) = match value {
            Value::String(text) => (text.split(' ').map(Arc::from).collect(), false),
            _ => texts(Some(value)),
        };
        if malformed {
            return Err(TokenError::ClaimsInvalid);
        }
        found.extend(items.iter().filter_map(|item| item.parse::<ScopeToken>().ok()));
    }
    let scope: Scope = found.into_iter().collect();
    if scope.len() > MAX_SCOPES { Err(TokenError::ClaimsInvalid) } else { Ok(scope) }
}

/// `groups` or `roles`, and whether some are missing: Entra leaves groups out when there are many, and names a URL that we
/// never call. `marker` says that there are more than are named.
fn listed(claims: &Claims, name: &str, marker: &str) -> (Vec<Arc<str>>, bool) {
    let (names, malformed) = texts(claims.get(name));
    let elsewhere = claims.get("_claim_names").is_some_and(|names| names.get(name).is_some());
    let too_many = claims.get(marker).is_some_and(|value| value != &Value::Bool(false));
    let incomplete = malformed || elsewhere || too_many;
    (if incomplete { Vec::new() } else { names }, incomplete)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource_server::issuer::KeySource;

    pub(in crate::resource_server) const NOW: i64 = 1_795_000_000;
    const US: &str = "https://b.example/mcp";

    pub(in crate::resource_server) fn settings() -> IssuerSettings {
        let url = "https://idp.example/jwks".parse().unwrap();
        let issuer = "https://idp.example".parse().unwrap();
        let mut settings =
            IssuerSettings::new(issuer, vec![US.to_owned()], KeySource::Jwks { url });
        settings.token_types = vec!["at+jwt".to_owned(), "jwt".to_owned()];
        settings
    }

    pub(in crate::resource_server) fn object(value: Value) -> Claims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    /// Good claims with some replaced; `null` removes one.
    pub(in crate::resource_server) fn claims(changes: Value) -> Claims {
        let mut claims = object(json!({
            "iss": "https://idp.example", "aud": US, "exp": NOW + 60, "sub": "ada",
            "client_id": "c1", "scope": "a b",
        }));
        for (name, value) in object(changes) {
            if value.is_null() {
                claims.remove(&name)
            } else {
                claims.insert(name, value)
            };
        }
        claims
    }

    pub(in crate::resource_server) fn admitted_by(
        settings: &IssuerSettings,
        changes: Value,
    ) -> Result<Verified, TokenError> {
        let at = Circumstances {
            issuer: settings.issuer.clone(),
            token_name: "t".into(),
            now: Timestamp::from_unix_seconds(NOW),
            without_exp: None,
        };
        admit(settings, claims(changes), at)
    }

    pub(in crate::resource_server) fn refused(changes: Value) -> Option<TokenError> {
        admitted_by(&settings(), changes).err()
    }

    // RS-9, N64
    #[test]
    fn a_token_that_does_not_name_us_is_refused() {
        for aud in [
            json!("https://b.example"),
            json!("https://b.example/mcp/"),
            json!("HTTPS://b.example/mcp"),
            json!([]),
            json!(""),
            json!(["x", ""]),
        ] {
            assert_eq!(
                refused(json!({"aud": aud.clone()})),
                Some(TokenError::WrongAudience),
                "{aud}"
            );
        }
        assert_eq!(refused(json!({"aud": 7})), Some(TokenError::ClaimsInvalid));
        assert_eq!(refused(json!({"aud": [US, 7]})), Some(TokenError::ClaimsInvalid));
        let mut without = claims(json!({}));
        without.remove("aud");
        assert_eq!(audiences(&settings(), &without), Err(TokenError::WrongAudience));
        assert_eq!(refused(json!({"aud": ["x", US]})), None);
    }

    #[test]
    fn scope_claims_are_united_whatever_their_form() {
        let all = json!({"scope": "b  a", "scp": ["c", "Site Owner"], "scopes": ["d"], "mcp_tool_scopes": "e", "roles": ["r"]});
        let verified = admitted_by(&settings(), all).ok().unwrap();
        assert_eq!(verified.scopes.to_string(), "a b c d e");
        assert_eq!(refused(json!({"scp": {"a": true}})), Some(TokenError::ClaimsInvalid));
        assert_eq!(refused(json!({"scp": ["a", 7]})), Some(TokenError::ClaimsInvalid));
    }

    #[test]
    fn a_token_bound_to_a_key_is_not_a_bearer_token() {
        assert_eq!(refused(json!({"cnf": {"jkt": "x"}})), Some(TokenError::ClaimsInvalid));
    }

    // RFC 8705 §3.1, RFC 7800 §3.1
    #[test]
    fn what_a_token_is_bound_to_is_one_thing_that_can_be_proven() {
        let digest = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let bound = |cnf: Value| bound_to(&object(json!({ "cnf": cnf })));
        assert_eq!(bound(json!({"x5t#S256": digest})), Ok(BoundTo::Certificate(digest.into())));
        assert_eq!(bound(json!({"jkt": digest})), Ok(BoundTo::Key(digest.into())));
        for other in [
            json!({"x5t#S256": digest, "jkt": digest}),
            json!({"x5t#S256": digest, "kid": "a"}),
            json!({"x5t#S256": "short"}),
            json!({"x5t": digest}),
            json!({}),
            json!(null),
        ] {
            assert_eq!(bound(other.clone()), Err(TokenError::ClaimsInvalid), "{other}");
        }
    }

    #[test]
    fn a_client_may_act_without_a_user() {
        let changes = json!({"sub": null, "client_id": null, "azp": "c2"});
        let verified = admitted_by(&settings(), changes).ok().unwrap();
        assert_eq!(verified.subject, None);
        assert_eq!(verified.client_id, Some("c2".parse().unwrap()));
        for bad in [
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"client_id": ["c"]}),
            json!({"sub": "a\nb"}),
        ] {
            assert_eq!(refused(bad.clone()), Some(TokenError::ClaimsInvalid), "{bad}");
        }
    }

    #[test]
    fn missing_groups_and_roles_are_said_to_be_missing() {
        let groups = |changes| {
            let verified = admitted_by(&settings(), changes).ok().unwrap();
            (verified.groups.len(), verified.groups_incomplete)
        };
        let roles = |changes| {
            let verified = admitted_by(&settings(), changes).ok().unwrap();
            (verified.roles.len(), verified.roles_incomplete)
        };
        assert_eq!(roles(json!({"roles": ["a", "b"], "hasgroups": true})), (2, false));
        assert_eq!(roles(json!({"roles": ["a", 1]})), (0, true));
        assert_eq!(roles(json!({"hasroles": true, "roles": ["a"]})), (0, true));
        assert_eq!(groups(json!({"hasroles": true, "groups": ["a"]})), (1, false));
        assert_eq!(groups(json!({"groups": ["a", "b"]})), (2, false));
        assert_eq!(groups(json!({})), (0, false));
        assert_eq!(groups(json!({"_claim_names": {"groups": "src1"}})), (0, true));
        assert_eq!(groups(json!({"hasgroups": true, "groups": ["a"]})), (0, true));
    }

    // RS-14
    #[test]
    fn only_a_harmless_jti_names_a_token() {
        let name = |jti: &str| token_name(&claims(json!({ "jti": jti })), "0a1b2c3d".to_owned());
        assert_eq!(name("7f-3.x_Y:1").as_ref(), "7f-3.x_Y:1");
        for bad in ["", "a b", "a\nb", "ä", &"a".repeat(65), "eyJ/=="] {
            assert_eq!(name(bad).as_ref(), "0a1b2c3d", "{bad}");
        }
    }
}
