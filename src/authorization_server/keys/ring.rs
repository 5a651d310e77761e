//! The keys in force: read from the store, replaced as a whole while requests run.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::authorization_server::seal::KeyEncryptionKey;
use crate::store::{Database, SigningKeyRow, SigningKeyState};
use crate::time::{Clock, Timestamp};

use super::algorithm::SigningAlgorithm;
use super::chain::{Algorithms, is, is_usable};
use super::error::KeyError;
use super::set::SigningKeys;
use super::{import, stored};

/// How long a key is published before it signs: the 300 s that others may cache our key set, and a minute for replicas
/// to read it and for clocks that differ.
const PUBLISHED_AHEAD: Duration = Duration::from_mins(6);

/// How much longer than its last token a key verifies: the same minute, and tokens of a replica that has not yet seen
/// that another key signs.
const VERIFIES_LONGER: Duration = Duration::from_mins(10);

/// Before every key of ours.
const BEGINNING: Timestamp = Timestamp::from_unix_seconds(0);

/// What the keys need to know.
#[derive(Debug)]
pub struct KeySettings {
    pub store: Arc<dyn Database>,
    /// Seals the private halves.
    pub encryption: KeyEncryptionKey,
    /// One that no key has yet makes a new key at start.
    pub algorithms: Algorithms,
    /// The longest that any token of ours lives: how long a key verifies after it has stopped signing.
    pub longest_token: Duration,
    /// How long a key signs before another takes its place. `None`: until somebody rotates.
    pub signs_for: Option<Duration>,
    pub clock: Arc<dyn Clock>,
}

/// What a look at the store brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    Same,
    /// A key came, or another one signs.
    Changed,
    /// A key is gone: what was verified with it must be forgotten.
    Removed,
}

/// The keys in force. Reading them costs an uncontended lock and a reference count; no lock is held while it waits.
#[derive(Debug)]
pub struct KeyRing {
    current: RwLock<Arc<SigningKeys>>,
    /// `None`: the keys never change.
    settings: Option<KeySettings>,
}

impl KeyRing {
    /// Keys that never change.
    #[must_use]
    pub fn new(keys: SigningKeys) -> Self {
        Self { current: RwLock::new(Arc::new(keys)), settings: None }
    }

    /// Reads the keys of the store, and makes the first one where there is none. A key file of earlier versions in
    /// `directory` is taken in and removed.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: also where a single key cannot be opened. Nothing is replaced because it could not be read.
    pub async fn from_store(settings: KeySettings, directory: &Path) -> Result<Self, KeyError> {
        settings.import(directory).await?;
        settings.ensure_usable().await?;
        settings.ensure_algorithms().await?;
        let rows = settings.rows().await?;
        let now = settings.clock.now();
        let keys = rows.iter().map(|row| stored::open(row, &settings.encryption));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let signers = settings.algorithms.signers(&rows, now);
        let current = RwLock::new(Arc::new(SigningKeys::new(keys, signers)));
        Ok(Self { current, settings: Some(settings) })
    }

    /// Reads the keys of the store as they are: makes none, takes none in, moves none on.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: also where a single key cannot be opened.
    pub async fn read(settings: &KeySettings) -> Result<SigningKeys, KeyError> {
        let (rows, now) = (settings.rows().await?, settings.clock.now());
        let keys = rows.iter().map(|row| stored::open(row, &settings.encryption));
        let signers = settings.algorithms.signers(&rows, now);
        Ok(SigningKeys::new(keys.collect::<Result<Vec<_>, _>>()?, signers))
    }

    /// The keys as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a key signs. Without one no token is issued, and those that it would have signed are refused.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.current().signing().is_some()
    }

    /// Looks at the store again: every half minute, and when a token names a key that is not here.
    ///
    /// Also moves keys on: one that another has replaced retires, one that has retired long enough is deleted. Replicas
    /// may do so at the same time.
    ///
    /// # Errors
    ///
    /// [`KeyError`]: the keys in use stay. A key that cannot be opened is left out of the new ones, and logged.
    pub async fn refresh(&self) -> Result<Refreshed, KeyError> {
        let Some(settings) = &self.settings else { return Ok(Refreshed::Same) };
        settings.ensure_usable().await?;
        settings.ensure_algorithms().await?;
        let now = settings.clock.now();
        let (rows, keys) = settings.readable(settings.rows().await?);
        let new = SigningKeys::new(keys, settings.algorithms.signers(&rows, now));
        let refreshed = self.replace(new);
        settings.move_on(&rows, now).await?;
        Ok(refreshed)
    }

    /// Whether the newest key has signed for long enough. A key that is published and does not sign yet is newer than that.
    ///
    /// # Errors
    ///
    /// [`KeyError::Store`]
    pub async fn is_due(&self) -> Result<bool, KeyError> {
        let Some(settings) = &self.settings else { return Ok(false) };
        Ok(settings.due().await?.is_some())
    }

    /// Adds a key as [`KeySettings::rotate`] does, where the newest one has signed for long enough. Of several replicas
    /// that find so, one adds a key. `None`: none was added.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub async fn rotate_if_due(&self) -> Result<Option<String>, KeyError> {
        let Some(settings) = &self.settings else { return Ok(None) };
        let Some((algorithm, newest)) = settings.due().await? else { return Ok(None) };
        let row = settings.next_key(algorithm)?;
        let added = settings.store.add_signing_key_after(&row, newest).await?;
        Ok(added.then_some(row.kid))
    }

    fn replace(&self, new: SigningKeys) -> Refreshed {
        let new = Arc::new(new);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::clone(&new));
        drop(current);
        if !new.keeps_all_of(&old) {
            Refreshed::Removed
        } else if old.keeps_all_of(&new) && old.signs_like(&new) {
            Refreshed::Same
        } else {
            Refreshed::Changed
        }
    }
}

impl KeySettings {
    /// Adds a key of each algorithm in use, which is published at once and signs when everybody has had the time to see
    /// it. That of the default comes first.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub async fn rotate(&self) -> Result<Vec<SigningKeyRow>, KeyError> {
        let rows = self.algorithms.all().map(|algorithm| self.next_key(algorithm));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        for row in &rows {
            self.store.add_signing_key(row).await?;
        }
        Ok(rows)
    }

    fn next_key(&self, algorithm: SigningAlgorithm) -> Result<SigningKeyRow, KeyError> {
        let now = self.clock.now();
        stored::generate(algorithm, &self.encryption, (now, now.plus(PUBLISHED_AHEAD)))
    }

    fn first_key(&self, algorithm: SigningAlgorithm) -> Result<SigningKeyRow, KeyError> {
        let now = self.clock.now();
        stored::generate(algorithm, &self.encryption, (now, now))
    }

    /// Of which algorithm the newest key signs for too long, and since when.
    async fn due(&self) -> Result<Option<(SigningAlgorithm, Timestamp)>, KeyError> {
        let Some(signs_for) = self.signs_for else { return Ok(None) };
        let (rows, now) = (self.store.signing_keys().await?, self.clock.now());
        let newest = |algorithm| {
            let usable = rows.iter().filter(|row| is_usable(row) && is(row, algorithm));
            usable.map(|row| row.not_before).max().map(|newest| (algorithm, newest))
        };
        let mut newest = self.algorithms.all().filter_map(newest);
        Ok(newest.find(|(_, newest)| newest.plus(signs_for) <= now))
    }

    /// Adds a key of each algorithm in use that signs at once, and deletes every other: for keys that have leaked. Every
    /// token that they signed is refused as soon as each replica has looked. That of the default comes first.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub async fn rotate_now(&self) -> Result<Vec<SigningKeyRow>, KeyError> {
        let rows = self.algorithms.all().map(|algorithm| self.first_key(algorithm));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        self.store.replace_signing_keys(&rows).await?;
        Ok(rows)
    }

    /// When a key that stops signing now may be deleted.
    #[must_use]
    pub fn retire_at(&self) -> Timestamp {
        self.clock.now().plus(self.longest_token).plus(VERIFIES_LONGER)
    }

    /// Takes in the key file of earlier versions. Where the store has keys already, those of the file only verify.
    async fn import(&self, directory: &Path) -> Result<(), KeyError> {
        let mut rows = import::rows(directory, &self.encryption)?;
        let Some(last) = rows.pop() else { return Ok(()) };
        if !self.store.add_first_signing_key(&last).await? {
            rows.push(last);
        }
        for row in rows {
            let (state, retire_at) = (SigningKeyState::Retiring, Some(self.retire_at()));
            self.store.add_signing_key(&SigningKeyRow { state, retire_at, ..row }).await?;
        }
        import::remove(directory)
    }

    async fn ensure_usable(&self) -> Result<(), KeyError> {
        let rows = self.store.signing_keys().await?;
        if rows.iter().any(is_usable) {
            return Ok(());
        }
        let row = self.first_key(self.algorithms.default())?;
        if rows.is_empty() {
            // Where another replica was faster, its key is the first.
            self.store.add_first_signing_key(&row).await?;
        } else {
            self.store.add_signing_key(&row).await?;
        }
        // There is nothing that anybody has seen: the others need no time to be seen, either.
        for algorithm in self.algorithms.beside() {
            self.store.add_signing_key_after(&self.first_key(*algorithm)?, BEGINNING).await?;
        }
        Ok(())
    }

    /// One of each algorithm in use: what no key has yet is published before it signs. Of several replicas that find one
    /// missing, one adds it.
    async fn ensure_algorithms(&self) -> Result<(), KeyError> {
        let rows = self.store.signing_keys().await?;
        for algorithm in self.algorithms.all() {
            if !rows.iter().any(|row| is_usable(row) && is(row, algorithm)) {
                self.store.add_signing_key_after(&self.next_key(algorithm)?, BEGINNING).await?;
            }
        }
        Ok(())
    }

    /// Those that verify something still.
    async fn rows(&self) -> Result<Vec<SigningKeyRow>, KeyError> {
        let now = self.clock.now();
        let mut rows = self.store.signing_keys().await?;
        rows.retain(|row| !is_over(row, now));
        Ok(rows)
    }

    /// Without those that cannot be opened: a key that was taken away must go, whatever else is wrong.
    fn readable(
        &self,
        rows: Vec<SigningKeyRow>,
    ) -> (Vec<SigningKeyRow>, Vec<super::key::SigningKey>) {
        let opened = rows.into_iter().filter_map(|row| {
            let key = stored::open(&row, &self.encryption);
            let note = |error: &KeyError| {
                tracing::error!(error = error as &dyn std::error::Error, kid = %row.kid, "keys.unreadable");
            };
            key.inspect_err(note).ok().map(|key| (row, key))
        });
        opened.unzip()
    }

    async fn move_on(&self, rows: &[SigningKeyRow], now: Timestamp) -> Result<(), KeyError> {
        let replaced = rows.iter().filter(|row| self.algorithms.is_replaced(row, rows, now));
        for row in replaced {
            self.store.retire_signing_key(&row.kid, self.retire_at()).await?;
        }
        for row in self.store.signing_keys().await?.iter().filter(|row| is_over(row, now)) {
            self.store.delete_signing_key(&row.kid).await?;
        }
        Ok(())
    }
}

fn is_over(row: &SigningKeyRow, now: Timestamp) -> bool {
    row.state == SigningKeyState::Retiring && row.retire_at.is_none_or(|at| at <= now)
}
