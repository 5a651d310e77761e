//! What the audit log keeps of prompts and resources, whose names are as long as the caller or the server makes them.

use serde_json::{Value, json};

use super::behind::{Behind, PATH, broker, token};
use super::decided::names;
use crate::support::audit::assert_one_terminal_per_request;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};

const ANY: &str = "[[upstream.server.prompt]]\nname = \".*\"\nscopes = []\n[[upstream.server.resource]]\nuri = \".*\"\nscopes = []\n";

fn events(product: &Product, kind: &str) -> Vec<Value> {
    let events = product.audit().into_iter().filter(|event| event["event_type"] == kind);
    events.map(|event| event["payload"].clone()).collect()
}

#[tokio::test]
async fn a_long_name_is_refused_and_fills_no_log() {
    let behind = Behind::start("").await;
    let long = format!("x:{}", "x".repeat(100_000));
    for (method, params) in [
        ("prompts/get", json!({ "name": long })),
        ("resources/read", json!({ "uri": long })),
        ("resources/subscribe", json!({ "uri": long })),
    ] {
        let answer = behind.rpc(Wire::Legacy, &[], (method, params)).await;
        assert_eq!(answer.rpc_error(), -32602, "{method}");
    }
    let longest = behind.product.audit_lines().iter().map(String::len).max().unwrap();
    assert!(longest < 4_096, "{longest}");
}

#[tokio::test]
async fn what_nobody_could_ask_for_is_not_listed_nor_recorded() {
    let long = format!("x:{}", "x".repeat(3_000));
    let all = json!([{ "uri": long, "name": "\u{200b}" }, { "uri": "x:a", "name": "a" }]);
    let list = json!({ "jsonrpc": "2.0", "id": 7, "result": { "resources": all } });
    let fake = FakeHttp::start(Reply::json(list.to_string())).await;
    let table = format!("on_hidden_text = \"alert\"\n{ANY}");
    let product = broker(fake.url().as_str(), &table, "").await;
    let token = token(&product, &[]);
    let ask = mcp(Wire::Legacy, Some(&token), "resources/list", json!({})).path(PATH);
    let shown = product.send(ask).await.json();
    assert_eq!(names(&shown, "resources", "uri"), ["x:a"]);
    assert!(events(&product, "upstream.tool.flawed").is_empty());
}

#[tokio::test]
async fn what_the_query_of_a_resource_says_is_not_recorded() {
    let behind = Behind::start(ANY).await;
    let uri = json!({ "uri": "city:paris?email=ada@example.com" });
    let answer = behind.rpc(Wire::Legacy, &[], ("resources/read", uri)).await;
    assert!(answer.body.contains("sunny"), "{answer:?}");
    let ended = events(&behind.product, "result.emitted").pop().unwrap();
    assert_eq!(ended["question"]["tool"], "weather/resources/city:paris?…", "{ended}");
    assert!(!behind.product.audit_lines().join("\n").contains("ada@example.com"));
}

fn rules(denied: bool) -> String {
    let rule = |id: &str, effect: &str, uri: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = [\"weather/resources/{uri}\"]\n"
        )
    };
    let deny = if denied { rule("b", "deny", "file:///my notes/.*") } else { String::new() };
    ["version = \"t\"\ndefault = \"deny\"\n", &rule("a", "allow", "file:///.*"), &deny].concat()
}

/// Two policies that read a name alike do not differ, and one that reads it otherwise does.
#[tokio::test]
async fn what_a_rule_denies_without_its_escapes_is_recorded_and_compared_as_it_was_decided() {
    let read = || ("resources/read", json!({ "uri": "file:///my%20notes/a" }));
    for (live, differs) in [(true, 0), (false, 1)] {
        let behind = Behind::start_with_shadow(&rules(live), &rules(true)).await;
        let answer = behind.rpc(Wire::Legacy, &[], read()).await;
        assert_eq!(answer.body.contains("sunny"), !live, "{answer:?}");
        let ended = events(&behind.product, "result.emitted").pop().unwrap();
        let name = if live { "file:///my notes/a" } else { "file:///my%20notes/a" };
        assert_eq!(ended["question"]["tool"], format!("weather/resources/{name}"));
        let differed = events(&behind.product, "policy.shadow.differed");
        assert_eq!(differed.len(), differs, "{differed:?}");
        assert!(differed.iter().all(|event| event["shadow_decision"] == "deny"));
    }
}

/// A list is asked for again and again.
#[tokio::test]
async fn what_shadow_rules_would_show_otherwise_is_on_record_once_for_each_kind() {
    let rules =
        |tools: &str| format!("[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [{tools}]\n");
    let (live, shadow) = (rules(r#""weather\\.get_.*""#), rules(r#""weather\\..*", "weather/.*""#));
    let behind = Behind::start_with_shadow(&live, &shadow).await;
    for _ in 0..2 {
        for method in ["tools/list", "prompts/list"] {
            behind.rpc(Wire::Modern, &[], (method, json!({}))).await;
        }
    }
    let events = behind.product.audit();
    let differed = events.iter().filter(|event| event["event_type"] == "policy.shadow.differed");
    let names: Vec<_> = differed.map(|event| event["payload"]["tool_name"].clone()).collect();
    assert_eq!(names, ["weather.delete_city", "weather"]);
    assert_one_terminal_per_request(&behind.product.audit_lines());
}
