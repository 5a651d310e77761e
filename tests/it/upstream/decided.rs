//! What policy decides about a server behind the broker.

use std::sync::Arc;

use mcp_auth_broker::store::{ApprovalAnswer, StoreSettings, open};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::behind::{Behind, GET, PATH, broker, call, token};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{WIRES, Wire, mcp};

pub(super) fn names(answer: &Value, member: &str, key: &str) -> Vec<String> {
    let list = answer["result"][member].as_array().unwrap_or_else(|| panic!("{answer}"));
    list.iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
}

// MCP 2026-07-28 server/tools §Capabilities — RS-24, RS-27
#[tokio::test]
async fn a_server_shows_nothing_until_a_rule_names_it() {
    for wire in WIRES {
        let closed = Behind::start("").await;
        for (method, member) in
            [("tools/list", "tools"), ("prompts/list", "prompts"), ("resources/list", "resources")]
        {
            let list = closed.rpc(wire, &["weather:read"], (method, json!({}))).await.json();
            assert_eq!(list["result"][member], json!([]), "{list}");
        }
        let open = Behind::start(GET).await;
        let list = open.rpc(wire, &["weather:read"], ("tools/list", json!({}))).await.json();
        assert_eq!(names(&list, "tools", "name"), ["get_weather"]);
        let list = open.rpc(wire, &[], ("tools/list", json!({}))).await.json();
        assert_eq!(list["result"]["tools"], json!([]));
    }
}

// MCP 2026-07-28 utilities/caching — RS-27
#[tokio::test]
async fn a_filtered_list_is_nobody_elses() {
    let behind = Behind::start(GET).await;
    let list = behind.rpc(Wire::Modern, &["weather:read"], ("tools/list", json!({}))).await.json();
    assert_eq!(list["result"]["cacheScope"], "private", "{list}");
}

// MCP 2026-07-28 server/tools §Error Handling — RS-28
#[tokio::test]
async fn a_hidden_tool_and_an_unknown_one_are_answered_alike() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let mut answers = Vec::new();
    for tool in ["delete_city", "delete_none"] {
        let answer = product.send(call(product, &["weather:read"], tool)).await;
        assert_eq!(answer.rpc_error(), -32602);
        answers.push(answer.body.replace(tool, "TOOL"));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(behind.seen().is_empty(), "the server was not asked");
    let ended = product.audit().into_iter().rfind(|event| event["event_type"] == "result.emitted");
    assert_eq!(ended.unwrap()["payload"]["error_code"], "policy.denied");
}

// MCP 2026-07-28 §Runtime Insufficient Scope Errors — RS-21, RS-22
#[tokio::test]
async fn a_missing_scope_is_asked_for() {
    let behind = Behind::start(GET).await;
    let product = &behind.product;
    let refused = product.send(call(product, &[], "get_weather")).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("insufficient_scope") && challenge.contains("weather:read"));
    assert!(challenge.contains("/servers/weather/mcp"), "{challenge}");
    assert!(behind.seen().is_empty());
    let allowed = product.send(call(product, &["weather:read"], "get_weather")).await;
    assert_eq!(allowed.json()["result"]["content"][0]["text"], "get_weather {}");
}

/// Rules of our own tools are about those alone, and rules of one server about that one.
#[tokio::test]
async fn a_rule_for_a_tool_of_the_same_name_elsewhere_opens_nothing() {
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "ours"
        effect = "allow"
        tools = ["get_.*", "other\\.get_.*"]
        scopes = ["weather:read"]
    "#;
    let behind = Behind::start_with("", policy).await;
    let answer = behind.product.send(call(&behind.product, &["weather:read"], "get_weather")).await;
    assert_eq!(answer.rpc_error(), -32602);
}

#[tokio::test]
async fn a_rule_of_the_policy_file_decides_about_a_servers_tools_and_arguments() {
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "weather.get"
        effect = "allow"
        tools = ["weather\\.get_weather"]
        scopes = ["weather:read"]
        arguments = { city = ["paris"] }
    "#;
    let behind = Behind::start_with("", policy).await;
    let ask = |city: &str| json!({ "name": "get_weather", "arguments": { "city": city } });
    let read = &["weather:read"];
    let paris = behind.rpc(Wire::Modern, read, ("tools/call", ask("paris"))).await.json();
    assert_eq!(paris["result"]["isError"], json!(null), "{paris}");
    let rome = behind.rpc(Wire::Modern, read, ("tools/call", ask("rome"))).await.json();
    assert_eq!(rome["result"]["isError"], true, "{rome}");
    assert_eq!(rome["result"]["structuredContent"]["error"]["code"], "policy.denied");
    assert_eq!(rome["result"]["resultType"], "complete");
    assert_eq!(behind.seen().len(), 1);
}

#[tokio::test]
async fn a_call_that_a_rule_asks_about_waits_for_a_person() {
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "weather.delete"
        effect = "ask"
        tools = ["weather\\.delete_city"]
        scopes = ["weather:write"]
    "#;
    let behind = Behind::start_with("", policy).await;
    let product = &behind.product;
    let answer = product.send(call(product, &["weather:write"], "delete_city")).await.json();
    let error = &answer["result"]["structuredContent"]["error"];
    assert_eq!(error["code"], "policy.approval_required", "{answer}");
    assert!(error["metadata"]["approval_url"].is_string());
    assert!(behind.seen().is_empty());
}

const ASKS: &str = r#"
    version = "t"
    default = "deny"
    [[rule]]
    id = "weather.delete"
    effect = "ask"
    tools = ["weather\\.delete_city"]
"#;

/// What becomes of a call with these parameters: the question it waits for; `None`: it was made.
async fn waits_for(behind: &Behind, parameters: &str) -> Option<String> {
    let product = &behind.product;
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"delete_city",{parameters}}}}}"#
    );
    let request = mcp(Wire::Legacy, Some(&token(product, &[])), "tools/call", json!({}));
    let answer = product.send(request.path(PATH).body(body.as_bytes())).await.json();
    let error = &answer["result"]["structuredContent"]["error"];
    if error.is_null() {
        assert!(answer["result"]["content"].is_array(), "{answer}");
        return None;
    }
    assert_eq!(error["code"], "policy.approval_required", "{answer}");
    error["metadata"]["approval_id"].as_str().map(str::to_owned)
}

async fn approve(behind: &Behind, id: &str) {
    let path = behind.product.directory.path().join("data/broker.db");
    let store = open(&StoreSettings::Sqlite(path), Arc::new(SystemClock)).await.unwrap();
    let approver = "lena".parse().unwrap();
    let at = SystemClock.now();
    let answer = ApprovalAnswer { approver, approved: true, comment: None, at };
    assert!(store.answer_approval(id.parse().unwrap(), &answer).await.unwrap());
}

// Good for the bytes that reach the server, number by number.
// MCP 2026-07-28 basic/patterns/mrtr §Server Requirements — RS-33
#[tokio::test]
async fn an_approval_lets_through_what_was_shown_and_nothing_else() {
    let behind = Behind::start_with("", ASKS).await;
    let shown = r#""arguments":{"account":123456789012345678901}"#;
    let id = waits_for(&behind, shown).await.unwrap();
    approve(&behind, &id).await;
    let others = [
        r#""arguments":{"account":123456789012345678902}"#,
        r#""arguments":{"account":1.23456789012345678901e20}"#,
        &format!(r#"{shown},"_meta":{{"example.com/dry_run":false}}"#),
        &format!(r#"{shown},"requestState":"s""#),
        &format!(r#"{shown},"more":[1]"#),
    ];
    for other in others {
        let question = waits_for(&behind, other).await;
        assert!(question.is_some_and(|other| other != id), "{other}");
    }
    let beside = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","confirm":true,"params":{{"name":"delete_city",{shown}}}}}"#
    );
    let request = mcp(Wire::Legacy, Some(&token(&behind.product, &[])), "tools/call", json!({}));
    let refused = behind.product.send(request.path(PATH).body(beside.as_bytes())).await;
    assert_eq!((refused.status, refused.rpc_error()), (400, json!(-32600)), "{refused:?}");
    assert!(behind.seen().is_empty());
    let again = format!(r#"{shown},"_meta":{{"progressToken":"another"}}"#);
    assert_eq!(waits_for(&behind, &again).await, None);
    assert_eq!(behind.seen().len(), 1);
}

/// What could not be evaluated hid it, and the operator finds out why.
#[tokio::test]
async fn a_condition_that_fails_is_on_record_for_tools_prompts_and_resources() {
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "broken"
        effect = "allow"
        tools = ["weather.*"]
        when = "claims.level > 3"
    "#;
    let asks = [
        ("tools/call", json!({ "name": "get_weather", "arguments": {} }), "weather.get_weather"),
        ("prompts/get", json!({ "name": "day" }), "weather"),
        ("resources/read", json!({ "uri": "city:paris" }), "weather"),
    ];
    let behind = Behind::start_with("", policy).await;
    for (method, params, name) in asks {
        let refused = behind.rpc(Wire::Legacy, &[], (method, params)).await;
        assert!(refused.json()["error"].is_object());
        let events = behind.product.audit();
        let [.., failed, ended] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(failed["event_type"], "policy.condition.failed", "{method}");
        assert_eq!(failed["payload"]["rule_ids"], json!(["broken"]));
        assert_eq!(failed["payload"]["tool_name"], name);
        assert_eq!(ended["event_type"], "result.emitted");
    }
    assert!(behind.seen().is_empty());
}

/// Hidden, challenged or allowed: the shadow is asked wherever an answer leaves.
#[tokio::test]
async fn shadow_rules_are_compared_wherever_a_server_is_not_asked() {
    let rules = |id: &str, tool: &str, scopes: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\neffect = \"allow\"\ntools = ['{tool}']\nscopes = [{scopes}]\n"
        )
    };
    let live = rules("a", r"weather\.get_weather", "\"weather:read\"");
    let shadow = rules("a", r"weather\..*", "") + &rules("b", "weather/prompts/day", "");
    let behind = Behind::start_with_shadow(&live, &shadow).await;
    let asks = [
        ("tools/call", json!({ "name": "delete_city", "arguments": {} })),
        ("tools/call", json!({ "name": "get_weather", "arguments": {} })),
        ("prompts/get", json!({ "name": "day" })),
    ];
    for (number, (method, params)) in asks.into_iter().enumerate() {
        behind.rpc(Wire::Legacy, &[], (method, params)).await;
        let events = behind.product.audit();
        let differed =
            events.iter().filter(|event| event["event_type"] == "policy.shadow.differed");
        let differed: Vec<_> = differed.collect();
        assert_eq!(differed.len(), number + 1, "{method}: {differed:?}");
        assert_eq!(differed[number]["payload"]["shadow_decision"], "allow");
    }
}

// RS-26
#[tokio::test]
async fn a_servers_tool_has_its_limits() {
    let table =
        format!("{GET}[[limits.tool]]\nname = \"weather.get_weather\"\nrate = \"2/hour\"\n");
    let behind = Behind::start(&table).await;
    let product = &behind.product;
    for expected in [200, 200, 429] {
        let answer = product.send(call(product, &["weather:read"], "get_weather")).await;
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    assert_eq!(behind.seen().len(), 2);
}

// RS-26
#[tokio::test]
async fn a_prompt_that_is_too_much_is_on_record_as_what_it_is() {
    let table = "[[upstream.server.prompt]]\nname = \"day\"\nscopes = [\"weather:read\"]\n[limits]\nper_client = \"1/hour\"\n";
    let behind = Behind::start(table).await;
    let ask =
        || behind.rpc(Wire::Legacy, &["weather:read"], ("prompts/get", json!({ "name": "day" })));
    assert_eq!(ask().await.status, 200);
    assert_eq!(ask().await.status, 429);
    let ended = behind.product.audit().pop().unwrap();
    let payload = &ended["payload"];
    assert_eq!(
        (&payload["method"], &payload["tool_name"]),
        (&json!("prompts/get"), &json!("weather"))
    );
    assert_eq!(payload["error_code"], "policy.rate_limited");
}

// JSON-RPC 2.0 §4, MCP Streamable HTTP — TR-8, TR-15, TR-24, TR-27
#[tokio::test]
async fn what_cannot_be_decided_reaches_no_server() {
    let fake = FakeHttp::start(Reply::status(500)).await;
    let product = broker(fake.url().as_str(), GET, "").await;
    let token = token(&product, &["weather:read"]);
    let body = |body: &str| {
        mcp(Wire::Legacy, Some(&token), "ping", json!({})).path(PATH).body(body.as_bytes())
    };
    for (text, status) in [
        (r#"{"jsonrpc":"2.0","id":7,"method":"tasks/get","params":{"taskId":"1"}}"#, 200),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":["get_weather"]}}"#,
            200,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"get_weather"}}"#,
            400,
        ),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"get_weather"}}"#, 400),
        (r#"{"jsonrpc":"2.0","id":7,"method":"notifications/initialized"}"#, 400),
        (r#"{"jsonrpc":"2.0","method":"notifications/other"}"#, 200),
        (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, 400),
        (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","method":"ping","params":{}}"#, 400),
        ("[]", 400),
        ("{", 400),
    ] {
        let answer = product.send(body(text)).await;
        assert_eq!(answer.status, status, "{text}: {answer:?}");
        assert!(answer.json()["error"].is_object(), "{answer:?}");
    }
    for (name, lie) in [("mcp-method", "tools/list"), ("mcp-name", "get_other")] {
        let request = call(&product, &["weather:read"], "get_weather").without(name);
        let answer = product.send(request.header(name, lie)).await;
        assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32020)), "{name}");
    }
    assert_eq!(fake.count(), 0);
}

/// Servers in Go find members whatever the case of their names, and keep the last of several.
#[tokio::test]
async fn what_a_laxer_reader_would_read_otherwise_reaches_no_server() {
    let fake = FakeHttp::start(Reply::status(500)).await;
    let fold = "fold = true\n";
    let product = broker(fake.url().as_str(), &[fold, GET].concat(), "").await;
    let bodies = [
        r#""method":"tools/call","params":{"name":"NAME","Name":"delete_city","arguments":{}}"#,
        r#""method":"tools/list","Method":"tools/call","params":{"name":"delete_city"}"#,
        r#""method":"tools/call","params":{"name":"NAME","arguments":{"a":"/ok"},"Arguments":{"a":"/etc"}}"#,
        r#""method":"tools/call","params":{"name":"NAME","arguments":{"path":"/ok","Path":"/etc"}}"#,
        r#""method":"tools/call","params":{"name":"NAME","argument\u017f":{"a":"/etc"}}"#,
        r#""method":"tools/call","params":{"name":"NAME","Arguments":{"a":"/etc"}}"#,
        r#""Method":"tools/call","params":{"name":"delete_city"}"#,
        r#""result":{},"method":"tools/call","params":{"name":"NAME"}"#,
    ];
    for (path, name, token) in [
        (PATH, "get_weather", token(&product, &["weather:read"])),
        ("/mcp", "weather.get_weather", product.token(&["weather:read"])),
    ] {
        for body in bodies {
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,{}}}"#, body.replace("NAME", name));
            let request = mcp(Wire::Legacy, Some(&token), "ping", json!({})).path(path);
            let answer = product.send(request.body(text.as_bytes())).await;
            assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32600)), "{text}");
        }
    }
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_stream_about_more_resources_than_can_be_decided_reaches_no_server() {
    let fake = FakeHttp::start(Reply::status(500)).await;
    let table = "[[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = []\n";
    let product = broker(fake.url().as_str(), table, "").await;
    let listen = json!({ "notifications": { "resourceSubscriptions": vec!["city:a"; 101] } });
    let own = token(&product, &[]);
    let request = mcp(Wire::Modern, Some(&own), "subscriptions/listen", listen).path(PATH);
    assert_eq!(product.send(request).await.rpc_error(), json!(-32602));
    assert_eq!(fake.count(), 0);
}
