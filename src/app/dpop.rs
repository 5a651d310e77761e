//! Tokens that are bound to keys (RFC 9449): what checks proofs at the authorization server and at every endpoint.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use url::Url;

use crate::authorization_server::ServerSecret;
use crate::config::{Config, Dpop};
use crate::resource_server::{
    DpopNonces, DpopSettings, DpopUse, ProofChecker, ProofReplay, ReplayUnavailable,
    RequireTokenLayer,
};
use crate::store::Database;
use crate::time::{Clock, Timestamp};

/// Proofs that were used, in the store: for all replicas, and across restarts. One statement for each proof.
#[derive(Debug)]
struct InStore(Arc<dyn Database>);

/// Stands where assertions have their issuer, and is no URL or client id of anybody.
const PROOFS: &str = "urn:dpop proofs";

impl ProofReplay for InStore {
    fn first_use<'a>(
        &'a self,
        proof: &'a str,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        Box::pin(async move {
            self.0.first_use(PROOFS, proof, until).await.map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "dpop.store_failed");
                ReplayUnavailable
            })
        })
    }
}

/// `None` where the settings say that tokens are bound to nothing.
fn checker(
    config: &Config,
    store: &Arc<dyn Database>,
    encryption: &ServerSecret,
) -> Option<ProofChecker> {
    if config.resource_server.dpop == Dpop::Off {
        return None;
    }
    let nonces = || DpopNonces::new(&encryption.derive("dpop nonces v1"));
    let nonces = config.resource_server.dpop_nonce.then(nonces);
    Some(ProofChecker::new(Arc::new(InStore(Arc::clone(store))), nonces))
}

/// The checker, and what endpoints ask with it.
pub(super) fn parts(
    config: &Config,
    (store, encryption): (&Arc<dyn Database>, &ServerSecret),
    clock: &Arc<dyn Clock>,
) -> (Option<ProofChecker>, Binding) {
    let checker = checker(config, store, encryption);
    let binding = Binding::new(config, checker.as_ref(), clock);
    (checker, binding)
}

/// What an endpoint asks of tokens that are bound to keys.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    checker: Option<ProofChecker>,
    clock: Arc<dyn Clock>,
    /// By the settings for all endpoints.
    required: bool,
}

impl Binding {
    pub(super) fn new(
        config: &Config,
        checker: Option<&ProofChecker>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let required = config.resource_server.dpop == Dpop::Required;
        Self { checker: checker.cloned(), clock: Arc::clone(clock), required }
    }

    /// Around an endpoint under this base URL, which may require it by itself.
    pub(super) fn of(
        &self,
        layer: RequireTokenLayer,
        (base, required): (&Url, bool),
    ) -> RequireTokenLayer {
        let Some(checker) = self.checker.clone() else { return layer };
        let (clock, required) = (Arc::clone(&self.clock), self.required || required);
        layer.dpop(DpopSettings { base: base.clone(), required, checker, clock })
    }

    /// What its metadata says.
    pub(super) const fn shown(&self, required: bool) -> DpopUse {
        match &self.checker {
            None => DpopUse::Off,
            Some(_) if self.required || required => DpopUse::Required,
            Some(_) => DpopUse::Allowed,
        }
    }
}
