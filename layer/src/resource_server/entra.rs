//! Who a token of Microsoft Entra stands for.

use crate::id::TenantId;

use super::claims::{Claims, client, optional_text, texts};
use super::error::TokenError;
use super::issuer::is_guid;
use super::principal::{EntraIdentity, EntraObject};

/// (`tid`, `oid`) for a person, (`tid`, `azp`) for an application; a token that is neither has no business here.
pub(super) fn identity(claims: &Claims) -> Result<EntraIdentity, TokenError> {
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
    use serde_json::{Value, json};

    use super::*;
    use crate::resource_server::claims::tests::{admitted_by, object, settings};

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
}
