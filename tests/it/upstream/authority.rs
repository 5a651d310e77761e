//! Whose tokens a server behind the broker takes, and what reaches it of a request.

use serde_json::json;

use super::behind::{Behind, GET, PATH, call, token};
use crate::support::product::{Product, Wire, mcp};

// RFC 9728 §3, RFC 8707 §2 — RS-1 to RS-4
#[tokio::test]
async fn each_server_is_a_protected_resource_of_its_own() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let path = format!("/.well-known/oauth-protected-resource{PATH}");
    let metadata = product.get(&path).await.json();
    assert_eq!(metadata["resource"], product.url(PATH));
    assert_eq!(metadata["authorization_servers"], json!([product.url("")]));
    assert_eq!(metadata["scopes_supported"], json!(["weather:read"]));
    let refused = product.send(mcp(Wire::Modern, None, "tools/list", json!({})).path(PATH)).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains(&product.url(&path)), "{challenge}");
    assert!(challenge.contains("weather:read"), "{challenge}");
    assert_eq!(
        product.get("/.well-known/oauth-protected-resource/servers/other/mcp").await.status,
        404
    );
    assert_eq!(product.get("/servers/other/mcp").await.status, 404);
}

// RFC 8707 §2 — RS-9, RS-10
#[tokio::test]
async fn a_token_opens_the_resource_it_was_issued_for_and_no_other() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let elsewhere = product.token(&["weather:read", "public:read"]);
    let here = token(product, &["weather:read", "public:read"]);
    let list = |token: &str| mcp(Wire::Modern, Some(token), "tools/list", json!({}));
    assert_eq!(product.send(list(&elsewhere)).await.status, 200);
    assert_eq!(product.send(list(&elsewhere).path(PATH)).await.status, 401);
    assert_eq!(product.send(list(&here)).await.status, 401);
    assert_eq!(product.send(list(&here).path(PATH)).await.status, 200);
    assert_eq!(behind.seen().len(), 1);
}

// MCP 2026-07-28 §Access Token Privilege Restriction — RS-10, N116
#[tokio::test]
async fn nothing_of_the_caller_reaches_the_server_but_its_message() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let request = call(product, &["weather:read"], "get_weather")
        .header("cookie", "session=1")
        .header("x-broker-identity", "forged")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-api-key", "mine");
    assert_eq!(product.send(request).await.status, 200);
    let seen = behind.seen();
    let mut names: Vec<&str> = seen[0].keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "content-length",
        "content-type",
        "host",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "user-agent",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn the_server_is_shown_the_brokers_credential() {
    for (credential, header, value) in [
        ("credential = { bearer = \"s3cret-of-ours\" }", "authorization", "Bearer s3cret-of-ours"),
        (
            "credential = { header = { name = \"X-Api-Key\", value = \"s3cret-of-ours\" } }",
            "x-api-key",
            "s3cret-of-ours",
        ),
    ] {
        let behind = Behind::start(&format!("{credential}\n{GET}")).await;
        let answer =
            behind.product.send(call(&behind.product, &["weather:read"], "get_weather")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(behind.seen()[0][header], value);
        let log = behind.product.audit_lines().join("\n");
        assert!(!log.contains("s3cret-of-ours") && !answer.body.contains("s3cret-of-ours"));
    }
}

/// A person logs in at the authorization server for this resource: it must know it (RFC 8707 §2).
#[tokio::test]
async fn the_authorization_server_knows_the_resource() {
    let behind = Behind::start(GET).await;
    let ask = |product: &Product, resource: &str| {
        let resource: String = url::form_urlencoded::byte_serialize(resource.as_bytes()).collect();
        let body = format!("grant_type=client_credentials&resource={resource}");
        crate::support::raw_http::Request::new("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("host", &product.authority)
            .body(body)
    };
    // Nobody's client: what is wrong with it is said first, so only that the resource is no reason is seen elsewhere.
    let answer = behind.product.send(ask(&behind.product, &behind.product.url(PATH))).await;
    assert_ne!(answer.json()["error"], "invalid_target");
}
