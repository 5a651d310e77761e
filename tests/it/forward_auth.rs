//! What a reverse proxy is told: about a whole server, and by Envoy with the body about each tool.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::audit::assert_one_terminal_per_request;
use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::{self, Answer, Request};

const SERVER: &str = "https://weather.example/mcp";
const POLICY: &str = r#"
version = "test"
default = "deny"
[[rule]]
id = "look"
effect = "allow"
tools = ["weather\\.get_.*"]
scopes = ["weather:read"]
[[rule]]
id = "delete"
effect = "allow"
tools = ["weather\\.delete"]
scopes = ["weather:admin"]
"#;
const ASKING: &str = r#"
[[rule]]
id = "ask"
effect = "ask"
tools = ["weather\\.pay"]
scopes = ["weather:read"]
approvers = ["leads"]
valid_for_seconds = 60
"#;
const THINGS: &str = r#"
[[rule]]
id = "things"
effect = "allow"
tools = ["weather/prompts/day", "weather/resources/file:///open/.*"]
scopes = ["weather:things"]
"#;
const FREEZE: &str = r#"
[[rule]]
id = "freeze.all"
effect = "deny"
tools = [".*"]
"#;

/// A broker that knows the server `weather`, which runs elsewhere and needs `weather:read`.
struct Site(Product);

impl Site {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more rules.
    async fn with(rules: &str) -> Self {
        Self::with_settings(rules, "").await
    }

    /// With more rules and settings.
    async fn with_settings(rules: &str, more: &str) -> Self {
        let directory: TempDir = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), [POLICY, rules].concat()).unwrap();
        let settings = [more, "[policy]\nfile = \"policy.toml\"\n"].concat();
        let site = Self(Product::start_in(directory, &settings, &[]).await);
        for (id, url) in [
            ("weather", SERVER),
            ("other", "https://other.example/mcp"),
            ("a.b", "https://ab.example"),
        ] {
            site.command(&["server", "add", id, url, "--scope", "weather:read"]);
        }
        site
    }

    fn command(&self, arguments: &[&str]) {
        let output = command(self.0.directory.path(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn token(&self, scopes: &[&str]) -> String {
        self.0.token_with(scopes, |token| SERVER.clone_into(&mut token.audience))
    }

    /// As nginx asks: without a body, whatever the request was.
    async fn ask(&self, path: &str, token: Option<&str>) -> Answer {
        let mut request = Request::new("GET", path);
        if let Some(token) = token {
            request = request.header("authorization", &format!("Bearer {token}"));
        }
        self.0.send(request).await
    }

    /// As Envoy asks with `with_request_body`.
    fn envoy(&self, scopes: &[&str], body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", "/ext-authz/weather/mcp")
            .header("authorization", &format!("Bearer {}", self.token(scopes)))
            .header("content-type", "application/json")
            .header("x-envoy-auth-partial-body", "false")
            .body(body)
    }

    async fn call(&self, scopes: &[&str], tool: &str) -> Answer {
        self.0.send(self.envoy(scopes, call(tool))).await
    }

    /// Another message, sent to Envoy.
    async fn message(&self, scopes: &[&str], method: &str, params: Value) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.0.send(self.envoy(scopes, body.to_string())).await
    }

    /// The payload of the one event of this type.
    fn event(&self, event_type: &str) -> Value {
        let lines = self.0.audit_lines();
        let mut events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.find(|event| event["event_type"] == event_type).unwrap()["payload"].take()
    }
}

fn call(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
        .to_string()
}

#[tokio::test]
async fn a_token_for_the_server_with_its_scopes_goes_through_and_says_whose_it_is() {
    let site = Site::start().await;
    for path in ["/forward-auth/weather", "/forward-auth/weather/mcp?city=Oslo"] {
        let answer = site.ask(path, Some(&site.token(&["weather:read"]))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("x-auth-subject"), "ada");
        assert_eq!(answer.header("x-auth-client-id"), "agent");
        assert_eq!(answer.header("x-auth-scope"), "weather:read");
    }
}

// RFC 9728 §5.1 — RS-13
#[tokio::test]
async fn who_has_no_token_is_led_to_the_servers_own_metadata() {
    let site = Site::start().await;
    let answer = site.ask("/forward-auth/weather", None).await;
    assert_eq!(answer.status, 401);
    let path = "/.well-known/oauth-protected-resource/weather";
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains(&format!("resource_metadata=\"{}\"", site.0.url(path))),
        "{challenge}"
    );
    assert!(challenge.contains("scope=\"weather:read\""), "{challenge}");
    let document: Value = site.ask(path, None).await.json();
    assert_eq!(document["resource"], SERVER);
    assert_eq!(document["authorization_servers"], json!([site.0.url("")]));
}

// RFC 8707 §2 — N61
#[tokio::test]
async fn a_token_for_the_broker_or_for_another_server_is_refused() {
    let site = Site::start().await;
    let ours = site.0.token(&["weather:read"]);
    assert_eq!(site.ask("/forward-auth/weather", Some(&ours)).await.status, 401);
    let weather = site.token(&["weather:read"]);
    assert_eq!(site.ask("/forward-auth/other", Some(&weather)).await.status, 401);
    let more = site.ask("/forward-auth/weather", Some(&site.token(&["mail:read"]))).await;
    assert_eq!(more.status, 403);
    assert!(more.header("www-authenticate").contains("insufficient_scope"));
    assert_eq!(site.ask("/forward-auth/nobody", Some(&weather)).await.status, 404);
}

#[tokio::test]
async fn a_server_that_was_taken_out_lets_nobody_through_any_more() {
    let site = Site::start().await;
    let token = site.token(&["weather:read"]);
    assert_eq!(site.ask("/forward-auth/weather", Some(&token)).await.status, 200);
    site.command(&["server", "remove", "weather"]);
    assert_eq!(site.ask("/forward-auth/weather", Some(&token)).await.status, 404);
}

// N118
#[tokio::test]
async fn a_proxy_that_asks_about_a_tool_by_header_or_query_is_refused() {
    let site = Site::start().await;
    let token = format!("Bearer {}", site.token(&["weather:*"]));
    for request in [
        Request::new("GET", "/forward-auth/weather?tool=get_forecast"),
        Request::new("GET", "/forward-auth/weather").header("x-mcp-tool", "get_forecast"),
        Request::new("GET", "/ext-authz/weather").header("x-envoy-auth-partial-body", "false"),
        Request::new("GET", "/ext-authz/weather").header("x-original-method", "POST"),
        Request::new("POST", "/ext-authz/weather"),
        Request::new("POST", "/ext-authz/weather").body(call("get_forecast")),
        Request::new("POST", "/ext-authz/weather")
            .header("x-envoy-auth-partial-body", "true")
            .body(call("get_forecast")),
        Request::new("POST", "/ext-authz/weather").header("x-envoy-auth-partial-body", "false"),
        Request::new("POST", "/ext-authz/a.b")
            .header("x-envoy-auth-partial-body", "false")
            .body(call("get_forecast")),
    ] {
        let shown = format!("{request:?}");
        let status = site.0.send(request.header("authorization", &token)).await.status;
        assert!(matches!(status, 400 | 401 | 405), "{status}: {shown}");
    }
}

#[tokio::test]
async fn envoy_with_the_body_is_told_by_policy_about_each_tool() {
    let site = Site::with(ASKING).await;
    assert_eq!(site.call(&["weather:read"], "get_forecast").await.status, 200);
    let stepped = site.call(&["weather:read"], "delete").await;
    assert_eq!(stepped.status, 403);
    assert!(stepped.header("www-authenticate").contains("scope=\"weather:admin\""));
    assert_eq!(site.call(&["weather:read", "weather:admin"], "delete").await.status, 200);
    let unknown = site.call(&["weather:*"], "format_disk").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["message"]),
        (403, &json!("Unknown tool: format_disk"))
    );
    let asks = site.call(&["weather:read"], "pay").await;
    assert_eq!(asks.status, 403);
    assert!(asks.body.contains("needs an approval"), "{}", asks.body);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    assert_eq!(site.0.send(site.envoy(&["weather:read"], list)).await.status, 200);
}

// N118
#[tokio::test]
async fn a_body_that_the_server_could_read_in_another_way_is_refused() {
    let site = Site::start().await;
    let scopes = ["weather:read"];
    let bodies = [
        format!("[{}]", call("delete")),
        call("get_forecast").replace("\"name\"", "\"Name\":\"delete\",\"name\""),
        call("get_forecast").replace("\"name\"", "\"name\":\"delete\",\"name\""),
        call("get_forecast").replace("tools/call", "Tools/Call"),
        format!("{}{}", call("get_forecast"), call("delete")),
    ];
    for body in bodies {
        let answer = site.0.send(site.envoy(&scopes, body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    for (name, value) in
        [("mcp-name", "delete"), ("mcp-method", "tools/list"), ("content-encoding", "gzip")]
    {
        let request = site.envoy(&scopes, call("get_forecast")).header(name, value);
        assert_eq!(site.0.send(request).await.status, 400, "{name}: {value}");
    }
}

// MCP 2026-07-28 Streamable HTTP — TR-24, TR-25, TR-26
#[tokio::test]
async fn headers_that_name_another_prompt_resource_or_argument_than_the_body_are_refused() {
    let site = Site::with(THINGS).await;
    let all = ["weather:read", "weather:things"];
    let (day, open) = (json!({"name": "day"}), json!({"uri": "file:///open/a"}));
    let eu = json!({"name": "get_forecast", "arguments": {"region": "eu"}});
    for (method, params, (name, value), status) in [
        ("prompts/get", &day, ("mcp-name", "day"), 200),
        ("prompts/get", &day, ("mcp-name", "=?base64?ZGF5?="), 200),
        ("prompts/get", &day, ("mcp-name", "admin"), 400),
        ("prompts/get", &day, ("mcp-param-region", "us"), 400),
        ("resources/read", &open, ("mcp-name", "file:///open/a"), 200),
        ("resources/read", &open, ("mcp-name", "file:///etc/passwd"), 400),
        ("tools/list", &json!({}), ("mcp-name", "delete"), 400),
        ("initialize", &json!({}), ("mcp-name", "delete"), 400),
        ("tools/call", &eu, ("mcp-name", "=?base64?Z2V0X2ZvcmVjYXN0?="), 200),
        ("tools/call", &eu, ("mcp-param-region", "eu"), 200),
        ("tools/call", &eu, ("mcp-param-region", "us"), 400),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = site.envoy(&all, body.to_string()).header(name, value);
        let answer = site.0.send(request).await;
        assert_eq!(answer.status, status, "{method} {name}: {value}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_freeze_closes_every_gate_to_every_message() {
    let site = Site::with(FREEZE).await;
    for scopes in [&["weather:read", "weather:admin"][..], &["mail:read"]] {
        let answer = site.ask("/forward-auth/weather", Some(&site.token(scopes))).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate").is_empty()),
            (403, true),
            "{scopes:?}"
        );
        for (method, params) in [
            ("tools/call", json!({"name": "get_forecast"})),
            ("prompts/get", json!({"name": "day"})),
            ("resources/read", json!({"uri": "file:///open/a"})),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "day"}, "argument": {"name": "a", "value": ""}}),
            ),
            ("initialize", json!({})),
            ("tools/list", json!({})),
        ] {
            let answer = site.message(scopes, method, params).await;
            // Policy before scope: nobody is led to ask for more.
            assert_eq!(
                (answer.status, answer.header("www-authenticate").is_empty()),
                (403, true),
                "{method}"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_about_one_tool_keeps_those_out_to_whom_it_applies_where_no_tool_is_seen() {
    let about = |more: &str| {
        format!(
            "[[rule]]\nid = \"no\"\neffect = \"deny\"\ntools = ['(mail|weather)\\.delete']\n{more}\n"
        )
    };
    for (more, status) in [("", 403), ("principals = { subjects = [\"bob\"] }", 200)] {
        let site = Site::with(&about(more)).await;
        let token = site.token(&["weather:read"]);
        assert_eq!(site.ask("/forward-auth/weather", Some(&token)).await.status, status);
        // Envoy says which tool it is.
        assert_eq!(site.call(&["weather:read"], "get_forecast").await.status, 200);
    }
    let asking = Site::with(ASKING).await;
    let token = asking.token(&["weather:read"]);
    assert_eq!(asking.ask("/forward-auth/weather", Some(&token)).await.status, 403);
}

#[tokio::test]
async fn envoy_is_told_by_policy_about_prompts_and_resources_too() {
    let site = Site::with(THINGS).await;
    let (prompt, resource) = (json!({"name": "day"}), json!({"uri": "file:///open/a"}));
    let all = ["weather:read", "weather:things"];
    assert_eq!(site.message(&all, "prompts/get", prompt.clone()).await.status, 200);
    assert_eq!(site.message(&all, "resources/read", resource.clone()).await.status, 200);
    for scopes in [&["weather:read"][..], &["weather:things"], &[]] {
        let missing: Vec<&str> = all.into_iter().filter(|scope| !scopes.contains(scope)).collect();
        for (method, params) in [("prompts/get", &prompt), ("resources/read", &resource)] {
            let answer = site.message(scopes, method, params.clone()).await;
            assert_eq!(answer.status, 403, "{}", answer.body);
            let named = format!("scope=\"{}\"", missing.join(" "));
            assert!(answer.header("www-authenticate").contains(&named), "{method} {scopes:?}");
        }
    }
    for (method, params, text) in [
        ("prompts/get", json!({"name": "night"}), "Unknown prompt: night"),
        ("resources/read", json!({"uri": "file:///etc/passwd"}), "Resource not found"),
        ("resources/read", json!({"uri": "file:///open/../etc/passwd"}), "dot segments"),
        ("tasks/get", json!({"taskId": "7"}), "Method not found"),
    ] {
        let answer = site.message(&all, method, params).await;
        assert_eq!(answer.status, 403, "{method}");
        assert!(answer.body.contains(text), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_hidden_tool_is_no_challenge_and_a_challenge_is_what_is_missing() {
    let site = Site::start().await;
    let hidden = site.call(&["mail:read"], "format_disk").await;
    assert_eq!((hidden.status, hidden.header("www-authenticate").is_empty()), (403, true));
    let both = site.call(&["mail:read"], "delete").await;
    let challenge = both.header("www-authenticate");
    assert!(challenge.contains("scope=\"weather:admin weather:read\""), "{challenge}");
}

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
