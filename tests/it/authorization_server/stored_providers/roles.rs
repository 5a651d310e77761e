//! What people are at their identity provider: rules by role hold for who logs in here.

use serde_json::{Value, json};

use crate::support::product::Product;

use super::super::browser::Browser;
use super::super::client::told;
use super::super::flow::{Held, text};
use super::{BASE, Idp, administer, bob, calls, start};

const ALL: &str = "default = \"deny\"\n[[rule]]\nid = \"all\"\neffect = \"allow\"\n\
    tools = [\"get_public_info\"]\nscopes = [\"public:read\"]\n";

/// Rules that are one more than [`ALL`].
fn rules(directory: &tempfile::TempDir, effect: &str, principals: &str) -> String {
    let scopes = if effect == "deny" { "" } else { "scopes = [\"public:read\"]\n" };
    let rule = format!(
        "[[rule]]\nid = \"by-role\"\neffect = \"{effect}\"\ntools = [\"get_public_info\"]\n\
        {scopes}principals = {{ {principals} }}\n"
    );
    let path = directory.path().join("rules.toml");
    let all = if effect == "deny" { ALL } else { "default = \"deny\"\n" };
    std::fs::write(&path, [all, &rule].concat()).unwrap();
    format!("[policy]\nfile = \"{}\"\n", path.display())
}

async fn logs_in(idp: &Idp, browser: &mut Browser<'_>, more: &Value) {
    let sent = told(&browser.get("/login/with/partner").await.header("location"));
    idp.vouches_with(&sent["nonce"], more);
    let back = format!("/login/callback/partner?code=x&state={}", sent["state"]);
    let done = browser.get(&back).await;
    assert_eq!(done.status, 303, "{done:?}");
}

/// The claims of a token of who logged in with these claims, and what a call with it is answered. `None`: nothing was granted.
async fn called(product: &Product, idp: &Idp, more: &Value) -> Option<(Value, u16)> {
    let mut browser = Browser::new(product);
    logs_in(idp, &mut browser, more).await;
    let held = Held::through(&mut browser, product, "public:read openid").await;
    let answer = held.exchange(product).await.json();
    if !answer["scope"].as_str().unwrap().contains("public:read") {
        return None;
    }
    let token = text(&answer, "access_token");
    Some((claims(token), calls(product, token).await))
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

// N109
#[tokio::test]
async fn roles_of_a_stored_provider_have_its_prefix_and_those_of_the_settings_never_do() {
    let idp = Idp::start().await;
    let product = start("").await;
    let mut new = idp.provider();
    new["claims"] = json!({ "roles": "/realm_access/roles" });
    assert_eq!(administer(&product, "POST", BASE, &new).await.status, 201);
    let roles = json!({ "realm_access": { "roles": ["lead", "corp:lead"] }, "roles": ["root"] });
    logs_in(&idp, &mut Browser::new(&product), &roles).await;
    assert_eq!(bob(&product).await["roles"], json!(["partner:lead", "partner:corp:lead"]));
    let settled = Idp::start().await;
    let settings = format!(
        "[[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"{}\"\n\
        client_id = \"broker\"\nclaims = {{ roles = \"roles\" }}\n",
        settled.issuer
    );
    let product = start(&settings).await;
    let mut new = idp.provider();
    (new["id"], new["groups_prefix"]) = (json!("corp"), json!("corp:"));
    assert_eq!(administer(&product, "POST", BASE, &new).await.status, 201);
    let roles = json!({ "roles": ["lead", "corp:lead"] });
    logs_in(&settled, &mut Browser::new(&product), &roles).await;
    assert_eq!(bob(&product).await["roles"], json!(["lead"]));
}

// RFC 9068 §2.2.3.1 — N109
#[tokio::test]
async fn a_rule_that_denies_by_role_denies_who_has_it_and_who_did_not_say() {
    let idp = Idp::start().await;
    let directory = tempfile::tempdir().unwrap();
    let settings = format!(
        "{}[[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"{}\"\n\
        client_id = \"broker\"\nclaims = {{ roles = \"roles\" }}\n",
        rules(&directory, "deny", "roles = [\"contractor\"]"),
        idp.issuer
    );
    let product = start(&settings).await;
    let (claims, status) = called(&product, &idp, &json!({ "roles": ["employee"] })).await.unwrap();
    assert_eq!((&claims["roles"], &claims["hasroles"]), (&json!(["employee"]), &Value::Null));
    assert_eq!(status, 200);
    // What nobody would let them use is not granted either.
    for denied in
        [json!({ "roles": ["employee", "contractor"] }), json!({}), json!({ "roles": "x" })]
    {
        assert_eq!(called(&product, &idp, &denied).await, None, "{denied}");
    }
}

#[tokio::test]
async fn a_rule_that_allows_by_role_allows_who_has_it_alone() {
    let idp = Idp::start().await;
    let directory = tempfile::tempdir().unwrap();
    let settings = format!(
        "{}[[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"{}\"\n\
        client_id = \"broker\"\nclaims = {{ roles = \"roles\", roles_prefix = \"corp:\" }}\n",
        rules(&directory, "allow", "roles = [\"corp:lead\"]"),
        idp.issuer
    );
    let product = start(&settings).await;
    let (claims, status) = called(&product, &idp, &json!({ "roles": ["lead"] })).await.unwrap();
    assert_eq!((&claims["roles"], status), (&json!(["corp:lead"]), 200));
    for denied in [json!({ "roles": ["corp:lead"] }), json!({ "roles": [] }), json!({})] {
        assert_eq!(called(&product, &idp, &denied).await, None, "{denied}");
    }
}

/// What was granted before is held against what they are now: each token says it anew.
#[tokio::test]
async fn a_token_that_was_refreshed_has_the_roles_of_the_last_log_in() {
    let idp = Idp::start().await;
    let directory = tempfile::tempdir().unwrap();
    let settings = format!(
        "{}[[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"{}\"\n\
        client_id = \"broker\"\nclaims = {{ roles = \"roles\" }}\n",
        rules(&directory, "deny", "roles = [\"contractor\"]"),
        idp.issuer
    );
    let product = start(&settings).await;
    let mut browser = Browser::new(&product);
    logs_in(&idp, &mut browser, &json!({ "roles": ["employee"] })).await;
    let held = Held::through(&mut browser, &product, "public:read openid").await;
    let tokens = held.exchange(&product).await.json();
    logs_in(&idp, &mut Browser::new(&product), &json!({ "roles": ["contractor"] })).await;
    let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await.json();
    assert_eq!(refreshed["scope"], "openid", "{refreshed}");
}
