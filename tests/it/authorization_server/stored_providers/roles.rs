//! What people are at their identity provider: rules by role hold for who logs in here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::product::{Product, Wire, mcp};

use super::super::browser::{Browser, action, hidden};
use super::super::client::{Asking, REDIRECT, register, told};
use super::super::flow::{Held, text};
use super::{BASE, Idp, administer, bob, start};

/// One rule; by `more` about some people only.
fn rule(id: &str, effect: &str, tool: &str, more: &str) -> String {
    let scopes = if effect == "deny" { "" } else { "scopes = [\"public:read\"]\n" };
    format!(
        "[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = [\"{tool}\"]\n{scopes}{more}\n"
    )
}

fn by_role(effect: &str, role: &str) -> String {
    let principals = format!("principals = {{ roles = [\"{role}\"] }}");
    rule("by-role", effect, "get_public_info", &principals)
}

/// The settings of a broker with these rules, where people log in at this provider.
fn settings(directory: &TempDir, rules: &str, (idp, claims): (&Idp, &str)) -> String {
    let path = directory.path().join("rules.toml");
    std::fs::write(&path, format!("default = \"deny\"\n{rules}")).unwrap();
    format!(
        "[policy]\nfile = \"{}\"\n[[authorization_server.identity_provider]]\nid = \"partner\"\n\
        issuer = \"{}\"\nclient_id = \"broker\"\nclaims = {{ {claims} }}\n",
        path.display(),
        idp.issuer
    )
}

async fn logs_in(idp: &Idp, browser: &mut Browser<'_>, more: &Value) {
    let sent = told(&browser.get("/login/with/partner").await.header("location"));
    idp.vouches_with(&sent["nonce"], more);
    let back = format!("/login/callback/partner?code=x&state={}", sent["state"]);
    let done = browser.get(&back).await;
    assert_eq!(done.status, 303, "{done:?}");
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Whether the tool is there for who has this token.
async fn opens(product: &Product, token: &str) -> bool {
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let answer = product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let unknown = answer.body.contains("-32602");
    assert_eq!(!unknown, answer.body.contains("\"result\""), "{answer:?}");
    !unknown
}

/// The claims of a token of who logs in with these claims, and whether it opens the tool.
async fn gets(product: &Product, idp: &Idp, more: &Value) -> (Value, bool) {
    let mut browser = Browser::new(product);
    logs_in(idp, &mut browser, more).await;
    let held = Held::through(&mut browser, product, "public:read").await;
    let tokens = held.exchange(product).await.json();
    let token = text(&tokens, "access_token");
    (claims(token), opens(product, token).await)
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
    let (settled, directory) = (Idp::start().await, tempfile::tempdir().unwrap());
    let product = start(&settings(&directory, "", (&settled, "roles = \"roles\""))).await;
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
    let (idp, directory) = (Idp::start().await, tempfile::tempdir().unwrap());
    let rules = rule("other", "allow", "get_confidential_info", "")
        + &rule("all", "allow", "get_public_info", "")
        + &by_role("deny", "contractor");
    let product = start(&settings(&directory, &rules, (&idp, "roles = \"roles\""))).await;
    let (claims, opens) = gets(&product, &idp, &json!({ "roles": ["employee"] })).await;
    assert_eq!((&claims["roles"], claims.get("hasroles")), (&json!(["employee"]), None));
    assert!(opens);
    let (claims, opens) = gets(&product, &idp, &json!({ "roles": ["x", "contractor"] })).await;
    assert_eq!((&claims["roles"], claims.get("hasroles")), (&json!(["x", "contractor"]), None));
    assert!(!opens);
    for missing in [json!({}), json!({ "roles": "employee" }), json!({ "roles": null })] {
        let (claims, opens) = gets(&product, &idp, &missing).await;
        assert_eq!((claims.get("roles"), &claims["hasroles"]), (None, &json!(true)), "{missing}");
        assert!(!opens, "{missing}");
    }
}

#[tokio::test]
async fn a_rule_that_allows_by_role_allows_who_has_it_alone() {
    let (idp, directory) = (Idp::start().await, tempfile::tempdir().unwrap());
    let rules =
        rule("other", "allow", "get_confidential_info", "") + &by_role("allow", "corp:lead");
    let named = "roles = \"roles\", roles_prefix = \"corp:\"";
    let product = start(&settings(&directory, &rules, (&idp, named))).await;
    let (claims, opens) = gets(&product, &idp, &json!({ "roles": ["lead"] })).await;
    assert_eq!((&claims["roles"], opens), (&json!(["corp:lead"]), true));
    for other in [json!({ "roles": ["corp:lead"] }), json!({ "roles": [] }), json!({})] {
        assert!(!gets(&product, &idp, &other).await.1, "{other}");
    }
}

/// What somebody may allow an app is asked of the same rules.
#[tokio::test]
async fn a_scope_that_is_of_use_by_a_role_alone_is_granted_to_who_has_it() {
    let (idp, directory) = (Idp::start().await, tempfile::tempdir().unwrap());
    let rules = by_role("allow", "lead");
    let product = start(&settings(&directory, &rules, (&idp, "roles = \"roles\""))).await;
    let client = register(&product, &[REDIRECT]).await;
    let asking = Asking::new(&client).with("scope", "public:read");
    for (roles, granted) in [(json!(["lead"]), true), (json!(["other"]), false)] {
        let mut browser = Browser::new(&product);
        logs_in(&idp, &mut browser, &json!({ "roles": roles })).await;
        let mut page = browser.get(&asking.path()).await;
        while page.status == 303 && page.header("location").starts_with('/') {
            page = browser.get(&page.header("location")).await;
        }
        if page.status == 200 {
            let (form, request) = (hidden(&page.body, "form"), hidden(&page.body, "request"));
            let fields = [("form", form.as_str()), ("request", &request), ("decision", "allow")];
            page = browser.post(&action(&page.body), &fields).await;
        }
        assert_eq!(page.status, if granted { 303 } else { 403 }, "{roles} {page:?}");
    }
}

/// What was granted before is used as who they are now: each token says it anew.
#[tokio::test]
async fn a_token_that_was_refreshed_has_the_roles_of_the_last_log_in() {
    let (idp, directory) = (Idp::start().await, tempfile::tempdir().unwrap());
    let rules = rule("other", "allow", "get_confidential_info", "")
        + &rule("all", "allow", "get_public_info", "")
        + &by_role("deny", "contractor");
    let product = start(&settings(&directory, &rules, (&idp, "roles = \"roles\""))).await;
    let mut browser = Browser::new(&product);
    logs_in(&idp, &mut browser, &json!({ "roles": ["employee"] })).await;
    let held = Held::through(&mut browser, &product, "public:read").await;
    let tokens = held.exchange(&product).await.json();
    assert!(opens(&product, text(&tokens, "access_token")).await);
    logs_in(&idp, &mut Browser::new(&product), &json!({ "roles": ["contractor"] })).await;
    let refreshed = held.refresh(&product, text(&tokens, "refresh_token")).await.json();
    let token = text(&refreshed, "access_token");
    assert_eq!(claims(token)["roles"], json!(["contractor"]));
    assert!(!opens(&product, token).await);
}
