//! Which tools a caller sees, and what it gets for those it does not.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::product::{EXECUTE, LIST, Product, WIRES, Wire, mcp};
use crate::support::tokens::{ISSUER, SigningKey};

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

// MCP 2026-07-28 server/tools §Capabilities — RS-24, RS-25, TR-11
#[tokio::test]
async fn the_list_depends_on_the_token_and_nothing_else() {
    let product = Product::dev().await;
    let cases: [(&[&str], &[&str]); 4] = [
        (&[], &[]),
        (&["public:read"], &["get_public_info"]),
        (&["graph:read"], &[EXECUTE, LIST]),
        (
            &["confidential:read", "graph:write", "public:read"],
            &[EXECUTE, LIST, "get_confidential_info", "get_public_info"],
        ),
    ];
    for (scopes, expected) in cases {
        let token = product.token(scopes);
        for wire in WIRES {
            let first = product.rpc(wire, &token, "tools/list", json!({})).await;
            let second = product.rpc(wire, &token, "tools/list", json!({})).await;
            assert_eq!(names(&first.json()), expected, "{scopes:?}");
            assert_eq!(first.body, second.body);
        }
    }
}

// MCP 2026-07-28 utilities/caching, basic §ResultType — RS-27, TR-16 to TR-19, G3, G6
#[tokio::test]
async fn a_list_is_private_and_names_the_server() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let list = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.json();
    assert_eq!(list["result"]["cacheScope"], "private");
    assert_eq!(list["result"]["ttlMs"], 0);
    assert_eq!(list["result"]["resultType"], "complete");
    let call = product.call(&token, "get_public_info", json!({})).await;
    let discover = product.rpc(Wire::Modern, &token, "server/discover", json!({})).await.json();
    for answer in [list, call, discover] {
        let server = &answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(server["name"], "mcp-auth-broker", "{answer}");
    }
}

// MCP 2026-07-28 server/tools §Error Handling — RS-27, RS-28
#[tokio::test]
async fn a_hidden_tool_and_an_unknown_one_are_answered_alike() {
    // A denied tool is hidden: a deny rule leaves nothing to step up to.
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "never"
        effect = "deny"
        tools = ["get_public_info"]
    "#;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let product = Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await;
    let token = product.token(&["public:read"]);
    for wire in WIRES {
        let mut answers = Vec::new();
        for tool in ["get_public_info", "get_publik_info", EXECUTE] {
            let call = json!({ "name": tool, "arguments": {} });
            let answer = product.rpc(wire, &token, "tools/call", call).await;
            let date = answer.header("date");
            answers.push(
                format!("{}\n{}", answer.head, answer.body)
                    .replace(tool, "TOOL")
                    .replace(&format!("content-length: {}", answer.body.len()), "content-length: N")
                    .replace(&date, "DATE"),
            );
        }
        assert!(answers[0].contains("-32602"), "{}", answers[0]);
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}

#[tokio::test]
async fn a_document_needs_its_scope_and_takes_no_arguments() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for wire in WIRES {
        let call = json!({ "name": "get_public_info", "arguments": {} });
        let answer = product.rpc(wire, &token, "tools/call", call).await.json();
        assert_ne!(answer["result"]["isError"], true, "{answer}");
    }
    let refused = product.call(&token, "get_public_info", json!({ "x": 1 })).await;
    assert_eq!(refused["result"]["isError"], true);
    let code = &refused["result"]["structuredContent"]["error"]["code"];
    assert_eq!(code, "bad_request.invalid_field", "{refused}");
}

// MCP 2026-07-28 basic/versioning — TR-13, G12
#[tokio::test]
async fn initialize_and_ping_serve_the_older_clients() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for version in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let answer = product.rpc(Wire::Oldest, &token, "initialize", params).await.json();
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "mcp-auth-broker");
        let said = answer["result"]["instructions"].as_str().unwrap();
        assert!(said.contains("graph:read"), "{said}");
    }
    assert_eq!(product.rpc(Wire::Legacy, &token, "ping", json!({})).await.status, 200);
}

// MCP 2026-07-28 streamable-http §Protocol Version Header — TR-15, G7
#[tokio::test]
async fn what_is_not_offered_is_not_found() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for method in ["prompts/list", "resources/list", "resources/templates/list", "no/such"] {
        let answer = product.rpc(Wire::Modern, &token, method, json!({})).await;
        assert_eq!((answer.status, answer.rpc_error()), (404, json!(-32601)), "{method}");
        let answer = product.rpc(Wire::Legacy, &token, method, json!({})).await;
        assert_eq!(answer.rpc_error(), -32601, "{method}");
    }
    let completion = json!({ "ref": { "type": "ref/prompt", "name": "x" }, "argument": { "name": "a", "value": "b" } });
    let answer = product.rpc(Wire::Modern, &token, "completion/complete", completion).await;
    assert_eq!((answer.status, answer.rpc_error()), (404, json!(-32601)));
}

// MCP 2026-07-28 basic §Statelessness; 2025-11-25 §Session Hijacking — RS-31, RS-32, TR-1, TR-7, G2, G8, G9
#[tokio::test]
async fn there_are_no_streams_to_open_and_no_sessions_to_delete() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for method in ["GET", "DELETE"] {
        let request = crate::support::raw_http::Request::new(method, "/mcp")
            .header("accept", "text/event-stream");
        assert_eq!(product.send(request.clone()).await.status, 401, "{method}");
        let request = request.header("authorization", &format!("Bearer {token}"));
        assert_eq!(product.send(request).await.status, 405, "{method}");
    }
    let answer = product
        .send(
            mcp(Wire::Legacy, Some(&token), "tools/list", json!({}))
                .header("mcp-session-id", "made-up"),
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("mcp-session-id"), "");
}

// MCP 2026-07-28 server/tools §Tool Names, §Tool — RS-29, RS-30
#[tokio::test]
async fn names_are_of_the_allowed_characters_and_no_argument_goes_into_a_header() {
    let product = Product::dev().await;
    let token = product.token(&["confidential:read", "graph:read", "public:read"]);
    let list = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.json();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    for name in names(&list) {
        assert!((1..=128).contains(&name.len()) && name.bytes().all(allowed), "{name}");
    }
    assert_eq!(names(&list).len(), 4);
    assert!(!list.to_string().contains("x-mcp-header"));
}

/// RFC 7519 §4.1.2: a subject is optional in general, so such a token is verified; and then nobody has called.
#[tokio::test]
async fn a_token_that_names_nobody_is_told_so_whatever_it_calls() {
    let secret = "a secret that the broker and the identity provider share";
    let settings = format!(
        "[[resource_server.issuer]]\nissuer = \"{ISSUER}\"\nalgorithms = [\"HS256\"]\nsecret = \"{secret}\"\n\
         [[upstream.server]]\nid = \"weather\"\nurl = \"https://weather.example/mcp\"\nfold = true\n"
    );
    let product = Product::start(&settings).await;
    let now = SystemClock.now().unix_seconds();
    let servers = product.url("/servers/weather/mcp");
    let claims = json!({ "iss": ISSUER, "aud": [product.url("/mcp"), servers], "sub": null, "iat": now, "exp": now + 600,
        "scope": "graph:read public:read" });
    let token = SigningKey::Secret(secret.into()).token("k1", claims);
    let ours = [EXECUTE, LIST, "get_public_info", "no_such", "weather.any", "none.any"];
    let all = ours.map(|tool| (tool, "/mcp")).into_iter().chain([("any", "/servers/weather/mcp")]);
    for (tool, path) in all {
        let call = json!({ "name": tool, "arguments": {} });
        let ask = mcp(Wire::Legacy, Some(&token), "tools/call", call).path(path);
        let answer = product.send(ask).await.json();
        let error = &answer["result"]["structuredContent"]["error"];
        assert_eq!(error["code"], "policy.missing_identity", "{tool}: {answer}");
        let ended = product.audit().pop().unwrap();
        assert_eq!(ended["payload"]["error_code"], "policy.missing_identity", "{ended}");
    }
}

// Contract 1: tool errors have one shape, and name the field.
#[tokio::test]
async fn a_wrong_argument_is_told_in_the_shape_of_the_contract() {
    let product = Product::dev().await;
    let token = product.token(&["graph:read", "public:read"]);
    for (tool, arguments, field) in [
        (LIST, json!({ "bogus": 1 }), "bogus"),
        (LIST, json!({ "search": 1 }), "search"),
        (LIST, json!({ "risk": "none" }), "risk"),
        (LIST, json!({ "cursor": "made up" }), "cursor"),
        ("get_public_info", json!({ "path": "x" }), "path"),
    ] {
        let call = json!({ "name": tool, "arguments": arguments });
        let result =
            product.rpc(Wire::Modern, &token, "tools/call", call).await.json()["result"].clone();
        let told = &result["structuredContent"];
        assert_eq!(
            (&result["isError"], &told["status"]),
            (&json!(true), &json!("error")),
            "{result}"
        );
        assert!(told["request_id"].is_string() && told["contract_version"] == "v0.1.0", "{told}");
        let error = &told["error"];
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&json!("bad_request.invalid_field"), &json!(false))
        );
        assert_eq!(error["metadata"]["field"], field, "{told}");
        assert!(error["message"].as_str().unwrap().starts_with(field), "{told}");
        assert_eq!(
            result["content"][0]["text"].as_str().map(|text| serde_json::from_str(text).unwrap()),
            Some(told.clone())
        );
    }
}
