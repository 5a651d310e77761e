//! `/metrics`: for Prometheus, on a listener of its own or behind the door of administrators. Who may read it is decided
//! where it is mounted.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::Exposition;

use super::front::Front;
use super::problem::{method_not_allowed, not_found};

/// `GET /metrics`
pub fn metrics_routes<S>(page: Exposition) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/metrics", get(metrics).with_state(page))
}

/// What a listener for metrics alone answers.
#[must_use]
pub fn metrics_front(page: Exposition) -> Front {
    let routes = metrics_routes(page);
    Front::of(routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed))
}

/// The text is `OpenMetrics` 1.0, which readers of the older format take as well; they are told the older type.
async fn metrics(State(page): State<Exposition>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open = accepted.into_iter().any(|accept| accept.contains("application/openmetrics-text"));
    let content_type = if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    (headers, page.text()).into_response()
}
