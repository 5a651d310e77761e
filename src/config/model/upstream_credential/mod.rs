//! `credential` of an `[[upstream.server]]`: what the broker shows it, and how that is obtained.

mod raw;

use url::Url;

use super::graph::{Graph, GraphMode};
use super::graph_profile::GraphCredential;
use super::secret_source::SecretSource;
use crate::config::checker::Checker;
use crate::config::key::Key;
use crate::id::{Issuer, ProfileName};
use crate::scope::Scope;

pub(super) use raw::RawUpstreamCredential;

/// What the broker shows the server.
#[derive(Clone, Debug)]
pub enum UpstreamCredential {
    None,
    Bearer(SecretSource),
    Header {
        name: String,
        value: SecretSource,
    },
    ClientCredentials {
        at: UpstreamTokenPlace,
        client_id: String,
        client_secret: SecretSource,
        scopes: Scope,
    },
    TokenExchange(Box<UpstreamExchange>),
    IdJag(Box<UpstreamIdJag>),
    EntraObo {
        profile: ProfileName,
        scopes: Scope,
    },
    PerUser(Box<UpstreamPerUser>),
}

/// Where a token endpoint is.
#[derive(Clone, Debug)]
pub enum UpstreamTokenPlace {
    Url(Url),
    /// In the metadata of this issuer (RFC 8414).
    Issuer(String),
}

/// Cross-app access: our clients at an identity provider and at the server's authorization server.
#[derive(Clone, Debug)]
pub struct UpstreamIdJag {
    /// Of the identity provider.
    pub token_url: Url,
    /// Who the identity provider is.
    pub issuer: Option<Issuer>,
    pub client_id: String,
    pub client_secret: SecretSource,
    pub server: UpstreamIdJagServer,
    pub scopes: Scope,
}

/// The authorization server of a server, and our client there.
#[derive(Clone, Debug)]
pub struct UpstreamIdJagServer {
    pub issuer: String,
    /// `None`: in its metadata.
    pub token_url: Option<Url>,
    pub client_id: String,
    pub client_secret: SecretSource,
}

impl UpstreamIdJagServer {
    #[must_use]
    pub fn at(&self) -> UpstreamTokenPlace {
        match &self.token_url {
            Some(url) => UpstreamTokenPlace::Url(url.clone()),
            None => UpstreamTokenPlace::Issuer(self.issuer.clone()),
        }
    }
}

/// How people connect their accounts.
#[derive(Clone, Debug)]
pub struct UpstreamPerUser {
    /// `None`: found out from the server.
    pub endpoints: Option<UpstreamEndpoints>,
    /// `None`: our metadata document, or a registration.
    pub client: Option<(String, Option<SecretSource>)>,
    /// Whose client it is, where the endpoints are found out: no other authorization server is spoken to. Always there with a secret.
    pub issuer: Option<String>,
    /// Empty: what the server names.
    pub scopes: Scope,
}

/// Endpoints of an authorization server that publishes no metadata.
#[derive(Clone, Debug)]
pub struct UpstreamEndpoints {
    pub authorize_url: Url,
    pub token_url: Url,
    pub revocation_url: Option<Url>,
    pub issuer: Option<String>,
}

/// How a caller's token is exchanged for one of the server's.
#[derive(Clone, Debug)]
pub struct UpstreamExchange {
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: SecretSource,
    pub scopes: Scope,
    /// Whose token endpoint it is.
    pub issuer: Option<Issuer>,
    pub audience: Option<String>,
    pub actor: bool,
}
impl UpstreamCredential {
    /// What the credential says of other sections: the app of `entra_obo` is one that can exchange tokens.
    pub(super) fn check(&self, at: &Key, graph: &Graph, to: &mut Checker<'_>) {
        let Self::EntraObo { profile, scopes } = self else { return };
        let key = at.name("entra_obo").name("profile");
        let allowed = "a [[graph.profile]] with a secret, a certificate or a federated token, and the GUID of its tenant";
        let found = graph.profiles.iter().find(|known| known.name == *profile);
        let problem = match found {
            _ if graph.mode != GraphMode::Live => {
                "needs graph.mode = live: the simulation knows no callers"
            }
            None => "names no [[graph.profile]]",
            Some(known) if matches!(known.credential, GraphCredential::ManagedIdentity) => {
                "is a managed identity, which cannot exchange tokens"
            }
            Some(known) if uuid::Uuid::try_parse(known.tenant_id.as_str()).is_err() => {
                "has a tenant by its domain name: whose tokens it may exchange is compared by GUID"
            }
            Some(_) if scopes.is_empty() => "asks for no scopes: Entra wants at least one",
            Some(_) => return,
        };
        to.refuse(&key, profile.as_str(), problem, allowed);
    }
}
