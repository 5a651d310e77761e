//! Secrets that belong to the broker: where they are kept, how long they are remembered, how they fail.
//!
//! [`Secrets`] is the front: it chooses the backend by the scheme of the reference, asks it once for
//! all who wait, remembers what it said, and keeps a failing backend from being asked again too soon.

mod cache;
mod child;
mod env;
mod error;
mod exec;
mod file;
mod front;
mod hint;
mod onepassword_cli;
mod onepassword_connect;
mod own;
mod own_secret;
mod provider;
mod rest;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod value;
mod vault;
mod vault_auth;

pub use env::Environment;
pub use error::{Detail, SecretError};
pub use front::{Memory, Secrets};
pub use own_secret::OwnSecret;
pub use provider::{Backend, SecretProvider};
pub use settings::{
    ConnectSettings, Credential, ExecSettings, OnePassword, OnePasswordCliSettings, Settings,
    SettingsError, VaultAuth, VaultSettings,
};
pub use status::{BackendCounts, BackendStatus};

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

/// A secret that was read from its backend. Made by this module only.
#[derive(Clone, Debug)]
pub struct Secret {
    text: SecretText,
    reference: SecretRef,
}

impl Secret {
    /// A secret without a backend, for unit tests of what takes one.
    #[cfg(test)]
    pub(crate) fn for_test(text: &str, reference: SecretRef) -> Self {
        Self { text: SecretText::new(text.to_owned()), reference }
    }

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

    /// Whether both hold the same value, compared in constant time.
    ///
    /// What [`Secrets::reread`] answers may be the refused value again: do not try it again then.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
