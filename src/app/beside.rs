//! The gate for reverse proxies, from the settings.

use std::sync::Arc;

use axum::Router;

use crate::audit::Auditor;
use crate::config::Config;
use crate::forward_auth::{ForwardAuth, Parts};
use crate::limits::Limits;
use crate::policy::Live;
use crate::random::Random;
use crate::resource_server::LocalKeys;
use crate::store::Database;
use crate::time::Clock;

use super::endpoints::issuer;
use super::error::AppError;
use super::revoked::revocations;

/// # Errors
///
/// [`AppError`] where `server.public_url` is no issuer.
pub(super) fn gate(
    config: &Config,
    (store, keys, policy): (Arc<dyn Database>, Arc<LocalKeys>, Live),
    (limits, auditor): (Limits, Auditor),
    (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<ForwardAuth, AppError> {
    Ok(ForwardAuth::new(Parts {
        public_url: config.server.public_url.clone(),
        issuer: issuer(&config.server.public_url).parse()?,
        keys,
        revocations: revocations(config, &store)?,
        store,
        policy,
        limits,
        auditor,
        clock: Arc::clone(clock),
        random: Arc::clone(random),
        max_body_bytes: config.server.max_body_bytes,
        body_timeout: config.server.request_timeout,
    }))
}

/// Where we issue no tokens, there is no server whose tokens we could verify.
pub(super) fn routes(
    config: &Config,
    gate: &ForwardAuth,
    (public, private): (Router, Router),
) -> (Router, Router) {
    if !config.authorization_server.enabled {
        return (public, private);
    }
    (public.merge(gate.document_routes()), private.merge(gate.routes()))
}
