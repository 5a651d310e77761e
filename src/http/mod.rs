//! The HTTP front: every route on one screen, middleware, health, serving and draining.

mod base_path;
mod by_host;
mod client_address;
mod client_certificate;
mod connection;
mod endpoint;
mod front;
mod health;
mod lobby;
mod metrics;
mod origin;
mod problem;
mod pulse;
mod router;
mod serve;
mod servers;
mod traced;

pub use base_path::BasePath;
pub use by_host::Handler;
pub use client_address::{ClientAddress, TrustedProxies};
pub use client_certificate::{ClientCertificates, authorities};
pub use front::Front;
pub use health::{Health, Readiness};
pub use lobby::{NotYet, lobby};
pub use metrics::{metrics_front, metrics_routes};
pub use origin::AllowedOrigins;
pub use router::{Endpoint, LAST_RESORT, Routes};
pub use serve::{Limits, ServeError, Stop, Tls, TlsFiles, TlsKey, bind, serve, tls};
pub use servers::{RegisteredServers, ServerEndpoint, ServerEndpoints};
pub use traced::Traced;
