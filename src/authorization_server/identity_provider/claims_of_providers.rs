//! ID tokens as the manuals of providers show them, read with the settings that `docs/identity-providers.md` has for each.
//! None of this was tried live.

use serde_json::{Value, json};

use crate::authorization_server::identity_provider::UpstreamError;
use crate::authorization_server::identity_provider::settings::{
    ClaimMap, IdentityProviderSettings,
};
use crate::store::ExternalIdentity;

fn provider(issuer: &str, claims: ClaimMap) -> IdentityProviderSettings {
    IdentityProviderSettings { claims, ..IdentityProviderSettings::of(issuer) }
}

fn map(subject: &str, username: &str, groups: &str) -> ClaimMap {
    ClaimMap {
        subject: subject.to_owned(),
        username: username.to_owned(),
        groups: groups.to_owned(),
        ..ClaimMap::default()
    }
}

fn read(
    provider: &IdentityProviderSettings,
    token: &Value,
) -> Result<ExternalIdentity, UpstreamError> {
    provider.identity(token.as_object().unwrap())
}

/// Subject, user name, groups, and whether some are missing.
fn told(provider: &IdentityProviderSettings, token: &Value) -> (String, String, String, bool) {
    let who = read(provider, token).unwrap();
    (who.subject, who.username, who.groups.join(" "), who.groups_incomplete)
}

fn is(subject: &str, username: &str, groups: &str) -> (String, String, String, bool) {
    (subject.to_owned(), username.to_owned(), groups.to_owned(), false)
}

#[test]
fn okta_names_groups_in_a_claim_of_the_application() {
    let okta = provider("https://contoso.okta.com", ClaimMap::default());
    let token = json!({
        "ver": 1, "sub": "00uid4BxXw6I6TV4m0g3", "iss": "https://contoso.okta.com", "aud": "broker",
        "jti": "ID.4eAWJOCMB3SX8XewDfVR", "amr": ["mfa", "otp", "pwd"], "idp": "00ok1u7AsAkrwdZL3z0g3",
        "preferred_username": "ada@contoso.example", "auth_time": 1_574_117_006, "at_hash": "x",
        "name": "Ada", "email": "ada@contoso.example", "groups": ["Everyone", "IT"],
    });
    let wanted = is("00uid4BxXw6I6TV4m0g3", "ada@contoso.example", "Everyone IT");
    assert_eq!(told(&okta, &token), wanted);
    assert_eq!(okta.origin(token.as_object().unwrap()).amr.as_deref(), Some("mfa otp pwd"));
}

#[test]
fn google_names_no_groups_and_a_domain_is_required() {
    let mut google = provider("https://accounts.google.com", map("sub", "email", "groups"));
    google.require = [("hd".to_owned(), vec!["contoso.example".to_owned()])].into();
    let mut token = json!({
        "iss": "https://accounts.google.com", "azp": "broker", "aud": "broker",
        "sub": "10769150350006150715113082367", "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        "hd": "contoso.example", "email": "ada@contoso.example", "email_verified": true,
    });
    let wanted = is("10769150350006150715113082367", "ada@contoso.example", "");
    assert_eq!(told(&google, &token), wanted);
    // An account of anybody's has no `hd`, whatever its address says.
    token.as_object_mut().unwrap().remove("hd");
    assert!(matches!(read(&google, &token), Err(UpstreamError::NotRequired)));
}

#[test]
fn auth0_names_groups_under_a_url_of_the_operators() {
    let claim = "https://contoso.example/groups";
    let auth0 = provider("https://contoso.eu.auth0.com/", map("sub", "nickname", claim));
    let token = json!({
        "iss": "https://contoso.eu.auth0.com/", "aud": "broker", "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "nickname": "ada", "name": "ada@contoso.example", "email": "ada@contoso.example",
        "email_verified": true, "updated_at": "2026-11-01T10:00:00.000Z", "sid": "s4v",
        claim: ["it-helpdesk"],
    });
    let wanted = is("auth0|5f7c8ec7c33c6c004bbafe82", "ada", "it-helpdesk");
    assert_eq!(told(&auth0, &token), wanted);
    assert_eq!(auth0.origin(token.as_object().unwrap()).issuer_sid.as_deref(), Some("s4v"));
}

#[test]
fn cognito_has_claims_of_its_own_for_name_and_groups() {
    let issuer = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_a1b2c3d4e";
    let cognito = provider(issuer, map("sub", "cognito:username", "cognito:groups"));
    let token = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "aud": "broker", "iss": issuer,
        "token_use": "id", "auth_time": 1_500_009_400, "cognito:username": "Ada",
        "cognito:groups": ["readers"], "cognito:roles": ["arn:aws:iam::111122223333:role/r"],
        "email": "ada@contoso.example", "email_verified": "true", "origin_jti": "j", "event_id": "e",
        "identities": [{ "userId": "1", "providerName": "Google", "issuer": null }],
    });
    let wanted = is("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "ada", "readers");
    assert_eq!(told(&cognito, &token), wanted);
    // Somebody in no group has no such claim.
    let mut none = token;
    none.as_object_mut().unwrap().remove("cognito:groups");
    assert_eq!(told(&cognito, &none).2, "");
}

#[test]
fn keycloak_names_groups_flat_and_roles_within_another_claim() {
    let issuer = "https://id.contoso.example/realms/staff";
    let token = json!({
        "iss": issuer, "aud": "broker", "azp": "broker", "typ": "ID", "acr": "1", "sid": "a-session",
        "sub": "f1888f4d-5172-4359-be0c-af338505d86c", "preferred_username": "ada",
        "email_verified": false, "name": "Ada", "groups": ["it-leads"],
        "realm_access": { "roles": ["staff", "offline_access"] },
        "resource_access": { "mcp/broker": { "roles": ["operator"] } },
    });
    for (claim, groups) in [
        ("groups", "it-leads"),
        ("/realm_access/roles", "staff offline_access"),
        ("/resource_access/mcp~1broker/roles", "operator"),
        ("/realm_access/nothing", ""),
        ("/realm_access/roles/0", ""),
    ] {
        let keycloak = provider(issuer, map("sub", "preferred_username", claim));
        let wanted = is("f1888f4d-5172-4359-be0c-af338505d86c", "ada", groups);
        assert_eq!(told(&keycloak, &token), wanted, "{claim}");
    }
    // Of what is no list, nobody knows which are missing.
    let keycloak = provider(issuer, map("sub", "preferred_username", "/realm_access"));
    assert!(told(&keycloak, &token).3);
}

#[test]
fn roles_that_the_id_token_does_not_have_are_asked_for() {
    let keycloak = provider("https://id.example", map("sub", "sub", "/realm_access/roles"));
    let token = json!({ "sub": "1", "email": "a@b.example", "name": "Ada" });
    let claims = token.as_object().unwrap();
    assert!(keycloak.lacks_groups(claims) && keycloak.lacks_any(claims));
    assert!(!keycloak.speaks_of_groups(claims));
}

// RFC 6901 §4
#[test]
fn a_claim_that_is_named_by_an_url_is_found_in_the_id_token_and_in_userinfo() {
    let name = "/https:~1~1contoso.example~1authorization/groups";
    let auth0 = provider("https://contoso.eu.auth0.com/", map("sub", "sub", name));
    let profile = json!({ "sub": "1", "email": "a@b.example", "name": "Ada" });
    let mut with_groups = profile.clone();
    with_groups["https://contoso.example/authorization"] = json!({ "groups": ["it"] });
    assert!(!auth0.lacks_any(with_groups.as_object().unwrap()));
    assert_eq!(told(&auth0, &with_groups), is("1", "1", "it"));
    let mut claims = profile.as_object().unwrap().clone();
    assert!(auth0.lacks_groups(&claims));
    auth0.complete(&mut claims, with_groups.as_object().unwrap());
    assert_eq!(told(&auth0, &claims.into()), is("1", "1", "it"));
    let mut elsewhere = profile;
    elsewhere["_claim_names"] = json!({ "https://contoso.example/authorization": "src1" });
    assert!(told(&auth0, &elsewhere).3);
}

#[test]
fn of_a_claim_with_parts_userinfo_adds_the_part_that_is_missing_and_no_other() {
    let keycloak =
        provider("https://id.example", map("sub", "sub", "/resource_access/broker/roles"));
    let more = json!({ "sub": "1", "resource_access": {
        "broker": { "roles": ["operator"] }, "account": { "roles": ["forged"] },
    }});
    let more = more.as_object().unwrap();
    let completed = |access: Value| {
        let token = json!({ "sub": "1", "name": "Ada", "email": "", "resource_access": access });
        let mut claims = token.as_object().unwrap().clone();
        assert!(keycloak.lacks_any(&claims));
        keycloak.complete(&mut claims, more);
        Value::from(claims)
    };
    let claims = completed(json!({ "account": { "roles": ["view"] } }));
    assert_eq!(told(&keycloak, &claims), is("1", "1", "operator"));
    assert_eq!(claims["resource_access"]["account"]["roles"], json!(["view"]));
    // What is no object has no part; whether there are groups is not known then.
    assert!(told(&keycloak, &completed(json!("none"))).3);
}

#[test]
fn entra_names_a_person_by_oid_and_says_where_groups_are_missing() {
    let issuer = "https://login.microsoftonline.com/8a7e3f2c-5b1d-4c6e-9f0a-1b2c3d4e5f60/v2.0";
    let entra = provider(issuer, map("oid", "preferred_username", "groups"));
    let token = json!({
        "iss": issuer, "aud": "broker", "ver": "2.0", "sub": "AAAA-pairwise", "tid": "8a7e3f2c",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "ada@contoso.example",
        "_claim_names": { "groups": "src1" },
        "_claim_sources": { "src1": { "endpoint": "https://graph.windows.net/…" } },
    });
    let (subject, _, groups, incomplete) = told(&entra, &token);
    assert_eq!(
        (subject.as_str(), groups.as_str(), incomplete),
        ("690222be-ff1a-4d56-abd1-7e4f7d38e474", "", true)
    );
}
