//! The key file of versions before the store held the keys: read once, then removed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::authorization_server::seal::{KeyEncryptionKey, Sealed};
use crate::store::SigningKeyRow;
use crate::time::Timestamp;

use super::algorithm::SigningAlgorithm;
use super::error::KeyError;
use super::stored;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u8,
    keys: Vec<KeyInFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyInFile {
    algorithm: SigningAlgorithm,
    /// Seconds since 1970.
    created_at: i64,
    /// PKCS #8 DER (RFC 5958), base64. Only where there was no key-encryption key.
    #[serde(default)]
    pkcs8: Option<Zeroizing<String>>,
    /// The same, sealed.
    #[serde(default)]
    sealed: Option<Sealed>,
}

/// The rows that the file in `directory` gives, the one that signs last. Empty where there is no file.
///
/// # Errors
///
/// [`KeyError`]; a file that cannot be read whole is left alone.
pub(super) fn rows(
    directory: &Path,
    encryption: &KeyEncryptionKey,
) -> Result<Vec<SigningKeyRow>, KeyError> {
    let path = path(directory);
    let Some(file) = read(&path)? else { return Ok(Vec::new()) };
    let rows = file.keys.iter().map(|key| {
        let der = key.der(&path, encryption)?;
        let created = Timestamp::from_unix_seconds(key.created_at);
        stored::seal(key.algorithm, &der, encryption, (created, created))
            .ok_or_else(|| KeyError::CorruptFile { path: path.clone() })
    });
    rows.collect()
}

/// Removes the file, once its keys are on the store's disk: in it they may lie in clear.
pub(super) fn remove(directory: &Path) -> Result<(), KeyError> {
    let path = path(directory);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(KeyError::Io { path, source })
        }
        _ => Ok(()),
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("signing-keys.json")
}

impl KeyInFile {
    fn der(
        &self,
        path: &Path,
        encryption: &KeyEncryptionKey,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let corrupt = || KeyError::CorruptFile { path: path.to_owned() };
        match (&self.sealed, &self.pkcs8) {
            (Some(sealed), _) => {
                let (algorithm, at) = (self.algorithm, self.created_at);
                let context = format!("mcp-auth-broker signing key v1|{algorithm:?}|{at}");
                let der = encryption.open(sealed, &context);
                der.ok_or_else(|| KeyError::WrongFileKey { path: path.to_owned() })
            }
            (None, Some(clear)) => {
                STANDARD.decode(clear.as_bytes()).map(Zeroizing::new).map_err(|_| corrupt())
            }
            (None, None) => Err(corrupt()),
        }
    }
}

fn read(path: &Path) -> Result<Option<KeyFile>, KeyError> {
    let failed = |source| KeyError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            return Err(KeyError::Exposed { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    match serde_json::from_slice::<KeyFile>(&text) {
        Ok(file) if file.version == 1 => Ok(Some(file)),
        _ => Err(KeyError::CorruptFile { path: path.to_owned() }),
    }
}
