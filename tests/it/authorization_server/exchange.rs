//! Token exchange as two servers meet it: the second one's token works, says who acts, and ends with the first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

const SETTINGS: &str = r#"
[server]
public_url = "http://localhost:4711"
allowed_hosts = ["127.0.0.1"]
[[authorization_server.client]]
client_id = "nightly"
secret = "nightly-secret"
grants = ["client_credentials"]
scopes = ["public:read", "confidential:read"]
[[authorization_server.client]]
client_id = "gateway"
secret = "gateway-secret"
grants = ["token_exchange"]
scopes = ["public:read", "confidential:read"]
token_exchange = { from = ["http://localhost:4711/mcp"] }
"#;
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn posted(product: &Product, path: &str, client: &str, form: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let basic = STANDARD.encode(format!("{client}:{client}-secret"));
    let request = Request::new("POST", path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", &format!("Basic {basic}"))
        .body(body);
    product.send(request).await
}

async fn token(product: &Product, client: &str, form: &[(&str, &str)]) -> String {
    let answer = posted(product, "/token", client, form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// The token of a machine, and the one that the gateway makes of it.
async fn tokens(product: &Product) -> (String, String) {
    let machine =
        [("grant_type", "client_credentials"), ("scope", "public:read confidential:read")];
    let subject = token(product, "nightly", &machine).await;
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", &subject),
        ("subject_token_type", ACCESS_TOKEN),
        ("scope", "public:read"),
    ];
    let derived = token(product, "gateway", &form).await;
    (subject, derived)
}

async fn called(product: &Product, token: &str, tool: &str) -> u16 {
    let params = json!({ "name": tool, "arguments": {} });
    product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await.status
}

// RFC 8693 §2, §4.1 — N85
#[tokio::test]
async fn a_gateway_calls_with_less_than_it_was_sent_and_only_while_that_lives() {
    let product = Product::start(SETTINGS).await;
    let (subject, derived) = tokens(&product).await;
    assert_eq!(called(&product, &derived, "get_public_info").await, 200);
    assert_eq!(called(&product, &derived, "get_confidential_info").await, 403);
    assert_eq!(called(&product, &subject, "get_confidential_info").await, 200);
    let revoked = posted(&product, "/revoke", "nightly", &[("token", &subject)]).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(called(&product, &derived, "get_public_info").await, 401);
}

// RFC 8693 §4.1, RFC 7662 §2.2 — N85
#[tokio::test]
async fn the_log_and_introspection_say_who_acts_for_whom() {
    let product = Product::start(SETTINGS).await;
    let (subject, derived) = tokens(&product).await;
    let told = posted(&product, "/introspect", "gateway", &[("token", &derived)]).await.json();
    assert_eq!((&told["sub"], &told["act"]["sub"]), (&json!("nightly"), &json!("gateway")));
    let issued = |event: &Value| event["payload"]["grant_type"] == "token_exchange";
    let event = product.audited(issued).await;
    assert!(event["payload"]["subject_token"].is_string(), "{event}");
    let log = product.audit_lines().join("\n");
    assert!(!log.contains(&subject) && !log.contains(&derived));
}

// RFC 8414 §2
#[tokio::test]
async fn the_metadata_names_the_grant_only_where_a_client_may_use_it() {
    for (settings, listed) in [(SETTINGS, true), ("", false)] {
        let product = Product::start(settings).await;
        let metadata = product.get("/.well-known/oauth-authorization-server").await.json();
        let grants = metadata["grant_types_supported"].as_array().unwrap();
        assert_eq!(grants.contains(&json!(EXCHANGE)), listed, "{grants:?}");
    }
}
