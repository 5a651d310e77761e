//! What an answer looks like, and how arguments that are no call are answered.

use super::*;

#[tokio::test]
async fn a_success_has_the_shape_of_the_contract() {
    let (product, token) = reader().await;
    let reply = product.graph_get(&token, &format!("{ADA}?$select=displayName,id")).await;
    let execution = "/result/execution";
    let varying = [
        "provider_request_id",
        "duration_ms",
        "token/expires_in_s",
        "response_headers/date",
        "response_headers/request-id",
        "response_headers/client-request-id",
    ]
    .map(|name| format!("{execution}/{name}"));
    let mut varying: Vec<&str> = varying.iter().map(String::as_str).collect();
    varying.extend(["/request_id", "/result/policy/metadata/policy_version"]);
    varying.push("/result/policy/metadata/decision_id");
    insta::assert_json_snapshot!(stable(&reply, &varying), @r#"
    {
      "contract_version": "v0.1.0",
      "request_id": "[varies]",
      "result": {
        "execution": {
          "attempts": 1,
          "duration_ms": "[varies]",
          "http_status": 200,
          "mode": "broker_downstream_execution",
          "provider": "microsoft_graph",
          "provider_request_id": "[varies]",
          "response_body": {
            "@odata.etag": "W/\"1\"",
            "displayName": "Ada Lovelace",
            "id": "11111111-0000-4000-8000-000000000000"
          },
          "response_headers": {
            "client-request-id": "[varies]",
            "content-type": "application/json;odata.metadata=minimal;charset=utf-8",
            "date": "[varies]",
            "etag": "W/\"1\"",
            "request-id": "[varies]"
          },
          "token": {
            "expires_in_s": "[varies]",
            "resource": "https://graph.microsoft.com",
            "source": "minted",
            "tenant_id": "contoso.example"
          }
        },
        "policy": {
          "decision": "allow",
          "metadata": {
            "decision_id": "[varies]",
            "matched_rule_id": "graph.user.read",
            "policy_version": "[varies]",
            "requester_id": "ada",
            "scopes_evaluated": [
              "User.Read.All"
            ],
            "tenant_id": "contoso.example"
          },
          "reason": "policy.rule.allow.graph.user.read"
        },
        "redactions": []
      },
      "simulated": true,
      "status": "ok"
    }
    "#);
}

#[tokio::test]
async fn a_denial_has_the_shape_of_the_contract() {
    let (product, token) = reader().await;
    let reply = product.graph_get(&token, "/beta/users").await;
    let varying = ["/request_id", "/error/metadata/policy_version", "/error/metadata/decision_id"];
    insta::assert_json_snapshot!(stable(&reply, &varying), @r#"
    {
      "contract_version": "v0.1.0",
      "error": {
        "category": "policy",
        "code": "policy.denied",
        "message": "policy does not allow this call",
        "metadata": {
          "decision_id": "[varies]",
          "policy_version": "[varies]",
          "reason_code": "policy.rule.deny.default"
        },
        "retryable": false
      },
      "redactions": [],
      "request_id": "[varies]",
      "simulated": true,
      "status": "error"
    }
    "#);
}

// MCP 2026-07-28 server/tools §Security Considerations — RS-26
#[tokio::test]
async fn a_malformed_call_names_the_field() {
    let (product, token) = reader().await;
    let good = json!({ "method": "GET", "path": ADA });
    let with = |name: &str, value: Value| {
        let mut call = json!({ "operation": good });
        let mut at = &mut call;
        for part in name.split('.') {
            at = &mut at[part];
        }
        *at = value;
        call
    };
    for (call, code, field) in [
        (json!({}), "bad_request.invalid_field", "operation"),
        (with("contract_version", json!("v9")), "bad_request.invalid_field", "contract_version"),
        (with("request_id", json!("1")), "bad_request.invalid_field", "request_id"),
        (with("surprise", json!(1)), "bad_request.invalid_field", "surprise"),
        (with("requester.surprise", json!(1)), "bad_request.invalid_field", "requester.surprise"),
        (with("graph.surprise", json!(1)), "bad_request.invalid_field", "graph.surprise"),
        (with("operation.surprise", json!(1)), "bad_request.invalid_field", "operation.surprise"),
        (
            with("graph.resource", json!("https://x/y")),
            "bad_request.invalid_field",
            "graph.resource",
        ),
        (with("graph.scopes", json!("User.Read.All")), "bad_request.invalid_field", "graph.scopes"),
        (
            with("operation.action", json!("x")),
            "bad_request.unsupported_operation",
            "operation.action",
        ),
        (
            with("operation.method", json!("TRACE")),
            "bad_request.unsupported_operation",
            "operation.method",
        ),
        (with("operation.method", json!(5)), "bad_request.invalid_field", "operation.method"),
        (
            with("operation.path", json!("v1.0/users")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("https://evil.example/v1.0/users")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("/v1.0/users/../groups")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("/v1.0/users/%2e%2e/groups")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("/v1.0/users%2Fada")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("/v1.0//users")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("/v1.0/users#x")),
            "bad_request.invalid_field",
            "operation.path",
        ),
        (
            with("operation.path", json!("/v1.0/me")),
            "bad_request.unsupported_operation",
            "operation.path",
        ),
        (
            with("operation.headers", json!({ "x-other": "1" })),
            "bad_request.invalid_field",
            "operation.headers",
        ),
        (
            with("operation.headers", json!({ "accept": "a\r\nb: c" })),
            "bad_request.invalid_field",
            "operation.headers",
        ),
        (with("timeout_ms", json!(0)), "bad_request.invalid_timeout", "timeout_ms"),
        (with("timeout_ms", json!(10_001)), "bad_request.invalid_timeout", "timeout_ms"),
        (with("timeout_ms", json!(1.5)), "bad_request.invalid_timeout", "timeout_ms"),
        (with("timeout_ms", json!("1")), "bad_request.invalid_timeout", "timeout_ms"),
    ] {
        let reply = product.graph(&token, call.clone()).await;
        assert_eq!(error(&reply), (code, field), "{call}: {reply}");
        assert_eq!(reply["error"]["category"], "request");
        assert_eq!(reply["error"]["retryable"], false);
    }
}

#[tokio::test]
async fn the_answer_names_the_id_and_contract_that_were_sent() {
    let (product, token) = reader().await;
    let id = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
    let with = |operation: Value| json!({ "contract_version": "v0.1.0", "request_id": id, "operation": operation });
    let good = product
        .graph(&token, with(json!({ "method": "GET", "path": ADA, "action": "downstream_call" })))
        .await;
    assert_eq!((&good["request_id"], &good["status"]), (&json!(id), &json!("ok")));
    let bad = product.graph(&token, with(json!({ "method": "GET", "path": "nowhere" }))).await;
    assert_eq!((&bad["request_id"], &bad["status"]), (&json!(id), &json!("error")));
}

#[tokio::test]
async fn every_answer_fits_the_published_schema_s_outline() {
    let (product, token) = reader().await;
    let tools = product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.json();
    let tools = tools["result"]["tools"].as_array().unwrap().clone();
    let tool = tools.iter().find(|tool| tool["name"] == EXECUTE).unwrap();
    assert_eq!(tool["inputSchema"]["additionalProperties"], false);
    let known = tool["outputSchema"]["properties"].as_object().unwrap();
    for path in [ADA, "/beta/users", "nowhere"] {
        let reply = product.graph_get(&token, path).await;
        assert!(reply.as_object().unwrap().keys().all(|name| known.contains_key(name)), "{reply}");
    }
}
