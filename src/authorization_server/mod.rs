//! OAuth 2.1 authorization server. Today: its signing keys, the key set it publishes, and access tokens
//! minted by an operator's command.

mod access_token;
mod jwks;
mod keys;
mod seal;

pub use access_token::{MintError, NewAccessToken};
pub use jwks::routes;
pub use keys::{KeyError, SigningAlgorithm, SigningKeys};
pub use seal::{KeyEncryptionKey, NotAKey};
