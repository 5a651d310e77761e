//! Marked credentials through every path of the real binary: no answer, audit line or log line shows them.

use serde_json::json;

use crate::support::child::Served;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, LIST, WIRES, mcp, post};

const SECRET: &str = "SECRET-CANARY-4711";
const TOKEN: &str = "TOKEN-CANARY-4711";
const BODY: &str = "BODY-CANARY-4711";

fn settings(login: &FakeHttp, graph: &FakeHttp) -> String {
    format!(
        r#"
        [telemetry]
        log_level = "debug"
        [outbound]
        allow_private = ["127.0.0.1"]
        [policy]
        file = "policy.toml"
        [graph]
        mode = "live"
        cloud = "custom"
        custom_cloud = {{ login_url = "{}", graph_url = "{}" }}
        timeout_ms = 5000
        attempt_timeout_ms = 1000
        [[graph.profile]]
        name = "default"
        tenant_id = "contoso.example"
        client_id = "app"
        credential = {{ client_secret = "env:GRAPH_SECRET" }}
        "#,
        login.url(),
        graph.url()
    )
}

const POLICY: &str = r#"
    version = "t"
    default = "deny"
    [[rule]]
    id = "all"
    effect = "allow"
    tools = [".*"]
    graph = { profile = "default", methods = ["GET", "POST"], paths = ["/v1.0/users", "/v1.0/users/{id}"], permissions = ["User.Read.All"] }
"#;

/// Every way in which login and Graph may behave; all quote what they were sent.
fn behaviours() -> Vec<Reply> {
    let quote = json!({ "error": { "code": TOKEN, "message": SECRET }, "error_description": SECRET, "access_token": TOKEN, "token_type": TOKEN }).to_string();
    let mut all = vec![Reply::Silence, Reply::json("no json "), Reply::json(quote.clone())];
    for status in [302, 400, 401, 403, 404, 429, 500, 503] {
        let Reply::Answer(_, headers, body) = Reply::json(quote.clone()) else { unreachable!() };
        all.push(
            Reply::Answer(status, headers, body)
                .header("location", &format!("https://x.example/{TOKEN}")),
        );
    }
    all
}

// MCP 2026-07-28 security §Token Theft — RS-14
#[tokio::test]
async fn no_credential_is_ever_shown() {
    let minted =
        json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": TOKEN }).to_string();
    let login = FakeHttp::start(Reply::json(minted.clone())).await;
    let graph = FakeHttp::start(Reply::json(
        json!({ "seen": TOKEN, "secret": SECRET, "text": BODY }).to_string(),
    ))
    .await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
    let variables = [("GRAPH_SECRET", SECRET)];
    let mut served = Served::start(directory.path(), &settings(&login, &graph), &variables).await;
    let bearer = served.mint("public:read graph:read");
    let mut answers = String::new();
    let operation = |method: &str| {
        let headers = json!({ "authorization": format!("Bearer {TOKEN}"), "cookie": SECRET });
        let body = if method == "POST" { json!({ "mark": BODY }) } else { json!(null) };
        json!({ "operation": { "method": method, "path": "/v1.0/users", "headers": headers, "body": body } })
    };
    let mut send = async |arguments: serde_json::Value| {
        let call = json!({ "name": EXECUTE, "arguments": arguments });
        let answer = served.send(mcp(WIRES[0], Some(&bearer), "tools/call", call)).await;
        answers.push_str(&answer.head);
        answers.push_str(&answer.body);
    };
    send(operation("GET")).await;
    for graph_reply in behaviours() {
        graph.answers(graph_reply);
        send(operation("GET")).await;
        send(operation("POST")).await;
    }
    for login_reply in behaviours() {
        // Graph refuses the token, so a new one is asked for.
        graph.answers(Reply::status(401));
        login.answers(login_reply);
        send(operation("GET")).await;
    }
    send(json!({ "operation": { "method": TOKEN, "path": SECRET } })).await;
    send(json!({ "request_id": SECRET, "operation": { "method": "GET", "path": "/v1.0/users" } }))
        .await;
    send(json!({ "graph": { "resource": SECRET, "tenant_id": TOKEN }, "operation": { "method": "GET", "path": "/v1.0/users" } })).await;
    for (token, body) in [
        (bearer.clone(), "{\"mark\":\"BODY-CANARY-4711\"".to_owned()),
        (bearer.clone(), format!("[\"{BODY}\"]")),
        (format!("{bearer}x"), "{}".to_owned()),
        (TOKEN.to_owned(), "{}".to_owned()),
        (format!("{TOKEN}.{TOKEN}.{TOKEN}"), "{}".to_owned()),
    ] {
        let answer = served.send(post(Some(&token), body)).await;
        answers.push_str(&answer.head);
        answers.push_str(&answer.body);
    }
    for wire in WIRES {
        let call = json!({ "name": LIST, "arguments": { "search": BODY } });
        let answer = served.send(mcp(wire, Some(&bearer), "tools/call", call)).await;
        answers.push_str(&answer.body);
    }
    served.terminate();
    assert!(served.ended().await.success());
    let (audit, log) = (served.audit_lines().join("\n"), served.stderr());
    assert!(log.contains("http.stopped"), "{log}");
    for seen in ["auth_failed", "rate_limited", "timeout", "unavailable", "bad_response"] {
        assert!(answers.contains(&format!("provider.{seen}")), "no path led to {seen}");
    }
    assert!(answers.contains(BODY) && log.contains("provider.call_failed"));
    let signature = bearer.rsplit('.').next().unwrap();
    for (place, text) in [("answers", &answers), ("audit", &audit), ("log", &log)] {
        for mark in [SECRET, TOKEN, signature] {
            let at = text.find(mark);
            assert!(at.is_none(), "{mark} in {place}: {}", excerpt(text, at));
        }
    }
    for (place, text) in [("audit", &audit), ("log", &log)] {
        let at = text.find(BODY);
        assert!(at.is_none(), "{BODY} in {place}: {}", excerpt(text, at));
    }
}

fn excerpt(text: &str, at: Option<usize>) -> String {
    let at = at.unwrap_or(0);
    text.chars().skip(at.saturating_sub(600)).take(900).collect()
}
