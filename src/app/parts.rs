//! Parts of the product that a command needs without the rest.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::authorization_server::{KeyEncryptionKey, SigningKeys};
use crate::config::Config;
use crate::graph::Catalog;
use crate::outbound::Outbound;
use crate::resource_server::{Verifier, canonical};
use crate::secret::{Environment, Secrets};
use crate::time::{Budget, Clock};

use super::endpoints::{self, names};
use super::error::AppError;
use super::{issuers, map};

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
/// [`AppError`] when the key-encryption key or the key file is not usable.
pub async fn signing_keys(
    config: &Config,
    variables: &Environment,
    clock: Arc<dyn Clock>,
) -> Result<SigningKeys, AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(&clock))?;
    keys(config, &secrets, &clock).await
}

/// The same, with the backends at hand.
pub(super) async fn keys(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<SigningKeys, AppError> {
    let encryption = match &config.store.key_encryption_key {
        None => None,
        Some(source) => {
            let budget = Budget::start(Arc::clone(clock), Duration::from_secs(30));
            Some(KeyEncryptionKey::parse(&issuers::own(source, secrets, &budget).await?)?)
        }
    };
    let (directory, algorithm) = (map::data_dir(config), map::signing_algorithm(config));
    Ok(SigningKeys::load_or_create(&directory, algorithm, encryption.as_ref(), &**clock)?)
}

/// What a running broker would verify tokens with.
///
/// # Errors
///
/// [`AppError`] when an issuer or a credential of our own is not usable.
pub async fn verifier(
    config: &Config,
    variables: Environment,
    clock: Arc<dyn Clock>,
) -> Result<Verifier, AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), &variables, &outbound, Arc::clone(&clock))?;
    let keys = keys(config, &secrets, &clock).await?;
    let names = names(&config.server.public_url);
    Ok(issuers::verifier(config, &keys, &names, &secrets, outbound, &clock).await?.build()?)
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Catalog::built_in()),
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
