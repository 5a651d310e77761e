//! `[resource_server]`: whose tokens we accept beside our own.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::authorization_server::parse_each;
use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::id::{ClientId, Issuer as IssuerId, TenantId};

/// `[resource_server]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct ResourceServer {
    pub issuers: Vec<Issuer>,
    pub dpop: Dpop,
    /// Whether proofs need a nonce of ours (RFC 9449 §8, §9).
    pub dpop_nonce: bool,
}

/// Whether tokens are bound to a key of their client (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dpop {
    #[default]
    Off,
    Allowed,
    Required,
}

/// `[[resource_server.issuer]]`, parsed.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub issuer: IssuerId,
    /// Empty: our resource URLs.
    pub audiences: Vec<String>,
    pub keys: IssuerKeys,
    /// Never empty, and fit for `keys`. Introspection has none.
    pub algorithms: Vec<TokenAlg>,
    pub token_types: Vec<String>,
    pub scope_claims: Vec<String>,
    pub skew: Duration,
    pub entra: bool,
    pub tenants: Vec<TenantId>,
    /// Tokens that are no JWTs are this issuer's. At most one issuer.
    pub opaque_tokens: bool,
}

/// How the tokens of an issuer are checked.
#[derive(Clone, Debug)]
pub enum IssuerKeys {
    /// Its key set is here.
    JwksUri(Url),
    /// Its key set is named by its metadata, found below the issuer's URL (RFC 8414, OIDC discovery).
    Discovery,
    /// It is asked about each token (RFC 7662).
    Introspection(Introspection),
    /// HS256 with a secret that it knows as well.
    Secret(SecretSource),
}

/// Where and as whom an issuer is asked about a token (RFC 7662 §2.1).
#[derive(Clone, Debug)]
pub struct Introspection {
    pub url: Url,
    pub client_id: ClientId,
    pub client_secret: SecretSource,
}

/// How the tokens of others are signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TokenAlg {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
}

/// Whose tokens are accepted beside the broker's own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawResourceServer {
    /// Whether tokens may be, or must be, bound to a key of their client (`DPoP`, RFC 9449): whoever steals one then has
    /// nothing. Few MCP clients can do it yet, so `required` locks the others out; one server behind the broker can ask for
    /// it by itself (`upstream.server.dpop_required`).
    pub(super) dpop: Dpop,
    /// Whether each proof of a key needs a nonce of the broker, so that none can be made ahead of its time. Costs clients a
    /// second request now and then.
    pub(super) dpop_nonce: bool,
    /// Issuers of tokens.
    pub(super) issuer: Vec<RawIssuer>,
}

/// An issuer of tokens. Its keys come from one of `jwks_uri`, `discovery`, `introspection`, `secret`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    /// The exact `iss` of its tokens. With Entra it may hold `{tenantid}`.
    pub(super) issuer: String,
    /// What `aud` must contain one of. Unset: our resource URLs.
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    /// Where its key set is.
    pub(super) jwks_uri: Option<String>,
    /// Finds the key set through the issuer's metadata. The default where no other source of keys is given.
    pub(super) discovery: Option<bool>,
    /// Asks the issuer about each token (RFC 7662).
    pub(super) introspection: Option<RawIntrospection>,
    /// The secret of HS256 tokens, 32 bytes or more.
    pub(super) secret: Option<RawSecret>,
    /// Accepted algorithms. Unset: `RS256`, `ES256`; with a secret `HS256`.
    pub(super) algorithms: Option<Vec<TokenAlg>>,
    /// Accepted `typ` headers, without case.
    #[serde(default = "token_types")]
    pub(super) token_types: Vec<String>,
    /// Claims whose union is the scope; each a text or a list.
    #[serde(default = "scope_claims")]
    pub(super) scope_claims: Vec<String>,
    /// How far its clock may be off.
    #[serde(default = "skew_seconds")]
    #[schemars(range(max = 120))]
    pub(super) skew_seconds: u32,
    /// Its tokens are Entra's: the caller is tenant and object id. Unset: whether the issuer is one of Entra's.
    pub(super) entra: Option<bool>,
    /// Entra tenants that are let in. `{tenantid}` requires at least one.
    #[serde(default)]
    pub(super) tenants: Vec<String>,
    /// Tokens that are no JWTs are this issuer's. Unset: true with introspection.
    pub(super) opaque_tokens: Option<bool>,
}

fn token_types() -> Vec<String> {
    ["at+jwt", "JWT"].map(str::to_owned).to_vec()
}

fn scope_claims() -> Vec<String> {
    ["scope", "scp", "scopes", "mcp_tool_scopes"].map(str::to_owned).to_vec()
}

const fn skew_seconds() -> u32 {
    30
}

/// Where and as whom an issuer is asked about a token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIntrospection {
    /// Its introspection endpoint.
    pub(super) url: String,
    /// Our client there.
    pub(super) client_id: String,
    /// Our secret there.
    pub(super) client_secret: RawSecret,
}

/// Audiences of tokens for Microsoft Graph: accepting one would make us a confused deputy.
const GRAPH_AUDIENCES: [&str; 3] = [
    "00000003-0000-0000-c000-000000000000",
    "https://graph.microsoft.com",
    "https://graph.microsoft.com/",
];

/// Hosts that issue Entra's tokens.
const ENTRA_HOSTS: [&str; 5] = [
    "login.microsoftonline.com",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
];

impl RawResourceServer {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> ResourceServer {
        let list = at.name("issuer");
        to.distinct(&list, "issuer", self.issuer.iter().map(|issuer| issuer.issuer.as_str()));
        let issuers = parse_each(self.issuer, &list, to, RawIssuer::parse);
        let mut opaque = issuers.iter().filter(|issuer| issuer.opaque_tokens);
        if let (Some(first), Some(second)) = (opaque.next(), opaque.next()) {
            let problem = format!("{} and {} both take opaque tokens", first.issuer, second.issuer);
            to.add(
                Finding::error(FindingCode::Conflict, &list, problem)
                    .hint("set opaque_tokens = false for one"),
            );
        }
        ResourceServer { issuers, dpop: self.dpop, dpop_nonce: self.dpop_nonce }
    }
}

impl RawIssuer {
    fn parse(mut self, at: &Key, to: &mut Checker<'_>) -> Option<Issuer> {
        let issuer: Option<IssuerId> =
            to.parse(&at.name("issuer"), &self.issuer, "the exact `iss`, 1 to 512 characters");
        let keys = self.keys(at, to);
        let opaque_tokens =
            self.opaque_tokens.unwrap_or(matches!(keys, Some(IssuerKeys::Introspection(_))));
        let algorithms = keys.as_ref().map(|keys| self.algorithms(keys, at, to));
        self.check_audiences(at, to);
        let entra = self.entra.unwrap_or_else(|| is_entra(&self.issuer));
        let tenants = to.parse_all(&at.name("tenants"), &self.tenants, "a tenant's GUID");
        if self.issuer.contains("{tenantid}") && tenants.is_empty() {
            let problem = "is empty: {tenantid} in the issuer would let every tenant in";
            to.add(
                Finding::error(FindingCode::Missing, &at.name("tenants"), problem)
                    .allowed("GUIDs of tenants"),
            );
        }
        self.check_token_types(at, to);
        if self.token_types.is_empty() {
            let finding = Finding::error(FindingCode::Missing, &at.name("token_types"), "is empty");
            to.add(finding.allowed("at+jwt, or JWT for Entra and Okta"));
        }
        let keys = keys?;
        if opaque_tokens && !matches!(keys, IssuerKeys::Introspection(_)) {
            let problem = "needs introspection: nobody else can say what an opaque token is";
            to.add(Finding::error(FindingCode::Conflict, &at.name("opaque_tokens"), problem));
        }
        Some(Issuer {
            issuer: issuer?,
            audiences: self.audiences,
            keys,
            algorithms: algorithms?,
            token_types: self.token_types,
            scope_claims: self.scope_claims,
            skew: Duration::from_secs(self.skew_seconds.into()),
            entra,
            tenants,
            opaque_tokens,
        })
    }

    fn keys(&mut self, at: &Key, to: &mut Checker<'_>) -> Option<IssuerKeys> {
        let mut given = Vec::new();
        if let Some(text) = self.jwks_uri.take() {
            given.push((
                "jwks_uri",
                to.endpoint(&at.name("jwks_uri"), &text).map(IssuerKeys::JwksUri),
            ));
        }
        if let Some(raw) = self.introspection.take() {
            given.push(("introspection", raw.parse(&at.name("introspection"), to)));
        }
        if let Some(raw) = self.secret.take() {
            let key = at.name("secret");
            let source = to.secret(&key, &raw);
            if let Some(source) = &source {
                to.shared_secret(&key, source);
            }
            given.push(("secret", source.map(IssuerKeys::Secret)));
        }
        if self.discovery == Some(true) || (given.is_empty() && self.discovery.is_none()) {
            let found =
                to.endpoint(&at.name("issuer"), &self.issuer.replace("{tenantid}", "common"));
            given.push(("discovery", found.map(|_| IssuerKeys::Discovery)));
        }
        to.one_of(at, given, "jwks_uri, discovery, introspection, secret").flatten()
    }

    /// Never both kinds for one issuer: a public key must not become an HMAC secret (RFC 8725 §2.1).
    fn algorithms(&self, keys: &IssuerKeys, at: &Key, to: &mut Checker<'_>) -> Vec<TokenAlg> {
        let key = at.name("algorithms");
        let shared = matches!(keys, IssuerKeys::Secret(_));
        let default =
            || if shared { vec![TokenAlg::HS256] } else { vec![TokenAlg::RS256, TokenAlg::ES256] };
        let algorithms = self.algorithms.clone().unwrap_or_else(default);
        if algorithms.is_empty() {
            to.add(Finding::error(
                FindingCode::Missing,
                &key,
                "is empty: every token would be refused",
            ));
        } else if algorithms.iter().any(|alg| (*alg == TokenAlg::HS256) != shared) {
            let problem = "does not fit the keys: HS256 goes with `secret`, and nothing else does";
            to.add(Finding::error(FindingCode::Conflict, &key, problem));
        }
        algorithms
    }

    /// No token could have them.
    fn check_token_types(&self, at: &Key, to: &mut Checker<'_>) {
        // RFC 7515 §4.1.9, RFC 9110 §5.6.2.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
        for (place, name) in self.token_types.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(plain) {
                let key = to.item(&at.name("token_types"), place);
                to.refuse(&key, name, "is no media type", "at+jwt, or JWT for Entra and Okta");
            }
        }
    }

    fn check_audiences(&self, at: &Key, to: &mut Checker<'_>) {
        for (place, audience) in self.audiences.iter().enumerate() {
            if audience.is_empty()
                || audience.trim() != audience
                || audience.contains(char::is_control)
            {
                let key = to.item(&at.name("audiences"), place);
                let problem = "is empty, or has white space around it or a control character in it";
                to.refuse(&key, audience, problem, "the exact `aud` of its tokens");
            }
            if GRAPH_AUDIENCES.contains(&audience.as_str()) {
                let key = to.item(&at.name("audiences"), place);
                to.refuse(
                    &key,
                    audience,
                    "is Microsoft Graph's own: such tokens are not for us",
                    "our own audience",
                );
            }
        }
    }
}

impl RawIntrospection {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<IssuerKeys> {
        let url = to.endpoint(&at.name("url"), &self.url);
        let client_id =
            to.parse(&at.name("client_id"), &self.client_id, "a client id of 1 to 512 characters");
        let client_secret = to.secret(&at.name("client_secret"), &self.client_secret);
        Some(IssuerKeys::Introspection(Introspection {
            url: url?,
            client_id: client_id?,
            client_secret: client_secret?,
        }))
    }
}

fn is_entra(issuer: &str) -> bool {
    Url::parse(issuer)
        .is_ok_and(|url| url.host_str().is_some_and(|host| ENTRA_HOSTS.contains(&host)))
}
