//! Where people log in, as the settings have it: to be looked at. It is changed in the settings file.

use schemars::JsonSchema;
use serde::Serialize;

use super::Operations;

/// An identity provider. Never its secret.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct IdentityProviderView {
    /// Part of the callback's path.
    pub id: String,
    /// What people read on the button.
    pub name: String,
    pub issuer: String,
    /// Our client there.
    pub client_id: String,
    /// Whether that client has a secret.
    pub confidential: bool,
    /// What is asked for at a login.
    pub scopes: String,
    /// Whether its endpoints come from its discovery document.
    pub discovered: bool,
    /// What must be registered there as our redirect URI.
    pub callback: String,
    /// Claims that an account must have.
    pub required_claims: Vec<String>,
}

impl Operations {
    /// In the order of the settings. None: people have an account of our own.
    #[must_use]
    pub fn list_identity_providers(&self) -> &[IdentityProviderView] {
        &self.settings.identity_providers
    }
}
