//! The secret of a deployment: the key-encryption key, and what other secrets are derived from.
//!
//! In the beginning both are the same bytes. The store keeps what others are derived from, sealed, so that client ids and
//! nonces stay good when the key is another ([`ServerSecret::of_store`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret_text::SecretText;
use crate::store::{Database, Sealing, SealingChange, SealingRestart, StoreError};

use super::keys::{KeyError, opens};
use super::seal::{KeyEncryptionKey, NotAKey, derive};

/// What the root opens as, and nothing else does.
const ROOT: &str = "derivation root v1";

/// Bytes that outlive a restart: what must be recognised again without being stored is keyed from them. And the key that
/// seals what is stored. Cheap to clone.
#[derive(Clone)]
pub struct ServerSecret {
    root: Zeroizing<Vec<u8>>,
    encryption: KeyEncryptionKey,
    /// How the store is sealed; `None` where no store was asked.
    sealing: Option<Sealing>,
}

impl std::fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The keys of the settings.
#[derive(Clone, Copy, Debug)]
pub struct KeysAtHand<'a> {
    /// `store.key_encryption_key`
    pub current: &'a SecretText,
    /// `store.previous_key_encryption_key`
    pub previous: Option<&'a SecretText>,
}

/// Why the store's secrets cannot be had. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    NotAKey(#[from] NotAKey),
    #[error(
        "store.previous_key_encryption_key must be 32 random bytes in base64, as store.key_encryption_key was\n  hint: leave it out where every value is sealed with the new key: broker store status says so"
    )]
    PreviousNotAKey,
    /// Ids only: nothing of a key can be learned from them.
    #[error(
        "the store is sealed with another store.key_encryption_key: with {sealed_with}, and given is {given}; nothing was changed\n  \
         hint: set the key it was sealed with (in development: the file key-encryption-key beside the store); while keys are \
         replaced, the one before as store.previous_key_encryption_key; if that is lost: broker key rotate --now"
    )]
    WrongKey { sealed_with: String, given: String },
    #[error(
        "the store is sealed with another store.key_encryption_key: with {sealed_with}, and given is {given}; it is not lost: \
         {brokers} of the brokers that run have it; nothing was changed\n  \
         hint: set the key that they have; to give it up for lost all the same, stop them first (one that was killed counts for \
         half a minute)"
    )]
    NotLost { sealed_with: String, given: String, brokers: u64 },
    #[error(
        "what secrets are derived from is sealed with this key in the store and does not open; nothing was changed\n  hint: somebody changed it: restore a backup"
    )]
    Corrupt,
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("the store cannot be read or written")]
    Store(#[from] StoreError),
}

impl ServerSecret {
    /// From `store.key_encryption_key` (base64 of 32 bytes) alone, whatever a store says.
    ///
    /// # Errors
    ///
    /// [`NotAKey`]
    pub fn parse(text: &SecretText) -> Result<Self, NotAKey> {
        let root = bytes(text).ok_or(NotAKey)?;
        let encryption = KeyEncryptionKey::parse(text)?;
        Ok(Self { root, encryption, sealing: None })
    }

    /// That of a store. One that has none yet gets the key that opens its signing keys.
    ///
    /// # Errors
    ///
    /// [`SealError`]
    pub async fn of_store(store: &dyn Database, keys: KeysAtHand<'_>) -> Result<Self, SealError> {
        let known = keys.parse()?;
        if let Some(sealing) = store.sealing().await? {
            return Self::opened(known, sealing);
        }
        store.adopt_sealing(&first(store, keys, &known).await?.1).await?;
        let sealing = store.sealing().await?.ok_or(SealError::Corrupt)?;
        Self::opened(known, sealing)
    }

    /// The same, and nothing is written.
    ///
    /// # Errors
    ///
    /// [`SealError`]
    pub async fn look(store: &dyn Database, keys: KeysAtHand<'_>) -> Result<Self, SealError> {
        let known = keys.parse()?;
        if let Some(sealing) = store.sealing().await? {
            return Self::opened(known, sealing);
        }
        let (root, sealing) = first(store, keys, &known).await?;
        let encryption = known.with_first(&sealing.first_key_id);
        Ok(Self { root, encryption, sealing: None })
    }

    /// The same where the store's key may be lost: then the store is sealed with `current` from now on. What the lost key has
    /// sealed stays as it is, and opens no more. A key that a broker has that runs is not lost.
    ///
    /// # Errors
    ///
    /// [`SealError`]
    pub async fn of_store_or_anew(
        store: &dyn Database,
        keys: KeysAtHand<'_>,
    ) -> Result<Self, SealError> {
        let known = keys.parse()?;
        let root = bytes(keys.current).ok_or(NotAKey)?;
        let new = sealing(&known, known.ids().next().unwrap_or_default(), &root)?;
        match Self::of_store(store, keys).await {
            Err(SealError::WrongKey { sealed_with, given }) => {
                let lost = store.sealing().await?.ok_or(SealError::Corrupt)?;
                let new = Sealing { first_key_id: lost.first_key_id, ..new };
                let restarted = store.restart_sealing(&sealed_with, &new).await?;
                if let SealingRestart::Held { brokers } = restarted {
                    return Err(SealError::NotLost { sealed_with, given, brokers });
                }
            }
            // Of a version that knew of no other key: nothing says with which.
            Err(SealError::Keys(_)) => store.adopt_sealing(&new).await?,
            done => return done,
        }
        Self::of_store(store, keys).await
    }

    fn opened(known: KeyEncryptionKey, sealing: Sealing) -> Result<Self, SealError> {
        let encryption = known.with_first(&sealing.first_key_id);
        if !encryption.knows(&sealing.key_id) {
            let given = encryption.ids().collect::<Vec<_>>().join(" and ");
            return Err(SealError::WrongKey { sealed_with: sealing.key_id, given });
        }
        let root = encryption.open_text(&sealing.root, ROOT).map(SecretText::new);
        let root = root.as_ref().and_then(bytes).ok_or(SealError::Corrupt)?;
        Ok(Self { root, encryption, sealing: Some(sealing) })
    }

    /// What is sealed in the store.
    #[must_use]
    pub fn key_encryption_key(&self) -> KeyEncryptionKey {
        self.encryption.clone()
    }

    /// The id of the key that the store is sealed with, if that was asked.
    #[must_use]
    pub fn sealed_with(&self) -> Option<&str> {
        self.sealing.as_ref().map(|sealing| &*sealing.key_id)
    }

    /// Seals the store with `store.key_encryption_key` from now on, if it is not so already and every broker that runs has it.
    ///
    /// # Errors
    ///
    /// [`SealError`]
    pub async fn change_key(&self, store: &dyn Database) -> Result<SealingChange, SealError> {
        let Some(now) = &self.sealing else { return Ok(SealingChange::Other) };
        let new = self.encryption.ids().next().unwrap_or_default();
        if now.key_id == new {
            return Ok(SealingChange::Done);
        }
        let new = sealing(&self.encryption, new, &self.root)?;
        let new = Sealing { first_key_id: now.first_key_id.clone(), ..new };
        Ok(store.change_sealing(&now.key_id, &new, None).await?)
    }

    /// A key of its own for each `purpose`, such as `client ids v1`. The same for the life of the store.
    ///
    /// # Panics
    ///
    /// Never: 32 bytes are within what HKDF-SHA-256 gives.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        #[expect(clippy::expect_used, reason = "32 bytes are within what HKDF-SHA-256 gives")]
        derive(&self.root, purpose).expect("HKDF gives 32 bytes")
    }

    /// The same bytes in base64, for those that derive from a text.
    #[must_use]
    pub fn text(&self) -> SecretText {
        SecretText::new(STANDARD.encode(&*self.root))
    }
}

impl KeysAtHand<'_> {
    /// By which the store knows them.
    ///
    /// # Errors
    ///
    /// [`SealError::NotAKey`] and [`SealError::PreviousNotAKey`]
    pub fn ids(self) -> Result<Vec<String>, SealError> {
        Ok(self.parse()?.ids().map(str::to_owned).collect())
    }

    /// # Errors
    ///
    /// [`SealError::NotAKey`] and [`SealError::PreviousNotAKey`]
    fn parse(self) -> Result<KeyEncryptionKey, SealError> {
        let current = KeyEncryptionKey::parse(self.current)?;
        let Some(previous) = self.previous else { return Ok(current) };
        let previous = KeyEncryptionKey::parse(previous);
        Ok(current.or(previous.map_err(|NotAKey| SealError::PreviousNotAKey)?))
    }
}

fn bytes(text: &SecretText) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(STANDARD.decode(text.expose().trim()).ok()?);
    (bytes.len() == 32).then_some(bytes)
}

/// How a store is sealed that says nothing of it: by the key that opens a signing key, or by `current` where there is none.
/// Secrets are derived from that key, as they were by versions that knew no other.
async fn first(
    store: &dyn Database,
    keys: KeysAtHand<'_>,
    known: &KeyEncryptionKey,
) -> Result<(Zeroizing<Vec<u8>>, Sealing), SealError> {
    let rows = store.signing_keys().await?;
    let texts = [Some(keys.current), keys.previous].into_iter().flatten();
    let mut refused = None;
    for (text, id) in texts.zip(known.ids()) {
        let Some(key) = known.only(id) else { continue };
        let mut opened = rows.iter().map(|row| opens(row, &key));
        if rows.is_empty() || opened.any(|opened| keep(opened, &mut refused)) {
            let root = bytes(text).ok_or(NotAKey)?;
            let first = sealing(known, id, &root)?;
            return Ok((root, first));
        }
    }
    Err(refused.map_or(SealError::Corrupt, SealError::Keys))
}

/// Whether it succeeded; why the first one did not is kept.
fn keep(opened: Result<(), KeyError>, refused: &mut Option<KeyError>) -> bool {
    match opened {
        Ok(()) => true,
        Err(error) => {
            refused.get_or_insert(error);
            false
        }
    }
}

/// The row of a store that is sealed with the key `id` first.
fn sealing(known: &KeyEncryptionKey, id: &str, root: &[u8]) -> Result<Sealing, SealError> {
    let root = Zeroizing::new(STANDARD.encode(root));
    let sealed = known.only(id).and_then(|key| key.seal_text(&root, ROOT));
    let root = sealed.ok_or(SealError::Corrupt)?;
    Ok(Sealing { key_id: id.to_owned(), first_key_id: id.to_owned(), root })
}
