//! What is answered before the broker can serve: that the process lives, and why nothing else is to be had yet.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::client_address::TrustedProxies;
use super::front::Front;
use super::health::{Health, Readiness, health, ready};
use super::serve::{Limits, Stop, Tls, serve};

/// Why the broker does not serve yet, for `/ready`. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct NotYet(Arc<RwLock<String>>);

impl NotYet {
    /// Replaces the reason. Gives whether it is another than before.
    pub fn because(&self, reason: &str) -> bool {
        let mut said = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let other = *said != reason;
        if other {
            reason.clone_into(&mut said);
        }
        other
    }
}

impl Readiness for NotYet {
    fn failing(&self) -> Vec<(String, String)> {
        let reason = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        vec![("start".to_owned(), reason)]
    }

    fn degraded(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn facts(&self) -> Value {
        json!({})
    }
}

/// Answers `/health`, on `/ready` why there is no more, and 503 to everything else, until `end` resolves. Then the listener is closed.
pub async fn lobby(
    listener: TcpListener,
    tls: Option<Tls>,
    why: NotYet,
    end: impl Future<Output = ()>,
) {
    let probes = Health::new(Arc::new(why), CancellationToken::new());
    let router = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .fallback(async || StatusCode::SERVICE_UNAVAILABLE)
        .with_state(probes.clone());
    let limits =
        Limits { drain_pause: Duration::ZERO, drain: Duration::from_secs(1), ..Limits::default() };
    let stop = Stop { drain: end, now: std::future::pending() };
    let front = Front::of(router);
    serve(listener, tls, front, probes, TrustedProxies::default(), limits, stop).await;
}
