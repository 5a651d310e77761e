//! `[authorization_server]`: our own tokens, and who may get them.

mod choices;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::client_host::{RawClientHost, Written};
use super::deployment::Deployment;
use super::identity_provider::{
    IdentityProvider, IdentityProviderSecret, RawIdentityProvider, RawIdentityProviderSecret,
    check_names, parse_secrets,
};
use super::limits::RATE;
use super::outbound::private_targets;
use super::rate::Rate;
use super::registered_client::{GrantType, RawClient, RegisteredClient};
use super::site_rates::{RawSiteRates, SiteRates};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::host_trust::{HostTrust, HostTrusts};
use crate::outbound::PrivateTarget;
use crate::scope::{Scope, ScopeToken};

pub use choices::{ClientMetadataDocuments, DynamicRegistration, SecondFactor, SigningAlg};

/// `[authorization_server]`, parsed.
#[derive(Clone, Debug)]
pub struct AuthorizationServer {
    pub enabled: bool,
    pub signing_alg: SigningAlg,
    /// Of access tokens for these resources instead.
    pub resource_signing_alg: BTreeMap<Url, SigningAlg>,
    /// `None`: keys are never replaced by themselves.
    pub signing_key_lifetime: Option<Duration>,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    pub code_ttl: Duration,
    /// How long a refresh token that was used gets the same answer again.
    pub refresh_grace: Duration,
    /// Token requests of one client. `None`: no limit.
    pub token_rate: Option<Rate>,
    /// Questions of one client or registered server about tokens. `None`: no limit.
    pub introspection_rate: Option<Rate>,
    /// Of strangers, for each site.
    pub sites: SiteRates,
    pub dynamic_registration: DynamicRegistration,
    pub client_metadata_documents: ClientMetadataDocuments,
    /// Which hosts may publish clients. `None`: `client_metadata_documents` is `off`.
    pub client_hosts: Option<HostTrusts>,
    /// Instead of the documents of well-known clients that are shipped.
    pub known_clients_file: Option<PathBuf>,
    /// From where documents and key sets of clients are fetched although the address is not public.
    pub client_metadata_private: Vec<PrivateTarget>,
    pub identity_providers: Vec<IdentityProvider>,
    /// What providers that are added while the broker runs may be shown, by name.
    pub identity_provider_secrets: Vec<IdentityProviderSecret>,
    pub clients: Vec<RegisteredClient>,
    pub default_scopes: Scope,
    /// What scopes mean, in words for people.
    pub scope_words: BTreeMap<ScopeToken, String>,
    pub administrators: Administrators,
    /// RFC 9126 §5
    pub require_pushed_requests: bool,
    pub second_factor: SecondFactor,
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
    /// How access tokens for single resources are signed, by the resource's URL, where that differs:
    /// `"https://legacy.example/mcp" = "RS256"`. Each algorithm has keys of its own.
    pub(super) resource_signing_alg: BTreeMap<String, SigningAlg>,
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
    /// How long a refresh token that was just used gets the same answer again, as long as nobody used what was in it:
    /// processes that share a token, and answers that were lost. After that it is theft. 0: only for those who ask at
    /// the same moment.
    #[schemars(range(max = 120))]
    pub(super) refresh_grace_seconds: u32,
    /// Token requests of one client, such as `1200/min` (`s`, `min`, `h`, `day`): the whole count may come at once, then
    /// evenly. A public client is counted for each network apart, since anybody may use its name. Each process counts for
    /// itself. Unset: no limit in dev, `1200/min` elsewhere.
    pub(super) token_rate: Option<String>,
    /// Questions of one client or registered server at `/introspect`, counted in the same way. Unset: no limit in dev,
    /// `60000/min` elsewhere.
    pub(super) introspection_rate: Option<String>,
    /// What strangers at one site may do.
    pub(super) sites: RawSiteRates,
    /// Whether clients may register themselves (RFC 7591). `limited`: public clients, rate and size limits,
    /// no admin scopes. `token`: clients of any kind that bring an initial access token (`broker registration-token add`), no
    /// admin scopes. prod refuses `open`.
    pub(super) dynamic_registration: DynamicRegistration,
    /// Whether a client may be named by the URL of its metadata document, where no `client_host` says so of its host.
    /// `ask`: people are asked every time. `list`: those on `client_metadata_hosts` alone.
    pub(super) client_metadata_documents: ClientMetadataDocuments,
    /// Hosts whose documents are read where `client_metadata_documents = "list"`, such as `claude.ai` or
    /// `*.contoso.example`.
    pub(super) client_metadata_hosts: Vec<String>,
    /// How far single hosts are trusted that publish clients.
    pub(super) client_host: Vec<RawClientHost>,
    /// Hosts and networks with private addresses from which documents and key sets of clients may be fetched, also by http
    /// and at any port. Anybody can name such a URL without logging in, so `outbound.allow_private` does not count here.
    pub(super) client_metadata_private: Vec<String>,
    /// Documents of well-known clients, which serve while their hosts cannot be asked, in place of those that are shipped.
    /// `broker client known --refresh` writes it.
    pub(super) known_clients_file: Option<PathBuf>,
    /// Where people log in. None: users of our own.
    pub(super) identity_provider: Vec<RawIdentityProvider>,
    /// Our secrets at identity providers that are added by `broker identity-provider add` or the admin API, by name.
    pub(super) identity_provider_secret: Vec<RawIdentityProviderSecret>,
    /// Clients that are registered here, machines mostly.
    pub(super) client: Vec<RawClient>,
    /// Scopes that the 401 challenge and the resource metadata name, and that a request without `scope` gets.
    /// Unset: `public:read graph:read` in dev, none elsewhere.
    pub(super) default_scopes: Option<Vec<String>>,
    /// What scopes let an app do, in words that people read when they consent: `"weather:read" = "Read the weather"`. A
    /// scope that nobody described is shown as itself.
    pub(super) scope_words: BTreeMap<String, String>,
    /// Whether every client must push its authorization requests (RFC 9126). Most MCP clients cannot; set it for one client
    /// in its own table.
    pub(super) require_pushed_authorization_requests: bool,
    /// Who must have an authenticator app beside a password: nobody (`optional`: everybody as they like),
    /// `administrators`, or `everyone`. Who has none sets one up at the next log-in, before anything else. Not for people
    /// who log in at an identity provider: what that asks for is its own affair.
    pub(super) second_factor: SecondFactor,
    /// Who may have `broker:admin`.
    pub(super) administrators: RawAdministrators,
}

impl Default for RawAuthorizationServer {
    fn default() -> Self {
        Self {
            enabled: true,
            signing_alg: SigningAlg::default(),
            resource_signing_alg: BTreeMap::new(),
            signing_key_days: 90,
            access_token_ttl_seconds: 3600,
            refresh_token_ttl_seconds: 2_592_000,
            code_ttl_seconds: 60,
            refresh_grace_seconds: 60,
            token_rate: None,
            introspection_rate: None,
            sites: RawSiteRates::default(),
            dynamic_registration: DynamicRegistration::default(),
            client_metadata_documents: ClientMetadataDocuments::default(),
            client_metadata_hosts: Vec::new(),
            client_host: Vec::new(),
            client_metadata_private: Vec::new(),
            known_clients_file: None,
            identity_provider: Vec::new(),
            identity_provider_secret: Vec::new(),
            client: Vec::new(),
            default_scopes: None,
            scope_words: BTreeMap::new(),
            require_pushed_authorization_requests: false,
            second_factor: SecondFactor::default(),
            administrators: RawAdministrators::default(),
        }
    }
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

/// Outside dev, of one client: an hour's refreshes of tens of thousands of people, and of a machine twenty tokens a second.
const TOKEN_RATE: &str = "1200/min";
/// Outside dev: a resource server may ask about every request.
const INTROSPECTION_RATE: &str = "60000/min";
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
        check_names(&providers, &self.identity_provider, to);
        let clients = at.name("client");
        to.distinct(
            &clients,
            "client_id",
            self.client.iter().map(|client| client.client_id.as_str()),
        );
        let key = at.name("client_metadata_private");
        let client_metadata_private = private_targets(&key, &self.client_metadata_private, to);
        let hosts = Written {
            documents: self.client_metadata_documents,
            listed: &self.client_metadata_hosts,
            private: &client_metadata_private,
            rules: self.client_host,
        };
        let client_hosts = hosts.parse(at, to);
        let default_scopes = self.default_scopes.unwrap_or_else(|| match to.deployment {
            Deployment::Dev => DEV_SCOPES.map(str::to_owned).to_vec(),
            Deployment::Staging | Deployment::Prod => Vec::new(),
        });
        AuthorizationServer {
            enabled: self.enabled,
            signing_alg: self.signing_alg,
            resource_signing_alg: resource_signing_alg(
                &at.name("resource_signing_alg"),
                &self.resource_signing_alg,
                to,
            ),
            signing_key_lifetime: (self.signing_key_days > 0)
                .then(|| Duration::from_hours(24 * u64::from(self.signing_key_days))),
            access_token_ttl: Duration::from_secs(self.access_token_ttl_seconds.into()),
            refresh_token_ttl: Duration::from_secs(self.refresh_token_ttl_seconds.into()),
            code_ttl: Duration::from_secs(self.code_ttl_seconds.into()),
            refresh_grace: Duration::from_secs(self.refresh_grace_seconds.into()),
            token_rate: rate(&at.name("token_rate"), self.token_rate, TOKEN_RATE, to),
            introspection_rate: rate(
                &at.name("introspection_rate"),
                self.introspection_rate,
                INTROSPECTION_RATE,
                to,
            ),
            sites: self.sites.parse(&at.name("sites"), to),
            dynamic_registration: self.dynamic_registration,
            client_metadata_documents: self.client_metadata_documents,
            client_hosts,
            known_clients_file: self
                .known_clients_file
                .map(|path| to.input(&at.name("known_clients_file"), &path)),
            client_metadata_private,
            identity_providers: parse_each(
                self.identity_provider,
                &providers,
                to,
                RawIdentityProvider::parse,
            ),
            identity_provider_secrets: parse_secrets(self.identity_provider_secret, at, to),
            clients: parse_each(self.client, &clients, to, RawClient::parse),
            default_scopes: to.scopes(&at.name("default_scopes"), &default_scopes),
            scope_words: scope_words(&at.name("scope_words"), self.scope_words, to),
            administrators: Administrators {
                subjects: self.administrators.subjects,
                groups: self.administrators.groups,
            },
            require_pushed_requests: self.require_pushed_authorization_requests,
            second_factor: self.second_factor,
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
                    .allowed("off | limited | token")
                    .hint("limited is what MCP clients need"),
            );
        }
        let brings = |client: &RawClient| {
            client.workload.is_none() && client.grants.contains(&GrantType::JwtBearer)
        };
        let trusted =
            self.identity_provider.iter().any(|known| known.identity_assertions.is_some());
        if !trusted && self.client.iter().any(brings) {
            let key = at.name("identity_provider");
            let problem =
                "has no identity_assertions: a client with jwt_bearer could bring nobody's";
            let finding = Finding::error(FindingCode::Missing, &key, problem);
            to.add(finding.hint("identity_assertions = {} for the provider that makes ID-JAGs"));
        }
        let listed = self.client_metadata_documents == ClientMetadataDocuments::List;
        let named = |rule: &RawClientHost| rule.trust != HostTrust::Deny;
        if listed && self.client_metadata_hosts.is_empty() && !self.client_host.iter().any(named) {
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

fn resource_signing_alg(
    table: &Key,
    written: &BTreeMap<String, SigningAlg>,
    to: &mut Checker<'_>,
) -> BTreeMap<Url, SigningAlg> {
    const RESOURCE: &str = "the URL of a resource, such as https://mcp.example/mcp";
    let parsed = written.iter().map(|(uri, wanted)| {
        let at = table.name(uri);
        Some((to.url(&at, uri, RESOURCE)?, *wanted))
    });
    parsed.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// What is written, and outside dev `default` where nothing is.
fn rate(key: &Key, text: Option<String>, default: &str, to: &mut Checker<'_>) -> Option<Rate> {
    let default = (to.deployment != Deployment::Dev).then(|| default.to_owned());
    to.parse(key, &text.or(default)?, RATE)
}

fn scope_words(
    table: &Key,
    written: BTreeMap<String, String>,
    to: &mut Checker<'_>,
) -> BTreeMap<ScopeToken, String> {
    const WORDS: &str = "1 to 200 characters in one line, such as Read the weather";
    let mut described = BTreeMap::new();
    for (name, words) in written {
        let at = table.name(&name);
        let scope: Option<ScopeToken> = to.parse(&at, &name, "a scope such as weather:read");
        let fits = (1..=200).contains(&words.trim().chars().count()) && !words.chars().any(unseen);
        if !fits {
            to.refuse(&at, &words, "is no line of text that people can read", WORDS);
        }
        described.extend(scope.filter(|_| fits).map(|scope| (scope, words.trim().to_owned())));
    }
    described
}

/// Control characters, and those that turn text around.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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
