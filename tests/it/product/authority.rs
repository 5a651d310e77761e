//! Who decides: the token and the policy. Not what a client says of itself, and nothing that a handler could pass on.

use std::sync::{Arc, Mutex};

use http::HeaderMap;
use mcp_auth_broker::mcp::ServerHandler;
use mcp_auth_broker::secret::Environment;
use rmcp::ErrorData;
use rmcp::model::{ListToolsResult, PaginatedRequestParams};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use crate::support::product::{EXECUTE, LIST, Product, WIRES, Wire, mcp, post};

/// A handler that keeps the headers it is shown.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<HeaderMap>>>);

impl ServerHandler for Witness {
    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let parts = context.extensions.get::<http::request::Parts>().unwrap();
        self.0.lock().unwrap().push(parts.headers.clone());
        Ok(ListToolsResult::with_all_items(Vec::new()))
    }
}

// RS-10, RS-11: what a handler does not have, it cannot pass on
#[tokio::test]
async fn a_handler_never_sees_the_token() {
    let witness = Witness::default();
    let seen = witness.clone();
    let directory = tempfile::tempdir().unwrap();
    let started = Product::start_around(directory, "", &[], Environment::default(), |_| witness);
    let product = Box::pin(started).await;
    let token = product.token(&["public:read"]);
    for wire in WIRES {
        let list = mcp(wire, Some(&token), "tools/list", json!({})).header("x-kept", "1");
        assert_eq!(product.send(list).await.status, 200);
    }
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.len(), 3);
    for headers in seen.iter() {
        assert_eq!(headers["x-kept"], "1");
        assert!(!headers.contains_key("authorization") && !format!("{headers:?}").contains(&token));
    }
}

/// A client that is told no scope asks for all of these.
// MCP 2026-07-28 authorization §Scope Selection Strategy — RS-6, RS-7, RS-20
#[tokio::test]
async fn the_metadata_and_the_first_challenge_name_the_base_scopes_alone() {
    let product = Product::dev().await;
    let metadata = product.get("/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!(metadata["scopes_supported"], json!(["graph:read", "public:read"]));
    let answer = product.send(mcp(Wire::Modern, None, "tools/list", json!({}))).await;
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("scope=\"graph:read public:read\""), "{challenge}");
    for more in ["graph:write", "confidential:read", "broker:"] {
        assert!(!challenge.contains(more) && !metadata.to_string().contains(more), "{more}");
    }
}

/// A call that says in `_meta` who its client is.
async fn introduced(product: &Product, token: &str, method: &str, mut params: Value) -> Value {
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {
            "name": "broker-admin", "version": "1", "scope": "confidential:read",
        },
    });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let request = post(Some(token), body.to_string())
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    let request = if name.is_empty() { request } else { request.header("mcp-name", &name) };
    product.send(request).await.json()
}

/// `clientInfo` is what anybody may write.
// MCP 2026-07-28 basic §_meta — RS-16
#[tokio::test]
async fn what_a_client_says_of_itself_decides_nothing() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    let plain = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.json();
    assert_eq!(introduced(&product, &token, "tools/list", json!({})).await, plain);
    let secret = json!({ "name": "get_confidential_info", "arguments": {} });
    let mut plain = product.rpc(Wire::Modern, &token, "tools/call", secret.clone()).await.json();
    let mut said = introduced(&product, &token, "tools/call", secret).await;
    for answer in [&mut plain, &mut said] {
        assert!(answer["error"]["data"]["request_id"].take().is_string(), "each has its own");
    }
    assert_eq!(said, plain);
    for event in product.audit() {
        assert_eq!(event["client_id"], "agent");
        assert!(!event.to_string().contains("broker-admin"), "{event}");
    }
}

/// Each elevation can be followed, and asks for what the call needs and no more.
// MCP 2026-07-28 security §Scope Minimization — RS-23
#[tokio::test]
async fn a_step_up_is_recorded_with_what_was_asked_for_and_what_came() {
    let product = Product::dev().await;
    let (low, high) = (product.token(&["public:read"]), product.token(&["confidential:read"]));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let call = |token: &str| {
        let params = json!({ "name": "get_confidential_info", "arguments": {} });
        mcp(Wire::Modern, Some(token), "tools/call", params)
            .header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"))
    };
    let refused = product.send(call(&low)).await;
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("scope=\"confidential:read\""), "{challenge}");
    assert_eq!(product.send(call(&high)).await.status, 200);
    let events = product.audit();
    let of = |kind: &'static str| events.iter().filter(move |event| event["event_type"] == kind);
    let asked = of("auth.scope.insufficient").next().unwrap();
    assert_eq!(asked["payload"]["missing_scopes"], "confidential:read");
    assert_eq!(asked["payload"]["tool_name"], "get_confidential_info");
    let came = of("auth.token.accepted").next_back().unwrap();
    assert_eq!(came["payload"]["scopes"], "confidential:read");
    for event in [asked, came] {
        assert_eq!(event["trace_id"], trace);
        assert!(event["request_id"].is_string() && event["requester_id"] == "ada");
    }
}

/// A policy with one rule for each of 250 paths.
fn many_rules() -> String {
    let tools = [EXECUTE, LIST].map(|tool| tool.replace('.', "\\\\."));
    let rule = |number: usize| {
        format!(
            "[[rule]]\nid = \"r{number:03}\"\neffect = \"allow\"\ntools = [\"{}\", \"{}\"]\n\
             graph = {{ profile = \"simulated\", methods = [\"GET\"], paths = [\"/v1.0/p{number:03}\"], permissions = [\"User.Read.All\"] }}\n",
            tools[0], tools[1],
        )
    };
    let rules: String = (0..250).map(rule).collect();
    format!("version = \"t\"\ndefault = \"deny\"\n{rules}")
}

#[tokio::test]
async fn pages_of_operations_hold_each_once_and_end() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), many_rules()).unwrap();
    let product = Product::start_in(directory, "policy.file = \"policy.toml\"", &[]).await;
    let token = product.token(&[]);
    let (mut found, mut sizes, mut arguments) = (Vec::new(), Vec::new(), json!({}));
    loop {
        let page =
            product.call(&token, LIST, arguments).await["result"]["structuredContent"].clone();
        let operations = page["operations"].as_array().unwrap();
        sizes.push(operations.len());
        found.extend(
            operations.iter().map(|operation| operation["rule_id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => arguments = json!({ "cursor": cursor }),
            None => break,
        }
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(found, (0..250).map(|number| format!("r{number:03}")).collect::<Vec<_>>());
    for beyond in ["250", "18446744073709551615"] {
        let page = product.call(&token, LIST, json!({ "cursor": beyond })).await;
        assert_eq!(page["result"]["structuredContent"], json!({ "operations": [] }));
    }
    let none = product.call(&token, LIST, json!({ "cursor": "-1" })).await;
    assert_eq!(none["result"]["isError"], true, "{none}");
}
