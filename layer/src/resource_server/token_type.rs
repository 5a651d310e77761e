//! Whether a token is an access token at all.

use super::claims::{Claims, client, texts};
use super::error::TokenError;
use super::issuer::IssuerSettings;
use super::json;

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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resource_server::claims::tests::{claims, settings};

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
}
