//! The endpoint as an OAuth resource server: challenges, metadata, which tokens pass.

use serde_json::json;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, WIRES, Wire, mcp};
use crate::support::tokens::SigningKey;

// OAuth 2.1 §5.3.2 — RS-18, RS-19
#[tokio::test]
async fn without_credentials_the_challenge_has_no_error_and_says_where_to_go() {
    let product = Product::dev().await;
    for wire in WIRES {
        let answer = product.send(mcp(wire, None, "tools/list", json!({}))).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!(answer.status, 401, "{challenge}");
        let metadata = product.url("/.well-known/oauth-protected-resource/mcp");
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
        assert!(challenge.contains("scope=\""), "{challenge}");
        assert!(!challenge.contains("error"), "{challenge}");
    }
}

// MCP 2026-07-28 authorization §Error Handling — RS-17, RS-18, AS-31
#[tokio::test]
async fn a_bad_token_is_told_so() {
    let product = Product::dev().await;
    let good = product.token(&["public:read"]);
    let expired = product.token_with(&[], |token| {
        token.issued_at = token.issued_at.plus_seconds(-7200);
        token.expires_at = token.expires_at.plus_seconds(-7200);
    });
    let foreign =
        product.token_with(&[], |token| token.issuer = "https://evil.example".parse().unwrap());
    let elsewhere = product.token_with(&[], |token| token.audience = product.url("/other"));
    for token in ["garbage", &good[..good.len() - 4], &expired, &foreign, &elsewhere] {
        let answer = product.rpc(Wire::Modern, token, "tools/list", json!({})).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!(answer.status, 401, "{challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
}

// MCP 2026-07-28 authorization §Token Requirements — RS-9, RS-12
#[tokio::test]
async fn a_token_for_our_alias_or_in_the_query_or_twice_is_no_token() {
    let product = Product::dev().await;
    let good = product.token(&["public:read"]);
    let list = || mcp(Wire::Modern, None, "tools/list", json!({}));
    let answer = product.send(list().path(&format!("/mcp?access_token={good}"))).await;
    assert_eq!(answer.status, 401);
    assert!(!answer.head.contains(&good) && !answer.body.contains(&good));
    let twice = list()
        .header("authorization", &format!("Bearer {good}"))
        .header("authorization", &format!("Bearer {good}"));
    let answer = product.send(twice).await;
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    let basic = list().header("authorization", "Basic YWRhOmFkYQ==");
    assert_eq!(product.send(basic).await.status, 401);
}

// MCP 2026-07-28 authorization §Protected Resource Metadata — RS-1 to RS-4
#[tokio::test]
async fn metadata_is_the_same_at_both_places_and_names_the_url_that_was_used() {
    let product = Product::dev().await;
    for host in [product.authority.clone(), product.alias()] {
        let mut bodies = Vec::new();
        for path in ["", "/mcp"] {
            let path = format!("/.well-known/oauth-protected-resource{path}");
            let request =
                crate::support::raw_http::Request::new("GET", &path).header("host", &host);
            let answer = product.send(request).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            bodies.push(answer.body);
        }
        assert_eq!(bodies[0], bodies[1]);
        let document: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!(document["resource"], format!("http://{host}/mcp"));
        assert_eq!(document["authorization_servers"], json!([product.url("")]));
        assert!(!bodies[0].contains("offline_access"));
    }
}

#[tokio::test]
async fn the_alias_is_another_name_of_the_same_endpoint() {
    let product = Product::dev().await;
    let alias = product.alias();
    let token = product
        .token_with(&["public:read"], |token| token.audience = format!("http://{alias}/mcp"));
    let list = |token: Option<&str>| {
        mcp(Wire::Modern, token, "tools/list", json!({})).header("host", &alias)
    };
    assert_eq!(product.send(list(Some(&token))).await.status, 200);
    let challenge = product.send(list(None)).await.header("www-authenticate");
    assert!(challenge.contains(&format!("http://{alias}/.well-known/")), "{challenge}");
}

// MCP 2026-07-28 authorization §Runtime Insufficient Scope — RS-21, RS-22, G4
#[tokio::test]
async fn a_missing_scope_is_answered_with_all_that_the_call_needs() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for wire in WIRES {
        let call = json!({ "name": "get_confidential_info", "arguments": {} });
        let answer = product.rpc(wire, &token, "tools/call", call).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.contains("scope=\"confidential:read\""), "{challenge}");
        assert!(challenge.contains("resource_metadata=\""), "{challenge}");
        assert_eq!(answer.json()["id"], 7);
    }
}

#[tokio::test]
async fn every_scope_of_a_rule_is_named_at_once() {
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "both"
        effect = "allow"
        tools = ["get_public_info"]
        scopes = ["a:read", "b:read"]
    "#;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let product = Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await;
    let call = json!({ "name": "get_public_info", "arguments": {} });
    let answer = product.rpc(Wire::Modern, &product.token(&["a:read"]), "tools/call", call).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("b:read"), "{challenge}");
}

#[tokio::test]
async fn an_outage_of_an_issuer_is_degraded_and_not_unready() {
    let idp = FakeHttp::start(Reply::status(500)).await;
    let issuer = idp.url().to_string();
    let settings = format!(
        r#"
        [outbound]
        allow_private = ["127.0.0.1"]
        [[resource_server.issuer]]
        issuer = "{issuer}"
        [[resource_server.issuer]]
        issuer = "https://opaque.example"
        introspection = {{ url = "{issuer}introspect", client_id = "b", client_secret = "CANARY" }}
        "#
    );
    let product = Product::start(&settings).await;
    assert_eq!(product.get("/ready").await.json()["degraded"], json!([]));
    let key = SigningKey::ec();
    let discovered = key.token("k1", json!({ "iss": issuer }));
    for token in [discovered.as_str(), "opaque"] {
        assert_eq!(product.rpc(Wire::Modern, token, "tools/list", json!({})).await.status, 503);
    }
    let ready = product.get("/ready").await;
    let names: Vec<_> = ready.json()["degraded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, [format!("issuer {issuer}"), "issuer https://opaque.example".to_owned()]);
    assert_eq!((ready.status, ready.body.contains("CANARY")), (200, false));
}
