//! Servers whose tools stand in one list with the broker's own, at `/mcp`.

use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, WIRES, Wire, mcp};
use crate::upstream::GET;

const LIST: &str = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"get_day","description":"d","inputSchema":{"type":"object"}},{"name":"erase","inputSchema":{"type":"object"}}]}}"#;
const ANSWER: &str =
    r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"sunny"}]}}"#;

/// A broker with the sample tools, and one server at this URL; and more tables.
async fn start(url: &str, more: &str) -> Product {
    let table = format!(
        "[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nfold = true\nera = \"both\"\n"
    );
    let settings = format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{table}{GET}{more}");
    Product::start(&settings).await
}

async fn listed(product: &Product, wire: Wire, scopes: &[&str]) -> Vec<String> {
    let token = product.token(scopes);
    let answer = product.rpc(wire, &token, "tools/list", json!({})).await.json();
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn call(product: &Product, scopes: &[&str], tool: &str) -> crate::support::raw_http::Answer {
    let params = json!({ "name": tool, "arguments": { "n": 1 } });
    product.rpc(Wire::Legacy, &product.token(scopes), "tools/call", params).await
}

#[tokio::test]
async fn tools_of_a_folded_server_stand_beside_ours_for_who_may_use_them() {
    let upstream = FakeHttp::start(Reply::json(LIST)).await;
    let product = start(upstream.url().as_str(), "").await;
    for wire in WIRES {
        let both = listed(&product, wire, &["public:read", "weather:read"]).await;
        assert_eq!(both, ["get_public_info", "weather.get_day"], "{wire:?}");
        let ours = listed(&product, wire, &["public:read"]).await;
        assert_eq!(ours, ["get_public_info"]);
    }
}

#[tokio::test]
async fn a_call_goes_to_its_server_under_the_servers_own_name() {
    let upstream = FakeHttp::start(Reply::json(ANSWER)).await;
    let product = start(upstream.url().as_str(), "").await;
    let answer = call(&product, &["weather:read"], "weather.get_day").await;
    assert_eq!(answer.json(), serde_json::from_str::<Value>(ANSWER).unwrap());
    // As a client of the new era: a server of both eras would ask one of the old era for a session.
    let asked = upstream.asked();
    let sent: Value = serde_json::from_str(&asked.last().unwrap().body).unwrap();
    assert_eq!(
        (&sent["params"]["name"], &sent["params"]["arguments"]),
        (&json!("get_day"), &json!({ "n": 1 }))
    );
    assert_eq!(asked.last().unwrap().headers["mcp-protocol-version"], "2026-07-28");
    assert!(!asked.last().unwrap().headers.contains_key("authorization"));
    let event = product.audited(|event| event["event_type"] == "result.emitted").await;
    assert_eq!(event["payload"]["tool_name"], "weather.get_day");
    assert_eq!(event["payload"]["status"], "ok");
}

#[tokio::test]
async fn headers_that_mirror_the_name_are_checked_and_mirror_the_servers_own() {
    let upstream = FakeHttp::start(Reply::json(ANSWER)).await;
    let product = start(upstream.url().as_str(), "").await;
    let token = product.token(&["weather:read"]);
    let params = json!({ "name": "weather.get_day", "arguments": {} });
    let modern = mcp(Wire::Modern, Some(&token), "tools/call", params);
    assert_eq!(product.send(modern.clone()).await.status, 200);
    assert_eq!(upstream.asked().last().unwrap().headers["mcp-name"], "get_day");
    let before = upstream.count();
    let lie = modern.without("mcp-name").header("mcp-name", "weather.erase");
    assert_eq!(product.send(lie).await.rpc_error(), -32020);
    assert_eq!(upstream.count(), before);
}

// RS-28: a request that is not well formed tells a hidden tool from none as little as one that is.
#[tokio::test]
async fn nothing_about_a_request_tells_a_folded_server_from_none() {
    let upstream = FakeHttp::start(Reply::json(ANSWER)).await;
    let product = start(upstream.url().as_str(), "").await;
    let token = product.token(&["public:read"]);
    let ask = |tool: &str, broken: usize| {
        let params = json!({ "name": tool, "arguments": {} });
        let modern = mcp(Wire::Modern, Some(&token), "tools/call", params);
        let old = |id: &str, arguments: &str| {
            let id = if id.is_empty() { String::new() } else { format!(r#""id":{id},"#) };
            let body = format!(
                r#"{{"jsonrpc":"2.0",{id}"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
            );
            crate::support::product::post(Some(&token), body)
        };
        match broken {
            0 => modern.without("mcp-name"),
            1 => modern.without("mcp-method"),
            2 => modern.without("mcp-name").header("mcp-name", "other"),
            3 => old("", "{}"),
            4 => old("7", "[1]"),
            5 => old("1.5", "{}"),
            6 => old("7", "{}").without("accept"),
            7 => old("7", "{}").without("content-type"),
            _ => old("7", "{}"),
        }
    };
    // A well-formed call of what another scope would open is challenged: that one is of a tool that no rule names.
    for (broken, tool) in (0..8).map(|broken| (broken, "get_day")).chain([(8, "other")]) {
        let hidden = product.send(ask(&format!("weather.{tool}"), broken)).await;
        let unknown = product.send(ask(&format!("whether.{tool}"), broken)).await;
        assert_eq!(hidden.status, unknown.status, "{broken}");
        assert_eq!(hidden.body, unknown.body.replace("whether", "weather"), "{broken}");
    }
    assert_eq!(upstream.count(), 0);
}

// RS-21, RS-22, RS-28
#[tokio::test]
async fn what_may_not_be_called_is_answered_as_at_home() {
    let upstream = FakeHttp::start(Reply::json(ANSWER)).await;
    let product = start(upstream.url().as_str(), "").await;
    let step_up = call(&product, &["public:read"], "weather.get_day").await;
    assert_eq!(step_up.status, 403);
    let challenge = step_up.header("www-authenticate");
    assert!(challenge.contains("weather:read"), "{challenge}");
    assert!(challenge.contains("/.well-known/oauth-protected-resource/mcp"), "{challenge}");
    let hidden = call(&product, &["weather:read"], "weather.erase").await;
    let unknown = call(&product, &["weather:read"], "whether.erase").await;
    assert_eq!(hidden.status, unknown.status);
    assert_eq!(hidden.body, unknown.body.replace("whether", "weather"));
    assert_eq!(upstream.count(), 0, "the server was not asked");
}

/// RFC 8707 §2: a token is for the endpoint at which it is shown, whatever stands behind that.
#[tokio::test]
async fn a_token_for_the_server_is_none_for_the_broker() {
    let upstream = FakeHttp::start(Reply::json(ANSWER)).await;
    let product = start(upstream.url().as_str(), "").await;
    let scopes = ["weather:read"];
    let of_the_server = product.token_with(&scopes, |token| {
        token.audience = product.url("/servers/weather/mcp");
    });
    let params = json!({ "name": "weather.get_day" });
    let call = mcp(Wire::Legacy, Some(&of_the_server), "tools/call", params);
    assert_eq!(product.send(call).await.status, 401);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_server_that_is_down_hides_nothing_else() {
    let other = FakeHttp::start(Reply::json(LIST)).await;
    let lines = format!(
        "[[upstream.server]]\nid = \"other\"\nurl = \"{}\"\nfold = true\nera = \"both\"\n[[upstream.server.tool]]\nname = \"get_.*\"\nscopes = []\n",
        other.url()
    );
    let product = start("http://127.0.0.1:1/mcp", &lines).await;
    let both = listed(&product, Wire::Legacy, &["public:read", "weather:read"]).await;
    assert_eq!(both, ["get_public_info", "other.get_day"]);
    let down = call(&product, &["weather:read"], "weather.get_day").await.json();
    assert_eq!(down["result"]["structuredContent"]["error"]["code"], "provider.unavailable");
}

#[tokio::test]
async fn a_program_is_folded_like_any_other() {
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/hosted/server.sh");
    let settings = format!(
        "[[upstream.server]]\nid = \"weather\"\ncommand = \"sh\"\nargs = [{server:?}]\nfold = true\n{GET}"
    );
    let product = Product::start(&settings).await;
    let names = listed(&product, Wire::Legacy, &["weather:read"]).await;
    assert_eq!(names, ["weather.get_pid"]);
    let answer = call(&product, &["weather:read"], "weather.get_pid").await.json();
    let pid = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(pid.parse::<u32>().is_ok());
}

#[tokio::test]
async fn a_list_without_an_end_is_in_no_list_and_is_not_read_for_ever() {
    let tool = json!({ "name": "get_day", "description": "d".repeat(2_000), "inputSchema": {} });
    let page = json!({ "tools": [tool], "nextCursor": "more" });
    let page = json!({ "jsonrpc": "2.0", "id": "list", "result": page });
    let upstream = FakeHttp::start(Reply::json(page.to_string())).await;
    let url = upstream.url();
    let table = format!(
        "[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nfold = true\nera = \"both\"\nmax_response_bytes = 8192\n"
    );
    let settings = format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{table}{GET}");
    let product = Product::start(&settings).await;
    let ours = listed(&product, Wire::Legacy, &["public:read", "weather:read"]).await;
    assert_eq!((ours.as_slice(), upstream.count()), (&["get_public_info".to_owned()][..], 4));
}
