//! What the authorization server is told; `app` maps the settings file to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::certificate_name::CertificateName;
use crate::host_trust::HostTrusts;
use crate::id::{ClientId, Issuer};
use crate::login_provider::AdministratorGroups;
use crate::redirect_uri::RedirectUri;
use crate::resource_server::Algorithm;
use crate::scope::Scope;
use crate::secret::OwnSecret;

use super::client::PublicKeys;
use super::client_auth::ClientCertificates;
use super::identity_provider::IdentityProviderSettings;
use super::keys::SigningAlgorithm;
use super::known_clients::KnownClients;
use super::pace::Rates;
use super::second_factor::SecondFactor;
use super::shares::SiteShares;
use super::target::is_same;
use super::token::{DEVICE_CODE, JWT_BEARER, TOKEN_EXCHANGE};

/// `[authorization_server]` and what of `[server]` it needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Byte for byte as published: `public_url` without a trailing slash (RFC 8414 §2).
    pub issuer: Issuer,
    /// The base of every URL we publish. Never taken from a request (N76).
    pub public_url: Url,
    /// The resources of this process. The first one is meant where a request names none (N62).
    pub resources: Vec<OwnResource>,
    pub signing_algorithm: SigningAlgorithm,
    /// Of access tokens for these resources. ID tokens, which clients read, always have the general one.
    pub resource_signing_algorithms: Vec<(String, SigningAlgorithm)>,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    pub code_ttl: Duration,
    /// How long a refresh token that was just used gets the same reply again. Absolute.
    pub refresh_grace: Duration,
    pub rates: Rates,
    /// Of what strangers use together, for each of their sites.
    pub site_shares: SiteShares,
    /// What a request without `scope` asks for.
    pub default_scopes: Scope,
    /// Published as `scopes_supported`, beside `openid` and `offline_access`: short, some clients ask for all of it.
    pub scopes_supported: Scope,
    pub administrators: Administrators,
    pub clients: Vec<ConfiguredClient>,
    /// Whose ID-JAGs are taken (MCP Enterprise-Managed Authorization).
    pub identity_assertions: Vec<IdentityAssertions>,
    pub registration: Registration,
    /// Which hosts may vouch for clients by metadata documents. `None`: no document is read.
    pub client_metadata_documents: Option<HostTrusts>,
    /// Documents that serve while their hosts cannot be asked.
    pub known_clients: Arc<KnownClients>,
    /// Whether every client must push its authorization requests (RFC 9126 §5).
    pub require_pushed_requests: bool,
    /// Of people who log in here with a password.
    pub second_factor: SecondFactor,
    /// Whether tokens can be bound to keys (RFC 9449), to be published; what checks them comes beside these settings.
    pub dpop: bool,
    /// By which clients prove themselves, and to which tokens can be bound (RFC 8705).
    pub client_certificates: ClientCertificates,
    /// Whether the endpoints of this process take no other tokens: those of servers that were registered, too.
    pub dpop_required: bool,
}

impl Settings {
    /// Of access tokens for the resource with this identifier.
    pub(super) fn signing_algorithm_for(&self, resource: &str) -> SigningAlgorithm {
        let mut named = self.resource_signing_algorithms.iter();
        let named = named.find(|(uri, _)| is_same(uri, resource));
        named.map_or(self.signing_algorithm, |(_, algorithm)| *algorithm)
    }

    /// Whether any client may exchange tokens.
    pub(super) fn exchanges_tokens(&self) -> bool {
        self.clients.iter().any(|client| client.grant_types.contains(&TOKEN_EXCHANGE))
    }

    /// Whether there is anybody whose assertions are taken.
    pub(super) fn takes_assertions(&self) -> bool {
        self.takes_id_jags() || self.has_workloads()
    }

    /// Whether any identity provider vouches for people.
    pub(super) const fn takes_id_jags(&self) -> bool {
        !self.identity_assertions.is_empty()
    }

    /// Whether any client is known by what its platform says of it.
    pub(super) fn has_workloads(&self) -> bool {
        self.clients
            .iter()
            .any(|client| client.workload.is_some() && client.grant_types.contains(&JWT_BEARER))
    }

    /// Whether any client is on devices whose people log in elsewhere.
    pub(super) fn has_devices(&self) -> bool {
        self.clients.iter().any(|client| client.grant_types.contains(&DEVICE_CODE))
    }
}

/// A protected resource that this process serves.
#[derive(Clone, Debug)]
pub struct OwnResource {
    /// What becomes `aud`.
    pub uri: String,
    /// Other spellings of it: the loopback name that is not `public_url`.
    pub aliases: Vec<String>,
    /// The server that is behind it. `None`: the broker's own tools are.
    pub behind: Option<BehindUs>,
    /// Whether its tokens must be bound to a key (RFC 9449).
    pub dpop_required: bool,
}

/// A server behind this process.
#[derive(Clone, Debug)]
pub struct BehindUs {
    /// What the names of its tools begin with in policy.
    pub id: String,
    /// What its metadata names, and what is asked for where a request names no scope.
    pub scopes: Scope,
}

/// Who may have `broker:*` beside local users with that role.
#[derive(Clone, Debug, Default)]
pub struct Administrators {
    pub subjects: Vec<String>,
    pub groups: AdministratorGroups,
}

/// A client of the settings file.
#[derive(Clone, Debug)]
pub struct ConfiguredClient {
    pub client_id: ClientId,
    /// With neither secret nor keys it is a public client.
    pub secret: Option<OwnSecret>,
    /// With which it signs assertions (`private_key_jwt`).
    pub keys: Option<PublicKeys>,
    /// `authorization_code`, `refresh_token`, `client_credentials`, and those of RFC 7523, RFC 8628 and RFC 8693.
    pub grant_types: Vec<&'static str>,
    /// The most it may get. Empty: nothing for itself, and for a person whatever policy lets that person have.
    pub scopes: Scope,
    pub redirect_uris: Vec<RedirectUri>,
    /// Instead of [`Settings::refresh_grace`].
    pub refresh_grace: Option<Duration>,
    /// Whether it must push its authorization requests (RFC 9126 §6).
    pub require_pushed_requests: bool,
    /// Whether its tokens must be bound to a key (RFC 9449 §5.2).
    pub dpop_bound: bool,
    /// Where people may be led after they logged out (OIDC RP-Initiated Logout §3.1).
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Where it is told that a log-in is over (OIDC Back-Channel Logout §2.2).
    pub backchannel_logout_uri: Option<Url>,
    /// Worth something with the grant of RFC 8693 alone.
    pub exchange: ExchangeRules,
    /// Instead of secret and keys: it is then no public client.
    pub workload: Option<WorkloadRules>,
    pub tls: ClientTls,
}

/// What a client has to do with certificates (RFC 8705).
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// By which it proves itself, instead of by a secret or by signing.
    pub certificate: Option<CertificateRule>,
    /// Whether its tokens must be bound to one (§3.4).
    pub bound: bool,
}

/// Which certificate is a client's.
#[derive(Clone, Debug)]
pub enum CertificateRule {
    /// One of an authority, with this name (§2.1).
    Named(CertificateName),
    /// One that is beside its keys (§2.2).
    OfItsKeys,
}

/// Who signs assertions (RFC 7523), and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionIssuer {
    /// As `iss` has it, byte for byte.
    pub issuer: Issuer,
    /// `None`: where the issuer's metadata says.
    pub jwks_uri: Option<Url>,
    /// No other algorithm is accepted of it.
    pub algorithms: Vec<Algorithm>,
}

/// An identity provider that vouches for people to clients.
#[derive(Clone, Debug)]
pub struct IdentityAssertions {
    pub from: AssertionIssuer,
    /// By which its people are known here, as when they log in.
    pub provider: IdentityProviderSettings,
}

/// How a workload is known by the JWT that its platform gives it (MCP workload identity federation).
#[derive(Clone, Debug)]
pub struct WorkloadRules {
    pub from: AssertionIssuer,
    /// `None`: the URL of the token endpoint.
    pub audience: Option<String>,
    /// Claims that must be there, each with the values that do. A name that begins with `/` is a JSON pointer.
    pub claims: BTreeMap<String, Vec<String>>,
    /// Whether each JWT counts once, by its `jti`.
    pub single_use: bool,
}

/// Which tokens a client may exchange, and for what (RFC 8693). A token of its own it may always narrow.
#[derive(Clone, Debug, Default)]
pub struct ExchangeRules {
    /// Resources whose tokens it may bring: the server that it is receives them.
    pub from: Vec<String>,
    /// Resources that it may get tokens for, beside the one that the subject token is for.
    pub to: Vec<String>,
}

/// Whether clients may register themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    Off,
    /// Public clients, with limits, without administrative scopes.
    #[default]
    Limited,
    /// Of any kind, with an initial access token (RFC 7591 §3).
    Token,
    Open,
}

impl Registration {
    /// Whether clients may register themselves with a secret or keys.
    pub(super) const fn takes_confidential(self) -> bool {
        match self {
            Self::Off | Self::Limited => false,
            Self::Token | Self::Open => true,
        }
    }
}
