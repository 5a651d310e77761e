//! A secret that we share with an issuer, which may be rotated while we run.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::secret_text::SecretText;

/// The secret itself, or who knows it.
#[derive(Clone)]
pub struct SecretSource(Place);

#[derive(Clone)]
enum Place {
    Here(SecretText),
    Asked(Arc<dyn Fn() -> BoxFuture<'static, Option<SecretText>> + Send + Sync>),
}

impl SecretSource {
    /// `ask` is called each time that the secret is needed, so it should remember what it finds. `None`: it cannot be
    /// had now; what needs it is answered [`IssuerUnavailable`](super::TokenError::IssuerUnavailable).
    #[must_use]
    pub fn asked(
        ask: impl Fn() -> BoxFuture<'static, Option<SecretText>> + Send + Sync + 'static,
    ) -> Self {
        Self(Place::Asked(Arc::new(ask)))
    }

    /// Whether it is known to be none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.0, Place::Here(text) if text.is_empty())
    }

    /// An empty secret is none: everybody knows it.
    pub(super) async fn get(&self) -> Option<SecretText> {
        let secret = match &self.0 {
            Place::Here(text) => Some(text.clone()),
            Place::Asked(ask) => ask().await,
        };
        secret.filter(|secret| !secret.is_empty())
    }
}

impl From<SecretText> for SecretSource {
    fn from(text: SecretText) -> Self {
        Self(Place::Here(text))
    }
}

impl From<String> for SecretSource {
    fn from(text: String) -> Self {
        SecretText::from(text).into()
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSource([redacted])")
    }
}
