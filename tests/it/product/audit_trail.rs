//! What the audit log says about what happened.

use serde_json::{Value, json};

use crate::support::audit::{assert_every_request_ended, assert_one_terminal_per_request};
use crate::support::product::{EXECUTE, Product, WIRES, Wire, mcp, post, stable};

fn graph(path: &str) -> Value {
    json!({ "name": EXECUTE, "arguments": { "operation": { "method": "GET", "path": path } } })
}

#[tokio::test]
async fn a_graph_call_leaves_its_steps_in_order_under_one_id() {
    let product = Product::dev().await;
    let token = product.token(&["graph:read"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let call = mcp(Wire::Modern, Some(&token), "tools/call", graph("/v1.0/users?$top=1"));
    let call = call.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = product.send(call).await.json();
    let events = product.audit();
    let kinds = product.event_types();
    let expected = [
        "auth.token.accepted",
        "request.received",
        "policy.decided",
        "provider.called",
        "result.emitted",
    ];
    assert_eq!(kinds, expected);
    let id = &answer["result"]["structuredContent"]["request_id"];
    for event in &events {
        assert_eq!((&event["request_id"], &event["trace_id"]), (id, &json!(trace)), "{event}");
        assert_eq!(event["requester_id"], "ada");
    }
    insta::assert_json_snapshot!(stable(&events[2]["payload"], &["/policy_version", "/question/issuer"]), @r#"
    {
      "decision": "allow",
      "evaluated": [
        {
          "effect": "allow",
          "outcome": "match",
          "rule_id": "graph.user.read"
        }
      ],
      "matched_rule_id": "graph.user.read",
      "obligations": {
        "conceal_links": true
      },
      "policy_version": "[varies]",
      "question": {
        "issuer": "[varies]",
        "operation": {
          "method": "GET",
          "query": [
            "$top"
          ],
          "segments": [
            "users"
          ],
          "version": "v1.0"
        },
        "scopes": "graph:read",
        "tool": "auth.graph.operation.execute.v1"
      },
      "reason": "policy.rule.allow.graph.user.read",
      "scopes_evaluated": [
        "User.Read.All"
      ],
      "tenant_id": "contoso.example"
    }
    "#);
    insta::assert_json_snapshot!(stable(&events[3]["payload"], &["/duration_ms", "/timeout_ms"]), @r#"
    {
      "attempt": 1,
      "duration_ms": "[varies]",
      "error_code": null,
      "http_status": 200,
      "operation": "GET /v1.0/users",
      "outcome": "success",
      "profile": "simulated",
      "provider": "microsoft_graph",
      "timeout_ms": "[varies]"
    }
    "#);
    insta::assert_json_snapshot!(stable(&events[4]["payload"], &["/duration_ms"]), @r#"
    {
      "duration_ms": "[varies]",
      "error_code": null,
      "method": "tools/call",
      "status": "ok",
      "tool_name": "auth.graph.operation.execute.v1"
    }
    "#);
}

#[tokio::test]
async fn an_id_that_the_caller_chose_names_every_event_of_the_call() {
    let product = Product::dev().await;
    let token = product.token(&["graph:read"]);
    let id = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
    let operation = json!({ "method": "GET", "path": "/v1.0/users" });
    let reply = product.graph(&token, json!({ "request_id": id, "operation": operation })).await;
    assert_eq!(reply["request_id"], id);
    assert!(
        product.audit().iter().all(|event| event["request_id"] == id),
        "{:#?}",
        product.audit()
    );
    assert_one_terminal_per_request(&product.audit_lines());
}

#[tokio::test]
async fn whatever_comes_every_request_ends_once() {
    let product = Product::dev().await;
    let tokens = [
        None,
        Some("garbage".to_owned()),
        Some(product.token(&[])),
        Some(product.token(&["graph:read", "public:read"])),
    ];
    let mut sent = 0;
    for token in &tokens {
        let token = token.as_deref();
        for wire in WIRES {
            for (method, params) in [
                ("tools/list", json!({})),
                ("ping", json!({})),
                ("server/discover", json!({})),
                ("prompts/list", json!({})),
                ("tools/call", json!({})),
                ("tools/call", json!({ "name": "get_public_info", "arguments": {} })),
                ("tools/call", json!({ "name": "none", "arguments": {} })),
                ("tools/call", json!({ "name": EXECUTE, "arguments": { "x": 1 } })),
                ("tools/call", graph("/v1.0/users/ada@contoso.example")),
                ("tools/call", graph("/beta/users")),
                ("tools/call", graph("/v1.0/me")),
            ] {
                product.send(mcp(wire, token, method, params)).await;
                sent += 1;
            }
        }
        for body in [
            "{",
            "[]",
            "1",
            "{}",
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        ] {
            product.send(post(token, body)).await;
            sent += 1;
        }
        for method in ["GET", "DELETE", "PUT"] {
            let request = crate::support::raw_http::Request::new(method, "/mcp");
            let request = match token {
                Some(token) => request.header("authorization", &format!("Bearer {token}")),
                None => request,
            };
            product.send(request).await;
            sent += 1;
        }
    }
    assert_every_request_ended(&product.audit_lines(), sent);
}

/// On the older wires errors come with HTTP 200.
#[tokio::test]
async fn a_request_that_ends_in_an_error_is_not_recorded_as_ok() {
    let product = Product::dev().await;
    let token = product.token(&["public:read"]);
    for (method, params) in [
        ("no/such", json!({})),
        ("prompts/get", json!({ "name": "x" })),
        ("tools/call", json!({ "name": "get_public_info", "arguments": "x" })),
    ] {
        let answer = product.send(mcp(Wire::Legacy, Some(&token), method, params)).await;
        assert!(answer.json()["error"].is_object(), "{answer:?}");
        let end = product.audit().pop().unwrap();
        assert_eq!(end["payload"]["status"], "error", "{method}: {end}");
        assert_eq!(end["payload"]["error_code"], "bad_request.invalid_field", "{method}: {end}");
    }
    product.rpc(Wire::Legacy, &token, "ping", json!({})).await;
    assert_eq!(product.audit().pop().unwrap()["payload"]["status"], "ok");
}

#[tokio::test]
async fn a_fresh_token_on_a_notification_ends_as_well() {
    let product = Product::dev().await;
    let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    product.send(post(Some(&product.token(&[])), body.to_string())).await;
    assert_every_request_ended(&product.audit_lines(), 1);
}

#[tokio::test]
async fn a_refusal_names_its_class_and_never_the_token() {
    let product = Product::dev().await;
    let token =
        product.token_with(&[], |token| token.audience = "https://other.example".to_owned());
    product.rpc(Wire::Modern, &token, "tools/list", json!({})).await;
    let events = product.audit();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["event_type"], "auth.token.rejected");
    assert_eq!(events[0]["payload"]["reason"], "wrong_audience");
    let signature = token.rsplit('.').next().unwrap();
    assert!(!product.audit_lines()[0].contains(signature));
}

#[tokio::test]
async fn an_answer_names_the_event_that_decided_it() {
    let product = Product::dev().await;
    let token = product.token(&["graph:read"]);
    for (path, place) in [
        ("/v1.0/users", "/result/policy/metadata/decision_id"),
        ("/beta/users", "/error/metadata/decision_id"),
    ] {
        let reply = product.graph_get(&token, path).await;
        let decided =
            product.audit().into_iter().rfind(|event| event["event_type"] == "policy.decided");
        assert_eq!(reply.pointer(place), Some(&decided.unwrap()["event_id"]), "{reply}");
    }
    let undecided = product.graph_get(&token, "/v1.0/users/../me").await;
    assert_eq!(undecided.pointer("/error/metadata/decision_id"), None);
}

/// A request id correlates; it is no idempotency key. Events are told apart by `event_id`.
#[tokio::test]
async fn a_request_id_that_a_caller_uses_twice_names_two_calls() {
    let product = Product::dev().await;
    let token = product.token(&["graph:read"]);
    let id = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
    let operation = json!({ "method": "GET", "path": "/v1.0/users" });
    for _ in 0..2 {
        let call = json!({ "request_id": id, "operation": operation });
        assert_eq!(product.graph(&token, call).await["request_id"], id);
    }
    let mut events = product.audit();
    events.retain(|event| event["request_id"] == id);
    let of = |kind: &str| events.iter().filter(|event| event["event_type"] == kind).count();
    assert_eq!((of("provider.called"), of("result.emitted")), (2, 2));
    let ids: std::collections::HashSet<_> =
        events.iter().map(|event| event["event_id"].as_str()).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test]
async fn a_refused_token_is_recorded_with_where_it_came_from() {
    for (proxies, address) in [("[]", "127.0.0.1"), ("[\"127.0.0.0/8\"]", "198.51.100.7")] {
        let product = Product::start(&format!("[server]\ntrusted_proxies = {proxies}")).await;
        let list = mcp(Wire::Modern, Some("garbage"), "tools/list", json!({}));
        let list = list.header("x-forwarded-for", "203.0.113.9, 198.51.100.7");
        let list = list.header("forwarded", "for=192.0.2.1");
        assert_eq!(product.send(list).await.status, 401);
        let refused = product.audit().pop().unwrap();
        assert_eq!(refused["payload"]["client_address"], address, "{refused}");
    }
}
