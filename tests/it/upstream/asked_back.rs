//! A server of 2025-11-25 that asks its client in the middle of a call, before a client of 2026-07-28: the call waits, and its retry goes on with it.

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RequestContext};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::{Value, json};

use super::behind::{PATH, token};
use super::one_era::{GRANTS, Speaks, Translated, last};
use crate::support::product::{Product, Wire, mcp, post};
use crate::support::raw_http::{Answer, Request};

const ASKED: &str = "mcp-auth-broker/server";
const META: &str = "io.modelcontextprotocol/clientCapabilities";

fn who() -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    json!({ "method": "elicitation/create", "params": { "mode": "form", "message": "Who?", "requestedSchema": schema } })
}

fn sample() -> Value {
    let said = json!([{ "role": "user", "content": { "type": "text", "text": "hi" } }]);
    json!({ "method": "sampling/createMessage", "params": { "messages": said, "maxTokens": 5 } })
}

fn accepted(name: &str) -> Value {
    json!({ "action": "accept", "content": { "name": name } })
}

/// A call of the tool that asks, by a client that says it can be asked for these things.
fn call(ask: &Value, capabilities: &Value) -> Value {
    let meta =
        json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28", META: capabilities });
    json!({ "name": "get_asked", "arguments": { "ask": ask }, "_meta": meta })
}

/// The same call with what its client brings.
fn retry(call: &Value, required: &Value, answer: &Value) -> Value {
    let mut call = call.clone();
    call["inputResponses"] = json!({ ASKED: answer });
    call["requestState"] = required["requestState"].clone();
    call
}

fn request(token: &str, params: &Value) -> Request {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    post(Some(token), body.to_string())
        .path(PATH)
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", params["name"].as_str().unwrap())
}

async fn answer(product: &Product, params: &Value) -> Answer {
    product.send(request(&token(product, &["weather:read"]), params)).await
}

/// The result of a call.
async fn send(product: &Product, params: &Value) -> Value {
    let answer = last(&answer(product, params).await);
    assert!(answer["result"].is_object(), "{answer}");
    answer["result"].clone()
}

fn said(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

fn code(result: &Value) -> &str {
    result["structuredContent"]["error"]["code"].as_str().unwrap_or_else(|| panic!("{result}"))
}

fn emitted(product: &Product) -> Vec<Value> {
    let all = product.audit().into_iter();
    all.filter(|event| event["event_type"] == "result.emitted").collect()
}

// MCP 2026-07-28 basic/patterns/mrtr — TR-20, RS-33
#[tokio::test]
async fn a_question_goes_to_the_client_and_its_answer_to_the_call_that_waits() {
    let behind = Translated::start(Speaks::Old).await;
    let call = call(&json!([who()]), &json!({ "elicitation": {} }));
    let required = send(&behind.product, &call).await;
    assert_eq!(required["resultType"], "input_required", "{required}");
    let question = &required["inputRequests"][ASKED];
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "Who?");
    assert_eq!(question["params"]["requestedSchema"]["properties"]["name"]["type"], "string");
    let done = send(&behind.product, &retry(&call, &required, &accepted("ada"))).await;
    assert!(said(&done).contains(r#""content":{"name":"ada"}"#), "{done}");
    assert_eq!(done["resultType"], "complete");
    assert_eq!(behind.seen(), [r#"initialized {"elicitation":{"form":{}}}"#, "get_asked"]);
    let ended = emitted(&behind.product);
    let ended: Vec<_> = ended.iter().map(|event| &event["payload"]["status"]).collect();
    assert_eq!(ended, ["ok", "ok"], "one terminal event for each request");
}

#[tokio::test]
async fn a_server_asks_several_things_one_after_the_other() {
    let behind = Translated::start(Speaks::Old).await;
    let page = json!({ "method": "elicitation/create", "params": { "mode": "url", "message": "Log in", "url": "https://a.example/x", "elicitationId": "e" } });
    let ask = json!([who(), sample(), { "method": "roots/list" }, page]);
    let all = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} });
    let call = call(&ask, &all);
    let mut required = send(&behind.product, &call).await;
    let model = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hello" } });
    for (method, answer) in [
        ("elicitation/create", accepted("ada")),
        ("sampling/createMessage", model),
        ("roots/list", json!({ "roots": [{ "uri": "file:///work" }] })),
        ("elicitation/create", json!({ "action": "accept" })),
    ] {
        assert_eq!(required["inputRequests"][ASKED]["method"], method, "{required}");
        assert_eq!(required["inputRequests"][ASKED]["params"]["elicitationId"], Value::Null);
        required = send(&behind.product, &retry(&call, &required, &answer)).await;
    }
    for heard in ["ada", "hello", "file:///work", r#""action":"accept""#] {
        assert!(said(&required).contains(heard), "{heard}: {required}");
    }
}

#[tokio::test]
async fn a_client_is_asked_for_what_it_offers_and_for_nothing_else() {
    let behind = Translated::start(Speaks::Old).await;
    let ask = json!([sample(), { "method": "roots/list" }]);
    for offered in [json!({}), json!({ "elicitation": {} })] {
        let done = send(&behind.product, &call(&ask, &offered)).await;
        assert_eq!(said(&done).matches("not answered").count(), 2, "{done}");
    }
    let opened: Vec<_> = behind.seen().into_iter().filter(|seen| seen != "get_asked").collect();
    let expected = ["initialized {}", r#"initialized {"elicitation":{"form":{}}}"#];
    assert_eq!(opened, expected, "a session for what the client offers");
}

// RS-33: bound to its caller and its call, used once, refused when it is altered.
#[tokio::test]
async fn the_state_is_good_for_its_caller_its_call_and_one_retry() {
    let behind = Translated::start(Speaks::Old).await;
    let product = &behind.product;
    let call = call(&json!([who()]), &json!({ "elicitation": {} }));
    let required = send(product, &call).await;
    let good = retry(&call, &required, &accepted("ada"));
    let mut other = good.clone();
    other["arguments"]["more"] = json!(1);
    let mut altered = good.clone();
    altered["requestState"] = format!("{}0", good["requestState"].as_str().unwrap()).into();
    let mut odd = good.clone();
    odd["requestState"] = json!(7);
    let mut bare = good.clone();
    bare["inputResponses"] = json!({ "else": {} });
    let mut flat = good.clone();
    flat["inputResponses"][ASKED] = json!("accept");
    for wrong in [other, altered, odd, bare, flat] {
        let answer = answer(product, &wrong).await;
        assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32602)), "{wrong}");
    }
    let eve = product.token_with(&["weather:read"], |token| {
        token.audience = product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let stolen = product.send(request(&eve, &good)).await;
    assert_eq!((stolen.status, stolen.rpc_error()), (400, json!(-32602)));
    assert!(said(&send(product, &good).await).contains("ada"), "it waits all the same");
    let again = send(product, &good).await;
    assert_eq!((&again["isError"], code(&again)), (&json!(true), "bad_request.invalid_field"));
    assert_eq!(behind.seen().iter().filter(|seen| *seen == "get_asked").count(), 1);
}

// Policy is asked about the retry, too.
#[tokio::test]
async fn a_retry_is_a_request_like_any_other() {
    let behind = Translated::start(Speaks::Old).await;
    let call = call(&json!([who()]), &json!({ "elicitation": {} }));
    let required = send(&behind.product, &call).await;
    let without = token(&behind.product, &[]);
    let retry = retry(&call, &required, &accepted("ada"));
    assert_eq!(behind.product.send(request(&without, &retry)).await.status, 403);
    assert!(said(&send(&behind.product, &retry).await).contains("ada"));
}

#[tokio::test]
async fn another_process_of_the_broker_says_that_it_has_no_such_call() {
    let behind = Translated::start(Speaks::Old).await;
    let settings = format!(
        "[server]\npublic_url = \"http://127.0.0.1:4711\"\nallowed_hosts = [\"127.0.0.1\"]\n\
        [outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{}\"\n{GRANTS}",
        behind.url
    );
    let send = async |product: &Product, params: &Value| {
        let audience = format!("http://127.0.0.1:4711{PATH}");
        let token = product.token_with(&["weather:read"], |token| token.audience = audience);
        last(&product.send(request(&token, params)).await)["result"].clone()
    };
    let product = Product::start(&settings).await;
    let call = call(&json!([who()]), &json!({ "elicitation": {} }));
    let required = send(&product, &call).await;
    let product = product.restart(&settings).await;
    behind.sees("cancelled").await; // with the process that waited
    let lost = send(&product, &retry(&call, &required, &accepted("ada"))).await;
    assert_eq!((&lost["isError"], code(&lost)), (&json!(true), "broker.unavailable"), "{lost}");
    assert!(said(&lost).contains("make the call anew"), "{lost}");
}

#[tokio::test]
async fn no_caller_has_more_than_sixteen_calls_that_wait() {
    let behind = Translated::start(Speaks::Old).await;
    let call = call(&json!([who()]), &json!({ "elicitation": {} }));
    for _ in 0..16 {
        assert_eq!(send(&behind.product, &call).await["resultType"], "input_required");
    }
    // However many clients they come by; and nobody else's.
    let asked = async |subject: &str, client: &str| {
        let token = behind.product.token_with(&["weather:read"], |token| {
            token.audience = behind.product.url(PATH);
            token.subject = subject.parse().unwrap();
            token.client_id = client.parse().unwrap();
        });
        last(&behind.product.send(request(&token, &call)).await)["result"].clone()
    };
    for client in ["agent", "another"] {
        let done = asked("ada", client).await;
        assert!(said(&done).starts_with("not answered"), "{done}");
    }
    assert_eq!(asked("eve", "agent").await["resultType"], "input_required");
}

#[tokio::test]
async fn progress_is_told_to_the_request_that_is_open() {
    let behind = Translated::start(Speaks::Old).await;
    let mut call = call(&json!([who()]), &json!({ "elicitation": {} }));
    call["_meta"]["progressToken"] = json!("first");
    let required = send(&behind.product, &call).await;
    let mut retry = retry(&call, &required, &accepted("ada"));
    retry["_meta"]["progressToken"] = json!("second");
    let told = answer(&behind.product, &retry).await;
    assert!(told.body.contains(r#""progressToken":"second""#), "{told:?}");
    assert!(!told.body.contains("first"), "{told:?}");
}

// MCP 2025-11-25 transports, Listening for Messages: many ask for `roots/list` there.
#[tokio::test]
async fn what_is_asked_on_the_stream_of_the_session_is_asked_of_its_one_call() {
    let behind = Translated::start(Speaks::Old).await;
    let mut call = call(&json!([who()]), &json!({ "elicitation": {} }));
    call["arguments"]["aside"] = json!(true);
    let required = send(&behind.product, &call).await;
    assert_eq!(required["inputRequests"][ASKED]["params"]["message"], "Who?", "{required}");
    // One whose client said nothing yet, and perhaps never will, is in the way of none.
    let other = send(&behind.product, &call).await;
    assert_eq!(other["resultType"], "input_required", "{other}");
    for (required, name) in [(other, "bob"), (required, "ada")] {
        let done = send(&behind.product, &retry(&call, &required, &accepted(name))).await;
        assert!(said(&done).contains(name), "{done}");
    }
}

// MCP 2025-11-25 client/elicitation, URL Elicitation Required — EL-8
#[tokio::test]
async fn pages_that_a_server_wants_visited_are_shown_and_the_call_is_made_again() {
    let behind = Translated::start(Speaks::Old).await;
    let mut call = call(&json!([]), &json!({ "elicitation": { "url": {} } }));
    call["name"] = json!("get_visited");
    let required = send(&behind.product, &call).await;
    let page = &required["inputRequests"]["mcp-auth-broker/visit/0"];
    assert_eq!(
        page["params"],
        json!({ "mode": "url", "message": "Agree?", "url": "https://weather.example/consent" })
    );
    let mut retry = call.clone();
    retry["inputResponses"] = json!({ "mcp-auth-broker/visit/0": { "action": "decline" } });
    let declined = send(&behind.product, &retry).await;
    assert_eq!(code(&declined), "bad_request.unsupported_operation");
    retry["inputResponses"]["mcp-auth-broker/visit/0"]["action"] = json!("accept");
    assert_eq!(said(&send(&behind.product, &retry).await), "visited");
    assert_eq!(emitted(&behind.product)[0]["payload"]["status"], "ok");
}

/// A folded tool asks as at the server's own address.
#[tokio::test]
async fn a_folded_tool_asks_its_caller_too() {
    let behind = Translated::start_with(Speaks::Old, &format!("fold = true\n{GRANTS}")).await;
    let token = behind.product.token(&["weather:read"]);
    let mut call = call(&json!([who()]), &json!({ "elicitation": {} }));
    call["name"] = json!("weather.get_asked");
    let send = async |params: &Value| {
        last(&behind.product.send(request(&token, params).path("/mcp")).await)["result"].clone()
    };
    let required = send(&call).await;
    assert_eq!(required["resultType"], "input_required", "{required}");
    let done = send(&retry(&call, &required, &accepted("ada"))).await;
    assert!(said(&done).contains("ada"), "{done}");
    // An old client has no stream on which it could be asked.
    let arguments = call["arguments"].clone();
    let params = json!({ "name": "weather.get_asked", "arguments": arguments });
    let old = behind.product.send(mcp(Wire::Legacy, Some(&token), "tools/call", params)).await;
    assert!(said(&last(&old)["result"]).starts_with("not answered"), "{old:?}");
}

/// A client of the Rust SDK whose person says their name.
struct Person;

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let offered = json!({ "elicitation": { "form": {} } });
        let offered: ClientCapabilities = serde_json::from_value(offered).unwrap();
        let mut config = ClientConfig::default();
        config.capabilities = offered;
        config
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(serde_json::from_value(accepted("lena")).unwrap())
    }
}

#[tokio::test]
async fn a_client_of_the_rust_sdk_is_asked_and_answers_by_itself() {
    let behind = Translated::start(Speaks::Old).await;
    let token = token(&behind.product, &["weather:read"]);
    let config = StreamableHttpClientTransportConfig::with_uri(behind.product.url(PATH));
    let transport = StreamableHttpClientTransport::from_config(config.auth_header(token));
    let preferred_versions = vec![ProtocolVersion::LATEST];
    let mode = ClientLifecycleMode::Discover { preferred_versions };
    let client = Person.serve_with_lifecycle(transport, mode).await.unwrap();
    let arguments = json!({ "ask": [who(), who()] });
    let call = CallToolRequestParams::new("get_asked")
        .with_arguments(arguments.as_object().unwrap().clone());
    let result = client.call_tool(call).await.unwrap();
    let result = serde_json::to_value(result).unwrap();
    assert_eq!(said(&result).matches("lena").count(), 2, "{result}");
    client.cancel().await.unwrap();
}
