//! The names of tools in metrics and traces: what a caller makes up is shown to nobody.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::behind::{broker, call};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;
use crate::support::raw_http::{self, Request};
use crate::support::until::until;

const ANY: &str = "[[upstream.server.tool]]\nname = \".*\"\nscopes = [\"w:r\"]\n";
const ERROR: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"isError":true,"content":[]}}"#;

async fn watched(server: &FakeHttp, collector: &FakeHttp) -> Product {
    let telemetry = format!(
        "[telemetry]\nmetrics = true\notlp_endpoint = \"{}\"\n[server]\nadmin_listen = \"127.0.0.1:0\"\n",
        collector.url()
    );
    broker(server.url().as_str(), &[ANY, &telemetry].concat(), "").await
}

/// All that operators see in the end.
async fn shown(mut product: Product, collector: &FakeHttp) -> String {
    let admin = product.admin.clone().unwrap();
    let page = Request::new("GET", "/metrics").bytes("metrics:9090");
    let page = raw_http::exchange(&admin, &page).await.body;
    assert!(page.contains("tool=\"weather.other\""), "{page}");
    product.stop();
    product.ended().await;
    let sent: String = collector.asked().into_iter().map(|asked| asked.body).collect();
    assert!(sent.contains("tools/call weather.other"), "{sent}");
    page + &sent
}

#[tokio::test]
async fn the_name_of_a_call_that_was_given_up_is_not_shown() {
    let server = FakeHttp::start(Reply::Silence).await;
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = watched(&server, &collector).await;
    let request = call(&product, &["w:r"], "CANARY-tool").bytes(&product.authority);
    let mut stream = TcpStream::connect(&product.authority).await.unwrap();
    stream.write_all(&request).await.unwrap();
    until("the server is asked", async || (server.count() > 0).then_some(())).await;
    drop(stream);
    product.audited(|event| event["payload"]["status"] == "cancelled").await;
    let shown = shown(product, &collector).await;
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[tokio::test]
async fn the_name_of_a_tool_that_the_server_refuses_is_not_shown() {
    let server = FakeHttp::start(Reply::json(ERROR)).await;
    let collector = FakeHttp::start(Reply::json("{}")).await;
    let product = watched(&server, &collector).await;
    let answer = product.send(call(&product, &["w:r"], "CANARY-tool")).await;
    assert!(answer.status == 200 && answer.body.contains("isError"), "{answer:?}");
    let shown = shown(product, &collector).await;
    assert!(!shown.contains("CANARY"), "{shown}");
}
