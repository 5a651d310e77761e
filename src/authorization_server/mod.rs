//! OAuth 2.1 authorization server: who may act for whom, and the tokens that say so.

mod access_token;
mod account;
pub mod api_key;
mod authorize;
mod consent;
mod error;
mod form;
mod identity_provider;
mod jwks;
mod keys;
mod login;
mod logout;
mod pages;
#[cfg(test)]
mod pages_tests;
mod password;
mod person;
mod seal;
mod secret_values;
mod server;
mod session;
mod settings;

pub use access_token::{MintError, NewAccessToken};
pub use authorize::{DecideError, Offer, Pending, Prompt, approve, deny, find, offer};
pub use error::OAuthError;
pub use form::Form;
pub use identity_provider::{ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings};
pub use jwks::routes;
pub use keys::{KeyError, KeyRing, SigningAlgorithm, SigningKeys};
pub use login::{first_administrator_link, new_link, one_time_link};
pub use pages::{ErrorPage, Link, error_page};
pub use password::{NewPassword, PasswordPool, PoolBusy, WeakPassword};
pub use person::{PeopleSettings, Person, people_routes};
pub use seal::{KeyEncryptionKey, NotAKey, ServerSecret};
pub use server::{AuthorizationServer, Grantable, NewAuthorizationServer, Parts, PersonFacts};
pub use session::current;
pub use settings::{
    Administrators, ConfiguredClient, MetadataDocuments, OwnResource, Registration, Settings,
};
