//! What the store is sealed with: the keys of the settings, as the store says which of them counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::authorization_server::{KeysAtHand, SealError, ServerSecret};
use crate::config::Config;
use crate::random::Random;
use crate::secret::Secrets;
use crate::secret_text::SecretText;
use crate::store::{BROKERS_LAST, Database, Digest};
use crate::time::{Budget, Clock};

use super::error::AppError;
use super::{issuers, keys};

/// How often a broker says which keys it has.
const EVERY: Duration = Duration::from_secs(10);
/// The longest that the end of a broker waits for a store.
const BRIEF: Duration = Duration::from_secs(1);

/// The keys of the settings, read.
pub(super) struct Keys {
    current: SecretText,
    previous: Option<SecretText>,
}

impl Keys {
    /// `store.key_encryption_key`, or in development the file beside the store, made where there is none.
    ///
    /// # Errors
    ///
    /// [`AppError`] when a secret or the file cannot be read or made.
    pub(super) async fn read(
        config: &Config,
        secrets: &Secrets,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let current = keys::key_encryption_key(config, secrets, clock).await?;
        Ok(Self { current, previous: previous(config, secrets, clock).await? })
    }

    /// The same without making one: `None` where a start would.
    ///
    /// # Errors
    ///
    /// As [`Keys::read`].
    pub(super) async fn known(
        config: &Config,
        secrets: &Secrets,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, AppError> {
        let current = keys::known_key_encryption_key(config, secrets, clock).await?;
        let Some(current) = current else { return Ok(None) };
        Ok(Some(Self { current, previous: previous(config, secrets, clock).await? }))
    }

    pub(super) const fn at_hand(&self) -> KeysAtHand<'_> {
        KeysAtHand { current: &self.current, previous: self.previous.as_ref() }
    }
}

async fn previous(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<Option<SecretText>, AppError> {
    let Some(source) = &config.store.previous_key_encryption_key else { return Ok(None) };
    let budget = Budget::start(Arc::clone(clock), Duration::from_secs(30));
    issuers::own(source, secrets, &budget).await.map(Some)
}

/// The secret of a store that is used, which may be its first use.
///
/// # Errors
///
/// [`AppError`] where its key is another, or cannot be read.
pub(super) async fn open(
    config: &Config,
    secrets: &Secrets,
    (store, clock): (&dyn Database, &Arc<dyn Clock>),
) -> Result<ServerSecret, AppError> {
    let keys = Keys::read(config, secrets, clock).await?;
    Ok(ServerSecret::of_store(store, keys.at_hand()).await?)
}

/// Says which keys this broker has for as long as it runs: the store is sealed with another key only when all have it.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    store: Arc<dyn Database>,
    broker: Digest,
    key_ids: Vec<String>,
    lost: Arc<AtomicBool>,
}

/// The store is sealed with a key that this broker does not have. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct SealStatus(Arc<AtomicBool>);

impl SealStatus {
    pub(super) fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Announcer {
    /// Says it for the first time, before anybody reads with which key the store is sealed: so a change of that key either
    /// knows of this broker, or this broker knows of the change. A store that cannot be written keeps nobody from starting.
    ///
    /// # Errors
    ///
    /// [`AppError`] where a key is none.
    pub(super) async fn start(
        store: &Arc<dyn Database>,
        keys: &Keys,
        random: &dyn Random,
    ) -> Result<Self, AppError> {
        let mut name = [0; 32];
        random.fill(&mut name);
        let key_ids = keys.at_hand().ids()?;
        let (store, broker) = (Arc::clone(store), Digest::from_bytes(name));
        let announcer = Self { store, broker, key_ids, lost: Arc::default() };
        announcer.try_announce(true).await;
        Ok(announcer)
    }

    pub(super) fn status(&self) -> SealStatus {
        SealStatus(Arc::clone(&self.lost))
    }

    async fn announce(&self) -> Result<(), AppError> {
        let key_ids = self.key_ids.clone();
        let sealed_with = self.store.announce_keys(self.broker, key_ids, None).await?;
        let lost = sealed_with.filter(|id| !self.key_ids.contains(id));
        if let Some(sealed_with) = &lost
            && !self.lost.load(Ordering::Relaxed)
        {
            tracing::error!(sealed_with, "store.sealed_with_another_key");
        }
        self.lost.store(lost.is_some(), Ordering::Relaxed);
        Ok(())
    }

    /// Until `stop`. While the store is away it says nothing, and counts as gone after [`BROKERS_LAST`].
    pub(super) async fn run(self, stop: CancellationToken) {
        const { assert!(EVERY.as_secs() * 2 < BROKERS_LAST.as_secs()) };
        let mut tells = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
            }
            tells = self.try_announce(tells).await;
        }
        self.withdraw().await;
    }

    /// Whether it could be said; that it could not is told once.
    async fn try_announce(&self, tells: bool) -> bool {
        let announced = self.announce().await;
        if let (Err(error), true) = (&announced, tells) {
            tracing::warn!(error = error as &dyn std::error::Error, "store.keys_not_announced");
        }
        announced.is_ok()
    }

    /// It runs no more, or never did.
    pub(super) async fn withdraw(&self) {
        // Where the store does not answer it ends by itself, and so does this broker.
        let withdrawn = tokio::time::timeout(BRIEF, self.store.withdraw_keys(self.broker)).await;
        if !matches!(withdrawn, Ok(Ok(()))) {
            tracing::debug!("store.keys_not_withdrawn");
        }
    }
}

impl From<SealError> for AppError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NotAKey(error) => Self::KeyEncryptionKey(error),
            SealError::Keys(error) => Self::Keys(error),
            SealError::Store(error) => Self::StoreFault(error),
            error @ (SealError::PreviousNotAKey
            | SealError::WrongKey { .. }
            | SealError::NotLost { .. }
            | SealError::Corrupt) => Self::Sealing(error),
        }
    }
}
