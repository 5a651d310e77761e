//! Our signing keys at run time: opened with the key that seals them.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::authorization_server::{KeyRing, KeySettings, ServerSecret};
use crate::config::{Config, StoreUrl};
use crate::random::{Random, SystemRandom};
use crate::resource_server::LocalKeys;
use crate::secret::Secrets;
use crate::secret_text::SecretText;
use crate::store::{Database, StoreSettings};
use crate::time::{Budget, Clock};

use super::error::AppError;
use super::{issuers, map};

/// The longest that a registered resource's tokens may live.
const LONGEST_TOKEN: Duration = Duration::from_hours(24);

/// Where the key-encryption key is as long as the settings name none.
#[must_use]
pub fn key_encryption_key_file(config: &Config) -> PathBuf {
    map::data_dir(config).join("key-encryption-key")
}

/// Where everything is kept.
#[must_use]
pub fn store_settings(config: &Config) -> StoreSettings {
    match &config.store.url {
        StoreUrl::Sqlite(path) => StoreSettings::Sqlite(path.clone()),
        StoreUrl::Postgres(url) => StoreSettings::Postgres(url.clone()),
    }
}

/// `store.key_encryption_key`; without it, in development, a key of our own in a file beside the store.
///
/// # Errors
///
/// [`AppError`] when the secret or the file cannot be read or made.
pub(super) async fn key_encryption_key(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<SecretText, AppError> {
    if let Some(source) = &config.store.key_encryption_key {
        let budget = Budget::start(Arc::clone(clock), Duration::from_secs(30));
        return issuers::own(source, secrets, &budget).await;
    }
    let path = key_encryption_key_file(config);
    let read = read_or_make(&path, &SystemRandom::new());
    read.map_err(|source| AppError::KeyFile { path, source })
}

/// The same without making one: `None` where a start would.
///
/// # Errors
///
/// [`AppError`] when the secret or the file cannot be read.
pub(super) async fn known_key_encryption_key(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<Option<SecretText>, AppError> {
    if config.store.key_encryption_key.is_some() {
        return key_encryption_key(config, secrets, clock).await.map(Some);
    }
    let path = key_encryption_key_file(config);
    read(&path).map_err(|source| AppError::KeyFile { path, source })
}

/// The store of these settings; made where there is none.
///
/// # Errors
///
/// [`AppError::OpenStore`]
pub(super) async fn store(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Database>, AppError> {
    Ok(crate::store::open(&store_settings(config), Arc::clone(clock)).await?)
}

/// What the keys in `store` need to be read, and changed.
pub(super) fn settings(
    config: &Config,
    store: Arc<dyn Database>,
    encryption: &ServerSecret,
    clock: &Arc<dyn Clock>,
) -> KeySettings {
    KeySettings {
        store,
        encryption: encryption.key_encryption_key(),
        algorithms: map::signing_algorithms(config),
        longest_token: LONGEST_TOKEN.max(config.authorization_server.access_token_ttl),
        signs_for: config.authorization_server.signing_key_lifetime,
        clock: Arc::clone(clock),
    }
}

/// The keys of these settings, read; the first one is made where there is none.
///
/// # Errors
///
/// [`AppError`] when a key cannot be opened.
pub(super) async fn ring(config: &Config, settings: KeySettings) -> Result<KeyRing, AppError> {
    Ok(KeyRing::from_store(settings, &map::data_dir(config)).await?)
}

/// The keys, and their public halves for the verifier; a [`Follower`](super::follow_keys::Follower) keeps both in step.
///
/// # Errors
///
/// [`AppError`] when a key cannot be opened.
pub(super) async fn open(
    config: &Config,
    store: Arc<dyn Database>,
    encryption: &ServerSecret,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<KeyRing>, Arc<LocalKeys>), AppError> {
    let ring = Arc::new(ring(config, settings(config, store, encryption, clock)).await?);
    let local = Arc::new(LocalKeys::new(ring.current().jwks_json())?);
    Ok((ring, local))
}

/// Made once; of two processes that make it at the same time, one wins.
fn read_or_make(path: &Path, random: &dyn Random) -> io::Result<SecretText> {
    if let Some(found) = read(path)? {
        return Ok(found);
    }
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut *bytes);
    let text = Zeroizing::new(STANDARD.encode(*bytes));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut name = [0; 8];
    random.fill(&mut name);
    let temporary = path.with_extension(format!("{:x}", u64::from_le_bytes(name)));
    let linked = write(&temporary, text.as_bytes())
        .and_then(|()| std::fs::hard_link(&temporary, path))
        .or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
    std::fs::remove_file(&temporary).ok();
    linked?;
    read(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn read(path: &Path) -> io::Result<Option<SecretText>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may read it: chmod 600"))
        }
        Ok(_) => Ok(Some(std::fs::read_to_string(path)?.trim().to_owned().into())),
    }
}

fn write(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
