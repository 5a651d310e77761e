//! The seam to a backend: a reference in, a value or one of four errors out.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

use super::error::SecretError;

/// Reads one secret from one backend. Caching, retries and budgets are the business of the front.
pub trait SecretProvider: Send + Sync + fmt::Debug {
    /// Asks the backend, once. Dropping the future stops the work: connections close, processes die.
    ///
    /// # Errors
    ///
    /// [`SecretError`], without anything that the backend wrote.
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>>;
}

/// Who answers a reference: one for each scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    Env,
    File,
    #[serde(rename = "1password")]
    OnePassword,
    Vault,
    Exec,
}

impl Backend {
    pub(super) const fn of(reference: &SecretRef) -> Self {
        match reference {
            SecretRef::Env(_) => Self::Env,
            SecretRef::File(_) => Self::File,
            SecretRef::OnePassword(_) => Self::OnePassword,
            SecretRef::Vault { .. } => Self::Vault,
            SecretRef::Exec { .. } => Self::Exec,
        }
    }

    /// Whether asking costs more than a look: the environment and files are read at each use.
    #[must_use]
    pub const fn is_remembered(self) -> bool {
        match self {
            Self::Env | Self::File => false,
            Self::OnePassword | Self::Vault | Self::Exec => true,
        }
    }
}
