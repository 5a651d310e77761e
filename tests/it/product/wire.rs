//! Requests that no well-behaved client sends, and how each is turned away.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::product::{EXECUTE, Product, WIRES, Wire, mcp, post};
use crate::support::raw_http::{Request, exchange};

// MCP 2026-07-28 streamable-http §Security — TR-2, G1
#[tokio::test]
async fn a_foreign_page_is_refused_before_its_token_is_looked_at() {
    let product = Product::dev().await;
    for token in [None, Some("garbage"), Some(product.token(&["public:read"]).as_str())] {
        let request = mcp(Wire::Modern, token, "tools/list", json!({}));
        let answer = product.send(request.header("origin", "https://evil.example")).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("www-authenticate"), "");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    assert!(product.audit_lines().is_empty());
}

#[tokio::test]
async fn a_foreign_host_is_refused_and_two_hosts_as_well() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let list = || mcp(Wire::Modern, Some(&token), "tools/list", json!({}));
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", ""] {
        let answer = product.send(list().header("host", host)).await;
        assert!(matches!(answer.status, 400 | 421), "{host}: {answer:?}");
    }
    let both = list().header("host", &product.authority).header("host", "evil.example");
    assert!(matches!(product.send(both).await.status, 400 | 421));
    let same = list().header("host", &product.authority).header("host", &product.authority);
    assert!(matches!(product.send(same).await.status, 400 | 421));
    let absolute = list().path("http://evil.example/mcp").header("host", &product.authority);
    assert!(matches!(product.send(absolute).await.status, 400 | 421));
}

// MCP 2026-07-28 streamable-http — TR-3, TR-8, G5
#[tokio::test]
async fn what_is_not_one_message_is_refused() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{0}", -32700),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"["2.0",1,"ping",{"jsonrpc":"2.0","id":2,"method":"tools/list"}]"#, -32600),
        ("1", -32600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, -32600),
    ] {
        let answer = product.send(post(Some(&token), body)).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.rpc_error(), code, "{body}");
        assert!(answer.json()["id"].is_null());
    }
}

// MCP 2026-07-28 streamable-http, JSON-RPC 2.0 §4 — TR-8, G5
#[tokio::test]
async fn json_that_is_no_message_is_refused_as_json_on_both_wires() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for (body, id) in [
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/list"}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":{"b":1,"B":2}}}"#, json!(7)),
        (r#"{"id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#, json!("a")),
        (r#"{"jsonrpc":"2.0","id":7}"#, json!(7)),
    ] {
        let modern = post(Some(&token), body).header("mcp-protocol-version", "2026-07-28");
        for request in [post(Some(&token), body), modern.header("mcp-method", "ping")] {
            let answer = product.send(request).await;
            assert_eq!(
                (answer.status, answer.rpc_error()),
                (400, json!(-32600)),
                "{body}: {answer:?}"
            );
            assert_eq!(answer.json()["id"], id, "{body}");
        }
    }
}

// MCP 2026-07-28 server/tools §Error Handling, JSON-RPC 2.0 §5.1 — RS-28
#[tokio::test]
async fn parameters_of_the_wrong_shape_are_not_a_method_that_is_not_there() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for wire in WIRES {
        for (method, params) in [
            ("tools/call", json!({ "name": "get_public_info", "arguments": "x" })),
            ("tools/call", json!({ "name": "get_public_info", "arguments": [] })),
            ("tools/call", json!({ "arguments": {} })),
            ("tools/list", json!({ "cursor": 5 })),
        ] {
            let answer = product.send(mcp(wire, Some(&token), method, params)).await;
            assert_eq!((answer.status, answer.rpc_error()), (200, json!(-32602)), "{answer:?}");
        }
    }
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {} });
    let answer = product.send(post(Some(&token), body.to_string())).await;
    assert_eq!((answer.status, answer.rpc_error()), (200, json!(-32602)), "{answer:?}");
}

#[tokio::test]
async fn a_refusal_of_the_transport_is_json_and_any_answer_is_acceptable() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let list = || mcp(Wire::Legacy, Some(&token), "tools/list", json!({})).without("accept");
    let get = Request::new("GET", "/mcp").header("authorization", &format!("Bearer {token}"));
    for (request, status) in [(list().header("accept", "text/html"), 406), (get, 405)] {
        let answer = product.send(request).await;
        assert_eq!((answer.status, answer.rpc_error()), (status, json!(-32600)), "{answer:?}");
    }
    assert_eq!(product.send(list().header("accept", "*/*")).await.status, 200);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_no_json() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let answer = product.send(post(Some(&token), b"{\"method\":\"\xff\"}".to_vec())).await;
    assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32700)));
}

// MCP 2026-07-28 streamable-http — TR-27, G10
#[tokio::test]
async fn a_tool_named_twice_runs_neither() {
    let product = Product::dev().await;
    let token = product.token(&["public:read", "confidential:read"]);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":
        {"name":"get_public_info","name":"get_confidential_info","arguments":{}}}"#;
    let answer = product.send(post(Some(&token), body)).await;
    assert!(answer.json()["result"].is_null(), "{answer:?}");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"auth.graph.operation.execute.v1",
        "arguments":{"operation":{"method":"GET","path":"/v1.0/users","path":"/v1.0/groups"}}}}"#;
    let answer = product.send(post(Some(&product.token(&["graph:read"])), body)).await;
    assert_ne!(answer.json()["result"]["structuredContent"]["status"], "ok", "{answer:?}");
}

// MCP 2026-07-28 streamable-http §Headers — TR-23 to TR-25, TR-27, G10
#[tokio::test]
async fn a_header_that_says_something_else_than_the_body_is_refused() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let call = || {
        let params = json!({ "name": "get_public_info", "arguments": {} });
        mcp(Wire::Modern, Some(&token), "tools/call", params)
    };
    for request in [
        call().without("mcp-name").header("mcp-name", "get_confidential_info"),
        call().without("mcp-method").header("mcp-method", "tools/list"),
        call().without("mcp-method"),
        call().without("mcp-name"),
        call().without("mcp-protocol-version").header("mcp-protocol-version", "2025-11-25"),
    ] {
        let answer = product.send(request).await;
        assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32020)), "{answer:?}");
    }
}

/// Whoever is in front may read another one of two headers than we do.
// MCP 2026-07-28 streamable-http §Headers — TR-23
#[tokio::test]
async fn a_mirrored_header_that_comes_twice_is_refused() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let call = json!({ "name": "get_public_info", "arguments": {} });
    for (name, other) in [
        ("mcp-method", "tools/list"),
        ("mcp-name", "get_confidential_info"),
        ("mcp-protocol-version", "2025-11-25"),
    ] {
        let request = mcp(Wire::Modern, Some(&token), "tools/call", call.clone());
        let answer = product.send(request.header(name, other)).await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
}

// MCP 2026-07-28 basic §_meta — TR-12
#[tokio::test]
async fn a_modern_request_without_what_it_says_of_itself_is_refused() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let (version, capabilities) =
        ("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities");
    for params in [
        json!({}),
        json!({ "_meta": {} }),
        json!({ "_meta": { version: "2026-07-28" } }),
        json!({ "_meta": { capabilities: {} } }),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": params });
        let request = post(Some(&token), body.to_string())
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list");
        let answer = product.send(request).await;
        assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32602)), "{answer:?}");
    }
}

/// Whatever is wrong with a request, its answer is one object and ends there: no stream, and nothing that asks the client.
// MCP 2026-07-28 basic §Error Codes, Streamable HTTP — TR-4, TR-9, TR-14, TR-22
#[tokio::test]
async fn every_error_has_a_code_that_the_protocol_defines_and_no_answer_says_more() {
    let product = Product::dev().await;
    let token = product.token(&["public:read", "graph:read"]);
    let send =
        |wire, method: &str, params: Value| product.send(mcp(wire, Some(&token), method, params));
    let mut answers = Vec::new();
    for wire in WIRES {
        for (method, params) in [
            ("no/such", json!({})),
            ("tools/call", json!({ "name": "no_such", "arguments": {} })),
            ("tools/call", json!({ "name": "get_public_info", "arguments": "text" })),
            ("tools/call", json!({ "arguments": {} })),
            ("tools/call", json!({ "name": EXECUTE, "arguments": { "operation": {} } })),
            ("tools/list", json!({ "cursor": "made up" })),
            ("resources/read", json!({ "uri": "file:///etc/passwd" })),
            ("prompts/get", json!({ "name": "x" })),
            ("logging/setLevel", json!({ "level": "debug" })),
            ("sampling/createMessage", json!({ "messages": [] })),
            ("roots/list", json!({})),
            ("elicitation/create", json!({ "message": "x" })),
            ("initialize", json!({})),
            ("tools/list", json!({})),
        ] {
            answers.push(send(wire, method, params).await);
        }
        let other = mcp(wire, Some(&token), "tools/list", json!({}));
        let other =
            other.without("mcp-protocol-version").header("mcp-protocol-version", "1999-01-01");
        answers.push(product.send(other).await);
    }
    let codes: BTreeSet<i64> =
        answers.iter().filter_map(|answer| answer.rpc_error().as_i64()).collect();
    let defined = [-32700, -32600, -32601, -32602, -32603, -32020, -32021, -32022];
    assert!(codes.len() > 2 && codes.iter().all(|code| defined.contains(code)), "{codes:?}");
    for answer in &answers {
        assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
        assert!(answer.json().get("method").is_none(), "{answer:?}");
        assert_ne!(answer.rpc_error(), -32021, "nothing of ours needs what a client may lack");
    }
}

// MCP 2026-07-28 basic/versioning — TR-13, G11
#[tokio::test]
async fn an_unknown_version_is_told_which_ones_there_are() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let legacy = mcp(Wire::Oldest, Some(&token), "tools/list", json!({}));
    let answer = product.send(legacy.header("mcp-protocol-version", "1999-01-01")).await;
    assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32022)));
    assert_eq!(answer.json()["error"]["data"]["requested"], "1999-01-01");
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": { "_meta": {
        "io.modelcontextprotocol/protocolVersion": "1999-01-01",
        "io.modelcontextprotocol/clientCapabilities": {} } } });
    let modern = post(Some(&token), body.to_string())
        .header("mcp-protocol-version", "1999-01-01")
        .header("mcp-method", "tools/list");
    let answer = product.send(modern).await;
    assert_eq!((answer.status, answer.rpc_error()), (400, json!(-32022)), "{answer:?}");
}

#[tokio::test]
async fn too_large_is_too_large() {
    let product = Product::start("[server]\nmax_body_bytes = 4096").await;
    let token = product.token(&["public:read"]);
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(5000));
    let answer = product.send(post(Some(&token), body.clone())).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer =
        product.send(post(Some(&token), chunked).header("transfer-encoding", "chunked")).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let unauthorised = product.send(post(None, body)).await;
    assert_eq!(unauthorised.status, 401);
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let product = Product::start("[server]\nrequest_timeout_ms = 200").await;
    let token = product.token(&["public:read"]);
    let answer = product.send(post(Some(&token), "{").header("content-length", "100")).await;
    assert_eq!(answer.status, 408, "{answer:?}");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_connection_that_says_nothing() {
    let mut product = Product::dev().await;
    let mut silent = TcpStream::connect(&product.authority).await.unwrap();
    // The listener took it before this answer.
    product.send(mcp(Wire::Modern, None, "tools/list", json!({}))).await;
    product.stop();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    product.ended().await;
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let product = Product::dev().await;
    let mut request = mcp(Wire::Modern, None, "tools/list", json!({}));
    for number in 0..80 {
        let mut name = String::new();
        write!(name, "x-{number}").unwrap();
        request = request.header(&name, &"a".repeat(1024));
    }
    assert_eq!(product.send(request).await.status, 431);
}

#[tokio::test]
async fn other_content_is_not_read() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let list = mcp(Wire::Legacy, Some(&token), "tools/list", json!({}));
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let answer =
            product.send(list.clone().without("content-type").header("content-type", kind)).await;
        assert_eq!(answer.status, 415, "{kind}");
    }
    let answer = product.send(list.without("accept").header("accept", "text/html")).await;
    assert_eq!(answer.status, 406);
}

// RFC 9112 §6.1, §11.2 — N111
#[tokio::test]
async fn a_request_of_two_lengths_is_not_served() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let list = || mcp(Wire::Legacy, Some(&token), "tools/list", json!({}));
    let two = list().header("content-length", "5").header("content-length", "500");
    assert_eq!(product.send(two).await.status, 400);
    // Both framings: the second request must not be smuggled in behind the first.
    let body = "0\r\n\r\nGET /ready HTTP/1.1\r\nhost: x\r\n\r\n";
    let both = post(Some(&token), body)
        .header("transfer-encoding", "chunked")
        .header("content-length", &body.len().to_string());
    let answer = product.send(both).await;
    assert_eq!(answer.head.matches("HTTP/1.1").count(), 1, "{answer:?}");
    assert!(!answer.body.contains("HTTP/1.1"), "{answer:?}");
    assert_eq!(answer.status, 400, "{answer:?}");
}

// RFC 9112 §2.2 — N111
#[tokio::test]
async fn what_is_no_http_is_closed() {
    let product = Product::dev().await;
    for bytes in [
        "GET\r\n\r\n",
        "GET /mcp HTTP/9.9\r\n\r\n",
        "GET /mcp HTTP/1.1\r\nhost: a\r\nbad header: x\r\n\r\n",
    ] {
        let answer = exchange(&product.authority, bytes.as_bytes()).await;
        assert!(matches!(answer.status, 0 | 400), "{bytes:?}: {answer:?}");
    }
    assert_eq!(product.get("/health").await.status, 200);
}

// MCP 2026-07-28 streamable-http — TR-3
#[tokio::test]
async fn notifications_are_taken_and_do_nothing() {
    let product = Product::dev().await;
    let token = product.token(&["graph:write"]);
    let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let answer = product.send(post(Some(&token), body.to_string())).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    let operation = json!({ "method": "DELETE", "path": "/v1.0/users/ada@contoso.example" });
    let params = json!({ "name": EXECUTE, "arguments": { "operation": operation } });
    let body = json!({ "jsonrpc": "2.0", "method": "tools/call", "params": params });
    product.send(post(Some(&token), body.to_string())).await;
    let provider = product.event_types().into_iter().filter(|kind| kind == "provider.called");
    assert_eq!(provider.count(), 0);
}
