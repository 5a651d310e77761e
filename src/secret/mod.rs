//! Secrets that belong to the broker: where they are kept, how long they are remembered, how they fail.

mod error;

pub use error::{Detail, SecretError};

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

/// A secret that was read from its backend. Made by this module only.
#[derive(Clone, Debug)]
pub struct Secret {
    text: SecretText,
    reference: SecretRef,
}

impl Secret {
    /// The value, to hand to a protocol. Never log it.
    #[must_use]
    pub const fn text(&self) -> &SecretText {
        &self.text
    }

    /// Where it came from; safe to show.
    #[must_use]
    pub const fn reference(&self) -> &SecretRef {
        &self.reference
    }

    /// A secret without a backend, for unit tests of what is done with one.
    #[cfg(test)]
    pub(crate) fn for_test(text: &str, reference: SecretRef) -> Self {
        Self { text: SecretText::new(text.to_owned()), reference }
    }
}
