//! OTLP over sockets: what a collector gets, how traces go through us, and what a collector that does not answer does to callers.

mod below;
mod conventions;

use serde_json::{Value, json};

use crate::support::child::{Served, command_beside};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{EXECUTE, Product, Wire, mcp};
use crate::support::raw_http::{self, Request};
use crate::support::until::until;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn settings(collector: &FakeHttp) -> String {
    format!("[telemetry]\notlp_endpoint = \"{}otlp\"\n", collector.url())
}

/// A Graph that is reached over sockets, and the directory of the policy that lets it be read.
fn graph_settings(login: &FakeHttp, graph: &FakeHttp) -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let policy = "version = \"1\"\ndefault = \"deny\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\n\
        tools = [\"auth\\\\.graph\\\\..*\"]\nscopes = [\"graph:read\"]\n\
        graph = { profile = \"reader\", methods = [\"GET\"], paths = [\"/v1.0/users\"], permissions = [\"User.Read.All\"] }\n";
    let file = directory.path().join("policy.toml");
    std::fs::write(&file, policy).unwrap();
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[graph]\nmode = \"live\"\ncloud = \"custom\"\n\
         custom_cloud = {{ login_url = \"{}\", graph_url = \"{}\" }}\n\
         [[graph.profile]]\nname = \"reader\"\ntenant_id = \"contoso.example\"\nclient_id = \"app\"\n\
         credential = {{ client_secret = \"client-secret-long-enough\" }}\n[policy]\nfile = \"{}\"\n",
        login.url(),
        graph.url(),
        file.display(),
    );
    (settings, directory)
}

async fn started(collector: &FakeHttp) -> Product {
    Product::start(&settings(collector)).await
}

/// A call of the Graph tool that says which trace it is of.
fn call(token: &str) -> Request {
    let arguments = json!({ "operation": { "method": "GET", "path": "/v1.0/users" } });
    mcp(Wire::Modern, Some(token), "tools/call", json!({ "name": EXECUTE, "arguments": arguments }))
}

/// Every span that the collector has got, once the broker has ended.
async fn spans(mut product: Product, collector: &FakeHttp) -> Vec<Value> {
    product.stop();
    product.ended().await;
    let traces = collector.asked().into_iter().filter(|asked| asked.path == "/otlp/v1/traces");
    let messages = traces.map(|asked| serde_json::from_str::<Value>(&asked.body).unwrap());
    messages
        .flat_map(|message| {
            message["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
        })
        .collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let all = span["attributes"].as_array().unwrap().iter();
    let value = all
        .filter(|attribute| attribute["key"] == key)
        .map(|attribute| &attribute["value"])
        .next()?;
    value["stringValue"].as_str().or(value["intValue"].as_str())
}

#[tokio::test]
async fn a_call_is_a_span_below_its_caller_and_what_it_asks_graph_is_one_below_it() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let token = product.token(&["graph:read"]);
    let traced = call(&token).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(product.send(traced).await.status, 200);
    let spans = spans(product, &collector).await;
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let server = named(&format!("tools/call {EXECUTE}"));
    assert_eq!(
        (&server["traceId"], &server["parentSpanId"], &server["kind"]),
        (&json!(TRACE), &json!(PARENT), &json!(2))
    );
    assert_eq!(attribute(server, "mcp.method.name"), Some("tools/call"));
    assert_eq!(attribute(server, "gen_ai.tool.name"), Some(EXECUTE));
    assert_eq!(attribute(server, "broker.status"), Some("ok"));
    let graph = named("GET /v1.0/users");
    assert_eq!(
        (&graph["traceId"], &graph["parentSpanId"], &graph["kind"]),
        (&json!(TRACE), &server["spanId"], &json!(3))
    );
    assert_eq!(attribute(graph, "http.response.status_code"), Some("200"));
    assert_ne!(graph["spanId"], server["spanId"]);
}

#[tokio::test]
async fn the_message_itself_may_say_which_trace_it_is_of_and_says_it_better_than_a_header() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let token = product.token(&["public:read"]);
    let mut request = mcp(Wire::Modern, Some(&token), "tools/list", json!({}));
    let mut body: Value = serde_json::from_slice(request.parts().2).unwrap();
    body["params"]["_meta"]["traceparent"] = json!(format!("00-{TRACE}-{PARENT}-01"));
    request = request.body(body.to_string());
    let other = "00-11111111111111111111111111111111-2222222222222222-01";
    assert_eq!(product.send(request.header("traceparent", other)).await.status, 200);
    let audited = product.audit();
    assert!(audited.iter().all(|event| event["trace_id"] == TRACE), "{audited:#?}");
    let spans = spans(product, &collector).await;
    assert_eq!((&spans[0]["traceId"], &spans[0]["parentSpanId"]), (&json!(TRACE), &json!(PARENT)));
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_keep_is_not_sent() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let token = product.token(&["graph:read"]);
    product.send(call(&token).header("traceparent", &format!("00-{TRACE}-{PARENT}-00"))).await;
    assert_eq!(spans(product, &collector).await, Vec::<Value>::new());
}

#[tokio::test]
async fn graph_is_told_which_trace_a_call_is_of() {
    let (login, graph) =
        (FakeHttp::start(Reply::status(404)).await, FakeHttp::start(Reply::json("{}")).await);
    login.answers(Reply::json(r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t"}"#));
    let (settings, _policy) = graph_settings(&login, &graph);
    let product = Product::start(&settings).await;
    let token = product.token(&["graph:read"]);
    product.send(call(&token).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))).await;
    let sent = graph.asked()[0].headers["traceparent"].to_str().unwrap().to_owned();
    assert!(sent.starts_with(&format!("00-{TRACE}-")) && !sent.contains(PARENT), "{sent}");
}

/// Its caller goes away while Graph works on it.
#[tokio::test]
async fn an_attempt_that_is_cut_off_is_a_span_that_failed() {
    use tokio::io::AsyncWriteExt as _;
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let minted = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t"}"#;
    let login = FakeHttp::start(Reply::json(minted)).await;
    let graph = FakeHttp::start(Reply::Silence).await;
    let (of_graph, _policy) = graph_settings(&login, &graph);
    let product = Product::start(&format!("{}{of_graph}", settings(&collector))).await;
    let token = product.token(&["graph:read"]);
    let mut stream = tokio::net::TcpStream::connect(&product.authority).await.unwrap();
    stream.write_all(&call(&token).bytes(&product.authority)).await.unwrap();
    until("Graph is asked", async || (graph.count() > 0).then_some(())).await;
    drop(stream);
    product.audited(|event| event["payload"]["status"] == "cancelled").await;
    let spans = spans(product, &collector).await;
    let span = spans.iter().find(|span| span["name"] == "GET /v1.0/users").unwrap();
    assert_eq!(
        (attribute(span, "error.type"), &span["status"]["code"]),
        (Some("cancelled"), &json!(2))
    );
}

/// It takes connections and never answers; more is made than waits for it.
#[tokio::test]
async fn a_collector_that_hangs_slows_nobody_and_holds_up_no_end() {
    let collector = FakeHttp::start(Reply::Silence).await;
    let mut product = started(&collector).await;
    let token = product.token(&["graph:read"]);
    for _ in 0..50 {
        assert_eq!(product.send(call(&token)).await.status, 200);
        let asked = Request::new("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=authorization_code&client_id=c&code=c");
        assert_eq!(product.send(asked).await.status, 401);
    }
    product.stop();
    product.ended().await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_or_refuses_changes_no_answer() {
    for reply in [Reply::status(503), Reply::status(404)] {
        let collector = FakeHttp::start(reply).await;
        let product = started(&collector).await;
        let token = product.token(&["graph:read"]);
        assert_eq!(product.send(call(&token)).await.status, 200);
        spans(product, &collector).await;
    }
    let product = Product::start("[telemetry]\notlp_endpoint = \"http://127.0.0.1:1\"\n").await;
    assert_eq!(product.send(call(&product.token(&["graph:read"]))).await.status, 200);
}

#[tokio::test]
async fn nothing_that_a_caller_writes_and_no_token_goes_to_the_collector() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = started(&collector).await;
    let token = product.token_with(&["graph:read"], |token| {
        token.subject = "CANARY-person".parse().unwrap();
        token.client_id = "CANARY-client".parse().unwrap();
    });
    product.call(&token, "CANARY-tool", json!({ "a": "CANARY-argument" })).await;
    product.rpc(Wire::Modern, &token, "CANARY/method", json!({})).await;
    product.graph_get(&token, "/v1.0/users/CANARY").await;
    product.send(Request::new("GET", "/authorize?client_id=CANARY&response_type=code")).await;
    spans(product, &collector).await;
    let sent: String = collector.asked().iter().map(|asked| asked.body.clone()).collect();
    assert!(sent.contains("tools/call other") && !sent.contains("CANARY"), "{sent}");
    assert!(!sent.contains(&token));
}

#[tokio::test]
async fn the_log_goes_there_too() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(directory.path(), &settings(&collector), &[]).await;
    served.terminate();
    served.ended().await;
    let logs = collector.asked().into_iter().filter(|asked| asked.path == "/otlp/v1/logs");
    let text: String = logs.map(|asked| asked.body).collect();
    assert!(
        text.contains("http.listening") && text.contains("\"severityText\":\"INFO\""),
        "{text}"
    );
    assert!(
        text.contains("{\"key\":\"service.name\",\"value\":{\"stringValue\":\"mcp-auth-broker\"}}")
    );
}

/// A collector has both, and joins them by the ids alone.
#[tokio::test]
async fn a_line_of_the_log_says_of_which_request_and_trace_it_is() {
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(directory.path(), &settings(&collector), &[]).await;
    let beside = |arguments: &[&str]| {
        let done = command_beside(directory.path(), &served.authority, arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let resource = "https://weather.example/mcp";
    beside(&["server", "add", "weather", resource, "--scope", "weather:read"]);
    let mint = ["token", "mint", "--sub", "ada", "--scope", "weather:read", "--resource", resource];
    let minted = beside(&mint);
    let token = minted.lines().find_map(|line| line.strip_prefix("Token: ")).unwrap();
    let asked = Request::new("GET", "/forward-auth/weather?tool=a")
        .header("authorization", &format!("Bearer {token}"))
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .bytes(&served.authority);
    assert_eq!(raw_http::exchange(&served.authority, &asked).await.status, 400);
    served.terminate();
    served.ended().await;
    let logs = collector.asked().into_iter().filter(|asked| asked.path == "/otlp/v1/logs");
    let messages = logs.map(|asked| serde_json::from_str::<Value>(&asked.body).unwrap());
    let lines = messages.flat_map(|message| {
        message["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone()
    });
    let (of_request, others): (Vec<_>, Vec<_>) =
        lines.partition(|line| line["body"]["stringValue"].to_string().contains("forward_auth."));
    assert_eq!(of_request[0]["traceId"], TRACE, "{of_request:?}");
    let spans = collector.asked().into_iter().filter(|asked| asked.path == "/otlp/v1/traces");
    let spans: String = spans.map(|asked| asked.body).collect();
    let span = of_request[0]["spanId"].as_str().unwrap();
    assert!(spans.contains(&format!("\"spanId\":\"{span}\"")), "{span} in {spans}");
    assert!(attribute(&of_request[0], "broker.request_id").is_some(), "{of_request:?}");
    assert!(others.iter().all(|line| line.get("traceId").is_none()), "{others:?}");
}
