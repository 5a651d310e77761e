//! `[graph]`: Microsoft Graph, and the credentials we act with.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret_source::{RawSecret, SecretSource};
use crate::id::{Permission, ProfileName, TenantId};

/// `[graph]`, parsed.
#[derive(Clone, Debug)]
pub struct Graph {
    pub mode: GraphMode,
    pub cloud: Cloud,
    /// Origins that a call may name in `graph.resource`. `None`: that of the cloud alone.
    pub allowed_resources: Option<Vec<String>>,
    /// `None`: the union of what the policy's rules name.
    pub allowed_permissions: Option<Vec<Permission>>,
    /// Permissions that the flat name `MCP_AUTH_BROKER_ALLOWED_SCOPES` grants; each compiles to a policy rule.
    pub flat_permissions: Vec<Permission>,
    pub max_response_bytes: usize,
    /// The whole call, retries and waits included; also the largest `timeout_ms` of a caller.
    pub timeout: Duration,
    /// One attempt at Graph.
    pub attempt_timeout: Duration,
    pub token_skew: Duration,
    pub token_max_ttl: Duration,
    pub token_timeout: Duration,
    pub profiles: Vec<GraphProfile>,
}

/// Whether Graph is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GraphMode {
    Live,
    /// A small server built into the binary.
    Simulated,
}

/// Which of Microsoft's clouds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    Global,
    UsGov,
    UsGovDod,
    China,
    Custom(CustomCloud),
}

/// `[graph.custom_cloud]`, parsed: origins, https unless on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomCloud {
    pub login_url: Url,
    pub graph_url: Url,
    pub resource: Option<Url>,
}

/// One app registration.
#[derive(Clone, Debug)]
pub struct GraphProfile {
    pub name: ProfileName,
    pub tenant_id: TenantId,
    /// Empty only for a managed identity that the platform assigned.
    pub client_id: String,
    pub credential: GraphCredential,
}

/// How the app registration proves itself.
#[derive(Clone, Debug)]
pub enum GraphCredential {
    ClientSecret(SecretSource),
    Certificate { certificate: PathBuf, private_key: SecretSource, send_chain: bool },
    FederatedTokenFile(PathBuf),
    ManagedIdentity,
}

/// Microsoft Graph, and the credentials the broker acts with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGraph {
    /// `live` calls Microsoft; `simulated` answers from a small Graph built into the binary, which prod
    /// refuses. Unset: simulated in dev, live elsewhere.
    pub(super) mode: Option<GraphMode>,
    /// Which cloud.
    pub(super) cloud: RawCloud,
    /// The cloud where `cloud = "custom"`.
    pub(super) custom_cloud: Option<RawCustomCloud>,
    /// Origins that a call may name in `graph.resource`. Unset: that of the cloud alone.
    pub(super) allowed_resources: Option<Vec<String>>,
    /// The most that rules may use, such as `User.Read.All`. Unset: the union of what the rules name.
    pub(super) allowed_permissions: Option<Vec<String>>,
    /// The largest answer that is passed on.
    #[schemars(range(min = 1024, max = 104_857_600))]
    pub(super) max_response_bytes: u32,
    /// The whole call, retries and waits included; a caller may ask for less.
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) timeout_ms: u32,
    /// One attempt at Graph.
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) attempt_timeout_ms: u32,
    /// How long before its end a provider token is no longer used.
    #[schemars(range(max = 600))]
    pub(super) token_skew_seconds: u32,
    /// The longest that a provider token is used, whatever its own lifetime.
    #[schemars(range(min = 60, max = 86_400))]
    pub(super) token_max_ttl_seconds: u32,
    /// One attempt at the token endpoint.
    #[schemars(range(min = 1, max = 600_000))]
    pub(super) token_timeout_ms: u32,
    /// App registrations. Policy rules name them by `name`.
    pub(super) profile: Vec<RawProfile>,
}

impl Default for RawGraph {
    fn default() -> Self {
        Self {
            mode: None,
            cloud: RawCloud::Global,
            custom_cloud: None,
            allowed_resources: None,
            allowed_permissions: None,
            max_response_bytes: 262_144,
            timeout_ms: 10_000,
            attempt_timeout_ms: 4_000,
            token_skew_seconds: 60,
            token_max_ttl_seconds: 3_000,
            token_timeout_ms: 3_000,
            profile: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawCloud {
    Global,
    UsGov,
    UsGovDod,
    China,
    Custom,
}

/// A cloud that has no name here, or a stand-in. `http` on loopback only, and never in prod.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCustomCloud {
    /// The origin that issues tokens.
    pub(super) login_url: String,
    /// The origin that is called.
    pub(super) graph_url: String,
    /// What tokens are for: the wire scope is `{resource}/.default`. Unset: `graph_url`.
    pub(super) resource: Option<String>,
}

/// An app registration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    /// How policy rules call it.
    #[serde(default = "default_name")]
    pub(super) name: String,
    /// The tenant: its GUID or a domain name.
    pub(super) tenant_id: String,
    /// The app's client id. May be left out for a managed identity that the platform assigned.
    #[serde(default)]
    pub(super) client_id: String,
    /// How the app proves itself.
    pub(super) credential: RawGraphCredential,
}

fn default_name() -> String {
    "default".to_owned()
}

/// One of: `client_secret`; `certificate` with `private_key`; `federated_token_file`; `managed_identity`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGraphCredential {
    /// The client secret.
    pub(super) client_secret: Option<RawSecret>,
    /// File with the certificate chain, PEM.
    pub(super) certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub(super) private_key: Option<RawSecret>,
    /// Sends the whole chain (`x5c`), for subject name and issuer authentication.
    pub(super) send_chain: bool,
    /// File with a token that somebody else signs for us, such as a projected Kubernetes token.
    pub(super) federated_token_file: Option<PathBuf>,
    /// Asks the platform.
    pub(super) managed_identity: bool,
}
