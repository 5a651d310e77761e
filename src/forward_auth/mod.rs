//! Beside a server: a reverse proxy asks here whether a request may go on, and the server stays where it is.
//!
//! nginx (`auth_request`), Traefik (`forwardAuth`), Caddy (`forward_auth`) and Envoy ask `/forward-auth/{server_id}`, which
//! sees headers alone and so decides for the whole server. Which tool a request calls is in its body; only Envoy can
//! send that along, to `/ext-authz/{server_id}`. Headers that name a tool are never believed for it: the server might
//! read another one in the body.
//!
//! Both know the servers that are registered (`/api/v1/resources`), whose tokens are for the server's own URL. Nothing but
//! `200` lets a request through, so whatever goes wrong here closes the door.

mod answer;
mod decided;
mod document;
mod envoy;
mod servers;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use url::Url;

use crate::audit::Auditor;
use crate::id::Issuer;
use crate::limits::Limits;
use crate::policy::Live;
use crate::random::Random;
use crate::resource_server::{LocalKeys, Revocations};
use crate::store::Database;
use crate::time::Clock;

use servers::Servers;

/// What both work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ForwardAuth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    servers: Servers,
}

/// What it is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    pub public_url: Url,
    pub issuer: Issuer,
    pub keys: Arc<LocalKeys>,
    pub revocations: Arc<dyn Revocations>,
    pub store: Arc<dyn Database>,
    pub policy: Live,
    pub limits: Limits,
    pub auditor: Auditor,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Of a message that Envoy sends along.
    pub max_body_bytes: usize,
    pub body_timeout: Duration,
}

impl ForwardAuth {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let servers = Servers::default();
        Self(Arc::new(Inner { parts, servers }))
    }

    /// The two gates; for proxies, so without CORS.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/forward-auth/{server_id}", any(whole::decide))
            // Envoy and Traefik may append the path of the request that is asked about.
            .route("/forward-auth/{server_id}/{*path}", any(whole::decide_at))
            .route("/ext-authz/{server_id}", any(envoy::decide))
            .route("/ext-authz/{server_id}/{*path}", any(envoy::decide_at))
            .with_state(self.clone())
    }

    /// The metadata document of each server, for everybody.
    pub fn document_routes(&self) -> Router {
        Router::new()
            .route("/.well-known/oauth-protected-resource/{server_id}", get(document::document))
            .with_state(self.clone())
    }
}
