//! What a reverse proxy is told: about a whole server, and by Envoy with the body about each tool.

mod envoy;
mod recorded;
mod whole;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

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
