//! A secret of the broker's, or where it is.

use std::sync::Arc;
use std::time::Duration;

use crate::secret::{SecretError, Secrets};
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

/// How long reading a secret may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A secret, or where it is: then it is read for each call, through the cache of secrets, so that a new one counts soon.
#[derive(Clone, Debug)]
pub enum Held {
    /// The secret itself.
    Text(SecretText),
    /// Where it is.
    Reference(SecretRef, Arc<Secrets>),
}

impl Held {
    /// Whether it is one that people must not read. A text may be: only the settings know.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self, Self::Reference(..))
    }

    /// # Errors
    ///
    /// [`SecretError`]
    pub async fn read(&self, clock: &Arc<dyn Clock>) -> Result<SecretText, SecretError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Reference(reference, secrets) => {
                let budget = Budget::start(Arc::clone(clock), LIMIT);
                Ok(secrets.read_own(reference, &budget).await?.text().clone())
            }
        }
    }
}
