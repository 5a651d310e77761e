//! A client of 2026-07-28 that wants to be told of changes.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::audit::LIMIT;
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;

pub(super) struct Listener {
    stream: reqwest::Response,
    heard: String,
}

/// What such a client sends.
pub(super) fn request(token: &str, wanted: &Value) -> Request {
    mcp(Wire::Modern, Some(token), "subscriptions/listen", json!({ "notifications": wanted }))
}

impl Listener {
    /// Opens a stream, whatever is answered.
    pub(super) async fn open(product: &Product, token: &str, wanted: &Value) -> Self {
        Self::open_by(&reqwest::Client::default(), product, (token, wanted)).await
    }

    /// The same over HTTP/2, where none of what is told is taken.
    #[expect(clippy::disallowed_methods, reason = "a client of the broker, not the broker's")]
    pub(super) async fn open_unread(product: &Product, token: &str, wanted: &Value) -> Self {
        let client = reqwest::Client::builder().http2_prior_knowledge();
        let client = client.http2_initial_stream_window_size(0).build().unwrap();
        Self::open_by(&client, product, (token, wanted)).await
    }

    async fn open_by(
        client: &reqwest::Client,
        product: &Product,
        (token, wanted): (&str, &Value),
    ) -> Self {
        let request = request(token, wanted);
        let (path, headers, body) = request.parts();
        let mut sent = client.post(product.url(path)).body(body.to_vec());
        for (name, value) in headers.iter().filter(|(name, _)| name != "connection") {
            sent = sent.header(name, value);
        }
        Self { stream: sent.send().await.unwrap(), heard: String::new() }
    }

    /// What was answered.
    pub(super) fn status(&self) -> u16 {
        self.stream.status().as_u16()
    }

    /// Opens a stream, and hears of what it will be told.
    pub(super) async fn start(product: &Product, scopes: &[&str], wanted: &Value) -> (Self, Value) {
        let mut listener = Self::open(product, &product.token(scopes), wanted).await;
        let first = listener.next().await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        (listener, first["params"]["notifications"].clone())
    }

    /// The next message; each is tagged with the stream it is on.
    pub(super) async fn next(&mut self) -> Value {
        let next = self.heard().await.expect("the stream is over");
        let meta = if next["result"].is_object() { &next["result"] } else { &next["params"] };
        let tag = &meta["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*tag, json!(7), "{next}");
        next
    }

    /// Its method.
    pub(super) async fn told(&mut self) -> String {
        let next = self.next().await;
        next["method"].as_str().unwrap_or_else(|| panic!("{next}")).to_owned()
    }

    /// What is heard until the end; the last is the answer to the request.
    pub(super) async fn rest(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(message) = self.heard().await {
            all.push(message);
        }
        all
    }

    /// Hears nothing more than that the stream is over.
    pub(super) async fn ends(self) {
        let rest = self.rest().await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert_eq!(
            (&rest[0]["id"], &rest[0]["result"]["resultType"]),
            (&json!(7), &json!("complete"))
        );
    }

    /// The next message; `None` at the end. A comment is none.
    async fn heard(&mut self) -> Option<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                let data = data.map(|data| serde_json::from_str(data).unwrap());
                self.heard = rest.to_owned();
                match data {
                    Some(data) => return Some(data),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout_at(deadline, self.stream.chunk()).await;
            let chunk = chunk.expect("something is told, or the stream ends").unwrap()?;
            self.heard.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
