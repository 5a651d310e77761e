//! `[authorization_server]`: our own tokens, and who may get them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret_source::{RawSecret, SecretSource};
use crate::id::ClientId;
use crate::scope::Scope;

/// `[authorization_server]`, parsed.
#[derive(Clone, Debug)]
pub struct AuthorizationServer {
    pub enabled: bool,
    pub signing_alg: SigningAlg,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    pub code_ttl: Duration,
    pub dynamic_registration: DynamicRegistration,
    pub client_metadata_documents: ClientMetadataDocuments,
    /// Hosts whose client metadata documents are read where `client_metadata_documents` is `list`.
    pub client_metadata_hosts: Vec<String>,
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
}

/// Where people log in.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    /// Part of the callback's path: letters, digits, `-` and `_`.
    pub id: String,
    pub issuer: Url,
    pub client_id: ClientId,
    /// `None` for a public client.
    pub client_secret: Option<SecretSource>,
    pub scopes: Scope,
}

/// A client that is known from the settings.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    pub client_id: ClientId,
    pub secret: Option<SecretSource>,
    pub grants: Vec<GrantType>,
    pub scopes: Scope,
    pub redirect_uris: Vec<Url>,
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
            access_token_ttl_seconds: 3600,
            refresh_token_ttl_seconds: 2_592_000,
            code_ttl_seconds: 60,
            dynamic_registration: DynamicRegistration::default(),
            client_metadata_documents: ClientMetadataDocuments::default(),
            client_metadata_hosts: Vec::new(),
            identity_provider: Vec::new(),
            client: Vec::new(),
            default_scopes: None,
            administrators: RawAdministrators::default(),
        }
    }
}

/// An OpenID provider at which people log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentityProvider {
    /// A short name, part of the callback's path: letters, digits, `-` and `_`.
    pub(super) id: String,
    /// Its issuer, as its discovery document has it.
    pub(super) issuer: String,
    /// Our client there.
    pub(super) client_id: String,
    /// Our secret there. Unset: a public client.
    pub(super) client_secret: Option<RawSecret>,
    /// Scopes to ask for at login.
    #[serde(default = "login_scopes")]
    pub(super) scopes: Vec<String>,
}

fn login_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
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
