//! `[authorization_server]`: our own tokens, and who may get them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::deployment::Deployment;
use super::identity_provider::{IdentityProvider, RawIdentityProvider};
use super::outbound::private_targets;
use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::id::ClientId;
use crate::outbound::PrivateTarget;
use crate::scope::Scope;

/// `[authorization_server]`, parsed.
#[derive(Clone, Debug)]
pub struct AuthorizationServer {
    pub enabled: bool,
    pub signing_alg: SigningAlg,
    /// `None`: keys are never replaced by themselves.
    pub signing_key_lifetime: Option<Duration>,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    pub code_ttl: Duration,
    pub dynamic_registration: DynamicRegistration,
    pub client_metadata_documents: ClientMetadataDocuments,
    /// Hosts whose client metadata documents are read where `client_metadata_documents` is `list`.
    pub client_metadata_hosts: Vec<String>,
    /// From where documents and key sets of clients are fetched although the address is not public.
    pub client_metadata_private: Vec<PrivateTarget>,
    pub identity_providers: Vec<IdentityProvider>,
    pub clients: Vec<RegisteredClient>,
    pub default_scopes: Scope,
    pub administrators: Administrators,
}

/// How our own tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SigningAlg {
    #[default]
    ES256,
    EdDSA,
    RS256,
}

/// Whether clients may register themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DynamicRegistration {
    Off,
    #[default]
    Limited,
    Open,
}

/// Whether a client may be named by the URL of its metadata document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientMetadataDocuments {
    Off,
    #[default]
    Allow,
    List,
}

/// What a pre-registered client may ask the token endpoint for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
    /// RFC 8693
    TokenExchange,
}

/// A client that is known from the settings.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    pub client_id: ClientId,
    pub secret: Option<SecretSource>,
    pub grants: Vec<GrantType>,
    pub scopes: Scope,
    pub redirect_uris: Vec<Url>,
    pub exchange: ClientExchange,
}

/// Which tokens a client may exchange, and for what (RFC 8693).
#[derive(Clone, Debug, Default)]
pub struct ClientExchange {
    pub from: Vec<Url>,
    pub to: Vec<Url>,
}

/// Who may use the admin API.
#[derive(Clone, Debug, Default)]
pub struct Administrators {
    pub subjects: Vec<String>,
    pub groups: Vec<String>,
}

/// The broker's own tokens, and who may get them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAuthorizationServer {
    /// Whether the broker issues tokens itself.
    pub(super) enabled: bool,
    /// How its tokens are signed.
    pub(super) signing_alg: SigningAlg,
    /// For how many days a key signs before a new one takes its place, which is published six minutes before. 0: until
    /// `broker key rotate`.
    #[schemars(range(max = 3650))]
    pub(super) signing_key_days: u32,
    /// How long an access token lives.
    #[schemars(range(min = 30, max = 86_400))]
    pub(super) access_token_ttl_seconds: u32,
    /// How long a refresh token lives.
    #[schemars(range(min = 60, max = 31_536_000))]
    pub(super) refresh_token_ttl_seconds: u32,
    /// How long an authorization code lives.
    #[schemars(range(min = 10, max = 600))]
    pub(super) code_ttl_seconds: u32,
    /// Whether clients may register themselves (RFC 7591). `limited`: public clients, rate and size limits,
    /// no admin scopes. prod refuses `open`.
    pub(super) dynamic_registration: DynamicRegistration,
    /// Whether a client may be named by the URL of its metadata document. `list`: those on
    /// `client_metadata_hosts` alone.
    pub(super) client_metadata_documents: ClientMetadataDocuments,
    /// Hosts whose documents are read where `client_metadata_documents = "list"`.
    pub(super) client_metadata_hosts: Vec<String>,
    /// Hosts and networks with private addresses from which documents and key sets of clients may be fetched, also by http
    /// and at any port. Anybody can name such a URL without logging in, so `outbound.allow_private` does not count here.
    pub(super) client_metadata_private: Vec<String>,
    /// Where people log in. None: users of our own.
    pub(super) identity_provider: Vec<RawIdentityProvider>,
    /// Clients that are registered here, machines mostly.
    pub(super) client: Vec<RawClient>,
    /// Scopes that the 401 challenge and the resource metadata name, and that a request without `scope` gets.
    /// Unset: `public:read graph:read` in dev, none elsewhere.
    pub(super) default_scopes: Option<Vec<String>>,
    /// Who may have `broker:admin`.
    pub(super) administrators: RawAdministrators,
}

impl Default for RawAuthorizationServer {
    fn default() -> Self {
        Self {
            enabled: true,
            signing_alg: SigningAlg::default(),
            signing_key_days: 90,
            access_token_ttl_seconds: 3600,
            refresh_token_ttl_seconds: 2_592_000,
            code_ttl_seconds: 60,
            dynamic_registration: DynamicRegistration::default(),
            client_metadata_documents: ClientMetadataDocuments::default(),
            client_metadata_hosts: Vec::new(),
            client_metadata_private: Vec::new(),
            identity_provider: Vec::new(),
            client: Vec::new(),
            default_scopes: None,
            administrators: RawAdministrators::default(),
        }
    }
}

/// A client that is known from the settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClient {
    /// Its name at the token endpoint.
    pub(super) client_id: String,
    /// Its secret. Unset: a public client.
    pub(super) secret: Option<RawSecret>,
    /// What it may ask the token endpoint for.
    pub(super) grants: Vec<GrantType>,
    /// The most it may get.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    /// Where people are sent back to, compared as text.
    #[serde(default)]
    pub(super) redirect_uris: Vec<String>,
    /// With the grant `token_exchange`: which tokens of others it may exchange, and for which servers.
    pub(super) token_exchange: Option<RawExchange>,
}

/// With the grant `token_exchange`: which tokens of others it may exchange, and for which servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawExchange {
    /// Resources whose tokens it may bring: those of the server that it is. A token that was issued to itself it may
    /// always bring.
    pub(super) from: Vec<String>,
    /// Resources that it may get tokens for, beside the one that the token it brings is for.
    pub(super) to: Vec<String>,
}

/// Who may have `broker:admin`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdministrators {
    /// Subjects, as in the tokens of our own issuer.
    pub(super) subjects: Vec<String>,
    /// Groups that an identity provider names.
    pub(super) groups: Vec<String>,
}

/// What dev names in its challenges where nothing else is set.
const DEV_SCOPES: [&str; 2] = ["public:read", "graph:read"];
pub(super) const CLIENT_ID: &str = "a client id of 1 to 512 characters";

impl RawAuthorizationServer {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> AuthorizationServer {
        self.check(at, to);
        let providers = at.name("identity_provider");
        to.distinct(
            &providers,
            "id",
            self.identity_provider.iter().map(|provider| provider.id.as_str()),
        );
        let clients = at.name("client");
        to.distinct(
            &clients,
            "client_id",
            self.client.iter().map(|client| client.client_id.as_str()),
        );
        let default_scopes = self.default_scopes.unwrap_or_else(|| match to.deployment {
            Deployment::Dev => DEV_SCOPES.map(str::to_owned).to_vec(),
            Deployment::Staging | Deployment::Prod => Vec::new(),
        });
        AuthorizationServer {
            enabled: self.enabled,
            signing_alg: self.signing_alg,
            signing_key_lifetime: (self.signing_key_days > 0)
                .then(|| Duration::from_hours(24 * u64::from(self.signing_key_days))),
            access_token_ttl: Duration::from_secs(self.access_token_ttl_seconds.into()),
            refresh_token_ttl: Duration::from_secs(self.refresh_token_ttl_seconds.into()),
            code_ttl: Duration::from_secs(self.code_ttl_seconds.into()),
            dynamic_registration: self.dynamic_registration,
            client_metadata_documents: self.client_metadata_documents,
            client_metadata_hosts: self.client_metadata_hosts,
            client_metadata_private: private_targets(
                &at.name("client_metadata_private"),
                &self.client_metadata_private,
                to,
            ),
            identity_providers: parse_each(
                self.identity_provider,
                &providers,
                to,
                RawIdentityProvider::parse,
            ),
            clients: parse_each(self.client, &clients, to, RawClient::parse),
            default_scopes: to.scopes(&at.name("default_scopes"), &default_scopes),
            administrators: Administrators {
                subjects: self.administrators.subjects,
                groups: self.administrators.groups,
            },
        }
    }

    fn check(&self, at: &Key, to: &mut Checker<'_>) {
        if self.dynamic_registration == DynamicRegistration::Open {
            let key = at.name("dynamic_registration");
            let finding = Finding::error(
                FindingCode::Weak,
                &key,
                "lets anybody register any client, without limits",
            );
            to.weak(
                finding
                    .found("\"open\"")
                    .allowed("off | limited")
                    .hint("limited is what MCP clients need"),
            );
        }
        let listed = self.client_metadata_documents == ClientMetadataDocuments::List;
        if listed && self.client_metadata_hosts.is_empty() {
            let key = at.name("client_metadata_hosts");
            let finding =
                Finding::error(FindingCode::Missing, &key, "is empty: no client would be accepted");
            to.add(
                finding
                    .allowed("hosts such as claude.ai")
                    .hint("or set client_metadata_documents to off"),
            );
        }
    }
}

/// Each element of a list that parses.
pub(super) fn parse_each<R, T>(
    raw: Vec<R>,
    list: &Key,
    to: &mut Checker<'_>,
    parse: impl Fn(R, &Key, &mut Checker<'_>) -> Option<T>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let at = to.item(list, place);
        parsed.extend(parse(raw, &at, to));
    }
    parsed
}

/// A short name that becomes part of a path.
pub(super) fn path_name(key: &Key, text: &str, to: &mut Checker<'_>) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(plain);
    if !fits {
        to.refuse(key, text, "cannot be part of a path", "1 to 64 letters, digits, `-` and `_`");
    }
    fits.then(|| text.to_owned())
}

impl RawClient {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<RegisteredClient> {
        let client_id = to.parse(&at.name("client_id"), &self.client_id, CLIENT_ID);
        let secret = self.secret.as_ref().and_then(|raw| to.secret(&at.name("secret"), raw));
        if self.grants.contains(&GrantType::ClientCredentials) && secret.is_none() {
            let problem =
                "is missing: client_credentials is for clients that have one (RFC 6749 §4.4)";
            to.add(Finding::error(FindingCode::Missing, &at.name("secret"), problem));
        }
        if self.grants.contains(&GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            let problem = "is empty: authorization_code needs a place to send people back to";
            to.add(Finding::error(FindingCode::Missing, &at.name("redirect_uris"), problem));
        }
        let exchange = self.exchange(at, to);
        let redirects = at.name("redirect_uris");
        let redirect_uris = to.parse_all(&redirects, &self.redirect_uris, "an absolute URL");
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        Some(RegisteredClient {
            client_id: client_id?,
            secret,
            grants: self.grants,
            scopes,
            redirect_uris,
            exchange,
        })
    }

    /// Whoever acts for others proves who it is, and has a limit that an operator set.
    fn exchange(&self, at: &Key, to: &mut Checker<'_>) -> ClientExchange {
        let exchanges = self.grants.contains(&GrantType::TokenExchange);
        let key = at.name("token_exchange");
        let mut missing = |name: &str, problem: &'static str| {
            to.add(Finding::error(FindingCode::Missing, &at.name(name), problem));
        };
        if exchanges && self.secret.is_none() {
            missing("secret", "is missing: token_exchange is for clients that have one");
        }
        if exchanges && self.scopes.is_empty() {
            missing("scopes", "is empty: a client that exchanges tokens gets no more than this");
        }
        let Some(raw) = &self.token_exchange else { return ClientExchange::default() };
        if !exchanges {
            missing(
                "grants",
                "has no token_exchange, without which `token_exchange` is worth nothing",
            );
        }
        let from = to.parse_all(&key.name("from"), &raw.from, "the URL of a resource");
        let to = to.parse_all(&key.name("to"), &raw.to, "the URL of a resource");
        ClientExchange { from, to }
    }
}
