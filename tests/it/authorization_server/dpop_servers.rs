//! Servers behind the broker that take bound tokens alone (RFC 9449), of the settings and registered, beside endpoints that take
//! others.

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::registered::{RULE, administer, start_with, until_status};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};
use crate::upstream::{Behind, GET, PATH};

use super::dpop::{ALLOWED, ClientKey, call};
use super::flow::text;

const AGENT: &str = "[[authorization_server.client]]\nclient_id = \"agent\"\nsecret = \"agent-secret\"\n\
    grants = [\"client_credentials\"]\nscopes = [\"weather:read\", \"docs:read\", \"public:read\"]\n";
const DOCS: &str = "/servers/docs/mcp";

/// Asks for a token for the endpoint at `path`.
async fn asks(product: &Product, (path, scope): (&str, &str), proof: Option<&str>) -> Answer {
    let resource = product.url(path);
    let form = [("grant_type", "client_credentials"), ("resource", &resource), ("scope", scope)];
    let request = Request::new("POST", "/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Basic YWdlbnQ6YWdlbnQtc2VjcmV0")
        .body(Serializer::new(String::new()).extend_pairs(form).finish());
    let request = match proof {
        Some(proof) => request.header("dpop", proof),
        None => request,
    };
    product.send(request).await
}

/// What the endpoint's metadata says of bound tokens.
async fn requires(product: &Product, path: &str) -> Value {
    let metadata = product.get(&format!("/.well-known/oauth-protected-resource{path}")).await;
    metadata.json()["dpop_bound_access_tokens_required"].clone()
}

/// Lists tools with the token, in this scheme.
async fn lists(
    product: &Product,
    path: &str,
    (scheme, token, proof): (&str, &str, Option<&str>),
) -> Answer {
    let request = mcp(Wire::Legacy, None, "tools/list", json!({}));
    let request = request.path(path).header("authorization", &format!("{scheme} {token}"));
    let request = match proof {
        Some(proof) => request.header("dpop", proof),
        None => request,
    };
    product.send(request).await
}

/// The endpoint says that it takes bound tokens alone, there are no others for it, and it takes no others.
async fn takes_bound_tokens_alone(product: &Product, path: &str, scope: &str) {
    assert_eq!(requires(product, path).await, true);
    let refused = asks(product, (path, scope), None).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_dpop_proof")));
    let bearer = product.token_with(&[scope], |token| token.audience = product.url(path));
    let refused = lists(product, path, ("Bearer", &bearer, None)).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    let challenge = refused.header("www-authenticate");
    assert!(challenge.starts_with("DPoP ") && !refused.head.contains("Bearer"), "{refused:?}");
    let (key, url) = (ClientKey::new(), product.url(path));
    let proof = key.proof("POST", &product.url("/token"), &json!({}));
    let given = asks(product, (path, scope), Some(&proof)).await;
    assert_eq!((given.status, &given.json()["token_type"]), (200, &json!("DPoP")), "{given:?}");
    let given = given.json();
    let bound = text(&given, "access_token");
    assert_eq!(lists(product, path, ("Bearer", bound, None)).await.status, 401);
    let proof = key.for_call(&url, bound, &json!({}));
    let listed = lists(product, path, ("DPoP", bound, Some(&proof))).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    assert_eq!(listed.json()["result"]["tools"].as_array().unwrap().len(), 1, "{listed:?}");
}

/// Whoever asks for nothing is given bearer tokens as before.
async fn takes_others(product: &Product) {
    assert_eq!(requires(product, "/mcp").await, Value::Null);
    let given = asks(product, ("/mcp", "public:read"), None).await.json();
    let bearer = text(&given, "access_token");
    assert_eq!(product.send(call("Bearer", bearer, None)).await.status, 200);
}

// RFC 9449 §6, §7.1, RFC 9728 §2 — N88
#[tokio::test]
async fn a_server_of_the_settings_may_take_bound_tokens_alone() {
    let table = ["dpop_required = true\n", GET, ALLOWED, AGENT].concat();
    let behind = Behind::start(&table).await;
    takes_bound_tokens_alone(&behind.product, PATH, "weather:read").await;
    takes_others(&behind.product).await;
}

async fn register(product: &Product, url: &str, proxy: &Value) -> Answer {
    let body = json!({ "id": "docs", "url": url, "scope": "docs:read", "proxy": proxy });
    administer(product, "POST", "/api/servers", &body).await
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"search"}]}}"#;

// RFC 9449 §6, §7.1, RFC 9728 §2 — N88
#[tokio::test]
async fn a_registered_server_may_take_bound_tokens_alone() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let rules = format!(
        "{RULE}[[rule]]\nid = \"own\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\nscopes = [\"public:read\"]\n"
    );
    let product = start_with(&rules, &[ALLOWED, AGENT].concat()).await;
    let proxy = json!({ "dpop_required": true });
    let added = register(&product, upstream.url().as_str(), &proxy).await;
    assert_eq!((added.status, &added.json()["proxy"]["dpop_required"]), (201, &json!(true)));
    until_status(&product, 401).await;
    takes_bound_tokens_alone(&product, DOCS, "docs:read").await;
    takes_others(&product).await;
    // What is said anew says so anew, or it does not hold.
    let changed = administer(&product, "PUT", "/api/servers/docs/proxy", &json!({})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(asks(&product, (DOCS, "docs:read"), None).await.status, 200);
}

// RFC 9449 §7.2
#[tokio::test]
async fn no_server_is_registered_that_would_get_other_tokens_than_it_asks_for() {
    let product = start_with(RULE, "").await;
    let proxy = json!({ "dpop_required": true });
    let refused = register(&product, "https://docs.example/mcp", &proxy).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("proxy.dpop_required"), "{refused:?}");
}
