//! `/health` and `/ready`: whether the process lives, and whether it can serve. Neither ever shows a secret.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// What makes every request wrong (`failing`), and what makes some wrong (`degraded`). Asked at each `/ready`.
pub trait Readiness: Send + Sync + fmt::Debug {
    /// Names and reasons; anything here answers 503.
    fn failing(&self) -> Vec<(String, String)>;
    /// Names and reasons; listed with 200.
    fn degraded(&self) -> Vec<(String, String)>;
    /// Facts an operator should see, such as `"graph": "simulated"`.
    fn facts(&self) -> Value;
}

/// Handles for the two endpoints. Clones share the drain flag.
#[derive(Clone, Debug)]
pub struct Health {
    draining: Arc<AtomicBool>,
    /// Cancelled when no new connection is taken any more: whoever holds a stream open that nobody waits for ends it
    /// then, so that the drain need not wait for it.
    closing: CancellationToken,
    readiness: Arc<dyn Readiness>,
}

impl Health {
    #[must_use]
    pub fn new(readiness: Arc<dyn Readiness>, closing: CancellationToken) -> Self {
        Self { draining: Arc::default(), closing, readiness }
    }

    /// From now on `/ready` answers 503, so that no new work is sent here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(super) fn close(&self) {
        self.closing.cancel();
    }
}

pub(super) async fn health() -> Response {
    let body = json!({ "status": "up", "service": "mcp-auth-broker", "version": env!("CARGO_PKG_VERSION") });
    answer(StatusCode::OK, &body)
}

pub(super) async fn ready(State(health): State<Health>) -> Response {
    let mut failing = health.readiness.failing();
    if health.draining.load(Ordering::Acquire) {
        failing.insert(0, ("drain".to_owned(), "shutting down".to_owned()));
    }
    let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let list = |reasons: Vec<(String, String)>| -> Vec<Value> {
        reasons
            .into_iter()
            .map(|(name, reason)| json!({ "name": name, "reason": reason }))
            .collect()
    };
    let body = json!({
        "status": if failing.is_empty() { "ready" } else { "not_ready" },
        "failing": list(failing),
        "degraded": list(health.readiness.degraded()),
        "facts": health.readiness.facts(),
    });
    answer(status, &body)
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}
