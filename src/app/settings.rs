//! What the product is put together from: every setting that a part of it needs, already parsed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::audit::AuditSettings;
use crate::authorization_server::SigningAlgorithm;
use crate::graph::Cloud;
use crate::http::{Limits, TlsFiles, TrustedProxies};
use crate::id::{Permission, ProfileName, TenantId};
use crate::outbound::OutboundSettings;
use crate::resource_server::IssuerSettings;
use crate::scope::Scope;
use crate::secret;
use crate::secret_ref::SecretRef;
use crate::token::Credential;

/// `environment`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    Dev,
    Staging,
    Prod,
}

impl Environment {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }
}

/// Everything. Made from the settings file; a test may make one by hand.
#[derive(Clone, Debug)]
pub struct Settings {
    pub environment: Environment,
    pub server: Server,
    /// Where our own state is: today the signing keys.
    pub data_dir: PathBuf,
    pub signing_algorithm: SigningAlgorithm,
    /// What the 401 challenge and the resource metadata name.
    pub default_scopes: Scope,
    /// Issuers whose tokens are accepted beside our own.
    pub issuers: Vec<IssuerSettings>,
    pub sample_tools: bool,
    /// `None`: the two samples in the binary.
    pub documents: Option<PathBuf>,
    pub policy: PolicySource,
    pub graph: Graph,
    pub secrets: secret::Settings,
    /// The variables that `env:` references may name.
    pub variables: secret::Environment,
    pub outbound: OutboundSettings,
    pub audit: AuditSettings,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    /// Who we are to clients; our issuer. Never taken from a request.
    pub public_url: Url,
    pub tls: Option<TlsFiles>,
    pub trusted_proxies: TrustedProxies,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<Url>,
    pub max_body_bytes: usize,
    /// For a request's body to arrive.
    pub body_timeout: Duration,
    pub limits: Limits,
}

/// Where the rules are.
#[derive(Clone, Debug)]
pub enum PolicySource {
    /// The development rules; outside `dev` nothing is allowed then.
    BuiltIn,
    File {
        path: PathBuf,
        label: Option<String>,
    },
}

/// `[graph]`
#[derive(Clone, Debug)]
pub struct Graph {
    pub mode: GraphMode,
    /// The predecessor's `_ALLOWED_SCOPES`: each becomes one rule over the catalogue's operations.
    pub flat_permissions: Vec<Permission>,
    pub allowed_permissions: Option<Vec<Permission>>,
    /// The budget of a whole call, and the longest `timeout_ms` a caller may ask for.
    pub timeout: Duration,
    pub attempt_timeout: Duration,
    pub max_response_bytes: usize,
    pub tokens: crate::token::Settings,
    /// A `permissions.json` that `broker catalog import` took in.
    pub catalog: Option<PathBuf>,
}

/// `graph.mode`
#[derive(Clone, Debug)]
pub enum GraphMode {
    Simulated,
    Live {
        cloud: Cloud,
        /// Resources a call may name; empty: that of the cloud.
        allowed_resources: Vec<String>,
        profiles: Vec<Profile>,
    },
}

/// `[[graph.profile]]`
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: ProfileName,
    pub tenant: TenantId,
    pub client_id: String,
    pub credential: Credential,
    /// The client secret, or the private key of the certificate.
    pub secret: Option<SecretRef>,
}
