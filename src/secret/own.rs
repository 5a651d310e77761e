//! The broker's credential for a backend: given as text, or read from the environment or a file at each use.

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

use super::env::Environment;
use super::error::{Detail, Fault};
use super::file;
use super::settings::{Credential, SettingsError};

/// A credential that can be read without any other backend, so that none waits for itself.
#[derive(Clone, Debug)]
pub(super) struct OwnCredential {
    place: Place,
    environment: Environment,
}

#[derive(Clone, Debug)]
enum Place {
    Here(SecretText),
    Env(String),
    File(std::path::PathBuf),
}

impl OwnCredential {
    /// `key` is the setting that it stands in, for the message.
    pub(super) fn new(
        key: &'static str,
        credential: Credential,
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let place = match credential {
            Credential::Text(text) => Place::Here(text),
            Credential::Reference(SecretRef::Env(name)) => Place::Env(name),
            Credential::Reference(SecretRef::File(path)) => Place::File(path),
            Credential::Reference(
                SecretRef::OnePassword(_) | SecretRef::Vault { .. } | SecretRef::Exec { .. },
            ) => return Err(SettingsError::OwnCredential { key }),
        };
        Ok(Self { place, environment: environment.clone() })
    }

    /// Read anew each time, so a rotated file counts at once.
    pub(super) async fn text(&self) -> Result<SecretText, Fault> {
        let found = match &self.place {
            Place::Here(text) if text.is_empty() => Err(Fault::MALFORMED),
            Place::Here(text) => Ok(text.clone()),
            Place::Env(name) => self.environment.look_up(name),
            Place::File(path) => file::read(path).await,
        };
        found.map_err(|_fault| Fault::Unavailable(Detail::Credential, None))
    }
}
