//! Our MCP server at `/mcp`: the token check, the guard, the tools, and rmcp behind them.
//!
//! From the outside in: [`record_refusals`] audits what the token check refuses; the token
//! check ([`RequireTokenLayer`]) makes a principal; the [`guard`] decides on the body; rmcp speaks the
//! protocol; [`handler`] takes its methods, and [`service`] decides once more and does the work.

mod answer;
mod ask_person;
mod asker;
mod decide;
mod guard;
mod handler;
mod own;
mod result;
mod service;
mod tools;

use std::any::Any;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tower::{ServiceBuilder, service_fn};

use crate::guard::{Presented, record_refusals};
use crate::resource_server::RequireTokenLayer;

pub use crate::guard::{Endpoint, Recorder};

/// What answers behind the guard, for those who may not name rmcp.
pub use rmcp::ServerHandler;

pub use decide::Decider;
pub use guard::{GuardLayer, Settings as GuardSettings};
pub use service::{McpService, Parts};
pub use tools::{DocumentError, Documents, GRAPH_EXECUTE, GRAPH_LIST, Toolbox};

/// How the endpoint is reached and guarded.
#[derive(Clone, Debug)]
pub struct Mount {
    pub token: RequireTokenLayer,
    pub guard: GuardLayer,
    pub recorder: Recorder,
    /// Host names without port that rmcp accepts; `http` has checked the whole authority before.
    pub hosts: Vec<String>,
    pub max_body_bytes: usize,
    /// Ends open streams when the broker drains.
    pub drain: tokio_util::sync::CancellationToken,
}

/// The guarded endpoint around `handler`: ours is [`McpService`]; the conformance suite brings its own.
pub fn routes<H>(handler: H, mount: Mount) -> Endpoint
where
    H: ServerHandler + Clone + Send + Sync + 'static,
{
    // Another handler than ours tells of its own changes itself.
    let tells = (&handler as &dyn Any).is::<McpService>();
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(mount.hosts)
        .disable_allowed_origins() // G1: `http::origin` has checked before the token was looked at
        .with_max_request_body_bytes(mount.max_body_bytes)
        .with_cancellation_token(mount.drain);
    let sessions = Arc::new(NeverSessionManager::default());
    let rmcp = StreamableHttpService::new(move || Ok(handler.clone()), sessions, config);
    // Shared rather than cloned with all its settings for each request.
    let rmcp = Arc::new(rmcp);
    let rmcp = service_fn(move |request: Request<Body>| {
        let rmcp = Arc::clone(&rmcp);
        async move { Ok(rmcp.handle(request).await.map(Body::new)) }
    });
    let guard = mount.guard.telling_of_changes(tells);
    let guarded = ServiceBuilder::new().layer(mount.token).layer(guard.clone()).service(rmcp);
    let recorder = Arc::new(mount.recorder);
    Endpoint::new(move |mut request| {
        if guard.needs_the_callers_token() {
            Presented::note(&mut request);
        }
        let (recorder, guarded) = (Arc::clone(&recorder), guarded.clone());
        Box::pin(async move { Ok(record_refusals(&recorder, guarded, request).await) })
    })
}
