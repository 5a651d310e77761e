//! A credential of the broker's own that is read when it is needed: it may be rotated, and its backend may be away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::Budget;

use super::error::SecretError;
use super::front::Secrets;

/// How long one read may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How old what was read last may be for [`OwnSecret::recent`].
const RECENT: Duration = Duration::from_secs(1);

/// The text, or where it is: then it is read each time, through the memory of [`Secrets`], so that a new one counts soon
/// and a backend is asked no more often than for anything else. Clones share what was read last.
#[derive(Clone, Debug)]
pub enum OwnSecret {
    Text(SecretText),
    At(Arc<Place>),
}

#[derive(Debug)]
pub struct Place {
    reference: SecretRef,
    secrets: Arc<Secrets>,
    /// When it began to be read, on the monotonic clock, and what was there.
    last: Mutex<Option<(Duration, SecretText)>>,
}

impl OwnSecret {
    #[must_use]
    pub fn at(reference: SecretRef, secrets: Arc<Secrets>) -> Self {
        Self::At(Arc::new(Place { reference, secrets, last: Mutex::default() }))
    }

    /// # Errors
    ///
    /// [`SecretError`]
    pub async fn read(&self) -> Result<SecretText, SecretError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::At(place) => place.read().await,
        }
    }

    /// What was there within the last second, for who asks thousands of times in it: to open a file costs more than to issue a
    /// token. Where it turns out to be another than somebody sent, [`read`](Self::read) says what is there now.
    ///
    /// # Errors
    ///
    /// [`SecretError`]
    pub async fn recent(&self) -> Result<SecretText, SecretError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::At(place) => match place.recent() {
                Some(text) => Ok(text),
                None => place.read().await,
            },
        }
    }
}

impl Place {
    fn recent(&self) -> Option<SecretText> {
        let now = self.secrets.clock().monotonic();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, text) = last.as_ref()?;
        (now.saturating_sub(*read_at) < RECENT).then(|| text.clone())
    }

    async fn read(&self) -> Result<SecretText, SecretError> {
        let clock = self.secrets.clock();
        let began = clock.monotonic();
        let budget = Budget::start(clock, LIMIT);
        let found = self.secrets.read_own(&self.reference, &budget).await;
        let found = found.map(|secret| secret.text().clone());
        // Also where it failed: what is away now is not what was there before.
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            found.as_ref().ok().map(|text| (began, text.clone()));
        found
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
