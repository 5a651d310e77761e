//! Clients of one era of the protocol before servers that speak the other alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::behind::{GET, PATH, broker, call, token};
use super::one_era::{GRANTS, Speaks, Translated, last};
use super::streams::opened;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Wire, mcp};

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

// MCP 2025-11-25 lifecycle — LG-1
#[tokio::test]
async fn an_old_client_shakes_hands_with_a_server_that_knows_no_handshake() {
    let behind = Translated::start(Speaks::New).await;
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let answer = behind.rpc(Wire::Oldest, "initialize", hello).await;
    let result = &last(&answer)["result"];
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["instructions"], "Ask for the weather.");
    let offered = json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "logging": {} });
    assert_eq!(result["capabilities"], offered);
    assert!(result["serverInfo"]["name"].is_string(), "{result}");
    assert!(answer.header("mcp-session-id").contains(".broker-"), "{answer:?}");
    let ping = behind.rpc(Wire::Legacy, "ping", json!({})).await;
    assert_eq!(ping.json()["result"], json!({}));
}

// LG-7
#[tokio::test]
async fn an_old_client_lists_calls_and_reads_what_a_new_server_has() {
    let behind = Translated::start(Speaks::New).await;
    let list = last(&behind.rpc(Wire::Legacy, "tools/list", json!({})).await);
    assert_eq!(names(&list), ["get_input", "get_slow", "get_weather", "get_region"]);
    let answer = behind.call(Wire::Legacy, "get_weather", json!({ "city": "paris" })).await;
    assert_eq!(answer["result"]["content"][0]["text"], r#"get_weather {"city":"paris"}"#);
    let read =
        last(&behind.rpc(Wire::Legacy, "resources/read", json!({ "uri": "city:paris" })).await);
    assert_eq!(read["result"]["contents"][0]["text"], "sunny");
    for answer in [&list, &answer, &read] {
        for member in ["resultType", "ttlMs", "cacheScope"] {
            assert_eq!(answer["result"][member], Value::Null, "{member}: {answer}");
        }
    }
    assert_eq!(behind.call(Wire::Legacy, "delete_city", json!({})).await["error"]["code"], -32602);
}

// MCP 2026-07-28 server/tools, x-mcp-header — TR-26
#[tokio::test]
async fn an_old_clients_arguments_stand_in_the_headers_that_the_tool_names() {
    let behind = Translated::start(Speaks::New).await;
    let answer = behind.call(Wire::Legacy, "get_region", json!({ "region": "ünter" })).await;
    assert_eq!(answer["result"]["content"][0]["text"], r#"get_region {"region":"ünter"}"#);
    assert_eq!(behind.seen(), ["get_region"]);
}

// MCP 2026-07-28 basic, patterns/mrtr — TR-14, TR-20
#[tokio::test]
async fn an_old_client_is_told_that_the_call_needs_input_it_cannot_give() {
    let behind = Translated::start(Speaks::New).await;
    for tool in ["get_input", "get_needy"] {
        let answer = behind.call(Wire::Legacy, tool, json!({})).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let error = &answer["result"]["structuredContent"]["error"];
        assert_eq!(error["code"], "bad_request.unsupported_operation", "{answer}");
        assert!(error["message"].as_str().unwrap().contains("2026-07-28"), "{answer}");
        let said = behind
            .product
            .audit()
            .into_iter()
            .rfind(|event| event["event_type"] == "result.emitted");
        assert_eq!(said.unwrap()["payload"]["error_code"], "bad_request.unsupported_operation");
    }
}

// MCP 2025-11-25 utilities/cancellation
#[tokio::test]
async fn an_old_client_cancels_a_call_at_a_new_server() {
    let behind = Translated::start(Speaks::New).await;
    let session = behind.rpc(Wire::Legacy, "initialize", json!({})).await.header("mcp-session-id");
    let slow = behind
        .request(Wire::Legacy, "tools/call", json!({ "name": "get_slow" }))
        .header("mcp-session-id", &session);
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    let cancel = behind
        .request(Wire::Legacy, "ping", json!({}))
        .header("mcp-session-id", &session)
        .body(cancel.to_string().as_bytes());
    let (answer, accepted) = tokio::join!(behind.product.send(slow), async {
        behind.sees("get_slow").await;
        behind.product.send(cancel).await
    });
    assert_eq!((answer.status, accepted.status), (202, 202), "{answer:?}");
    behind.sees("cancelled").await;
    behind.product.audited(|event| event["payload"]["status"] == "cancelled").await;
}

/// What only a session can carry, without one; and what is of another era.
#[tokio::test]
async fn an_old_client_is_refused_what_needs_a_session_that_it_does_not_name() {
    let behind = Translated::start(Speaks::New).await;
    for (method, params) in [
        ("logging/setLevel", json!({ "level": "info" })),
        ("resources/subscribe", json!({ "uri": "city:paris" })),
        ("server/discover", json!({})),
    ] {
        let answer = behind.rpc(Wire::Legacy, method, params).await;
        assert_eq!((answer.status, answer.rpc_error()), (200, json!(-32601)), "{method}");
    }
    let strange =
        behind.request(Wire::Legacy, "tools/list", json!({})).without("mcp-protocol-version");
    let strange = behind.product.send(strange.header("mcp-protocol-version", "2025-12-24")).await;
    assert_eq!(strange.status, 400);
}

// MCP 2026-07-28 server/discover — TR-16, TR-17, TR-18
#[tokio::test]
async fn a_new_client_discovers_a_server_that_only_shakes_hands() {
    let behind = Translated::start(Speaks::Old).await;
    let result = &behind.rpc(Wire::Modern, "server/discover", json!({})).await.json()["result"];
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!(
        result["capabilities"],
        json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true }, "logging": {} })
    );
    assert_eq!(result["instructions"], "Ask for the weather.");
    assert_eq!(
        (&result["resultType"], &result["cacheScope"]),
        (&json!("complete"), &json!("private"))
    );
    assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string(), "{result}");
    assert_eq!(behind.seen(), ["initialized {}"], "the server is told that nobody can be asked");
}

// TR-9, TR-17, TR-19
#[tokio::test]
async fn a_new_client_lists_calls_and_reads_in_one_session_of_the_brokers() {
    let behind = Translated::start(Speaks::Old).await;
    let list = behind.rpc(Wire::Modern, "tools/list", json!({})).await;
    assert_eq!(list.header("mcp-session-id"), "", "the session is the broker's");
    let list = last(&list);
    assert_eq!(names(&list), ["get_input", "get_slow", "get_weather", "get_region"]);
    assert_eq!(
        (&list["result"]["resultType"], &list["result"]["ttlMs"]),
        (&json!("complete"), &json!(0))
    );
    let answer = behind.call(Wire::Modern, "get_weather", json!({ "city": "paris" })).await;
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["result"]["content"][0]["text"], r#"get_weather {"city":"paris"}"#);
    assert_eq!(answer["result"]["resultType"], "complete");
    let gone = behind.rpc(Wire::Modern, "resources/read", json!({ "uri": "city:atlantis" })).await;
    assert_eq!(last(&gone)["error"]["code"], -32602, "the old code is not of this era");
    assert_eq!(behind.seen(), ["initialized {}", "get_weather"]);
}

// RS-31
#[tokio::test]
async fn two_callers_never_share_a_session() {
    let behind = Translated::start(Speaks::Old).await;
    behind.call(Wire::Modern, "get_weather", json!({})).await;
    let eve = behind.product.token_with(&["weather:read"], |token| {
        token.audience = behind.product.url(PATH);
        token.subject = "eve".parse().unwrap();
    });
    let call = mcp(Wire::Modern, Some(&eve), "tools/call", json!({ "name": "get_weather" }));
    behind.product.send(call.path(PATH)).await;
    behind.call(Wire::Modern, "get_weather", json!({})).await;
    let opened = behind.seen().into_iter().filter(|seen| seen.starts_with("initialized")).count();
    assert_eq!(opened, 2);
}

#[tokio::test]
async fn a_session_that_the_server_has_lost_is_opened_anew() {
    let mut behind = Translated::start(Speaks::Old).await;
    behind.call(Wire::Modern, "get_weather", json!({})).await;
    behind.restart_the_server(Speaks::Old).await;
    let answer = behind.call(Wire::Modern, "get_weather", json!({ "again": true })).await;
    assert_eq!(answer["result"]["content"][0]["text"], r#"get_weather {"again":true}"#, "{answer}");
    let expected = ["initialized {}", "get_weather", "initialized {}", "get_weather"];
    assert_eq!(behind.seen(), expected);
}

/// An old server that runs a call, and then says by the status that it failed. How often it ran one.
async fn fails_late() -> (String, Arc<AtomicUsize>, JoinSet<()>) {
    let (ran, mut running) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let counted = Arc::clone(&ran);
    let answer = move |Json(asked): Json<Value>| {
        let counted = Arc::clone(&counted);
        async move {
            let session = [("mcp-session-id", "s-1")];
            match asked["method"].as_str() {
                Some("initialize") => {
                    let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "s", "version": "1" } });
                    let body = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
                    (StatusCode::OK, session, Json(body)).into_response()
                }
                Some("tools/call") => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let error = json!({ "code": -32000, "message": "no" });
                    let body = json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error });
                    (StatusCode::BAD_REQUEST, session, Json(body)).into_response()
                }
                _ => StatusCode::ACCEPTED.into_response(),
            }
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/mcp", axum::routing::post(answer));
    running.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, ran, running)
}

#[tokio::test]
async fn a_call_that_a_server_has_answered_is_not_made_again_whatever_the_status() {
    let (url, ran, _running) = fails_late().await;
    let product = broker(&url, &format!("era = \"2025-11-25\"\n{GET}"), "").await;
    for calls in [1, 2] {
        let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
        assert_eq!(answer.rpc_error(), -32000, "{answer:?}");
        assert_eq!(ran.load(Ordering::SeqCst), calls);
    }
}

// MCP 2026-07-28 Streamable HTTP — TR-6
#[tokio::test]
async fn a_new_client_that_closes_its_stream_cancels_the_call_at_an_old_server() {
    let behind = Translated::start(Speaks::Old).await;
    let slow = behind.request(Wire::Modern, "tools/call", json!({ "name": "get_slow" }));
    tokio::select! {
        answer = behind.product.send(slow) => panic!("{answer:?}"),
        () = behind.sees("get_slow") => {}
    }
    behind.sees("cancelled").await;
    behind.product.audited(|event| event["payload"]["status"] == "cancelled").await;
}

// MCP 2026-07-28 basic/patterns/mrtr — TR-4, TR-20
#[tokio::test]
async fn an_old_server_that_asks_is_answered_that_nobody_can_be_asked() {
    let behind = Translated::start(Speaks::Old).await;
    let answer = behind.call(Wire::Modern, "get_input", json!({})).await;
    let said = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.starts_with("not answered"), "{answer}");
}

// MCP 2026-07-28 Streamable HTTP, utilities/logging — TR-4, TR-5, TR-22
#[tokio::test]
async fn progress_is_told_and_nothing_else_on_the_stream_of_a_new_client() {
    let behind = Translated::start(Speaks::Old).await;
    let params = json!({ "name": "get_weather", "_meta": { "progressToken": "t" } });
    let mut request = behind.request(Wire::Modern, "tools/call", params.clone());
    let mut body = json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params });
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request = request.body(body.to_string().as_bytes());
    let answer = behind.product.send(request).await;
    assert!(answer.body.contains(r#""progressToken":"t""#), "{answer:?}");
    assert_eq!(last(&answer)["id"], "x");
    let told = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
    let told = told.filter(|data| !data.is_empty());
    let told: Vec<Value> = told.map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(
        told.len(),
        2,
        "the server's log, which nobody asked for, is not passed on: {answer:?}"
    );
    assert_eq!(told[0]["method"], "notifications/progress");
    assert_eq!(answer.header("x-accel-buffering"), "no");
}

// MCP 2026-07-28 patterns/subscriptions — TR-21
#[tokio::test]
async fn a_new_client_is_told_of_the_changes_that_it_asked_for_and_no_others() {
    let behind = Translated::start(Speaks::Old).await;
    let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["city:paris"] });
    let listen =
        behind.request(Wire::Modern, "subscriptions/listen", json!({ "notifications": wanted }));
    let mut stream = opened(&behind.product, listen).await;
    let mut heard = Vec::new();
    while !heard.windows(7).any(|part| part == b"updated") {
        heard.extend_from_slice(&stream.chunk().await.unwrap().expect("it stays open"));
    }
    let heard = String::from_utf8(heard).unwrap();
    let mut messages = heard.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut next = || serde_json::from_str::<Value>(messages.next().unwrap()).unwrap();
    let (acknowledged, updated) = (next(), next());
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    let honored = json!({ "toolsListChanged": true, "resourceSubscriptions": ["city:paris"] });
    assert_eq!(acknowledged["params"]["notifications"], honored, "the server has no prompts");
    assert_eq!(updated["params"]["uri"], "city:paris", "nobody asked for the other city");
    for message in [&acknowledged, &updated] {
        let tag = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*tag, json!(7), "{message}");
    }
    assert_eq!(behind.seen(), ["initialized {}", "subscribe city:paris"]);
}

// MCP 2026-07-28 basic, Streamable HTTP — TR-12, TR-13, TR-15, TR-23, TR-24
#[tokio::test]
async fn what_breaks_the_form_of_the_new_era_is_refused_for_an_old_server() {
    let behind = Translated::start(Speaks::Old).await;
    let list = || behind.request(Wire::Modern, "tools/list", json!({}));
    let body = |version: &str| {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {} });
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": { "_meta": meta } })
            .to_string()
    };
    let bare = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }).to_string();
    let later = list().without("mcp-protocol-version").header("mcp-protocol-version", "2027-01-01");
    for (request, status, code) in [
        (list().body(bare.as_bytes()), 400, -32602),
        (list().body(body("2025-11-25").as_bytes()), 400, -32020),
        (later.body(body("2027-01-01").as_bytes()), 400, -32022),
        (list().without("mcp-method"), 400, -32020),
        (behind.request(Wire::Modern, "ping", json!({})), 404, -32601),
        (
            behind.request(Wire::Modern, "resources/subscribe", json!({ "uri": "city:paris" })),
            404,
            -32601,
        ),
    ] {
        let answer = behind.product.send(request).await;
        assert_eq!((answer.status, answer.rpc_error()), (status, json!(code)), "{answer:?}");
    }
    assert_eq!(behind.seen(), Vec::<String>::new(), "the server was not asked");
}

#[tokio::test]
async fn the_settings_can_say_of_which_era_a_server_is() {
    let ok = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    for (era, asked) in [("both", 1), ("2026-07-28", 1), ("auto", 2)] {
        let fake = FakeHttp::start(Reply::json(ok)).await;
        let product = broker(fake.url().as_str(), &format!("era = \"{era}\"\n{GET}"), "").await;
        let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
        assert_eq!((answer.status, fake.count()), (200, asked), "{era}: {answer:?}");
        product.send(call(&product, &["weather:read"], "get_weather")).await;
        assert_eq!(fake.count(), asked + 1, "{era}: it is asked once");
    }
}

/// The SDK of TypeScript names in `server/discover` the revisions of the new era alone, and speaks the old one all the same.
#[tokio::test]
async fn a_server_of_both_eras_is_left_alone_however_it_lists_them() {
    let discovered = json!({ "jsonrpc": "2.0", "id": "broker", "result": { "supportedVersions": ["2026-07-28"], "capabilities": {} } });
    let fake = FakeHttp::start(Reply::json(discovered.to_string())).await;
    let product = broker(fake.url().as_str(), &format!("era = \"auto\"\n{GET}"), "").await;
    let legacy = || {
        mcp(Wire::Legacy, Some(&token(&product, &["weather:read"])), "ping", json!({})).path(PATH)
    };
    // Asked whether it knows the handshake, it says what has no `protocolVersion`: it is of the new era alone.
    assert_eq!(product.send(legacy()).await.json()["result"], json!({}));
    assert_eq!(fake.count(), 2, "both questions, and nothing for the ping");
    product.send(legacy()).await;
    assert_eq!(fake.count(), 2);
}

/// At the broker's own endpoint nobody has a session with the server.
#[tokio::test]
async fn an_old_client_calls_a_folded_tool_of_a_server_with_sessions() {
    let behind = Translated::start_with(Speaks::Old, &format!("fold = true\n{GRANTS}")).await;
    let token = behind.product.token(&["weather:read"]);
    for city in ["paris", "rome"] {
        let params = json!({ "name": "weather.get_weather", "arguments": { "city": city } });
        let answer =
            behind.product.send(mcp(Wire::Legacy, Some(&token), "tools/call", params)).await;
        let answer = last(&answer);
        let text = format!("get_weather {{\"city\":\"{city}\"}}");
        assert_eq!(
            (&answer["id"], &answer["result"]["content"][0]["text"]),
            (&json!(7), &json!(text))
        );
        assert_eq!(answer["result"]["resultType"], Value::Null, "{answer}");
    }
    assert_eq!(behind.seen(), ["initialized {}", "get_weather", "get_weather"]);
}

#[tokio::test]
async fn an_old_client_calls_a_folded_tool_of_a_server_of_the_new_era() {
    let behind = Translated::start_with(Speaks::New, &format!("fold = true\n{GRANTS}")).await;
    let token = behind.product.token(&["weather:read"]);
    let params = json!({ "name": "weather.get_weather", "arguments": {} });
    let answer = behind.product.send(mcp(Wire::Legacy, Some(&token), "tools/call", params)).await;
    assert_eq!(last(&answer)["result"]["content"][0]["text"], "get_weather {}");
}
