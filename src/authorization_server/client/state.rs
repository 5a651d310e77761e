//! What is kept in memory about clients. Nothing here is needed for correctness after a restart.

use std::collections::HashMap;
use std::sync::Arc;

use moka::sync::Cache;
use url::Url;

use crate::authorization_server::client_auth::AssertionKeys;
use crate::authorization_server::client_metadata::Fetches;
use crate::authorization_server::register::{RegistrationLimits, StatelessIds};
use crate::authorization_server::server_secret::ServerSecret;
use crate::authorization_server::settings::ConfiguredClient;
use crate::id::ClientId;

/// Key sets of clients that are kept at a time.
const MAX_KEY_SETS: u64 = 256;

/// One in each [`AuthorizationServer`](crate::authorization_server::AuthorizationServer).
#[derive(Debug)]
pub(in crate::authorization_server) struct Clients {
    pub(in crate::authorization_server) ids: Arc<StatelessIds>,
    pub(in crate::authorization_server) fetches: Fetches,
    pub(in crate::authorization_server) limits: RegistrationLimits,
    /// Places in the settings: with many clients no request walks through all.
    configured: HashMap<ClientId, usize>,
    /// Those that are used stay: nobody drives them out with made-up ones.
    key_sets: Cache<(bool, Url), Arc<AssertionKeys>>,
}

impl Clients {
    pub(in crate::authorization_server) fn new(
        secret: &ServerSecret,
        configured: &[ConfiguredClient],
    ) -> Self {
        let places =
            configured.iter().enumerate().map(|(place, client)| (client.client_id.clone(), place));
        Self {
            ids: Arc::new(StatelessIds::new(secret)),
            fetches: Fetches::default(),
            limits: RegistrationLimits::default(),
            configured: places.collect(),
            key_sets: Cache::new(MAX_KEY_SETS),
        }
    }

    pub(in crate::authorization_server) fn configured(&self, id: &ClientId) -> Option<usize> {
        self.configured.get(id).copied()
    }

    /// The key set at `url`, one for all requests, so that its cool-down holds for all. What an operator named is kept
    /// apart from what a metadata document named: it is fetched by other rules.
    pub(in crate::authorization_server) fn key_set(
        &self,
        url: &Url,
        trusted: bool,
        new: impl FnOnce() -> AssertionKeys,
    ) -> Arc<AssertionKeys> {
        self.key_sets.get_with((trusted, url.clone()), || Arc::new(new()))
    }
}
