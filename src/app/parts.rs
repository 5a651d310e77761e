//! Parts of the product that a command needs without the rest.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authorization_server::{KeySettings, ServerSecret, SigningKeys};
use crate::config::Config;
use crate::graph::Catalog;
use crate::outbound::Outbound;
use crate::resource_server::canonical;
use crate::secret::{Environment, Secrets};
use crate::time::Clock;

use super::endpoints::{self, names};
use super::error::AppError;
use super::{keys, map, sealing};

/// Our issuer, byte for byte as published.
#[must_use]
pub fn issuer(config: &Config) -> String {
    endpoints::issuer(&config.server.public_url)
}

/// The resource that tokens for our MCP endpoint name (RFC 8707 §2).
#[must_use]
pub fn resource(config: &Config) -> String {
    names(&config.server.public_url)
        .first()
        .map(|name| canonical(&name.resource).to_owned())
        .unwrap_or_default()
}

/// Our signing keys; the first one is made where there is none.
///
/// # Errors
///
/// [`AppError`] when the key-encryption key, the store or a key in it is not usable.
pub async fn signing_keys(
    config: &Config,
    variables: &Environment,
    clock: Arc<dyn Clock>,
) -> Result<Arc<SigningKeys>, AppError> {
    let settings = key_settings(config, variables, (KeyUse::Seal, clock)).await?;
    Ok(keys::ring(config, settings).await?.current())
}

/// What is to be done with the signing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Nothing is sealed or opened.
    Look,
    Seal,
    /// All are replaced: also those that a key has sealed which is lost.
    Replace,
}

/// What it takes to read and change our signing keys.
///
/// # Errors
///
/// [`AppError`] when the key-encryption key or the store is not usable.
pub async fn key_settings(
    config: &Config,
    variables: &Environment,
    (what, clock): (KeyUse, Arc<dyn Clock>),
) -> Result<KeySettings, AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(&clock))?;
    let known = sealing::Keys::read(config, &secrets, &clock).await?;
    let store = keys::store(config, &clock).await?;
    let encryption = match what {
        KeyUse::Look => ServerSecret::parse(known.at_hand().current)?,
        KeyUse::Seal => ServerSecret::of_store(&*store, known.at_hand()).await?,
        KeyUse::Replace => ServerSecret::of_store_or_anew(&*store, known.at_hand()).await?,
    };
    Ok(keys::settings(config, store, &encryption, &clock))
}

/// Where an imported catalogue lies.
fn catalog_path(config: &Config) -> PathBuf {
    map::data_dir(config).join("graph-permissions.json")
}

/// The imported catalogue if there is one, else the built-in one.
///
/// # Errors
///
/// [`AppError`] when the imported file cannot be read, or is none.
pub fn catalog(config: &Config) -> Result<Catalog, AppError> {
    let path = catalog_path(config);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Catalog::import(&bytes)?),
        // What is in the way of the whole folder is told of the store.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Catalog::built_in())
        }
        Err(source) => Err(AppError::CatalogFile { path, source }),
    }
}

/// Takes in a `permissions.json`, after it was read whole: a file that is none replaces nothing.
///
/// # Errors
///
/// [`AppError`] when the file cannot be read, is no catalogue, or ours cannot be written.
pub fn import_catalog(config: &Config, file: &Path) -> Result<Catalog, AppError> {
    let read = std::fs::read(file);
    let bytes = read.map_err(|source| AppError::CatalogFile { path: file.to_owned(), source })?;
    let catalog = Catalog::import(&bytes)?;
    let path = catalog_path(config);
    write(&path, &bytes).map_err(|source| AppError::CatalogFile { path, source })?;
    Ok(catalog)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;

    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let temporary = path.with_extension("json.new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
