//! Schemas of tools that refer to others, to themselves, or to nothing: they are handed on and never followed.

use serde_json::{Value, json};

use super::behind::{GET, PATH, broker, token};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{WIRES, mcp};

/// The list of tools as a caller sees it, of a server with one tool of this schema; and how often anything else was asked.
async fn shown(schema: &Value, era: &str) -> (Value, usize) {
    let elsewhere = FakeHttp::start(Reply::json("{}")).await;
    let schema = schema.to_string().replace("http://elsewhere/", elsewhere.url().as_str());
    let tool = format!(r#"{{"name":"get_weather","inputSchema":{schema}}}"#);
    let fake = FakeHttp::start(Reply::json(format!(
        r#"{{"jsonrpc":"2.0","id":7,"result":{{"tools":[{tool}]}}}}"#
    )))
    .await;
    let product = broker(fake.url().as_str(), &format!("era = \"{era}\"\n{GET}"), "").await;
    let token = token(&product, &["weather:read"]);
    let mut seen = Value::Null;
    for wire in WIRES {
        let list = mcp(wire, Some(&token), "tools/list", json!({})).path(PATH);
        let answer = product.send(list).await.json();
        assert_eq!(answer["result"]["tools"].as_array().map(Vec::len), Some(1), "{answer}");
        seen = answer["result"]["tools"][0]["inputSchema"].clone();
    }
    (seen, elsewhere.count())
}

// MCP 2026-07-28 basic, JSON Schema — TR-10
#[tokio::test]
async fn references_are_never_fetched() {
    let schema = json!({ "type": "object", "properties": {
        "a": { "$ref": "http://elsewhere/schema.json" },
        "b": { "$ref": "#/properties/b" },
        "c": { "$ref": "file:///etc/passwd" } }, "$schema": "http://elsewhere/dialect", "$id": "http://elsewhere/id" });
    for era in ["both", "auto"] {
        let (seen, fetched) = shown(&schema, era).await;
        assert_eq!(fetched, 0);
        assert_eq!(seen["properties"]["b"], json!({ "$ref": "#/properties/b" }));
    }
}

#[tokio::test]
async fn a_schema_that_turns_in_circles_or_is_deep_is_handed_on() {
    let mut schema = json!({ "$ref": "#" });
    for _ in 0..50 {
        schema = json!({ "type": "object", "properties": { "a": schema } });
    }
    let (seen, _) = shown(&schema, "both").await;
    assert_eq!(seen, schema);
}
