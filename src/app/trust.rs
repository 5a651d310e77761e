//! Who is believed, for as long as the process lives.

use std::sync::Arc;

use crate::authorization_server::{KeyRing, ServerSecret};
use crate::config::Config;
use crate::outbound::Outbound;
use crate::random::Random;
use crate::resource_server::{LocalKeys, Verifier};
use crate::secret::Secrets;
use crate::store::Database;
use crate::time::Clock;

use super::begun::Begun;
use super::endpoints::Name;
use super::error::AppError;
use super::issuers::{self, verifier};
use super::revoked::revocations;
use super::sealing::{self, Announcer};
use super::{keys, server_resources};

/// Who is believed: our own keys and those of other issuers, and what was revoked.
pub(super) struct Trust {
    pub(super) store: Arc<dyn Database>,
    pub(super) encryption: ServerSecret,
    pub(super) announcer: Announcer,
    pub(super) ring: Arc<KeyRing>,
    pub(super) local: Arc<LocalKeys>,
    pub(super) verifier: Arc<Verifier>,
    /// For the servers behind us; `None` where there are none.
    pub(super) servers: Option<Arc<Verifier>>,
}

impl Trust {
    pub(super) async fn establish(
        config: &Config,
        names: &[Name],
        secrets: &Arc<Secrets>,
        outbound: &Outbound,
        (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
        begun: &Begun,
    ) -> Result<Self, AppError> {
        let store = keys::store(config, clock).await?;
        let known = sealing::Keys::read(config, secrets, clock).await?;
        let announcer = Announcer::start(&store, &known, &**random).await?;
        begun.is_announced(&announcer);
        let encryption = ServerSecret::of_store(&*store, known.at_hand()).await?;
        let (ring, local) = keys::open(config, Arc::clone(&store), &encryption, clock).await?;
        let verifier = verifier(config, &local, names, secrets, outbound.clone(), clock)?;
        let verifier = Arc::new(verifier.revocations(revocations(config, &store)?).build()?);
        let behind = server_resources::audiences(config, names);
        let servers = if behind.is_empty() {
            None
        } else {
            let outbound = outbound.clone();
            let others = server_resources::other_audiences(config);
            let audiences = (behind.as_slice(), others.as_slice());
            let servers =
                issuers::verifier_for(config, &local, audiences, secrets, outbound, clock)?;
            Some(Arc::new(servers.revocations(revocations(config, &store)?).build()?))
        };
        Ok(Self { store, encryption, announcer, ring, local, verifier, servers })
    }
}
