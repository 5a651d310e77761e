//! The keys in force: read from the store, replaced as a whole while requests run.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::authorization_server::seal::KeyEncryptionKey;
use crate::store::{Database, SigningKeyRow, SigningKeyState};
use crate::time::{Clock, Timestamp};

use super::algorithm::SigningAlgorithm;
use super::error::KeyError;
use super::set::SigningKeys;
use super::{import, stored};

/// How long a key is published before it signs: the 300 s that others may cache our key set, and a minute for replicas
/// to read it and for clocks that differ.
const PUBLISHED_AHEAD: Duration = Duration::from_mins(6);

/// How much longer than its last token a key verifies: the same minute, and tokens of a replica that has not yet seen
/// that another key signs.
const VERIFIES_LONGER: Duration = Duration::from_mins(10);

/// What the keys need to know.
#[derive(Debug)]
pub struct KeySettings {
    pub store: Arc<dyn Database>,
    /// Seals the private halves.
    pub encryption: KeyEncryptionKey,
    /// Of new keys. Another one than the newest key's makes a new key at start.
    pub algorithm: SigningAlgorithm,
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
        settings.ensure_algorithm().await?;
        let rows = settings.rows().await?;
        let now = settings.clock.now();
        let keys = rows.iter().map(|row| stored::open(row, &settings.encryption));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let active = active(&rows, now);
        let current = RwLock::new(Arc::new(SigningKeys::new(keys, active)));
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
        Ok(SigningKeys::new(keys.collect::<Result<Vec<_>, _>>()?, active(&rows, now)))
    }

    /// The keys as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
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
        let now = settings.clock.now();
        let (rows, keys) = settings.readable(settings.rows().await?);
        let new = SigningKeys::new(keys, active(&rows, now));
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
        let Some(newest) = settings.due().await? else { return Ok(None) };
        let row = settings.next_key()?;
        let added = settings.store.add_signing_key_after(&row, newest).await?;
        Ok(added.then_some(row.kid))
    }

    fn replace(&self, new: SigningKeys) -> Refreshed {
        let new = Arc::new(new);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, Arc::clone(&new));
        drop(current);
        let signer = |keys: &SigningKeys| keys.signing().map(|key| key.kid.clone());
        if !new.keeps_all_of(&old) {
            Refreshed::Removed
        } else if old.keeps_all_of(&new) && signer(&old) == signer(&new) {
            Refreshed::Same
        } else {
            Refreshed::Changed
        }
    }
}

impl KeySettings {
    /// Adds a key that is published at once and signs when everybody has had the time to see it.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub async fn rotate(&self) -> Result<SigningKeyRow, KeyError> {
        let row = self.next_key()?;
        self.store.add_signing_key(&row).await?;
        Ok(row)
    }

    fn next_key(&self) -> Result<SigningKeyRow, KeyError> {
        let now = self.clock.now();
        stored::generate(self.algorithm, &self.encryption, (now, now.plus(PUBLISHED_AHEAD)))
    }

    /// Since when the newest key signs, where that is too long ago.
    async fn due(&self) -> Result<Option<Timestamp>, KeyError> {
        let Some(signs_for) = self.signs_for else { return Ok(None) };
        let rows = self.store.signing_keys().await?;
        let usable = rows.iter().filter(|row| row.state == SigningKeyState::Usable);
        let newest = usable.map(|row| row.not_before).max();
        Ok(newest.filter(|newest| newest.plus(signs_for) <= self.clock.now()))
    }

    /// Adds a key that signs at once, and deletes every other: for keys that have leaked. Every token that they signed
    /// is refused as soon as each replica has looked.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub async fn rotate_now(&self) -> Result<SigningKeyRow, KeyError> {
        let now = self.clock.now();
        let row = stored::generate(self.algorithm, &self.encryption, (now, now))?;
        self.store.replace_signing_keys(&row).await?;
        Ok(row)
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
        if rows.iter().any(|row| row.state == SigningKeyState::Usable) {
            return Ok(());
        }
        let now = self.clock.now();
        let row = stored::generate(self.algorithm, &self.encryption, (now, now))?;
        if rows.is_empty() {
            // Where another replica was faster, its key is the first.
            self.store.add_first_signing_key(&row).await?;
        } else {
            self.store.add_signing_key(&row).await?;
        }
        Ok(())
    }

    async fn ensure_algorithm(&self) -> Result<(), KeyError> {
        let rows = self.store.signing_keys().await?;
        let usable = rows.iter().filter(|row| row.state == SigningKeyState::Usable);
        let newest = usable.max_by_key(|row| order(row));
        if newest.is_some_and(|row| row.algorithm != self.algorithm.as_str()) {
            self.rotate().await?;
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
        let signer = active(rows, now).and_then(|at| rows.get(at));
        let replaced = rows.iter().filter(|row| {
            let usable = row.state == SigningKeyState::Usable;
            usable && signer.is_some_and(|signer| order(row) < order(signer))
        });
        for row in replaced {
            self.store.retire_signing_key(&row.kid, self.retire_at()).await?;
        }
        for row in self.store.signing_keys().await?.iter().filter(|row| is_over(row, now)) {
            self.store.delete_signing_key(&row.kid).await?;
        }
        Ok(())
    }
}

/// Which row signs: the one that came last, the same for everybody who sees the same rows. Where none has come yet
/// (a clock that is behind), the one that comes first.
fn active(rows: &[SigningKeyRow], now: Timestamp) -> Option<usize> {
    let usable = || rows.iter().enumerate().filter(|(_, row)| row.state == SigningKeyState::Usable);
    let come = usable().filter(|(_, row)| row.not_before <= now).max_by_key(|(_, row)| order(row));
    come.or_else(|| usable().min_by_key(|(_, row)| order(row))).map(|(at, _)| at)
}

fn order(row: &SigningKeyRow) -> (Timestamp, &str) {
    (row.not_before, &row.kid)
}

fn is_over(row: &SigningKeyRow, now: Timestamp) -> bool {
    row.state == SigningKeyState::Retiring && row.retire_at.is_none_or(|at| at <= now)
}
