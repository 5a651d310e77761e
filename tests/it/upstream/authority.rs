//! Whose tokens a server behind the broker takes, and what reaches it of a request.

use serde_json::json;

use super::behind::{Behind, GET, PATH, broker, call, token};
use crate::support::fake_http::{FakeHttp, Reply};
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

// RFC 9728 §3.1 — RS-3, RS-5
#[tokio::test]
async fn a_last_slash_leads_to_the_same_server() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let path = format!("{PATH}/");
    let list = |token: Option<&str>| mcp(Wire::Modern, token, "tools/list", json!({})).path(&path);
    let refused = product.send(list(None)).await;
    let document = format!("/.well-known/oauth-protected-resource{PATH}");
    assert_eq!(refused.status, 401, "{refused:?}");
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains(&format!("\"{}\"", product.url(&document))), "{challenge}");
    let token = token(product, &["weather:read"]);
    assert_eq!(product.send(list(Some(&token))).await.status, 200);
    let page = list(Some(&token)).header("origin", &product.url(""));
    assert_eq!(product.send(page).await.status, 200, "by the router");
    let with_slash = product.get(&format!("{document}/")).await;
    assert_eq!((with_slash.status, with_slash.body), (200, product.get(&document).await.body));
    for nowhere in ["/servers/other/mcp/", "/servers/weather/mcp//"] {
        assert_eq!(product.get(nowhere).await.status, 404, "{nowhere}");
    }
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

/// What a JWT says, read without checking it.
fn claims(jwt: &str) -> serde_json::Value {
    use base64::Engine as _;
    let mut parts = jwt.split('.').take(2).map(|part| {
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    });
    json!({ "header": parts.next(), "claims": parts.next() })
}

// N116
#[tokio::test]
async fn a_server_is_told_who_calls_by_us_alone() {
    let behind = Behind::start(&format!("identity_header = true\n{GET}")).await;
    let product = &behind.product;
    let forged = call(product, &["weather:read"], "get_weather")
        .header("x-broker-identity", "forged")
        .header("X-Broker-Identity", "twice");
    assert_eq!(product.send(forged).await.status, 200);
    let seen = behind.seen();
    let all: Vec<_> = seen[0].get_all("x-broker-identity").iter().collect();
    assert_eq!(all.len(), 1);
    let token = all[0].to_str().unwrap();
    let said = claims(token);
    assert_eq!(said["header"]["typ"], "broker-identity+jwt");
    let said = &said["claims"];
    assert_eq!((&said["sub"], &said["client_id"]), (&json!("ada"), &json!("agent")));
    assert_eq!((&said["iss"], &said["scope"]), (&json!(product.url("")), &json!("weather:read")));
    assert!(said["aud"].as_str().unwrap().ends_with("/mcp"));
    assert_ne!(said["aud"], product.url(PATH), "it is no token for us");
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 60);
    for path in [PATH, "/mcp"] {
        let again = mcp(Wire::Modern, Some(token), "tools/list", json!({})).path(path);
        assert_eq!(product.send(again).await.status, 401);
    }
}

// RFC 6749 §4.4
#[tokio::test]
async fn a_token_of_the_brokers_own_is_obtained_once_and_anew_where_it_is_refused() {
    let issued = Reply::json(r#"{"access_token":"t0ken","token_type":"bearer","expires_in":3600}"#);
    let fake =
        FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#)).await;
    fake.answers_at("/token", issued);
    let url = fake.url();
    let table = format!(
        "credential = {{ client_credentials = {{ token_url = \"{url}token\", client_id = \"us\", \
         client_secret = \"a:b\", scopes = [\"w\"] }} }}\n{GET}"
    );
    let product = broker(url.as_str(), &table, "").await;
    let send = async || product.send(call(&product, &["weather:read"], "get_weather")).await;
    send().await;
    send().await;
    let asked = fake.asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.path.as_str()).collect();
    assert_eq!(paths, ["/token", "/", "/"]);
    assert_eq!(asked[0].headers["authorization"], "Basic dXM6YSUzQWI=");
    assert_eq!(asked[0].body, "grant_type=client_credentials&scope=w");
    assert_eq!(asked[1].headers["authorization"], "Bearer t0ken");
    fake.answers(Reply::status(401));
    let refused = send().await.json();
    let code = &refused["result"]["structuredContent"]["error"]["code"];
    assert_eq!(*code, "provider.auth_failed");
    fake.answers_at("/token", Reply::status(400));
    assert!(send().await.body.contains("provider.auth_failed"));
    let count = fake.count();
    assert!(send().await.body.contains("provider.auth_failed"));
    assert_eq!(fake.count(), count, "it is not asked again at once");
}

// RFC 6750 §3.1
#[tokio::test]
async fn a_call_that_the_server_forbids_costs_nobody_the_shared_token() {
    let fake = FakeHttp::start(Reply::status(403)).await;
    let issued = r#"{"access_token":"t0ken","token_type":"bearer","expires_in":3600}"#;
    fake.answers_at("/token", Reply::json(issued));
    let url = fake.url();
    let table = format!(
        "credential = {{ client_credentials = {{ token_url = \"{url}token\", client_id = \"us\", \
         client_secret = \"s\" }} }}\n{GET}"
    );
    let product = broker(url.as_str(), &table, "").await;
    let send = async || product.send(call(&product, &["weather:read"], "get_weather")).await;
    let obtained = || fake.asked().iter().filter(|asked| asked.path == "/token").count();
    for _ in 0..10 {
        assert!(send().await.body.contains("provider.auth_failed"));
    }
    assert_eq!(obtained(), 1);
    fake.answers(Reply::status(401));
    for _ in 0..10 {
        assert!(send().await.body.contains("provider.auth_failed"));
    }
    assert_eq!(obtained(), 2, "a server that refuses everything makes nobody ask over and over");
}
