//! Tokens for servers behind the broker and beside it: what a person may be asked to allow there.

use serde_json::json;

use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::Answer;

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, register, told};
use super::flow::post;

const BEHIND: &str = r#"
[[upstream.server]]
id = "weather"
url = "http://127.0.0.1:1/mcp"
[[upstream.server.tool]]
name = "get_.*"
scopes = ["weather:read"]
"#;

/// The token answer after a yes; `scope` empty: none is asked for.
async fn allowed(product: &Product, resource: &str, scope: &str) -> Answer {
    let client_id = register(product, &[REDIRECT]).await;
    let asking = Asking::new(&client_id).with("scope", scope).with("resource", resource);
    let mut browser = Browser::of_the_administrator(product).await;
    let location = browser.answers(&asking.path(), "allow").await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &told(&location)["code"]),
        ("redirect_uri", REDIRECT),
        ("client_id", &client_id),
        ("code_verifier", VERIFIER),
    ];
    post(product, "/token", &fields).await
}

// RFC 6749 §3.3 — N115
#[tokio::test]
async fn a_token_for_a_server_behind_us_has_the_scopes_that_its_rules_ask_for() {
    let product = Product::start(BEHIND).await;
    let resource = product.url("/servers/weather/mcp");
    let token = allowed(&product, &resource, "weather:read weather:write graph:read").await;
    assert_eq!(token.json()["scope"], "weather:read", "{token:?}");
}

#[tokio::test]
async fn who_names_no_scope_gets_those_of_the_server_and_not_the_brokers_own() {
    let product = Product::start(BEHIND).await;
    let token = allowed(&product, &product.url("/servers/weather/mcp"), "").await;
    assert_eq!(token.json()["scope"], "weather:read", "{token:?}");
}

// RFC 8707 §2 — N115
#[tokio::test]
async fn a_token_for_a_server_beside_us_has_the_scopes_it_was_registered_with() {
    let product = Product::dev().await;
    let files = "https://files.example/mcp";
    let add = ["server", "add", "files", files, "--scope", "files:read files:write"];
    let added = command(product.directory.path(), &add);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let token = allowed(&product, files, "files:read payroll:read graph:read").await;
    assert_eq!(token.json()["scope"], "files:read", "{token:?}");
}

// RFC 6749 §3.3 — N115
#[tokio::test]
async fn rules_about_a_server_beside_us_decide_what_of_its_scopes_a_person_may_allow() {
    let rules = r#"
version = "1"
[[rule]]
id = "read"
effect = "allow"
tools = ["files\\.get_.*"]
scopes = ["files:read"]
[[rule]]
id = "write"
effect = "allow"
tools = ["files\\.put_.*"]
scopes = ["files:write"]
principals = { groups = ["editors"] }
"#;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let settings = "[policy]\nfile = \"policy.toml\"\n";
    let product = Product::start_in(directory, settings, &[]).await;
    let files = "https://files.example/mcp";
    let add = ["server", "add", "files", files, "--scope", "files:read files:write"];
    let added = command(product.directory.path(), &add);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let token = allowed(&product, files, "files:read files:write").await;
    assert_eq!(token.json()["scope"], json!("files:read"), "{token:?}");
}
