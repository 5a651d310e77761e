//! What policy decides about the prompts and resources of a server behind the broker.

use serde_json::{Value, json};

use super::behind::{Behind, GET, PATH, broker, token};
use super::decided::names;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Wire, mcp};

#[tokio::test]
async fn prompts_and_resources_are_granted_by_name_and_by_uri() {
    let table = "[[upstream.server.prompt]]\nname = \"day\"\nscopes = [\"weather:read\"]\n\
        [[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n";
    let behind = Behind::start(table).await;
    let read = &["weather:read"];
    let list = behind.rpc(Wire::Legacy, read, ("prompts/list", json!({}))).await.json();
    assert_eq!(names(&list, "prompts", "name"), ["day"]);
    let list = behind.rpc(Wire::Legacy, read, ("resources/list", json!({}))).await.json();
    assert_eq!(names(&list, "resources", "uri"), ["city:paris"]);
    let ask = |method, params| behind.rpc(Wire::Legacy, read, (method, params));
    assert!(ask("prompts/get", json!({ "name": "day" })).await.json()["result"].is_object());
    assert_eq!(ask("prompts/get", json!({ "name": "night" })).await.rpc_error(), -32602);
    assert!(
        ask("resources/read", json!({ "uri": "city:paris" })).await.json()["result"].is_object()
    );
    assert_eq!(ask("resources/read", json!({ "uri": "secret:key" })).await.rpc_error(), -32002);
    let step_up = behind.rpc(Wire::Legacy, &[], ("prompts/get", json!({ "name": "day" }))).await;
    assert_eq!(step_up.status, 403);
    // A tool's grant is about tools.
    let tools = Behind::start(&GET.replace("get_.*", ".*")).await;
    let read = &["weather:read"];
    let refused = tools.rpc(Wire::Legacy, read, ("prompts/get", json!({ "name": "day" }))).await;
    assert_eq!(refused.rpc_error(), -32602);
}

// Nobody can be asked about them: what would be refused is not listed.
#[tokio::test]
async fn a_prompt_or_resource_that_a_rule_asks_about_is_neither_shown_nor_given() {
    let rules = "[[rule]]\nid = \"all\"\neffect = \"ask\"\ntools = [\"weather.*\"]\n";
    let behind = Behind::start_with("", rules).await;
    for (method, member, key) in
        [("prompts/list", "prompts", "name"), ("resources/list", "resources", "uri")]
    {
        let list = behind.rpc(Wire::Legacy, &[], (method, json!({}))).await.json();
        assert_eq!(names(&list, member, key), [""; 0], "{list}");
    }
    let list = behind.rpc(Wire::Legacy, &[], ("tools/list", json!({}))).await.json();
    assert!(!names(&list, "tools", "name").is_empty(), "{list}");
    let asked = behind.rpc(Wire::Legacy, &[], ("prompts/get", json!({ "name": "day" }))).await;
    assert_eq!(asked.rpc_error(), -32602);
}

/// A rule, by its effect, what it is about and one more line.
fn rule(id: &str, effect: &str, (about, line): (&str, &str)) -> String {
    format!("[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = ['{about}']\n{line}\n")
}

const DAY: &str = "weather/prompts/day";

#[tokio::test]
async fn rules_that_look_at_arguments_decide_about_prompts() {
    let all = || rule("all", "allow", (DAY, ""));
    for policy in [
        rule("some", "allow", (DAY, "arguments = { dept = [\"sales\"] }")),
        all() + &rule("not", "deny", (DAY, "arguments = { dept = [\"hr\"] }")),
        all() + &rule("not", "deny", (DAY, "when = \"arguments.dept == 'hr'\"")),
    ] {
        let behind = Behind::start_with("", &policy).await;
        let get = |dept: &str| {
            let params = json!({ "name": "day", "arguments": { "dept": dept } });
            behind.rpc(Wire::Modern, &[], ("prompts/get", params))
        };
        assert!(get("sales").await.json()["result"].is_object(), "{policy}");
        assert_eq!(get("hr").await.rpc_error(), -32602, "{policy}");
        let list = behind.rpc(Wire::Legacy, &[], ("prompts/list", json!({}))).await.json();
        assert_eq!(names(&list, "prompts", "name"), ["day"], "it is listed: {policy}");
    }
}

#[tokio::test]
async fn rules_that_look_at_arguments_decide_about_completions() {
    let fake = FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#)).await;
    let policy = rule("some", "allow", (DAY, "arguments = { dept = [\"sales\"] }"));
    let product = broker(fake.url().as_str(), "", &policy).await;
    for (dept, code) in [("sales", Value::Null), ("hr", json!(-32602))] {
        let params = json!({ "ref": { "type": "ref/prompt", "name": "day" },
            "argument": { "name": "who", "value": "a" }, "context": { "arguments": { "dept": dept } } });
        let ask = mcp(Wire::Modern, Some(&token(&product, &[])), "completion/complete", params);
        let answer = product.send(ask.path(PATH)).await.json();
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_rule_that_looks_at_arguments_opens_no_resource_and_closes_those_it_is_about() {
    let resources = "weather/resources/.*";
    let looks = "when = \"arguments.city == 'paris'\"";
    for policy in [
        rule("some", "allow", (resources, looks)),
        rule("some", "allow", (resources, "arguments = { city = [\"paris\"] }")),
        rule("all", "allow", (resources, "")) + &rule("not", "deny", (resources, looks)),
    ] {
        let behind = Behind::start_with("", &policy).await;
        let read = ("resources/read", json!({ "uri": "city:paris" }));
        assert_eq!(behind.rpc(Wire::Legacy, &[], read).await.rpc_error(), -32002, "{policy}");
        let list = behind.rpc(Wire::Legacy, &[], ("resources/list", json!({}))).await.json();
        assert_eq!(list["result"]["resources"], json!([]), "{policy}");
    }
}

// RFC 3986 §6.2.2, §7.3
#[tokio::test]
async fn a_resource_is_read_by_the_one_name_that_rules_know() {
    let fake = FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#)).await;
    let policy = rule("docs", "allow", ("weather/resources/file:///.*", ""))
        + &rule("secret", "deny", ("weather/resources/file:///(secret|my notes)/.*", ""));
    let product = broker(fake.url().as_str(), "", &policy).await;
    let token = token(&product, &[]);
    for uri in [
        "file:///docs/../../etc/passwd",
        "file:///docs/%2e%2e/etc/passwd",
        "file:///%73ecret/k",
        "file:////secret/k",
        "file:///my%20notes/k",
    ] {
        for (method, params) in [
            ("resources/read", json!({ "uri": uri })),
            ("resources/subscribe", json!({ "uri": uri })),
            (
                "completion/complete",
                json!({ "ref": { "type": "ref/resource", "uri": uri }, "argument": { "name": "a", "value": "b" } }),
            ),
        ] {
            let ask = mcp(Wire::Legacy, Some(&token), method, params).path(PATH);
            assert!(product.send(ask).await.json()["error"].is_object(), "{method} {uri}");
        }
    }
    assert_eq!(fake.count(), 0);
    let good = json!({ "uri": "file:///docs/a%20b.txt" });
    let ask = mcp(Wire::Legacy, Some(&token), "resources/read", good).path(PATH);
    assert!(product.send(ask).await.json()["result"].is_object());
}
