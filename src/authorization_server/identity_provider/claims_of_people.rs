//! Who somebody is, and what they are in, as the claims of a provider say.

use serde_json::json;

use super::*;
use crate::authorization_server::identity_provider::settings::ClaimMap;

fn settings() -> IdentityProviderSettings {
    IdentityProviderSettings::of("https://idp.example")
}

fn identity(
    settings: &IdentityProviderSettings,
    claims: &Value,
) -> Result<ExternalIdentity, UpstreamError> {
    settings.identity(claims.as_object().unwrap())
}

// N109
#[test]
fn who_it_is_comes_from_the_subject_and_nothing_else() {
    for claims in [
        json!({"email": "ada@contoso.example"}),
        json!({"sub": ""}),
        json!({"sub": ["a"]}),
        json!({"sub": "a\0b"}),
    ] {
        assert!(identity(&settings(), &claims).is_err(), "{claims}");
    }
    let ada = identity(&settings(), &json!({"sub": "1", "email": "Ada@Contoso.example"})).unwrap();
    assert_eq!((ada.subject.as_str(), ada.username.as_str()), ("1", "ada@contoso.example"));
}

#[test]
fn what_is_about_a_log_in_alone_need_not_be_said_again() {
    let require = [("amr".to_owned(), vec!["mfa".to_owned()])].into();
    let settings = IdentityProviderSettings { require, ..settings() };
    let again = |claims: Value| settings.identity_again(claims.as_object().unwrap());
    let unsaid = again(json!({"sub": "1"})).unwrap_err();
    assert!(matches!(&unsaid, UpstreamError::NoClaim(name) if name == "amr"), "{unsaid}");
    let lost = again(json!({"sub": "1", "amr": ["pwd"]})).unwrap_err();
    assert!(matches!(lost, UpstreamError::NotRequired), "{lost}");
    assert!(again(json!({"sub": "1", "amr": ["mfa"]})).is_ok());
}

#[test]
fn a_claim_map_reads_a_provider_that_is_no_openid_provider() {
    let claims =
        ClaimMap { subject: "id".to_owned(), username: "login".to_owned(), ..ClaimMap::default() };
    let github = IdentityProviderSettings { claims, ..settings() };
    let ada = identity(&github, &json!({"id": 583_231, "login": "Ada", "name": null})).unwrap();
    assert_eq!((ada.subject.as_str(), ada.username.as_str()), ("583231", "ada"));
    assert_eq!(ada.display_name, None);
}

#[test]
fn an_account_without_a_required_claim_is_refused() {
    let require = [("hd".to_owned(), vec!["contoso.example".to_owned()])].into();
    let google = IdentityProviderSettings { require, ..settings() };
    assert!(identity(&google, &json!({"sub": "1", "hd": "contoso.example"})).is_ok());
    for claims in [
        json!({"sub": "1"}),
        json!({"sub": "1", "hd": "evil.example"}),
        json!({"sub": "1", "hd": null}),
    ] {
        assert!(matches!(identity(&google, &claims), Err(UpstreamError::NotRequired)), "{claims}");
    }
}

// N109
#[test]
fn nobody_has_a_group_of_another_provider_however_they_name_theirs() {
    let groups = |prefix: &str, others: &[&str], named: Value| {
        let mut settings = settings();
        settings.claims.groups_prefix = prefix.to_owned();
        let all = others.iter().chain([&prefix]).map(|it| (*it).to_owned());
        settings.claims.prefixes.groups.replace(all);
        let ada = identity(&settings, &json!({"sub": "1", "groups": named})).unwrap();
        (ada.groups, ada.groups_incomplete)
    };
    let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let both = json!(["admins", "corp:admins"]);
    let partner = names(&["partner:admins", "partner:corp:admins"]);
    assert_eq!(groups("partner:", &["corp:"], both.clone()), (partner, false));
    assert_eq!(groups("", &["corp:"], both), (names(&["admins"]), true));
}

// N109
#[test]
fn roles_have_names_of_their_own_and_are_not_known_where_nothing_is_said_of_them() {
    let of = |prefix: &str, claim: &str, mut claims: Value| {
        let mut settings = settings();
        settings.claims.roles = claim.to_owned();
        settings.claims.roles_prefix = prefix.to_owned();
        let all = ["corp:", prefix].map(str::to_owned);
        settings.claims.prefixes.roles.replace(all);
        claims["sub"] = json!("1");
        let ada = identity(&settings, &claims).unwrap();
        assert!(ada.groups.is_empty() && !ada.groups_incomplete);
        (ada.roles.join(" "), ada.roles_incomplete)
    };
    let is = |roles: &str| (roles.to_owned(), false);
    let unknown = (String::new(), true);
    assert_eq!(of("", "", json!({ "roles": ["a"], "hasroles": true })), is(""), "not asked");
    assert_eq!(of("", "roles", json!({ "roles": ["a", "b"] })), is("a b"));
    assert_eq!(of("p:", "roles", json!({ "roles": ["a", "corp:b"] })), is("p:a p:corp:b"));
    assert_eq!(of("", "roles", json!({ "roles": ["a", "corp:b"] })), ("a".to_owned(), true));
    let nested = json!({ "realm_access": { "roles": ["a"] }, "roles": ["b"] });
    assert_eq!(of("", "/realm_access/roles", nested), is("a"));
    assert_eq!(of("", "roles", json!({ "roles": [] })), is(""));
    let many: Vec<_> = (0..201).map(|number| number.to_string()).collect();
    let long: Vec<_> = (0..60).map(|number| format!("{number:036}")).collect();
    for missing in [
        json!({}),
        json!({ "roles": null }),
        json!({ "roles": "a" }),
        json!({ "roles": ["a", 1] }),
        json!({ "roles": ["a"], "hasroles": true }),
        json!({ "_claim_names": { "roles": "src1" } }),
        json!({ "roles": many }),
        json!({ "roles": long }),
    ] {
        assert_eq!(of("", "roles", missing.clone()), unknown, "{missing}");
    }
}

#[test]
fn roles_that_userinfo_alone_names_are_taken_from_it() {
    let mut keycloak = settings();
    keycloak.claims.groups = "/realm_access/groups".to_owned();
    keycloak.claims.roles = "/realm_access/roles".to_owned();
    let mut claims = json!({ "sub": "1", "realm_access": { "groups": ["g"] } });
    let claims = claims.as_object_mut().unwrap();
    let more = json!({ "sub": "1", "realm_access": { "groups": ["x"], "roles": ["r"] } });
    assert!(keycloak.lacks_any(claims) && !keycloak.speaks_of_roles(claims));
    keycloak.complete(claims, more.as_object().unwrap());
    let ada = keycloak.identity(claims).unwrap();
    assert_eq!((ada.groups, ada.roles), (vec!["g".to_owned()], vec!["r".to_owned()]));
    assert!(keycloak.speaks_of_roles(claims) && !ada.roles_incomplete);
    assert!(settings().speaks_of_roles(claims), "where none are taken, there are none");
}

#[test]
fn where_no_claim_has_groups_there_are_none() {
    let mut settings = settings();
    settings.claims.groups = String::new();
    let claims = json!({"sub": "1", "": ["a"], "groups": ["a"], "hasgroups": true});
    let ada = identity(&settings, &claims).unwrap();
    assert_eq!((ada.groups.len(), ada.groups_incomplete), (0, false));
}

#[test]
fn groups_that_no_token_has_room_for_are_none_and_incomplete() {
    let of = |prefix: &str| {
        let mut settings = settings();
        settings.claims.groups = "groups".to_owned();
        settings.claims.groups_prefix = prefix.to_owned();
        let groups: Vec<_> = (0..200).map(|number| format!("{number:036}")).collect();
        let said = identity(&settings, &json!({ "sub": "a", "groups": groups })).unwrap();
        (said.groups.len(), said.groups_incomplete)
    };
    assert_eq!(of(""), (200, false), "as many as Entra names, by their ids");
    assert_eq!(of("the-partner-company:"), (0, true));
}

#[test]
fn groups_of_which_some_are_missing_are_none_and_incomplete() {
    let of = |mut claims: Value| {
        claims["sub"] = json!("1");
        let ada = identity(&settings(), &claims).unwrap();
        (ada.groups.len(), ada.groups_incomplete)
    };
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(of(json!({})), (0, false));
    assert_eq!(of(json!({"groups": many(200)})), (200, false));
    assert_eq!(of(json!({"groups": many(201)})), (0, true));
    assert_eq!(of(json!({"groups": ["a", 1]})), (0, true));
    assert_eq!(of(json!({"groups": "a"})), (0, true));
    assert_eq!(of(json!({"_claim_names": {"groups": "src1"}})), (0, true));
    assert_eq!(of(json!({"hasgroups": true})), (0, true));
}
