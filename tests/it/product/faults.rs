//! A live Graph that fails: what the caller is told, how often is tried, and that nothing leaks.

mod cut_off;

use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;
use crate::support::until::until;

const SECRET: &str = "client-secret-CANARY";
const TOKEN: &str = "provider-token-CANARY";

/// A broker whose login and Graph are two fakes.
struct Live {
    product: Product,
    login: FakeHttp,
    graph: FakeHttp,
}

const POLICY: &str = r#"
    version = "t"
    default = "deny"
    [[rule]]
    id = "graph.user"
    effect = "allow"
    tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
    graph = { profile = "default", methods = ["GET", "POST", "PATCH"], paths = ["/v1.0/users", "/v1.0/users/{id}"], permissions = ["User.Read.All"] }
"#;

impl Live {
    async fn start() -> Self {
        Self::with("").await
    }

    async fn with(more: &str) -> Self {
        let login = FakeHttp::start(Reply::json(minted(TOKEN))).await;
        let graph = FakeHttp::start(Reply::json(r#"{"id":"1"}"#)).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let settings = format!(
            r#"
            [outbound]
            allow_private = ["127.0.0.1"]
            [policy]
            file = "policy.toml"
            [graph]
            mode = "live"
            cloud = "custom"
            custom_cloud = {{ login_url = "{}", graph_url = "{}" }}
            {more}
            [[graph.profile]]
            name = "default"
            tenant_id = "contoso.example"
            client_id = "app"
            credential = {{ client_secret = "file:{}" }}
            "#,
            login.url(),
            graph.url(),
            secret.display(),
        );
        let product = Product::start_in(directory, &settings, &[]).await;
        Self { product, login, graph }
    }

    async fn get(&self) -> Value {
        self.operation(json!({ "method": "GET", "path": "/v1.0/users/1" })).await
    }

    async fn operation(&self, operation: Value) -> Value {
        self.product.graph(&self.product.token(&[]), json!({ "operation": operation })).await
    }

    /// The code of a call that fails, after looking for what must not be there.
    async fn fails(&self) -> (String, Value) {
        let reply = self.get().await;
        self.nothing_leaked(&reply);
        let error = &reply["error"];
        (
            error["code"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned(),
            error["metadata"].clone(),
        )
    }

    fn nothing_leaked(&self, reply: &Value) {
        let all = format!("{reply}{:?}", self.product.audit_lines());
        assert!(!all.contains("CANARY"), "{all}");
    }
}

fn minted(token: &str) -> String {
    json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token }).to_string()
}

fn refused(codes: &str) -> Reply {
    let body = format!(
        r#"{{"error":"invalid_client","error_codes":[{codes}],"error_description":"AADSTS{codes}: {SECRET}","trace_id":"0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b","correlation_id":"0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1c"}}"#
    );
    let Reply::Answer(_, headers, body) = Reply::json(body) else { unreachable!() };
    Reply::Answer(401, headers, body)
}

fn graph_error(status: u16) -> Reply {
    let body = format!(r#"{{"error":{{"code":"x","message":"{TOKEN} {SECRET}"}}}}"#);
    let Reply::Answer(_, headers, body) = Reply::json(body) else { unreachable!() };
    Reply::Answer(status, headers, body)
}

/// The names under `degraded`, while the broker is ready.
async fn degraded(product: &Product) -> Vec<String> {
    let ready = product.get("/ready").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    let degraded = ready.json()["degraded"].as_array().unwrap().clone();
    degraded.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn who_does_not_answer_is_degraded_in_ready_until_it_does() {
    let live = Live::start().await;
    live.login.answers(Reply::status(503));
    assert_eq!(live.fails().await.0, "provider.unavailable");
    assert_eq!(degraded(&live.product).await, ["login endpoint of tenant contoso.example"]);
    live.login.answers(Reply::json(minted(TOKEN)));
    live.graph.answers(graph_error(503));
    assert_eq!(live.fails().await.0, "provider.unavailable");
    assert_eq!(degraded(&live.product).await, ["graph"]);
    live.graph.answers(graph_error(404));
    assert_eq!(live.get().await["status"], "ok");
    assert!(degraded(&live.product).await.is_empty());
}

#[tokio::test]
async fn a_caller_that_waits_for_graph_too_shortly_does_not_make_it_look_away() {
    let live = Live::start().await;
    assert_eq!(live.get().await["status"], "ok");
    live.graph.answers(Reply::Silence);
    let operation = json!({ "method": "GET", "path": "/v1.0/users/1" });
    let hurried = json!({ "operation": operation, "timeout_ms": 50 });
    let reply = live.product.graph(&live.product.token(&[]), hurried).await;
    assert_eq!(reply["error"]["code"], "provider.timeout", "{reply}");
    assert!(degraded(&live.product).await.is_empty());
}

#[tokio::test]
async fn a_backend_of_secrets_that_fails_is_degraded_in_ready() {
    let live = Live::start().await;
    std::fs::remove_file(live.product.directory.path().join("secret")).unwrap();
    assert_eq!(live.fails().await.0, "secret.not_found");
    assert_eq!(degraded(&live.product).await, ["secrets file"]);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_told_with_its_size() {
    let live = Live::with("max_response_bytes = 4096").await;
    live.graph.answers(Reply::json("x".repeat(5000)));
    let (code, metadata) = live.fails().await;
    assert_eq!(code, "provider.bad_response");
    let sizes = (&metadata["response_bytes"], &metadata["max_response_bytes"]);
    assert_eq!(sizes, (&json!(5000), &json!(4096)));
}

// MCP 2026-07-28 security §Access Token Privilege Restriction — RS-11
#[tokio::test]
async fn graph_sees_the_broker_s_token_and_never_the_caller_s() {
    let live = Live::start().await;
    let token = live.product.token(&[]);
    let operation = json!({ "method": "GET", "path": "/v1.0/users/1" });
    let reply = live.product.graph(&token, json!({ "operation": operation })).await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert!(reply.get("simulated").is_none());
    let asked = live.graph.asked();
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {TOKEN}"));
    let all = format!("{:?}{:?}", asked, live.login.asked());
    assert!(!all.contains(&token) && !all.contains(token.rsplit('.').next().unwrap()));
    live.nothing_leaked(&reply);
}

#[tokio::test]
async fn a_token_is_minted_once_for_many_calls() {
    let live = Live::start().await;
    let first = live.get().await;
    let second = live.get().await;
    assert_eq!(first["result"]["execution"]["token"]["source"], "minted");
    assert_eq!(second["result"]["execution"]["token"]["source"], "cache");
    assert_eq!(live.login.count(), 1);
}

#[tokio::test]
async fn a_wrong_secret_is_read_once_more_and_then_given_up() {
    let live = Live::start().await;
    live.login.answers(refused("7000215"));
    let (code, metadata) = live.fails().await;
    assert_eq!(code, "provider.auth_failed", "{metadata}");
    assert!(live.login.count() <= 2, "{}", live.login.count());
    assert_eq!(live.graph.count(), 0);
    assert!(metadata["identity_provider"].to_string().contains("7000215"), "{metadata}");
}

#[tokio::test]
async fn a_throttled_login_is_not_asked_again() {
    let live = Live::start().await;
    live.login.answers(Reply::status(429).header("retry-after", "60"));
    let (code, metadata) = live.fails().await;
    assert_eq!(code, "provider.rate_limited");
    assert!(metadata["retry_after_ms"].as_u64().unwrap() > 50_000, "{metadata}");
    let asked = live.login.count();
    assert_eq!(live.fails().await.0, "provider.rate_limited");
    assert_eq!(live.login.count(), asked, "the gate is shut");
}

#[tokio::test]
async fn a_broken_graph_is_tried_three_times_and_no_more() {
    let live = Live::start().await;
    live.graph.answers(graph_error(503));
    let (code, metadata) = live.fails().await;
    assert_eq!(
        (code.as_str(), &metadata["attempts"]),
        ("provider.unavailable", &json!(3)),
        "{metadata}"
    );
    assert_eq!(live.graph.count(), 3);
    let called = live.product.event_types().into_iter().filter(|kind| kind == "provider.called");
    assert_eq!(called.count(), 3);
}

#[tokio::test]
async fn a_write_is_never_repeated() {
    let live = Live::start().await;
    live.graph.answers(graph_error(503));
    let reply =
        live.operation(json!({ "method": "POST", "path": "/v1.0/users", "body": {} })).await;
    assert_eq!(reply["error"]["code"], "provider.unavailable", "{reply}");
    assert_eq!(live.graph.count(), 1);
}

#[tokio::test]
async fn a_throttling_graph_says_how_long() {
    let live = Live::start().await;
    live.graph.answers(graph_error(429).header("retry-after", "30"));
    let (code, metadata) = live.fails().await;
    assert_eq!(code, "provider.rate_limited");
    assert_eq!(metadata["retry_after_ms"], 30_000, "{metadata}");
}

#[tokio::test]
async fn a_silent_graph_is_a_timeout_within_the_caller_s_budget() {
    let live = Live::start().await;
    live.graph.answers(Reply::Silence);
    let operation = json!({ "method": "GET", "path": "/v1.0/users/1" });
    let call = json!({ "timeout_ms": 300, "operation": operation });
    let reply = live.product.graph(&live.product.token(&[]), call).await;
    assert_eq!(reply["error"]["code"], "provider.timeout", "{reply}");
    let called = live.product.audited(|event| event["event_type"] == "provider.called").await;
    assert_eq!(called["payload"]["outcome"], "timeout");
}

#[tokio::test]
async fn a_permission_that_the_app_lacks_is_named() {
    let live = Live::start().await;
    live.graph.answers(graph_error(403));
    let (code, metadata) = live.fails().await;
    assert_eq!(code, "provider.auth_failed");
    assert_eq!(metadata["detail"], "insufficient_privileges", "{metadata}");
}

/// Contract 1: what a provider said of a failure is withheld, and the answer and the audit log say so.
#[tokio::test]
async fn a_withheld_answer_of_a_provider_is_listed() {
    let withheld = json!([{ "field": "error.metadata.provider_body", "reason": "sensitive" }]);
    let live = Live::start().await;
    for status in [403, 503] {
        live.graph.answers(graph_error(status));
        let reply = live.get().await;
        assert_eq!(reply["redactions"], withheld, "{reply}");
        let ended = live.product.audited(|event| event["event_type"] == "result.emitted").await;
        assert_eq!(ended["redactions"], withheld, "{ended}");
    }
    let live = Live::start().await;
    live.login.answers(refused("7000215"));
    let reply = live.get().await;
    assert_eq!(reply["redactions"], withheld, "{reply}");
}

#[tokio::test]
async fn a_token_that_graph_refuses_is_replaced_once() {
    let live = Live::start().await;
    live.graph.answers(Reply::status(401));
    let (code, _) = live.fails().await;
    assert_eq!(code, "provider.auth_failed");
    assert_eq!((live.login.count(), live.graph.count()), (2, 2));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none() {
    let live = Live::with("max_response_bytes = 1024").await;
    live.graph.answers(Reply::json(format!("\"{}\"", "x".repeat(2000))));
    assert_eq!(live.fails().await.0, "provider.bad_response");
}

#[tokio::test]
async fn an_answer_that_quotes_our_credentials_is_scrubbed() {
    let live = Live::start().await;
    live.graph.answers(Reply::json(
        json!({ "seen": format!("Bearer {TOKEN}"), "secret": SECRET }).to_string(),
    ));
    let reply = live.get().await;
    assert_eq!(reply["status"], "ok");
    assert!(!reply.to_string().contains(TOKEN), "{reply}");
    live.graph.answers(graph_error(404));
    let reply = live.get().await;
    assert_eq!(reply["result"]["execution"]["http_status"], 404);
    assert!(!reply.to_string().contains(TOKEN), "{reply}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let live = Live::start().await;
    let other = FakeHttp::start(Reply::json("{}")).await;
    live.graph.answers(Reply::status(302).header("location", other.url().as_str()));
    let reply = live.get().await;
    assert_eq!(other.count(), 0);
    assert!(!reply.to_string().contains(other.url().as_str()), "{reply}");
}

/// A place is held as long as the work lasts, and no longer than its caller stays.
#[tokio::test]
async fn a_caller_that_goes_away_gives_its_place_back() {
    use tokio::io::AsyncWriteExt as _;
    let live = Live::with("[limits]\nclient_concurrency = 1").await;
    live.graph.answers(Reply::Silence);
    let ask = || {
        let operation = json!({ "method": "GET", "path": "/v1.0/users/1" });
        let tool = crate::support::product::EXECUTE;
        let params = json!({ "name": tool, "arguments": { "operation": operation } });
        let wire = crate::support::product::Wire::Modern;
        crate::support::product::mcp(wire, Some(&live.product.token(&[])), "tools/call", params)
    };
    let mut stream = tokio::net::TcpStream::connect(&live.product.authority).await.unwrap();
    stream.write_all(&ask().bytes(&live.product.authority)).await.unwrap();
    until("Graph is asked", async || (live.graph.count() > 0).then_some(())).await;
    assert_eq!(live.product.send(ask()).await.status, 429);
    assert_eq!(live.graph.count(), 1);
    live.graph.answers(Reply::json(r#"{"id":"1"}"#));
    drop(stream);
    live.product.audited(|event| event["payload"]["status"] == "cancelled").await;
    let served = async || (live.product.send(ask()).await.status != 429).then_some(());
    until("another is served", served).await;
    assert_eq!(live.graph.count(), 2);
}

#[tokio::test]
async fn app_service_is_asked_for_the_token_of_a_managed_identity() {
    let platform = FakeHttp::start(Reply::status(404)).await;
    let granted =
        json!({ "token_type": "Bearer", "expires_on": "4102444800", "access_token": TOKEN });
    platform.answers_at("/msi/token", Reply::json(granted.to_string()));
    let graph = FakeHttp::start(Reply::json(r#"{"id":"1"}"#)).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
    let settings = format!(
        r#"
        [outbound]
        allow_private = ["127.0.0.1"]
        [policy]
        file = "policy.toml"
        [graph]
        mode = "live"
        cloud = "custom"
        custom_cloud = {{ login_url = "{0}", graph_url = "{0}" }}
        [[graph.profile]]
        name = "default"
        tenant_id = "contoso.example"
        credential = {{ managed_identity = true }}
        "#,
        graph.url(),
    );
    let endpoint = platform.url().join("msi/token").unwrap().to_string();
    let variables = [("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_HEADER", SECRET.to_owned())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.into()));
    let variables = variables.into_iter().collect();
    let product = Product::start_with(directory, &settings, &[], variables).await;
    let operation = json!({ "method": "GET", "path": "/v1.0/users/1" });
    let reply = product.graph(&product.token(&[]), json!({ "operation": operation })).await;
    assert_eq!(reply["status"], "ok", "{reply}");
    assert_eq!(graph.asked()[0].headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(platform.asked()[0].headers["x-identity-header"], SECRET);
    let all = format!("{reply}{:?}", product.audit_lines());
    assert!(!all.contains("CANARY"), "{all}");
}
