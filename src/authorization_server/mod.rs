//! OAuth 2.1 authorization server: who may act for whom, and the tokens that say so.

mod access_token;
mod account;
pub mod api_key;
mod approval;
mod authorize;
mod client;
mod client_auth;
mod client_metadata;
#[cfg(test)]
mod client_tests;
mod confirmation;
mod consent;
mod derived;
mod device;
mod dpop;
mod error;
mod explain;
mod form;
mod guesses;
mod id_token;
mod identity_provider;
mod identity_token;
mod introspect;
mod jwks;
mod keys;
mod known_clients;
mod login;
mod logout;
mod lost;
mod mark;
mod metadata;
#[cfg(test)]
mod ordinary_settings;
mod own_token;
mod pace;
mod pages;
#[cfg(test)]
mod pages_tests;
mod password;
mod person;
mod pkce;
mod posted;
mod published;
mod register;
mod revoke;
mod seal;
mod second_factor;
mod secret_values;
mod sent;
mod server;
mod server_secret;
mod session;
mod settings;
mod shares;
mod signed_answer;
mod target;
mod token;
#[cfg(test)]
mod token_tests;
mod trail;
mod userinfo;
mod vouching;

pub use access_token::{MintError, NewAccessToken};
pub use authorize::{
    Answered, DecideError, Offer, Pending, Prompt, approve, deny, find, offer,
    routes as authorize_routes,
};
pub use client::{
    AuthMethod, Client, ClientError, ClientMetadata, Kind, PublicKeys, find as find_client,
};
pub use client_auth::{Authorities, ClientCertificates, Sender, authenticate};
pub use client_metadata::{DocumentError, InvalidDocument};
pub use error::OAuthError;
pub use form::Form;
pub use identity_provider::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings, IdentityProviders,
    NamePrefixes, Prefixes, UpstreamError,
};
pub use identity_token::NewIdentityToken;
pub use introspect::routes as introspection_routes;
pub use jwks::routes;
pub use keys::{
    Algorithms, KeyError, KeyRing, KeySettings, Refreshed, SigningAlgorithm, SigningKeys,
    signing_key_context,
};
pub use known_clients::{CatalogueError, Difference, KnownClients, Looked, Now};
pub use login::{first_administrator_link, new_link, one_time_link};
pub use lost::lost_routes;
pub use metadata::routes as metadata_routes;
pub use pace::Rates;
pub use pages::{ErrorPage, Link, OwnWords, error_page};
pub use password::{NewPassword, PasswordPool, PoolBusy, WeakPassword};
pub use person::{PeopleSettings, Person, people_routes};
pub use pkce::{CodeChallenge, Misshapen};
pub use register::routes as registration_routes;
pub use seal::{KeyEncryptionKey, NotAKey, Resealing};
pub use second_factor::{SecondFactor, authenticator_context};
pub use server::{
    AuthorizationServer, Grantable, NewAuthorizationServer, Parts, PersonFacts, UsedAt,
};
pub use server_secret::{KeysAtHand, SealError, ServerSecret};
pub use session::current;
pub use settings::{
    Administrators, AssertionIssuer, BehindUs, CertificateRule, ClientTls, ConfiguredClient,
    ExchangeRules, IdentityAssertions, OwnResource, Registration, Settings, WorkloadRules,
};
pub use shares::SiteShares;
pub use vouching::{NoIdToken, provider_tokens_context};

/// `/token`, `/revoke`, `/userinfo`, `/par` and `/device_authorization`; the caller adds state and CORS.
pub fn token_routes() -> axum::Router<AuthorizationServer> {
    let tokens = token::routes().merge(revoke::routes()).merge(userinfo::routes());
    tokens.merge(authorize::pushed_routes()).merge(device::routes())
}
