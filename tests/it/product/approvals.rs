//! Calls that a rule asks a person about: held back, answered from a terminal, let through once.

use std::sync::Arc;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{OwnLogin, StoreSettings, UserRow, open};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::child::{command, command_beside};
use crate::support::product::Product;

const RULES: &str = r#"
version = "t"
[[rule]]
id = "delete"
effect = "ask"
tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
graph = { methods = ["DELETE"], paths = ["/v1.0/users/{id}"], permissions = ["User.ReadWrite.All"] }
approvers = ["leads"]
[[rule]]
id = "public"
effect = "ask"
tools = ["get_public_info"]
approvers = ["leads"]
"#;

/// A broker with these rules, and the people `lena` (a lead) and `olga` (none).
pub(super) async fn product() -> Product {
    product_with("").await
}

/// The same with more settings.
pub(super) async fn product_with(settings: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), RULES).unwrap();
    let settings = format!("policy.file = \"policy.toml\"\n{settings}");
    let product = Product::start_in(directory, &settings, &[]).await;
    let path = product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    for (name, group) in [("lena", "leads"), ("olga", "operators")] {
        let row = UserRow {
            id: UserId::generate(&SystemClock, &SystemRandom::new()),
            username: name.to_owned(),
            display_name: None,
            email: None,
            own_login: OwnLogin::Nothing,
            administrator: false,
            groups: vec![group.to_owned()],
            groups_incomplete: false,
            roles: Vec::new(),
            roles_incomplete: false,
            created_at: SystemClock.now(),
            last_login_at: None,
            disabled_at: None,
        };
        assert!(store.add_user(&row).await.unwrap());
    }
    product
}

pub(super) fn delete(id: &str) -> Value {
    json!({ "operation": { "method": "DELETE", "path": format!("/v1.0/users/{id}") } })
}

/// Answers from a terminal; what the command says, and whether it succeeded.
pub(super) async fn answer(product: &Product, how: &str, id: &str, who: &str) -> (String, bool) {
    let directory = product.directory.path().to_owned();
    let authority = product.authority.clone();
    let arguments = ["approval", how, id, "--as", who].map(str::to_owned);
    let output = tokio::task::spawn_blocking(move || {
        command_beside(&directory, &authority, &arguments.each_ref().map(String::as_str))
    });
    let output = output.await.unwrap();
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

/// The id of the question that a refusal names.
pub(super) fn asked(refusal: &Value) -> String {
    assert_eq!(refusal["error"]["code"], "policy.approval_required", "{refusal:#}");
    let metadata = &refusal["error"]["metadata"];
    let id = metadata["approval_id"].as_str().unwrap();
    let url = metadata["approval_url"].as_str().unwrap();
    assert!(url.ends_with(&format!("/approvals/{id}")), "{url}");
    id.to_owned()
}

fn is_done(reply: &Value) -> bool {
    reply["status"] == "ok"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_goes_through_once_and_then_waits_again() {
    let product = product().await;
    let token = product.token(&[]);
    let call = delete("grace@contoso.example");
    let id = asked(&product.graph(&token, call.clone()).await);
    assert_eq!(asked(&product.graph(&token, call.clone()).await), id, "asked once");
    let (said, done) = answer(&product, "approve", &id, "lena").await;
    assert!(done, "{said}");
    let reply = product.graph(&token, call.clone()).await;
    assert!(is_done(&reply), "{reply:#}");
    assert_ne!(asked(&product.graph(&token, call).await), id);
    let types = product.event_types();
    for event in ["approval.requested", "approval.used"] {
        assert!(types.iter().any(|found| found == event), "{event}: {types:?}");
    }
}

// Nothing that is sent back decides; another call, or another caller's, is another question.
// MCP 2026-07-28 basic/patterns/mrtr §Server Requirements — RS-33
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_good_for_no_other_call_and_no_other_caller() {
    let product = product().await;
    let token = product.token(&[]);
    let id = asked(&product.graph(&token, delete("grace@contoso.example")).await);
    assert!(answer(&product, "approve", &id, "lena").await.1);
    let mut other = delete("grace@contoso.example");
    other["operation"]["headers"] = json!({ "if-match": "x" });
    assert_ne!(asked(&product.graph(&token, other).await), id);
    assert_ne!(asked(&product.graph(&token, delete("ada@contoso.example")).await), id);
    let eve = product.token_with(&[], |token| token.subject = "eve".parse().unwrap());
    assert_ne!(asked(&product.graph(&eve, delete("grace@contoso.example")).await), id);
    let agent = product.token_with(&[], |token| token.client_id = "other".parse().unwrap());
    assert_ne!(asked(&product.graph(&agent, delete("grace@contoso.example")).await), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_approver_answers_nothing_and_a_denial_stays() {
    let product = product().await;
    let token = product.token(&[]);
    let call = delete("grace@contoso.example");
    let id = asked(&product.graph(&token, call.clone()).await);
    let (said, done) = answer(&product, "approve", &id, "olga").await;
    assert!(!done && said.contains("members of leads answer"), "{said}");
    assert_eq!(asked(&product.graph(&token, call.clone()).await), id);
    assert!(answer(&product, "deny", &id, "lena").await.1);
    let (said, done) = answer(&product, "approve", &id, "lena").await;
    assert!(!done && said.contains("too late"), "{said}");
    let denied = product.graph(&token, call).await;
    assert_eq!(denied["error"]["code"], "policy.denied", "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requester_does_not_answer_their_own_call() {
    let product = product().await;
    let path = product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let lena = store.find_user_by_name("lena").await.unwrap().unwrap();
    let token =
        product.token_with(&[], |token| token.subject = lena.id.to_string().parse().unwrap());
    let id = asked(&product.graph(&token, delete("grace@contoso.example")).await);
    let (said, done) = answer(&product, "approve", &id, "lena").await;
    assert!(!done && said.contains("who asks cannot answer"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_without_operations_waits_in_the_same_way() {
    let product = product().await;
    let token = product.token(&[]);
    let refused = product.call(&token, "get_public_info", json!({})).await;
    let id = asked(&refused["result"]["structuredContent"]);
    let text = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("/approvals/"), "{text}");
    assert!(answer(&product, "approve", &id, "lena").await.1);
    let read = product.call(&token, "get_public_info", json!({})).await;
    assert_ne!(read["result"]["isError"], true, "{read}");
    let again = product.call(&token, "get_public_info", json!({})).await;
    assert_eq!(again["result"]["isError"], true, "{again}");
}

// The link alone shows nothing.
// MCP 2026-07-28 client/elicitation §Security Considerations — EL-3, EL-5
#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_nothing_to_who_is_not_logged_in() {
    let product = product().await;
    let id = asked(&product.graph(&product.token(&[]), delete("grace@contoso.example")).await);
    let page = product.get(&format!("/approvals/{id}")).await;
    assert_eq!(page.status, 303);
    assert_eq!(page.header("location"), format!("/login?request=approval.{id}"));
    assert!(!page.body.contains("grace"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arguments_are_for_who_may_open_the_store_and_not_in_it_in_clear() {
    let product = product().await;
    let token = product.token(&[]);
    let id = asked(&product.graph(&token, delete("grace@contoso.example")).await);
    let directory = product.directory.path().to_owned();
    let shown = {
        let id = id.clone();
        tokio::task::spawn_blocking(move || command(&directory, &["approval", "show", &id]))
    };
    let shown = String::from_utf8(shown.await.unwrap().stdout).unwrap();
    assert!(shown.contains("/v1.0/users/grace@contoso.example"), "{shown}");
    assert!(
        shown.contains(&format!("ada of {}", product.url(""))),
        "a subject within its issuer: {shown}"
    );
    for file in ["broker.db", "broker.db-wal"] {
        let file = product.directory.path().join("data").join(file);
        let bytes = std::fs::read(file).unwrap_or_default();
        let found = bytes.windows(5).any(|window| window == b"grace");
        assert!(!found, "the arguments lie in the store in clear");
    }
}

/// `ada` of one issuer is not `ada` of another, and who is in the store has a name.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_who_asks_by_name_and_issuer() {
    let product = product().await;
    let path = product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let olga = store.find_user_by_name("olga").await.unwrap().unwrap().id.to_string();
    let token = product.token_with(&[], |token| token.subject = olga.parse().unwrap());
    let id = asked(&product.graph(&token, delete("grace@contoso.example")).await);
    let (directory, authority) = (product.directory.path().to_owned(), product.authority.clone());
    let listed = tokio::task::spawn_blocking(move || {
        command_beside(&directory, &authority, &["approval", "list"])
    });
    let listed = String::from_utf8(listed.await.unwrap().stdout).unwrap();
    assert!(listed.contains(&id), "{listed}");
    assert!(listed.contains(&format!("olga ({olga}) of {}", product.url(""))), "{listed}");
    let (directory, authority) = (product.directory.path().to_owned(), product.authority.clone());
    let deny = move || {
        let arguments = ["approval", "deny", &id, "--as", "lena", "--json"];
        command_beside(&directory, &authority, &arguments)
    };
    let denied = tokio::task::spawn_blocking(deny).await.unwrap();
    let denied: Value = serde_json::from_slice(&denied.stdout).unwrap();
    assert_eq!(denied["state"], "denied", "{denied}");
}

// Replayed, altered, by another caller: each is refused, and each has an ending and a question of its own on record.
// MCP 2026-07-28 basic/patterns/mrtr §Server Requirements — RS-33
#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_use_of_an_approval_is_refused_and_on_record() {
    let product = product().await;
    let token = product.token(&[]);
    let call = delete("grace@contoso.example");
    let id = asked(&product.graph(&token, call.clone()).await);
    assert!(answer(&product, "approve", &id, "lena").await.1);
    let mut altered = call.clone();
    altered["operation"]["headers"] = json!({ "if-match": "*" });
    let eve = product.token_with(&[], |token| token.subject = "eve".parse().unwrap());
    let tries = [(&token, altered), (&eve, call.clone())];
    for (token, call) in tries {
        let refused = product.graph(token, call).await;
        assert_ne!(asked(&refused), id, "a well-formed call, and another question: {refused}");
    }
    assert!(is_done(&product.graph(&token, call.clone()).await));
    let replayed = asked(&product.graph(&token, call).await);
    let events = product.audit();
    let of = |kind: &str| events.iter().filter(|event| event["event_type"] == kind).count();
    assert_eq!(of("approval.used"), 1);
    let requested = |event: &&Value| event["payload"]["approval"] == replayed.as_str();
    assert!(events.iter().any(|event| requested(&event)), "{events:#?}");
    let refusals = |event: &&Value| {
        event["event_type"] == "result.emitted" && event["payload"]["status"] == "error"
    };
    assert_eq!(events.iter().filter(refusals).count(), 4, "{events:#?}");
    crate::support::audit::assert_one_terminal_per_request(&product.audit_lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_under_other_rules_is_none() {
    let product = product().await;
    let token = product.token(&[]);
    let call = delete("grace@contoso.example");
    let id = asked(&product.graph(&token, call.clone()).await);
    assert!(answer(&product, "approve", &id, "lena").await.1);
    let mut other = call.clone();
    other["operation"]["headers"] = json!({ "if-match": "*" });
    let waits = asked(&product.graph(&token, other.clone()).await);
    let file = product.directory.path().join("policy.toml");
    std::fs::write(file, RULES.replace("version = \"t\"", "version = \"u\"")).unwrap();
    product.audited(|event| event["event_type"] == "config.reloaded").await;
    // Recorded just before the new rules decide.
    let limit = tokio::time::Instant::now() + crate::support::audit::LIMIT;
    while !product.get("/ready").await.body.contains("\"u+") {
        assert!(tokio::time::Instant::now() < limit);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_ne!(asked(&product.graph(&token, call).await), id);
    // Whoever answers what waited is told so, and it is in no list.
    let (told, done) = answer(&product, "approve", &waits, "lena").await;
    assert!(!done && told.contains("the rules have changed since it was asked"), "{told}");
    let (directory, authority) = (product.directory.path().to_owned(), product.authority.clone());
    let list = move || command_beside(&directory, &authority, &["approval", "list"]);
    let listed = tokio::task::spawn_blocking(list).await.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.contains(&waits), "{listed}");
    let anew = asked(&product.graph(&token, other.clone()).await);
    assert!(answer(&product, "approve", &anew, "lena").await.1);
    assert!(is_done(&product.graph(&token, other).await));
    assert_eq!(product.event_types().iter().filter(|kind| *kind == "approval.used").count(), 1);
}
