//! OAuth 2.1 authorization server: who may act for whom, and the tokens that say so.

mod access_token;
mod authorize;
mod error;
mod form;
mod jwks;
mod keys;
mod person;
mod seal;
mod secret_values;
mod server;
mod settings;

pub use access_token::{MintError, NewAccessToken};
pub use authorize::{DecideError, Offer, Pending, Prompt, approve, deny, find, offer};
pub use error::OAuthError;
pub use form::Form;
pub use jwks::routes;
pub use keys::{KeyError, KeyRing, SigningAlgorithm, SigningKeys};
pub use person::Person;
pub use seal::{KeyEncryptionKey, NotAKey, ServerSecret};
pub use server::{AuthorizationServer, Grantable, NewAuthorizationServer, Parts, PersonFacts};
pub use settings::{
    Administrators, ConfiguredClient, MetadataDocuments, OwnResource, Registration, Settings,
};
