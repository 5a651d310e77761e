//! Everything that is sealed in the store is sealed anew, with another key, while brokers run.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::authorization_server::{
    KeyEncryptionKey, Resealing, ServerSecret, authenticator_context, provider_tokens_context,
    signing_key_context,
};
use crate::config::Config;
use crate::connections::{account_context, client_context};
use crate::outbound::Outbound;
use crate::secret::{Environment, Secrets};
use crate::store::{Database, Resealed, SealedCount, SealedPlace, SealedRow, SealingChange};
use crate::time::Clock;

use super::error::AppError;
use super::{approvals, keys, map, sealing};

/// Between two questions whether every broker has the new key.
const PAUSE: Duration = Duration::from_secs(1);

/// What is done at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekeyStep {
    /// For brokers that run without the new key, and those that were killed and count for some seconds more.
    Waiting { brokers: u64 },
    /// So many of a table's values were looked at.
    Sealing { table: &'static str, done: u64, of: u64 },
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Rekeyed {
    /// The key that the store is sealed with.
    pub key_id: String,
    /// Values that this run sealed anew; those of an earlier one are not among them.
    pub resealed: u64,
    /// Values that none of the keys opens, whatever they name. They were left as they are.
    pub unopened: u64,
    /// What is sealed with which key now, read from the store at the end.
    pub sealed: Vec<SealedCount>,
}

impl Rekeyed {
    /// Values that the new key does not open.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.others().max(self.unopened)
    }

    /// Those of them that name a key which is not at hand. The rest name none, or one that did not seal them.
    #[must_use]
    pub fn others(&self) -> u64 {
        let others = self.sealed.iter().filter(|count| count.key_id != self.key_id);
        others.map(|count| count.rows).fold(0, u64::saturating_add)
    }
}

/// A store that is about to be sealed with `store.key_encryption_key`.
#[derive(Debug)]
pub struct Rekeying {
    store: Arc<dyn Database>,
    secret: ServerSecret,
}

impl Rekeying {
    /// Opens the store with the keys of the settings.
    ///
    /// # Errors
    ///
    /// [`AppError`]: nothing was changed.
    pub async fn open(
        config: &Config,
        variables: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let outbound = Outbound::new(&map::outbound(config))?;
        let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(&clock))?;
        let store = keys::store(config, &clock).await?;
        let secret = sealing::open(config, &secrets, (&*store, &clock)).await?;
        Ok(Self { store, secret })
    }

    /// The id of the key that is to be the only one.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.secret.key_encryption_key().ids().next().unwrap_or_default().to_owned()
    }

    /// From now on everything is sealed with that key; then what was sealed before is. Cut off at any point it can be run
    /// again, and until it is through both keys are needed.
    ///
    /// Waits so many seconds at most for brokers that do not have the key.
    ///
    /// # Errors
    ///
    /// [`AppError`]: what is sealed anew stays so, all else is as it was.
    pub async fn run(
        &self,
        wait_seconds: u64,
        watch: &mut (dyn FnMut(RekeyStep) + Send),
    ) -> Result<Rekeyed, AppError> {
        self.change(wait_seconds, watch).await?;
        let key = self.secret.key_encryption_key();
        let counts = self.store.count_sealed().await?;
        let (mut resealed, mut unopened) = (0_u64, 0_u64);
        for place in SealedPlace::ALL {
            let of = counts.iter().filter(|count| count.table == place.table());
            let of = of.map(|count| count.rows).fold(0, u64::saturating_add);
            let (anew, closed) = self.reseal(place, &key, (of, watch)).await?;
            resealed = resealed.saturating_add(anew);
            unopened = unopened.saturating_add(closed);
        }
        let sealed = self.store.count_sealed().await?;
        Ok(Rekeyed { key_id: self.key_id(), resealed, unopened, sealed })
    }

    async fn change(
        &self,
        wait_seconds: u64,
        watch: &mut (dyn FnMut(RekeyStep) + Send),
    ) -> Result<(), AppError> {
        let mut waited = 0;
        loop {
            match self.secret.change_key(&*self.store).await? {
                SealingChange::Done => return Ok(()),
                SealingChange::Other => return Err(AppError::SealedMeanwhile),
                SealingChange::Waits { brokers } if waited >= wait_seconds => {
                    return Err(AppError::BrokersWithoutKey { brokers, key_id: self.key_id() });
                }
                SealingChange::Waits { brokers } => watch(RekeyStep::Waiting { brokers }),
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE.as_secs();
        }
    }

    /// All of one table. How many were sealed anew, and how many none of the keys opens.
    async fn reseal(
        &self,
        place: SealedPlace,
        key: &KeyEncryptionKey,
        (of, watch): (u64, &mut (dyn FnMut(RekeyStep) + Send)),
    ) -> Result<(u64, u64), AppError> {
        let (mut resealed, mut unopened, mut done, mut after) = (0_u64, 0_u64, 0_u64, None);
        loop {
            let rows = self.store.sealed_rows(place, after.as_ref()).await?;
            let Some(last) = rows.last().cloned() else { return Ok((resealed, unopened)) };
            done = done.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            let new = rows.into_iter().filter_map(|row| anew(place, row, (key, &mut unopened)));
            let new: Vec<_> = new.collect();
            if !new.is_empty() {
                resealed = resealed.saturating_add(self.store.reseal(place, new).await?);
            }
            watch(RekeyStep::Sealing { table: place.table(), done, of });
            after = Some(last);
        }
    }
}

/// `None` where it is sealed with that key already, or cannot be opened, which is counted.
fn anew(
    place: SealedPlace,
    row: SealedRow,
    (key, unopened): (&KeyEncryptionKey, &mut u64),
) -> Option<Resealed> {
    match key.reseal(&row.sealed, &context(place, &row)) {
        Resealing::New(sealed) => Some(Resealed { row, sealed }),
        Resealing::Same => None,
        Resealing::Unopened => {
            // What could not be sealed in the first place is kept as nothing.
            if !row.sealed.is_empty() {
                *unopened = unopened.saturating_add(1);
                tracing::warn!(table = place.table(), of = ?row.of, "store.not_resealed");
            }
            None
        }
    }
}

/// What a value belongs to, as whoever sealed it says it.
fn context(place: SealedPlace, row: &SealedRow) -> String {
    let [first, second] = &row.of;
    match place {
        SealedPlace::SigningKeys => signing_key_context(first, second),
        SealedPlace::Authenticators => authenticator_context(first),
        SealedPlace::UpstreamAccounts => account_context(first, second),
        SealedPlace::EndedAccounts => {
            account_context(first, second.split_once(' ').map_or(second, |(server, _)| server))
        }
        SealedPlace::ProviderTokens => provider_tokens_context(first, second),
        SealedPlace::UpstreamClients => client_context(first),
        SealedPlace::Approvals => approvals::CONTEXT.to_owned(),
    }
}
