//! A credential of the broker's own that is read when it is needed: it may be rotated, and its backend may be away.

use std::sync::Arc;
use std::time::Duration;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::Budget;

use super::error::SecretError;
use super::front::Secrets;

/// How long one read may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The text, or where it is: then it is read each time, through the memory of [`Secrets`], so that a new one counts soon
/// and a backend is asked no more often than for anything else.
#[derive(Clone, Debug)]
pub enum OwnSecret {
    Text(SecretText),
    At(SecretRef, Arc<Secrets>),
}

impl OwnSecret {
    /// # Errors
    ///
    /// [`SecretError`]
    pub async fn read(&self) -> Result<SecretText, SecretError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::At(reference, secrets) => {
                let budget = Budget::start(secrets.clock(), LIMIT);
                Ok(secrets.read_own(reference, &budget).await?.text().clone())
            }
        }
    }
}

impl From<SecretText> for OwnSecret {
    fn from(text: SecretText) -> Self {
        Self::Text(text)
    }
}

impl From<String> for OwnSecret {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}
