//! Another policy while the broker serves: put in force, or refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::store::{OwnLogin, StoreSettings, UserRow, open};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::audit::LIMIT;
use crate::support::child::Served;
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

pub(super) const ADA: &str = "/v1.0/users/ada@contoso.example";
pub(super) const TOOL: &str = "get_public_info";

/// Rules under this label that do `effect` to a plain tool and to reading a user.
pub(super) fn rules(label: &str, effect: &str) -> String {
    format!(
        r#"
        version = "{label}"
        default = "deny"
        [[rule]]
        id = "plain"
        effect = "{effect}"
        tools = ["{TOOL}"]
        [[rule]]
        id = "user"
        effect = "{effect}"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        graph = {{ methods = ["GET"], paths = ["/v1.0/users/{{id}}"], permissions = ["User.Read.All"] }}
        "#
    )
}

pub(super) fn write(directory: &Path, name: &str, text: &str) {
    // As an editor does it, so that nobody reads a half.
    let new = directory.join("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, directory.join(name)).unwrap();
}

async fn with_rules(text: &str) -> Product {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "policy.toml", text);
    Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await
}

/// Waits until `/ready` is as wanted.
pub(super) async fn ready(product: &Product, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let ready = product.get("/ready").await;
        assert_eq!(ready.status, 200, "{}", ready.body);
        if wanted(&ready.json()) {
            return ready.json();
        }
        assert!(Instant::now() < deadline, "{}", ready.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn is_degraded(ready: &Value) -> bool {
    ready["degraded"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "policy"))
}

pub(super) fn is_of(version: &Value, label: &str) -> bool {
    version.as_str().is_some_and(|version| version.starts_with(&format!("{label}+")))
}

pub(super) fn events(product: &Product, kind: &str) -> Vec<Value> {
    product.audit().into_iter().filter(|event| event["event_type"] == kind).collect()
}

#[tokio::test]
async fn an_edited_policy_is_in_force_without_a_restart() {
    let product = with_rules(&rules("one", "allow")).await;
    let token = product.token(&[]);
    assert_eq!(product.graph_get(&token, ADA).await["status"], "ok");
    // Still visible, by a rule for other paths.
    let stricter = rules("two", "allow").replace("/v1.0/users/{id}", "/v1.0/groups/{id}");
    write(product.directory.path(), "policy.toml", &stricter);
    ready(&product, |ready| is_of(&ready["facts"]["policy_version"], "two")).await;
    let refused = product.graph_get(&token, ADA).await;
    assert_eq!(refused["error"]["code"], "policy.denied", "{refused}");
    let decided = events(&product, "policy.decided");
    let versions: Vec<_> =
        decided.iter().map(|event| &event["payload"]["policy_version"]).collect();
    assert!(is_of(versions[0], "one") && is_of(versions[1], "two"), "{decided:#?}");
}

#[tokio::test]
async fn a_reload_is_on_record_before_any_decision_by_the_new_rules() {
    let product = with_rules(&rules("one", "allow")).await;
    write(product.directory.path(), "policy.toml", &rules("two", "allow"));
    let reloaded = product.audited(|event| event["event_type"] == "config.reloaded").await;
    let payload = &reloaded["payload"];
    assert!(is_of(&payload["policy_version"], "two"), "{reloaded}");
    assert!(is_of(&payload["previous_version"], "one"), "{reloaded}");
}

#[tokio::test]
async fn a_broken_policy_is_reported_and_leaves_the_old_one_in_force() {
    let product = with_rules(&rules("one", "allow")).await;
    let token = product.token(&[]);
    let broken = rules("two", "alow").replace("id = \"", "id = \"CANARY.");
    write(product.directory.path(), "policy.toml", &broken);
    let degraded = ready(&product, is_degraded).await;
    let told = degraded["degraded"].to_string();
    assert!(told.contains("GET /api/v1/policy"), "{told}");
    assert!(
        !told.contains("CANARY") && !told.contains("policy.toml"),
        "everybody reads it: {told}"
    );
    assert!(is_of(&degraded["facts"]["policy_version"], "one"), "{degraded}");
    assert_eq!(product.graph_get(&token, ADA).await["status"], "ok");
    assert_eq!(events(&product, "config.reloaded").len(), 0);
}

// What is written in place is empty first.
#[tokio::test]
async fn a_file_without_rules_takes_the_place_of_none() {
    for text in ["", "version = \"two\"\ndefault = \"deny\"\n"] {
        let product = with_rules(&rules("one", "allow")).await;
        std::fs::write(product.directory.path().join("policy.toml"), text).unwrap();
        let degraded = ready(&product, is_degraded).await;
        assert!(is_of(&degraded["facts"]["policy_version"], "one"), "{degraded}");
        assert_eq!(product.graph_get(&product.token(&[]), ADA).await["status"], "ok");
    }
}

#[tokio::test]
async fn a_policy_that_is_gone_leaves_the_old_one_in_force_until_it_is_back() {
    let product = with_rules(&rules("one", "allow")).await;
    std::fs::remove_file(product.directory.path().join("policy.toml")).unwrap();
    let degraded = ready(&product, is_degraded).await;
    assert!(degraded["degraded"].to_string().contains("is gone"), "{degraded}");
    assert!(is_of(&degraded["facts"]["policy_version"], "one"), "{degraded}");
    assert_eq!(product.graph_get(&product.token(&[]), ADA).await["status"], "ok");
    write(product.directory.path(), "policy.toml", &rules("two", "allow"));
    let mended = ready(&product, |ready| !is_degraded(ready)).await;
    assert!(is_of(&mended["facts"]["policy_version"], "two"), "{mended}");
}

#[tokio::test]
async fn sighup_reloads_a_policy_that_did_not_change_and_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "policy.toml", &rules("one", "allow"));
    let served = Served::start(directory.path(), "policy.file = \"policy.toml\"", &[]).await;
    let token = served.mint("public:read");
    served.hang_up();
    let deadline = Instant::now() + LIMIT;
    while !served.audit_lines().iter().any(|line| line.contains("\"config.reloaded\"")) {
        assert!(Instant::now() < deadline, "{}", served.stderr());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let call = json!({ "name": TOOL, "arguments": {} });
    let answer = served.send(mcp(Wire::Modern, Some(&token), "tools/call", call)).await;
    assert_ne!(answer.json()["result"]["isError"], true, "{}", answer.body);
    assert_eq!(served.send(Request::new("GET", "/ready")).await.status, 200);
}

/// An audit log that is full keeps new rules out as long as it is full, and not for ever.
#[tokio::test]
async fn rules_that_could_not_be_put_on_record_are_in_force_once_they_can() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "policy.toml", &rules("one", "allow"));
    let settings = "policy.file = \"policy.toml\"";
    let served = Served::start_on_a_small_disk(directory.path(), settings).await;
    let token = served.mint("public:read");
    served.limit_files("0");
    let list = || mcp(Wire::Modern, Some(&token), "tools/list", json!({}));
    assert_eq!(served.send(list()).await.status, 503);
    write(directory.path(), "policy.toml", &rules("two", "deny"));
    let deadline = Instant::now() + LIMIT;
    loop {
        let ready = served.send(Request::new("GET", "/ready")).await;
        if ready.body.contains("is not in force") {
            break;
        }
        assert!(Instant::now() < deadline, "{ready:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    served.limit_files("unlimited");
    loop {
        let answer = served.send(list()).await;
        if answer.status == 200 && answer.json()["result"]["tools"] == json!([]) {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A token with which an administrator calls the admin API.
pub(super) async fn administrator(product: &Product) -> String {
    let path = product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let row = UserRow {
        id: UserId::generate(&SystemClock, &SystemRandom::new()),
        username: "root".to_owned(),
        display_name: None,
        email: None,
        own_login: OwnLogin::Nothing,
        administrator: true,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
        created_at: SystemClock.now(),
        last_login_at: None,
        disabled_at: None,
    };
    assert!(store.add_user(&row).await.unwrap());
    let id = row.id.to_string();
    product.token_with(&["broker:admin"], |token| token.subject = id.parse().unwrap())
}

pub(super) async fn reload(product: &Product, token: &str) -> Answer {
    let request = Request::new("POST", "/api/v1/policy/reload");
    product.send(request.header("authorization", &format!("Bearer {token}"))).await
}

#[tokio::test]
async fn an_administrator_reloads_and_is_told_which_rules_are_in_force() {
    let product = with_rules(&rules("one", "allow")).await;
    let admin = administrator(&product).await;
    write(product.directory.path(), "policy.toml", &rules("two", "allow"));
    let answer = reload(&product, &admin).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(is_of(&answer.json()["policy_version"], "two"), "{}", answer.body);
    let shown = Request::new("GET", "/api/v1/policy");
    let shown = product.send(shown.header("authorization", &format!("Bearer {admin}"))).await;
    assert!(is_of(&shown.json()["policy_version"], "two"), "{}", shown.body);
    let reloaded = events(&product, "admin.change.ended").pop().unwrap();
    assert_eq!(
        (&reloaded["payload"]["object"], &reloaded["payload"]["outcome"]),
        (&json!("policy"), &json!("done"))
    );
    assert!(reloaded["requester_id"].is_string(), "{reloaded}");
}

#[tokio::test]
async fn a_reload_of_broken_rules_says_what_is_wrong_and_changes_nothing() {
    let product = with_rules(&rules("one", "allow")).await;
    let admin = administrator(&product).await;
    write(product.directory.path(), "policy.toml", &rules("two", "alow"));
    let answer = reload(&product, &admin).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("policy.toml:6:"),
        "{}",
        answer.body
    );
    assert_eq!(product.graph_get(&product.token(&[]), ADA).await["status"], "ok");
    let ended = events(&product, "admin.change.ended").pop().unwrap();
    assert_eq!(ended["payload"]["outcome"], "refused");
    assert_eq!(reload(&product, &product.token(&["graph:*"])).await.status, 403);
}
