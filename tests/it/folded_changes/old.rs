//! A server of 2025-11-25, which is asked for each resource by itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Listener;
use super::lists::{broker, table};

const MANY: usize = 20;
/// For each of them: six seconds for all, where five are for any other answer.
const EACH: Duration = Duration::from_millis(300);

/// How many have been subscribed to in one session.
type Subscribed = watch::Sender<usize>;

async fn serve() -> (String, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/mcp", post(answer).get(|state| async { tell(state) }));
    let router = router.with_state(Subscribed::new(0));
    let mut running = JoinSet::new();
    running.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, running)
}

async fn answer(State(subscribed): State<Subscribed>, Json(asked): Json<Value>) -> Response {
    let result = match asked["method"].as_str() {
        Some("initialize") => {
            subscribed.send_replace(0);
            json!({ "protocolVersion": "2025-11-25", "capabilities": { "resources": { "subscribe": true } }, "serverInfo": { "name": "s", "version": "1" } })
        }
        Some("resources/subscribe") => {
            tokio::time::sleep(EACH).await;
            subscribed.send_modify(|subscribed| *subscribed += 1);
            json!({})
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    let body = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
    ([("mcp-session-id", "s")], Json(body)).into_response()
}

/// Tells of a change once all are subscribed to.
fn tell(State(subscribed): State<Subscribed>) -> Response {
    let mut changes = subscribed.subscribe();
    let told = stream::once(async move {
        drop(changes.wait_for(|subscribed| *subscribed == MANY).await);
        let params = json!({ "uri": "city:7" });
        let message = json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params });
        Ok::<_, Infallible>(format!("data: {message}\n\n"))
    });
    let told = futures_util::StreamExt::chain(told, stream::pending());
    ([("content-type", "text/event-stream")], Body::from_stream(told)).into_response()
}

#[tokio::test]
async fn many_resources_of_an_old_server_are_told_of() {
    let (url, _running) = serve().await;
    let table = table("weather", &url).replace("era = \"both\"", "era = \"2025-11-25\"");
    let product = broker(&table).await;
    let cities: Vec<_> = (0..MANY).map(|city| format!("weather+city:{city}")).collect();
    let wanted = json!({ "resourceSubscriptions": cities });
    let (mut listener, honored) = Listener::start(&product, &["weather:read"], &wanted).await;
    assert_eq!(honored["resourceSubscriptions"].as_array().unwrap().len(), MANY);
    assert_eq!(listener.next().await["params"]["uri"], "weather+city:7");
}
