//! Tokens for the provider: obtained with the broker's own credential, cached, never shown.
//!
//! [`ProviderTokens::obtain`] takes a `Permit`, so no token exists for a call that policy did not
//! allow. Which Graph permissions a call needs plays no part here: Entra puts every permission the
//! app has into each token, so the wire scope is always `{resource}/.default`.

mod answer;
mod assertion;
mod credential;
mod error;
mod hint;
mod managed_identity;
mod mint;
mod profile;
mod provider_token;
mod provider_tokens;
mod slot;
#[cfg(test)]
mod tests;

pub use assertion::{AssertionError, CertificateChain, federated};
pub use credential::{Credential, CredentialSource, Freshness, ManagedIdentity};
pub use error::{Detail, Diagnostics, TokenError};
pub use profile::{Authority, ProfileError, ProfileSettings};
pub use provider_token::{ProviderToken, TokenSource};
pub use provider_tokens::{Counts, ProviderTokens, Settings};
