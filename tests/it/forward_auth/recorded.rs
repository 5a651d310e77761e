//! What is recorded and counted of the questions of proxies.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{POLICY, SERVER, Site};
use crate::support::audit::assert_one_terminal_per_request;
use crate::support::product::Product;
use crate::support::raw_http::{self, Request};

#[tokio::test]
async fn both_gates_say_in_the_audit_log_what_was_decided_and_asked() {
    let site = Site::start().await;
    site.ask("/forward-auth/weather", Some(&site.token(&["mail:read"]))).await;
    let refused = site.event("auth.scope.insufficient");
    assert_eq!(refused["missing_scopes"], "weather:read");
    assert_eq!(refused["question"]["server"]["about"], "whole");
    site.ask("/forward-auth/weather", Some(&site.token(&["weather:read"]))).await;
    let ended = site.event("result.emitted");
    assert_eq!(ended["reason"], "policy.rule.allow.registered.weather");
    assert_eq!(ended["question"]["tool"], "weather");
    let other = Site::start().await;
    other.message(&["weather:read"], "tools/list", json!({})).await;
    let listed = other.event("result.emitted");
    assert_eq!((&listed["decision"], &listed["method"]), (&json!("allow"), &json!("tools/list")));
    assert_eq!(listed["question"]["server"]["about"], "handshake");
}

/// Also where it is no tool that is asked for.
#[tokio::test]
async fn a_challenge_is_recorded_and_counted_as_what_was_asked() {
    let site = Site::with_settings(
        "",
        "[server]\nadmin_listen = \"127.0.0.1:0\"\n[telemetry]\nmetrics = true\n",
    )
    .await;
    site.ask("/forward-auth/weather", Some(&site.token(&["mail:read"]))).await;
    site.message(&["mail:read"], "tools/list", json!({})).await;
    site.call(&["weather:read"], "delete").await;
    let lines = site.0.audit_lines();
    let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let asked: Vec<_> = events
        .filter(|event| event["event_type"] == "auth.scope.insufficient")
        .map(|event| event["payload"]["method"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, ["forward-auth", "tools/list", "tools/call"]);
    let scrape = Request::new("GET", "/metrics").bytes("prometheus.internal:9090");
    let page = raw_http::exchange(site.0.admin.as_ref().unwrap(), &scrape).await.body;
    for method in asked {
        let line = format!("broker_mcp_requests_total{{method=\"{method}\",status=\"error\"}} 1");
        assert!(page.contains(&line), "{line} in {page}");
    }
    let calls = page.lines().filter(|line| line.starts_with("broker_tool_calls_total{"));
    assert_eq!(calls.count(), 1, "one of them is a call: {page}");
}

#[tokio::test]
async fn every_question_has_one_terminal_event() {
    let site = Site::start().await;
    site.ask("/forward-auth/weather", None).await;
    site.ask("/forward-auth/weather", Some(&site.token(&["weather:read"]))).await;
    site.ask("/forward-auth/weather?tool=a", Some(&site.token(&["weather:read"]))).await;
    site.call(&["weather:read"], "get_forecast").await;
    site.call(&["weather:read"], "delete").await;
    site.call(&["weather:read"], "format_disk").await;
    site.0.send(site.envoy(&["weather:read"], "{")).await;
    let lines = site.0.audit_lines();
    assert_one_terminal_per_request(&lines);
    assert!(lines.iter().any(|line| line.contains("weather.get_forecast")), "{lines:#?}");
}

/// Whatever is asked, of a tool or not, and whether it is well formed.
#[tokio::test]
async fn questions_of_proxies_are_counted() {
    let directory: TempDir = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
    let settings = "[policy]\nfile = \"policy.toml\"\n[limits]\nrequests_per_user = \"1/day\"\nper_user = \"1/day\"\n";
    let site = Site(Product::start_in(directory, settings, &[]).await);
    site.command(&["server", "add", "weather", SERVER, "--scope", "weather:read"]);
    let message = |method: &str, params: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
    };
    let bodies = [
        message("tools/list", json!({})),
        message("tools/call", json!({ "name": "no tool" })),
        message("tools/call", json!({})),
        message("tasks/get", json!({})),
        "[]".to_owned(),
        String::new(),
    ];
    for (number, body) in bodies.iter().enumerate() {
        let token = site.0.token_with(&["weather:read"], |token| {
            SERVER.clone_into(&mut token.audience);
            token.subject = format!("caller-{number}").parse().unwrap();
        });
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let bearer = format!("Bearer {token}");
            let request = if body.is_empty() {
                Request::new("GET", "/forward-auth/weather")
            } else {
                Request::new("POST", "/ext-authz/weather/mcp")
                    .header("content-type", "application/json")
                    .header("x-envoy-auth-partial-body", "false")
                    .body(body.clone())
            };
            statuses.push(site.0.send(request.header("authorization", &bearer)).await.status);
        }
        assert!(statuses[0] != 429 && statuses[1] == 429, "{statuses:?}: {body}");
    }
    assert_one_terminal_per_request(&site.0.audit_lines());
}
