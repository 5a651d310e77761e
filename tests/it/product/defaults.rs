//! What holds without a policy file, and what does not start.

use std::sync::Arc;

use mcp_auth_broker::app::{App, AppError};
use mcp_auth_broker::config::{Environment, Sources, load};
use mcp_auth_broker::http::ServeError;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::SystemClock;
use serde_json::json;

use crate::support::product::{Product, Wire};

/// The development rules open the samples, but never a Graph that is not the simulated one.
#[tokio::test]
async fn the_development_rules_open_no_live_graph() {
    let settings = r#"
        [graph]
        mode = "live"
        [[graph.profile]]
        name = "simulated"
        tenant_id = "contoso.example"
        client_id = "app"
        credential = { client_secret = "env:NOWHERE" }
    "#;
    let product = Product::start(settings).await;
    let token = product.token(&["public:read", "graph:*"]);
    let list = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.json();
    let tools = list["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["auth.graph.operations.list.v1", "get_public_info"]);
}

/// Where TLS was asked for, nothing is served without it.
#[tokio::test]
async fn a_tls_key_that_cannot_be_used_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("cert.pem"), "").unwrap();
    let loaded = load(Sources {
        directory: directory.path().to_owned(),
        environment: [("TLS_KEY".to_owned(), "CANARY".to_owned())]
            .into_iter()
            .collect::<Environment>(),
        overrides: vec![
            format!("server.tls.cert={}", directory.path().join("cert.pem").display()),
            "server.tls.key=env:TLS_KEY".to_owned(),
            format!("store.url=sqlite:{}/data/broker.db", directory.path().display()),
        ],
        file: None,
    });
    let config = loaded.config.clone().unwrap_or_else(|| panic!("{:#?}", loaded.findings));
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let held = [("TLS_KEY".to_owned(), SecretText::new("CANARY".to_owned()))];
    let variables = held.into_iter().collect::<mcp_auth_broker::secret::Environment>();
    let built = Box::pin(App::build(config, variables, clock, random)).await;
    assert!(matches!(built, Err(AppError::Serve(ServeError::NotAKey))), "{built:?}");
    assert!(!format!("{built:?}").contains("CANARY"));
}
