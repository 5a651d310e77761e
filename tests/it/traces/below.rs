//! What a request waits for, as spans below its own: the database, other hosts, servers behind the broker.

use serde_json::{Value, json};

use crate::hosted;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, Product, Wire, mcp};
use crate::support::raw_http::Request;
use crate::upstream::{GET, PATH, behind, token};

use super::{PARENT, TRACE, attribute, call, graph_settings, settings, spans};

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let found = spans.iter().find(|span| span["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// A server that answers everything with an empty result.
async fn server() -> FakeHttp {
    FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#)).await
}

/// The broker in front of it, and what is sent to the collector.
async fn in_front(server: &FakeHttp, telemetry: &str) -> Product {
    behind::broker(server.url().as_str(), &format!("{GET}{telemetry}"), "").await
}

fn tool(product: &Product) -> Request {
    behind::call(product, &["weather:read"], "get_weather")
}

#[tokio::test]
async fn a_call_of_the_database_is_a_span_below_its_request() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = Product::start(&settings(&collector)).await;
    let body = "grant_type=authorization_code&client_id=CANARY&code=c&redirect_uri=https%3A%2F%2Fa.example";
    let refused = product.send(
        Request::new("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("traceparent", THEIRS)
            .body(body),
    );
    assert_eq!(refused.await.status, 401);
    let spans = spans(product, &collector).await;
    let request = named(&spans, "oauth.token.refused");
    let found = named(&spans, "find clients");
    assert_eq!((&found["traceId"], &found["kind"]), (&json!(TRACE), &json!(3)));
    assert_eq!(found["parentSpanId"], request["spanId"]);
    let said = ["db.system.name", "db.operation.name", "db.collection.name", "db.query.summary"];
    let said = said.map(|key| attribute(found, key).unwrap());
    assert_eq!(said, ["sqlite", "find", "clients", "find clients"]);
    assert!(!json!(spans).to_string().contains("CANARY"), "{spans:#?}");
}

#[tokio::test]
async fn a_token_that_is_asked_for_is_a_span_and_graph_hangs_under_the_attempt_that_asks_it() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let login = FakeHttp::start(Reply::status(404)).await;
    let graph = FakeHttp::start(Reply::json("{}")).await;
    login.answers(Reply::json(r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t"}"#));
    let (graph_settings, _policy) = graph_settings(&login, &graph);
    let product = Product::start(&[graph_settings, settings(&collector)].concat()).await;
    let token = product.token(&["graph:read"]);
    product.send(call(&token).header("traceparent", THEIRS)).await;
    let spans = spans(product, &collector).await;
    let asked = named(&spans, "POST");
    assert_eq!(attribute(asked, "server.address"), Some("127.0.0.1"));
    assert_eq!(attribute(asked, "http.request.method"), Some("POST"));
    assert_eq!(attribute(asked, "http.response.status_code"), Some("200"));
    let request = named(&spans, &format!("tools/call {EXECUTE}"));
    assert_eq!(asked["parentSpanId"], request["spanId"]);
    assert!(!login.asked()[0].headers.contains_key("traceparent"), "it need not know");
    let attempt = named(&spans, "GET /v1.0/users")["spanId"].as_str().unwrap();
    let sent = graph.asked()[0].headers["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(sent, format!("00-{TRACE}-{attempt}-01"));
}

#[tokio::test]
async fn a_server_behind_hangs_under_our_span_of_its_call() {
    let (collector, server) = (FakeHttp::start(Reply::json("{}")).await, server().await);
    let product = in_front(&server, &settings(&collector)).await;
    let mut request = tool(&product).header("traceparent", "00-11-22-01");
    let mut body: Value = serde_json::from_slice(request.parts().2).unwrap();
    body["params"]["_meta"]["traceparent"] = json!(THEIRS);
    request = request.body(body.to_string());
    assert_eq!(product.send(request).await.status, 200);
    let spans = spans(product, &collector).await;
    let theirs = named(&spans, "tools/call get_weather");
    let request = named(&spans, "tools/call weather.get_weather");
    assert_eq!(
        (&theirs["parentSpanId"], &theirs["kind"], &theirs["traceId"]),
        (&request["spanId"], &json!(3), &json!(TRACE))
    );
    assert_eq!(request["parentSpanId"], PARENT);
    for (key, value) in [
        ("mcp.method.name", "tools/call"),
        ("gen_ai.tool.name", "get_weather"),
        ("network.transport", "tcp"),
        ("server.address", "127.0.0.1"),
        ("http.response.status_code", "200"),
        ("broker.server", "weather"),
    ] {
        assert_eq!(attribute(theirs, key), Some(value), "{key}");
    }
    let ours = format!("00-{TRACE}-{}-01", theirs["spanId"].as_str().unwrap());
    let asked = server.asked().pop().unwrap();
    let sent: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(asked.headers["traceparent"], ours.as_str());
    assert_eq!(sent["params"]["_meta"]["traceparent"], ours.as_str());
    assert_eq!(sent["params"]["arguments"], json!({}));
}

#[tokio::test]
async fn a_program_behind_is_told_in_the_message() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("lines");
    let table = hosted::table(&[("LOG", &log.display().to_string())], "");
    let all = [table, settings(&collector)].concat();
    let product = Product::start_in(directory, &all, &[]).await;
    let params = json!({ "name": "get_pid", "arguments": {}, "_meta": { "traceparent": THEIRS } });
    let token = token(&product, &["weather:read"]);
    let answer = product.send(mcp(Wire::Legacy, Some(&token), "tools/call", params).path(PATH));
    assert_eq!(answer.await.status, 200);
    let lines = std::fs::read_to_string(&log).unwrap();
    let spans = spans(product, &collector).await;
    let theirs = named(&spans, "tools/call get_pid");
    assert_eq!(attribute(theirs, "network.transport"), Some("pipe"));
    assert_eq!(attribute(theirs, "server.address"), None);
    let ours = format!("00-{TRACE}-{}-01", theirs["spanId"].as_str().unwrap());
    assert!(lines.contains(&ours) && !lines.contains(PARENT), "{lines}");
}

#[tokio::test]
async fn a_server_that_fails_is_a_span_that_says_how() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let server = FakeHttp::start(Reply::status(503)).await;
    let product = in_front(&server, &settings(&collector)).await;
    product.send(tool(&product)).await;
    let spans = spans(product, &collector).await;
    let theirs = spans.iter().find(|span| span["kind"] == 3).unwrap();
    assert_eq!(attribute(theirs, "error.type"), Some("503"));
    assert_eq!(theirs["status"], json!({ "code": 2 }));
}

#[tokio::test]
async fn a_share_of_the_traces_that_begin_here_is_sent_and_all_that_callers_keep() {
    let (collector, server) = (FakeHttp::start(Reply::json("{}")).await, server().await);
    let none = format!("{}trace_one_in = 0\n", settings(&collector));
    let product = in_front(&server, &none).await;
    product.send(tool(&product)).await;
    let told = server.asked().pop().unwrap().headers["traceparent"].clone();
    assert!(told.to_str().unwrap().ends_with("-00"), "{told:?}");
    product.send(tool(&product).header("traceparent", THEIRS)).await;
    let told = server.asked().pop().unwrap().headers["traceparent"].clone();
    assert!(told.to_str().unwrap().ends_with("-01"), "{told:?}");
    let spans = spans(product, &collector).await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| span["traceId"] == TRACE), "{spans:#?}");
}

#[tokio::test]
async fn where_no_traces_are_sent_a_server_gets_what_its_caller_sent() {
    let server = server().await;
    let product = in_front(&server, "").await;
    product.send(tool(&product).header("traceparent", THEIRS)).await;
    product.send(tool(&product)).await;
    let told: Vec<_> =
        server.asked().into_iter().map(|asked| asked.headers.get("traceparent").cloned()).collect();
    assert_eq!(told, [Some(THEIRS.parse().unwrap()), None]);
}
