//! Sessions of the broker's own that a server knows no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::behind::{GET, broker, call};
use super::one_era::last;
use super::sessions::forgotten;
use crate::support::fake_http::Reply;

/// An old server of this process that knows the sessions since it was restarted; of others it says what it is told to.
async fn restarts(says: (u16, &'static str, String)) -> (String, Arc<AtomicUsize>, JoinSet<()>) {
    let (restarted, mut running) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let times = Arc::clone(&restarted);
    let answer = move |headers: http::HeaderMap, Json(asked): Json<Value>| {
        let (session, says) = (times.load(Ordering::SeqCst).to_string(), says.clone());
        async move {
            let named = headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
            let result = match asked["method"].as_str() {
                Some("initialize") => {
                    json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "s", "version": "1" } })
                }
                _ if named != Some(session.clone()) => {
                    let status = StatusCode::from_u16(says.0).unwrap();
                    return (status, [("content-type", says.1)], says.2).into_response();
                }
                Some("tools/call") => json!({ "content": [] }),
                _ => return StatusCode::ACCEPTED.into_response(),
            };
            let body = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result });
            ([("mcp-session-id", session)], Json(body)).into_response()
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/mcp", axum::routing::post(answer));
    running.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, restarted, running)
}

/// As the Python SDK says it in its versions, under an id that is nobody's, or in words.
#[tokio::test]
async fn a_lost_session_is_opened_anew_however_the_server_says_that_it_is_lost() {
    for reply in forgotten() {
        let Reply::Answer(status, media, body) = reply else { continue };
        let media = if media[0].1.starts_with("text") { "text/plain" } else { "application/json" };
        let said = (status, media, String::from_utf8(body.to_vec()).unwrap());
        let (url, restarted, _running) = restarts(said.clone()).await;
        let product = broker(&url, &format!("era = \"2025-11-25\"\n{GET}"), "").await;
        for _ in 0..2 {
            let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
            assert_eq!(last(&answer)["result"]["content"], json!([]), "{said:?}: {answer:?}");
            restarted.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What has run may say so of a session of its own. It is not run again, and the next call has a new session all the same.
#[tokio::test]
async fn a_call_is_not_made_again_where_what_it_has_called_may_have_refused_it() {
    let said = (400, "application/json", r#"{"error":"checkout session expired"}"#.to_owned());
    let (url, restarted, _running) = restarts(said).await;
    let product = broker(&url, &format!("era = \"2025-11-25\"\n{GET}"), "").await;
    let content = async || {
        let answer = product.send(call(&product, &["weather:read"], "get_weather")).await;
        last(&answer)["result"]["structuredContent"]["error"]["code"].clone()
    };
    assert_eq!(content().await, Value::Null);
    restarted.fetch_add(1, Ordering::SeqCst);
    assert_eq!(content().await, "provider.bad_response");
    assert_eq!(content().await, Value::Null);
}
