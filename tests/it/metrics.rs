//! `/metrics` over sockets: who may read it, what it counts, and that nothing a caller writes ends up in it.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::product::{EXECUTE, Product, Wire, mcp};
use crate::support::raw_http::{self, Answer, Request};

const ALONE: &str = "[server]\nadmin_listen = \"127.0.0.1:0\"\n[telemetry]\nmetrics = true\n";
const SAME: &str = "[authorization_server]\nadministrators = { subjects = [\"ada\"] }
[telemetry]\nmetrics = true\n";

/// What Prometheus gets at the listener for it.
async fn scrape(product: &Product) -> String {
    let admin = product.admin.as_ref().expect("a listener for metrics");
    let request = Request::new("GET", "/metrics").bytes("prometheus.internal:9090");
    let answer = raw_http::exchange(admin, &request).await;
    assert_eq!(answer.status, 200);
    answer.body
}

async fn read(product: &Product, token: Option<&str>) -> Answer {
    let mut request = Request::new("GET", "/metrics");
    if let Some(token) = token {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    product.send(request).await
}

/// The value of the one series that begins so.
fn value(page: &str, series: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).trim_end_matches(".0").parse().unwrap()
}

#[tokio::test]
async fn a_listener_of_its_own_serves_metrics_and_nothing_else() {
    let product = Product::start(ALONE).await;
    let page = scrape(&product).await;
    assert_eq!(value(&page, "broker_ready"), 1);
    assert!(page.contains("broker_build_info{version=\""), "{page}");
    for what in ["authorization_code", "refresh_token", "device_code"] {
        assert_eq!(value(&page, &format!("broker_oauth_reuses_total{{what=\"{what}\"}}")), 0);
    }
    for path in ["/mcp", "/health", "/api/v1/users", "/token"] {
        let request = Request::new("GET", path).bytes(&product.authority);
        let answer = raw_http::exchange(product.admin.as_ref().unwrap(), &request).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(read(&product, None).await.status, 404, "not on the listener of everybody");
}

#[tokio::test]
async fn without_one_only_administrators_read_them() {
    let product = Product::start(SAME).await;
    let refused = read(&product, None).await;
    assert_eq!(refused.status, 401);
    assert!(!refused.body.contains("broker_"));
    let scopes = |scopes: &[&str]| product.token(scopes);
    assert_eq!(read(&product, Some(&scopes(&["graph:read"]))).await.status, 403);
    let eve = product.token_with(&["broker:admin"], |token| token.subject = "eve".parse().unwrap());
    assert_eq!(read(&product, Some(&eve)).await.status, 403);
    let page = read(&product, Some(&scopes(&["broker:admin"]))).await;
    assert_eq!((page.status, &*page.header("cache-control")), (200, "no-store"));
    assert!(page.body.contains("broker_ready 1"));
}

#[tokio::test]
async fn nothing_is_served_where_nobody_asked_for_it() {
    let product = Product::dev().await;
    let token = product.token(&["broker:admin"]);
    assert_eq!(read(&product, Some(&token)).await.status, 404);
}

#[tokio::test]
async fn a_call_is_counted_at_every_step_it_takes() {
    let product = Product::start(ALONE).await;
    let token = product.token(&["graph:read"]);
    for _ in 0..2 {
        product.graph_get(&token, "/v1.0/users").await;
    }
    let page = scrape(&product).await;
    for (series, count) in [
        ("broker_http_requests_total{endpoint=\"/mcp\",method=\"POST\",status=\"200\"}", 2),
        ("broker_mcp_requests_total{method=\"tools/call\",status=\"ok\"}", 2),
        (&format!("broker_tool_calls_total{{tool=\"{EXECUTE}\",status=\"ok\",code=\"none\"}}"), 2),
        (
            "broker_policy_decisions_total{effect=\"allow\",reason=\"policy.rule.allow.graph.user.read\"}",
            2,
        ),
        (
            "broker_provider_calls_total{provider=\"microsoft_graph\",outcome=\"success\",status=\"200\",code=\"none\"}",
            2,
        ),
        ("broker_provider_tokens_total{source=\"minted\"}", 1),
        ("broker_provider_tokens_total{source=\"cache\"}", 1),
        ("broker_access_tokens_verified_total", 1),
        ("broker_http_requests_in_flight", 0),
        ("broker_store_up", 1),
        ("broker_audit_healthy", 1),
    ] {
        assert_eq!(value(&page, series), count, "{series}");
    }
    let took = format!("broker_tool_call_duration_seconds_count{{tool=\"{EXECUTE}\"}}");
    assert_eq!(value(&page, &took), 2);
}

#[tokio::test]
async fn refusals_are_counted_by_their_reason() {
    let product = Product::start(ALONE).await;
    let call = |token| mcp(Wire::Modern, token, "tools/list", json!({}));
    product.send(call(None)).await;
    product.send(call(Some("CANARY"))).await;
    let params = json!({ "name": "get_confidential_info", "arguments": {} });
    product.rpc(Wire::Modern, &product.token(&["public:read"]), "tools/call", params).await;
    let page = scrape(&product).await;
    for series in [
        "broker_access_token_rejections_total{reason=\"missing\"}",
        "broker_access_token_rejections_total{reason=\"malformed\"}",
        "broker_http_requests_total{endpoint=\"/mcp\",method=\"POST\",status=\"403\"}",
        "broker_tool_calls_total{tool=\"get_confidential_info\",status=\"error\",code=\"insufficient_scope\"}",
        "broker_policy_decisions_total{effect=\"deny\",reason=\"policy.rule.deny.scope.not_permitted\"}",
    ] {
        assert_eq!(value(&page, series), 1, "{series}");
    }
}

// RFC 9470 §3
#[tokio::test]
async fn a_call_that_waits_for_another_login_is_counted_like_any_that_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nid = \"strong\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n\
        principals = { assurance = [\"phr\"] }\n";
    std::fs::write(directory.path().join("policy.toml"), rules).unwrap();
    let settings = [ALONE, "[policy]\nfile = \"policy.toml\"\n"].concat();
    let product = Product::start_in(directory, &settings, &[]).await;
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let answer = product.rpc(Wire::Modern, &product.token(&[]), "tools/call", params).await;
    assert_eq!(answer.status, 401);
    let page = scrape(&product).await;
    for series in [
        "broker_mcp_requests_total{method=\"tools/call\",status=\"error\"}",
        "broker_tool_calls_total{tool=\"get_public_info\",status=\"error\",code=\"insufficient_user_authentication\"}",
        "broker_policy_decisions_total{effect=\"deny\",reason=\"policy.rule.deny.default\"}",
    ] {
        assert_eq!(value(&page, series), 1, "{series}");
    }
}

/// Names of tools, paths, methods, hosts, users and tokens.
#[tokio::test]
async fn nothing_that_a_caller_writes_becomes_a_label() {
    let product = Product::start(ALONE).await;
    let token = product.token_with(&["graph:read"], |token| {
        token.subject = "CANARY-person".parse().unwrap();
        token.client_id = "CANARY-client".parse().unwrap();
    });
    for n in 0..20 {
        product.call(&token, &format!("CANARY{n}"), json!({})).await;
        product.rpc(Wire::Modern, &token, &format!("CANARY/{n}"), json!({})).await;
        product.send(Request::new("CANARY", &format!("/CANARY{n}"))).await;
        product.send(Request::new("GET", &format!("/servers/CANARY{n}/mcp"))).await;
        product.graph_get(&token, &format!("/v1.0/users/CANARY{n}")).await;
    }
    product.send(Request::new("GET", "/authorize?client_id=CANARY&response_type=code")).await;
    let page = scrape(&product).await;
    assert!(!page.contains("CANARY"), "{page}");
    assert!(!page.contains(&token), "{page}");
    let other = "broker_http_requests_total{endpoint=\"other\",method=\"other\",status=\"404\"}";
    assert_eq!(value(&page, other), 20);
}

#[tokio::test]
async fn a_reader_of_the_older_format_is_told_the_older_type() {
    let product = Product::start(ALONE).await;
    let admin = product.admin.as_ref().unwrap();
    for (accept, told) in [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text",
        ),
        ("*/*", "text/plain; version=0.0.4"),
    ] {
        let request = Request::new("GET", "/metrics").header("accept", accept).bytes(admin);
        let answer = raw_http::exchange(admin, &request).await;
        assert!(answer.header("content-type").starts_with(told), "{accept}");
        assert!(answer.body.ends_with("# EOF\n"));
    }
}

/// Reading it does not hold up the end of the process.
/// Who scrapes without end takes places from who scrapes, and none from callers.
#[tokio::test]
async fn the_listener_takes_thirty_two_connections_at_a_time() {
    let product = Product::start(ALONE).await;
    let admin = product.admin.as_ref().unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: prometheus.internal:9090\r\n\r\n";
    let mut held = Vec::new();
    let mut begun = [0; 12];
    for _ in 0..32 {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut next = TcpStream::connect(admin).await.unwrap();
    next.write_all(request).await.unwrap();
    for _ in 0..50 {
        assert_eq!(product.get("/health").await.status, 200);
    }
    let waiting = next.try_read(&mut begun).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock, "it is the 33rd");
    held.pop();
    next.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
}

#[tokio::test]
async fn the_listener_ends_with_the_broker() {
    let mut product = Product::start(ALONE).await;
    scrape(&product).await;
    let admin = product.admin.clone().unwrap();
    product.stop();
    product.ended().await;
    assert!(TcpStream::connect(admin).await.is_err());
}
