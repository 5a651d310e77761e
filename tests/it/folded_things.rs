//! Prompts and resources of servers whose tools stand in one list with the broker's own, at `/mcp`.

use serde_json::{Value, json};

use crate::support::audit::assert_one_terminal_per_request;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, WIRES, Wire, mcp};
use crate::support::raw_http::Answer;
use crate::upstream::Behind;

/// Grants for one of two prompts, and for one of two resources.
const TABLE: &str = "fold = true\n\
    [[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n\
    [[upstream.server.prompt]]\nname = \"day\"\nscopes = [\"weather:read\"]\n\
    [[upstream.server.resource]]\nuri = \"city:.*\"\nscopes = [\"weather:read\"]\n";

async fn rpc(product: &Product, wire: Wire, method: &str, params: Value) -> Answer {
    let token = product.token(&["weather:read", "public:read"]);
    let uri = params["uri"].as_str().map(str::to_owned);
    let request = mcp(wire, Some(&token), method, params);
    let request = match uri {
        Some(uri) if wire == Wire::Modern => request.header("mcp-name", &uri),
        _ => request,
    };
    product.send(request).await
}

async fn result(product: &Product, wire: Wire, method: &str, params: Value) -> Value {
    let answer = rpc(product, wire, method, params).await;
    let answer = answer.json();
    assert!(answer["result"].is_object(), "{wire:?} {method}: {answer}");
    answer["result"].clone()
}

/// What a list has, by this member.
fn each(result: &Value, list: &str, member: &str) -> Vec<String> {
    let all = result[list].as_array().unwrap_or_else(|| panic!("{result}"));
    all.iter().map(|one| one[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn who_may_have_them_sees_a_servers_prompts_and_resources_and_gets_them() {
    let behind = Behind::start(TABLE).await;
    let product = &behind.product;
    for wire in WIRES {
        let prompts = result(product, wire, "prompts/list", json!({})).await;
        assert_eq!(each(&prompts, "prompts", "name"), ["weather.day"], "{wire:?}");
        let resources = result(product, wire, "resources/list", json!({})).await;
        assert_eq!(each(&resources, "resources", "uri"), ["weather+city:paris"], "{wire:?}");
        let modern = wire == Wire::Modern;
        assert_eq!(resources["cacheScope"], if modern { json!("private") } else { Value::Null });
        let day = result(product, wire, "prompts/get", json!({ "name": "weather.day" })).await;
        assert_eq!(day["messages"][0]["content"]["text"], "day");
        let uri = json!({ "uri": "weather+city:paris" });
        let paris = result(product, wire, "resources/read", uri).await;
        assert_eq!(paris["contents"][0]["uri"], "weather+city:paris", "as it is known here");
    }
    let event = product.audited(|event| event["payload"]["method"] == "resources/read").await;
    assert_eq!(event["payload"]["question"]["tool"], "weather/resources/city:paris");
    assert_one_terminal_per_request(&product.audit_lines());
}

#[tokio::test]
async fn templates_and_completions_are_known_by_their_server_too() {
    let list = r#"{"jsonrpc":"2.0","id":"list","result":{"resourceTemplates":[{"name":"c","uriTemplate":"city:{name}"},{"name":"s","uriTemplate":"secret:{name}"}]}}"#;
    let upstream = FakeHttp::start(Reply::json(list)).await;
    let product = two(upstream.url().as_str(), "").await;
    let templates = result(&product, Wire::Modern, "resources/templates/list", json!({})).await;
    assert_eq!(each(&templates, "resourceTemplates", "uriTemplate"), ["weather+city:{name}"]);
    let done = r#"{"jsonrpc":"2.0","id":7,"result":{"completion":{"values":["paris"]}}}"#;
    upstream.answers(Reply::json(done));
    for (reference, asked) in [
        (
            json!({ "type": "ref/resource", "uri": "weather+city:{name}" }),
            json!({ "type": "ref/resource", "uri": "city:{name}" }),
        ),
        (
            json!({ "type": "ref/prompt", "name": "weather.day" }),
            json!({ "type": "ref/prompt", "name": "day" }),
        ),
    ] {
        let params = json!({ "ref": reference, "argument": { "name": "name", "value": "p" } });
        let done = result(&product, Wire::Modern, "completion/complete", params).await;
        assert_eq!(done["completion"]["values"], json!(["paris"]));
        let sent: Value = serde_json::from_str(&upstream.asked().last().unwrap().body).unwrap();
        assert_eq!(sent["params"]["ref"], asked);
    }
}

// RS-28
#[tokio::test]
async fn what_is_hidden_is_answered_like_what_no_server_has() {
    let behind = Behind::start(TABLE).await;
    let before = behind.seen().len();
    for wire in WIRES {
        let mut answers = Vec::new();
        for (name, uri) in
            [("weather.night", "weather+secret:key"), ("other.night", "other+secret:key")]
        {
            let prompt = rpc(&behind.product, wire, "prompts/get", json!({ "name": name })).await;
            let resource =
                rpc(&behind.product, wire, "resources/read", json!({ "uri": uri })).await;
            let prompt_body = prompt.body.replace(name, "NAME");
            answers.push((prompt.status, prompt_body, resource.status, resource.body));
        }
        assert_eq!(answers[0], answers[1], "{wire:?}");
        assert!(answers[0].1.contains("Unknown prompt: NAME"), "{answers:?}");
    }
    assert_eq!(behind.seen().len(), before, "the server was not asked");
}

#[tokio::test]
async fn a_scope_that_would_open_a_prompt_is_challenged() {
    let behind = Behind::start(TABLE).await;
    let token = behind.product.token(&["public:read"]);
    let get = mcp(Wire::Modern, Some(&token), "prompts/get", json!({ "name": "weather.day" }));
    let refused = behind.product.send(get).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("scope=\"weather:read\""), "{challenge}");
    assert!(challenge.contains("/.well-known/oauth-protected-resource/mcp\""), "{challenge}");
}

#[tokio::test]
async fn requests_that_are_not_well_formed_go_no_further() {
    let behind = Behind::start(TABLE).await;
    let token = behind.product.token(&["weather:read"]);
    let get = || mcp(Wire::Modern, Some(&token), "prompts/get", json!({ "name": "weather.day" }));
    let old = mcp(Wire::Legacy, Some(&token), "prompts/get", json!({ "no": 1 }));
    for (request, status, code) in [
        (get().without("mcp-method"), 400, -32020),
        (get().without("mcp-name").header("mcp-name", "day"), 400, -32020),
        (old, 200, -32602),
    ] {
        let answer = behind.product.send(request).await;
        assert_eq!((answer.status, answer.rpc_error()), (status, json!(code)), "{answer:?}");
    }
}

/// The broker, one folded server at `url` and, with more tables, others.
async fn two(url: &str, more: &str) -> Product {
    let table =
        format!("[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nera = \"both\"\n{TABLE}");
    Product::start(&format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{table}{more}")).await
}

#[tokio::test]
async fn a_server_without_prompts_and_one_that_is_away_cost_their_own_part() {
    let list = r#"{"jsonrpc":"2.0","id":"list","result":{"prompts":[{"name":"day"}]}}"#;
    let upstream = FakeHttp::start(Reply::json(list)).await;
    let none = r#"{"jsonrpc":"2.0","id":"list","error":{"code":-32601,"message":"no"}}"#;
    let without = FakeHttp::start(Reply::json(none)).await;
    let server = |id: &str, url: &str| {
        format!(
            "[[upstream.server]]\nid = \"{id}\"\nurl = \"{url}\"\nera = \"both\"\nfold = true\n\
            [[upstream.server.prompt]]\nname = \".*\"\nscopes = [\"weather:read\"]\n"
        )
    };
    let more = [
        server("away", "http://127.0.0.1:1/mcp"),
        server("none", without.url().as_str()),
        server("last", upstream.url().as_str()),
    ]
    .concat();
    let product = two(upstream.url().as_str(), &more).await;
    let prompts = result(&product, Wire::Modern, "prompts/list", json!({})).await;
    assert_eq!(each(&prompts, "prompts", "name"), ["weather.day", "last.day"]);
    let asked = without.count();
    result(&product, Wire::Modern, "prompts/list", json!({})).await;
    assert_eq!(without.count(), asked + 1, "who has none is well, and asked again");
}

#[tokio::test]
async fn links_in_a_tools_result_lead_to_the_servers_resources() {
    let link = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"resource_link","uri":"city:paris","name":"p"}]}}"#;
    let upstream = FakeHttp::start(Reply::json(link)).await;
    let product = two(upstream.url().as_str(), "").await;
    let call = json!({ "name": "weather.get_day", "arguments": {} });
    let done = result(&product, Wire::Legacy, "tools/call", call).await;
    assert_eq!(done["content"][0]["uri"], "weather+city:paris");
    let own = product.token_with(&["weather:read"], |token| {
        token.audience = product.url("/servers/weather/mcp");
    });
    let call = mcp(Wire::Legacy, Some(&own), "tools/call", json!({ "name": "get_day" }));
    let there = product.send(call.path("/servers/weather/mcp")).await.json();
    assert_eq!(there["result"]["content"][0]["uri"], "city:paris", "{there}");
}

#[tokio::test]
async fn what_is_offered_is_what_is_answered() {
    let behind = Behind::start(TABLE).await;
    let discovered = result(&behind.product, Wire::Modern, "server/discover", json!({})).await;
    let told = json!({ "listChanged": true });
    let resources = json!({ "listChanged": true, "subscribe": true });
    let all = json!({ "tools": told, "prompts": told, "resources": resources, "completions": {} });
    assert_eq!(discovered["capabilities"], all);
    let alone = Product::dev().await;
    let discovered = result(&alone, Wire::Modern, "server/discover", json!({})).await;
    assert_eq!(discovered["capabilities"], json!({ "tools": told }));
    let none = rpc(&alone, Wire::Modern, "prompts/list", json!({})).await;
    assert_eq!((none.status, none.rpc_error()), (404, json!(-32601)));
}

// MCP 2026-07-28 server/utilities/pagination §Error Handling
#[tokio::test]
async fn a_list_that_is_one_page_has_no_other() {
    let behind = Behind::start(TABLE).await;
    for wire in WIRES {
        for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
            let answer = rpc(&behind.product, wire, method, json!({ "cursor": "2" })).await;
            assert_eq!(answer.rpc_error(), -32602, "{wire:?} {method}: {answer:?}");
            let whole = rpc(&behind.product, wire, method, json!({})).await;
            assert!(whole.json()["result"].is_object(), "{wire:?} {method}: {whole:?}");
        }
    }
    assert_one_terminal_per_request(&behind.product.audit_lines());
}
