//! A person and a server behind the broker: a log-in for that server alone, and a call that waits for a yes.

use serde_json::{Value, json};

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;
use crate::upstream::behind::{Behind, GET, PATH, call, token};

use super::browser::{Browser, hidden};
use super::client::{Asking, REDIRECT, VERIFIER, register, told};

/// From a client's registration to its token, for one resource.
pub(super) async fn token_for(
    product: &Product,
    browser: &mut Browser<'_>,
    resource: &str,
) -> Value {
    let client = register(product, &[REDIRECT]).await;
    let asking = Asking::new(&client).with("scope", "weather:read").with("resource", resource);
    let location = browser.answers(&asking.path(), "allow").await;
    let code = told(&location)["code"].clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("client_id", &client),
        ("code_verifier", VERIFIER),
        ("resource", resource),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::new("POST", "/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let answer = product.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

// RFC 7636 §4, RFC 8707 §2 — RS-9
#[tokio::test]
async fn a_person_logs_in_for_one_server_and_the_client_calls_it_and_no_other() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let mut browser = Browser::of_the_administrator(product).await;
    let tokens = token_for(product, &mut browser, &product.url(PATH)).await;
    let token = tokens["access_token"].as_str().unwrap();
    let ask = |path: &str| {
        let params = json!({ "name": "get_weather", "arguments": { "city": "paris" } });
        product.send(mcp(Wire::Modern, Some(token), "tools/call", params).path(path))
    };
    let answer = ask(PATH).await;
    let said = &answer.json()["result"]["content"][0]["text"];
    assert_eq!(*said, r#"get_weather {"city":"paris"}"#, "{tokens} {answer:?}");
    assert_eq!(ask("/mcp").await.status, 401);
    assert!(!behind.seen()[0].contains_key("authorization"));
}

/// A folded server's tools are called with a token for the broker itself.
#[tokio::test]
async fn a_person_logs_in_at_the_broker_for_the_tools_of_a_folded_server() {
    let behind = Behind::start(&format!("fold = true\n{GET}")).await;
    let product = &behind.product;
    let mut browser = Browser::of_the_administrator(product).await;
    let tokens = token_for(product, &mut browser, &product.url("/mcp")).await;
    assert_eq!(tokens["scope"], "weather:read", "{tokens}");
    let params = json!({ "name": "weather.get_weather", "arguments": { "city": "paris" } });
    let token = tokens["access_token"].as_str();
    let answer = product.send(mcp(Wire::Modern, token, "tools/call", params)).await;
    let said = &answer.json()["result"]["content"][0]["text"];
    assert_eq!(*said, r#"get_weather {"city":"paris"}"#, "{answer:?}");
}

/// What a person is asked about is let through once, and only that.
#[tokio::test]
async fn a_servers_tool_that_was_approved_is_called_once() {
    let policy = r#"
        version = "t"
        [[rule]]
        id = "weather.delete"
        effect = "ask"
        tools = ["weather\\.delete_city"]
        scopes = ["weather:write"]
    "#;
    let behind = Behind::start_with("", policy).await;
    let product = &behind.product;
    let delete = async || {
        product.send(call(product, &["weather:write"], "delete_city")).await.json()["result"]
            .clone()
    };
    let asked = delete().await["structuredContent"]["error"].clone();
    assert_eq!(asked["code"], "policy.approval_required", "{asked}");
    let page = asked["metadata"]["approval_url"].as_str().unwrap();
    let page = page.strip_prefix(&product.url("")).unwrap();
    let mut browser = Browser::of_the_administrator(product).await;
    let shown = browser.get(page).await;
    assert!(shown.body.replace("<wbr>", "").contains("weather.delete_city"), "{shown:?}");
    let form = hidden(&shown.body, "form");
    let fields = [("form", form.as_str()), ("decision", "approve"), ("comment", "")];
    assert_eq!(browser.post(page, &fields).await.status, 200);
    let other = json!({ "name": "delete_city", "arguments": { "city": "rome" } });
    let token = token(product, &["weather:write"]);
    let other = product.send(mcp(Wire::Modern, Some(&token), "tools/call", other).path(PATH)).await;
    assert_eq!(other.json()["result"]["isError"], true, "another call is another question");
    let done = delete().await;
    assert_eq!(done["content"][0]["text"], "delete_city {}", "{done}");
    assert_eq!(delete().await["isError"], true);
    assert_eq!(behind.seen().len(), 1);
}
