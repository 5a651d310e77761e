//! MCP Auth Broker: one binary that lets AI agents act without ever holding a credential.
//!
//! A request becomes an answer through a chain of types, each of which one module alone can make:
//! `Principal` (`resource_server`), `Caller` (`broker`), `Permit` (`policy`), `Secret` (`secret`),
//! `ProviderToken` (`token`), `GraphReply` (`graph`), `Reply` (`broker`). `docs/architecture.md`
//! tells the story; `tests/it/arrows.rs` keeps the modules apart.

pub mod admin;
pub mod api_key;
pub mod app;
pub mod audit;
pub mod authorization_server;
pub mod background;
pub mod broker;
pub mod certificate_name;
pub mod cli;
pub mod code;
pub mod config;
pub mod connections;
#[cfg(test)]
mod fake_http;
pub mod forward_auth;
pub mod graph;
pub mod guard;
pub mod host_trust;
pub mod http;
pub mod limits;
pub mod login_provider;
pub mod mcp;
pub mod metrics;
pub mod oauth_client;
pub mod policy;
pub mod process;
pub mod public_jwks;
pub mod redirect_uri;
pub mod secret;
pub mod secret_ref;
pub mod steps;
pub mod store;
pub mod telemetry;
pub mod token;
pub mod upstream;

/// What another Rust service needs to guard itself is a package of its own; here its modules keep their places.
pub use mcp_auth_layer::{
    id, outbound, protect, random, resource_server, scope, secret_text, time,
};
