//! Whether the claims of an authentic token give access here, and to whom (RFC 7519 §4.1, RFC 9068 §4).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::id::{Issuer, TenantId};
use crate::scope::{Scope, ScopeToken};
use crate::time::Timestamp;

use super::error::TokenError;
use super::issuer::{IssuerSettings, is_guid};
use super::json;
use super::principal::{EntraIdentity, EntraObject, Verified};

type Claims = Map<String, Value>;

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
/// - [`TokenError::ClaimsInvalid`]: a claim of the wrong type or out of range, or a token bound to a key (`cnf`), which
///   is not a bearer token (RFC 9449 §7.1, RFC 8705 §3)
pub(super) fn admit(
    settings: &IssuerSettings,
    claims: Claims,
    at: Circumstances,
) -> Result<Verified, TokenError> {
    let audiences = audiences(settings, &claims)?;
    let expires_at = dates(&claims, settings.skew, &at)?;
    if claims.contains_key("cnf") {
        return Err(TokenError::ClaimsInvalid);
    }
    let subject = optional_text(&claims, "sub")?.map(str::parse).transpose();
    let client_id = client(&claims)?.map(str::parse).transpose();
    let (groups, groups_incomplete) = groups(&claims);
    Ok(Verified {
        issuer: at.issuer,
        subject: subject.map_err(|_| TokenError::ClaimsInvalid)?,
        client_id: client_id.map_err(|_| TokenError::ClaimsInvalid)?,
        scopes: scopes(&claims, &settings.scope_claims)?,
        groups,
        groups_incomplete,
        roles: texts(claims.get("roles")).0,
        entra: if settings.entra { Some(entra(&claims)?) } else { None },
        claims: Arc::new(claims),
        token_name: at.token_name,
        expires_at,
        audiences,
    })
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

/// Refuses what is not an access token (RFC 9068 §4, RFC 8725 §3.11): the `typ` must be configured, and where `typ` does
/// not tell (`JWT` or none) the claims must not be an ID token's:
///
/// - `nonce`, `at_hash`, `c_hash` or `s_hash` are only in ID tokens (`OpenID` Connect Core §2, §3.3.2.11), as is a claim
///   `typ` of `ID` (Keycloak) or `token_use` of `id` (Cognito); a claim `typ` of `Refresh` or `Offline` is refused too
/// - without any delegated scope, a token that names no client, or only its client as audience, could be one
///
/// # Errors
///
/// [`TokenError::WrongType`]
pub(super) fn refuse_other_types(
    settings: &IssuerSettings,
    typ: &str,
    claims: &Claims,
) -> Result<(), TokenError> {
    const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];
    if !settings.token_types.iter().any(|allowed| allowed == typ) {
        return Err(TokenError::WrongType);
    }
    if !matches!(typ, "jwt" | "") {
        return Ok(());
    }
    let says =
        |name, values: &[&str]| json::text(claims, name).is_some_and(|v| values.contains(&v));
    let marked = OF_ID_TOKENS.iter().any(|name| claims.contains_key(*name))
        || says("typ", &["ID", "Refresh", "Offline", "Logout"])
        || says("token_use", &["id"]);
    // Entra puts `roles` into ID tokens as well, so they prove nothing here.
    let delegates = ["scope", "scp", "scopes", "mcp_tool_scopes"]
        .into_iter()
        .chain(settings.scope_claims.iter().map(String::as_str))
        .any(|name| name != "roles" && name != "groups" && claims.contains_key(name));
    let for_its_client = match client(claims)? {
        None => true,
        Some(client) => {
            let (audiences, _) = texts(claims.get("aud"));
            audiences.iter().all(|audience| audience.as_ref() == client)
        }
    };
    if marked || (!delegates && for_its_client) {
        return Err(TokenError::WrongType);
    }
    Ok(())
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

/// Checks `exp`, `nbf` and `iat`; says when the token expires.
fn dates(claims: &Claims, skew: Duration, at: &Circumstances) -> Result<Timestamp, TokenError> {
    let expires_at = match (date(claims, "exp")?, at.without_exp) {
        (Some(exp), _) => exp,
        (None, Some(assumed)) => assumed,
        (None, None) => return Err(TokenError::ClaimsInvalid),
    };
    if at.now >= expires_at.plus(skew) {
        return Err(TokenError::Expired);
    }
    let latest = at.now.plus(skew);
    for name in ["nbf", "iat"] {
        if date(claims, name)?.is_some_and(|start| start > latest) {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(expires_at)
}

/// A `NumericDate` (RFC 7519 §2): whole or fractional seconds between 1970 and 9999.
fn date(claims: &Claims, name: &str) -> Result<Option<Timestamp>, TokenError> {
    const YEAR_10000: i64 = 253_402_300_800;
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_i64() {
        let sane = (0..YEAR_10000).contains(&seconds);
        return if sane {
            Ok(Some(Timestamp::from_unix_seconds(seconds)))
        } else {
            Err(TokenError::ClaimsInvalid)
        };
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let end = YEAR_10000 as f64;
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the year 10000 just here")]
        Some(seconds) if (0.0..end).contains(&seconds) => {
            Ok(Some(Timestamp::from_unix_millis((seconds * 1000.0) as i64)))
        }
        Some(_) | None => Err(TokenError::ClaimsInvalid),
    }
}

/// The client, by the first of the names issuers use.
fn client(claims: &Claims) -> Result<Option<&str>, TokenError> {
    for name in ["client_id", "azp", "appid", "cid"] {
        if let Some(client) = optional_text(claims, name)? {
            return Ok(Some(client));
        }
    }
    Ok(None)
}

fn optional_text<'a>(claims: &'a Claims, name: &str) -> Result<Option<&'a str>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::ClaimsInvalid),
    }
}

/// One text or a list of them; and whether there was something else.
fn texts(value: Option<&Value>) -> (Vec<Arc<str>>, bool) {
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

/// `groups`, and whether some are missing: Entra leaves them out when there are many, and names a URL that we never call.
fn groups(claims: &Claims) -> (Vec<Arc<str>>, bool) {
    let (groups, malformed) = texts(claims.get("groups"));
    let elsewhere = claims.get("_claim_names").is_some_and(|names| names.get("groups").is_some());
    let too_many = claims.get("hasgroups").is_some_and(|value| value != &Value::Bool(false));
    let incomplete = malformed || elsewhere || too_many;
    (if incomplete { Vec::new() } else { groups }, incomplete)
}

/// (`tid`, `oid`) for a person, (`tid`, `azp`) for an application; a token that is neither has no business here.
fn entra(claims: &Claims) -> Result<EntraIdentity, TokenError> {
    let required = |name| optional_text(claims, name)?.ok_or(TokenError::ClaimsInvalid);
    let tid = required("tid")?;
    let issuer = required("iss")?;
    if !is_guid(tid) || !issuer.split('/').any(|part| part == tid) {
        return Err(TokenError::ClaimsInvalid);
    }
    let delegated = optional_text(claims, "scp")?.is_some_and(|scp| !scp.trim().is_empty());
    let (roles, _) = texts(claims.get("roles"));
    let object = if delegated {
        EntraObject::User(required("oid")?.into())
    } else if roles.is_empty() {
        return Err(TokenError::ClaimsInvalid);
    } else {
        EntraObject::Application(client(claims)?.ok_or(TokenError::ClaimsInvalid)?.into())
    };
    let tenant: TenantId = tid.parse().map_err(|_| TokenError::ClaimsInvalid)?;
    Ok(EntraIdentity { tenant, object })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::issuer::KeySource;
    use super::*;

    const NOW: i64 = 1_795_000_000;
    const US: &str = "https://b.example/mcp";

    fn settings() -> IssuerSettings {
        let url = "https://idp.example/jwks".parse().unwrap();
        let issuer = "https://idp.example".parse().unwrap();
        let mut settings =
            IssuerSettings::new(issuer, vec![US.to_owned()], KeySource::Jwks { url });
        settings.token_types = vec!["at+jwt".to_owned(), "jwt".to_owned()];
        settings
    }

    fn object(value: Value) -> Claims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    /// Good claims with some replaced; `null` removes one.
    fn claims(changes: Value) -> Claims {
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

    fn admitted_by(settings: &IssuerSettings, changes: Value) -> Result<Verified, TokenError> {
        let at = Circumstances {
            issuer: settings.issuer.clone(),
            token_name: "t".into(),
            now: Timestamp::from_unix_seconds(NOW),
            without_exp: None,
        };
        admit(settings, claims(changes), at)
    }

    fn refused(changes: Value) -> Option<TokenError> {
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

    // N72
    #[test]
    fn dates_must_be_sane_numbers() {
        for bad in [
            json!("1795000060"),
            json!(1e30),
            json!(-1),
            json!(-1.5),
            json!(true),
            json!(253_402_300_800_i64),
            json!(u64::MAX),
        ] {
            for name in ["exp", "nbf", "iat"] {
                assert_eq!(
                    refused(json!({ name: bad })),
                    Some(TokenError::ClaimsInvalid),
                    "{name} {bad}"
                );
            }
        }
        assert_eq!(refused(json!({"exp": null})), Some(TokenError::ClaimsInvalid));
        assert_eq!(refused(json!({"exp": NOW as f64 + 0.5})), None);
    }

    // N72
    #[test]
    fn skew_is_thirty_seconds_and_no_more() {
        assert_eq!(refused(json!({"exp": NOW - 29})), None);
        assert_eq!(refused(json!({"exp": NOW - 30})), Some(TokenError::Expired));
        for name in ["nbf", "iat"] {
            assert_eq!(refused(json!({ name: NOW + 30 })), None);
            assert_eq!(refused(json!({ name: NOW + 31 })), Some(TokenError::NotYetValid), "{name}");
        }
    }

    fn typed(typ: &str, changes: Value) -> Result<(), TokenError> {
        refuse_other_types(&settings(), typ, &claims(changes))
    }

    // N65, N119
    #[test]
    fn an_id_token_is_not_an_access_token() {
        for changes in [
            json!({"nonce": "n"}),
            json!({"at_hash": "h"}),
            json!({"c_hash": "h"}),
            json!({"typ": "ID"}),
            json!({"typ": "Refresh"}),
            json!({"token_use": "id"}),
            json!({"scope": null, "aud": "c1"}),
            json!({"scope": null, "aud": ["c1"]}),
            json!({"scope": null, "client_id": null, "azp": "c1", "aud": "c1"}),
            json!({"scope": null, "client_id": null}),
            json!({"scope": null, "client_id": null, "roles": ["admin"]}),
        ] {
            assert_eq!(typed("jwt", changes.clone()), Err(TokenError::WrongType), "{changes}");
        }
        for changes in
            [json!({}), json!({"scope": null}), json!({"aud": "c1"}), json!({"scope": ""})]
        {
            assert_eq!(typed("jwt", changes.clone()), Ok(()), "{changes}");
        }
        assert_eq!(typed("at+jwt", json!({"nonce": "n"})), Ok(()));
    }

    #[test]
    fn a_type_that_is_not_configured_is_refused() {
        for typ in ["", "logout+jwt", "dpop+jwt", "secevent+jwt"] {
            assert_eq!(typed(typ, json!({})), Err(TokenError::WrongType), "{typ}");
        }
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
    fn missing_groups_are_said_to_be_missing() {
        let groups = |changes| {
            let verified = admitted_by(&settings(), changes).ok().unwrap();
            (verified.groups.len(), verified.groups_incomplete)
        };
        assert_eq!(groups(json!({"groups": ["a", "b"]})), (2, false));
        assert_eq!(groups(json!({})), (0, false));
        assert_eq!(groups(json!({"_claim_names": {"groups": "src1"}})), (0, true));
        assert_eq!(groups(json!({"hasgroups": true, "groups": ["a"]})), (0, true));
    }

    const TID: &str = "11111111-2222-3333-4444-555555555555";

    fn entra_of(changes: Value) -> Result<EntraIdentity, TokenError> {
        let mut settings = settings();
        settings.entra = true;
        let mut all = object(json!({
            "iss": format!("https://sts.windows.net/{TID}/"), "tid": TID, "oid": "o1", "scope": null,
            "client_id": null, "appid": "app1",
        }));
        all.extend(object(changes));
        admitted_by(&settings, Value::Object(all)).map(|verified| verified.entra.unwrap())
    }

    #[test]
    fn an_entra_caller_is_known_by_tenant_and_object() {
        let user = entra_of(json!({"scp": "access"})).unwrap();
        assert_eq!((user.tenant.as_str(), user.object), (TID, EntraObject::User("o1".into())));
        let app = entra_of(json!({"roles": ["Tasks.Read"]})).unwrap();
        assert_eq!(app.object, EntraObject::Application("app1".into()));
        for bad in [
            json!({}),
            json!({"scp": " "}),
            json!({"scp": "a", "tid": "22222222-2222-3333-4444-555555555555"}),
            json!({"scp": "a", "tid": "common"}),
            json!({"scp": "a", "oid": null}),
        ] {
            assert_eq!(entra_of(bad.clone()), Err(TokenError::ClaimsInvalid), "{bad}");
        }
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
