//! `[secrets]`: the backends that secrets are read from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret_source::{RawSecret, SecretSource};

/// `[secrets]`, parsed.
#[derive(Clone, Debug)]
pub struct Secrets {
    pub one_password: OnePassword,
    /// Zero keeps nothing.
    pub cache: Duration,
    /// One attempt at a backend.
    pub timeout: Duration,
    pub vault: Option<Vault>,
    pub exec: BTreeMap<String, Exec>,
}

/// Who resolves `op://`.
#[derive(Clone, Debug)]
pub enum OnePassword {
    None,
    /// The `op` command line with a service-account token.
    Cli {
        op_path: PathBuf,
        token: SecretSource,
        config_dir: PathBuf,
    },
    Connect {
        url: Url,
        token: SecretSource,
    },
}

/// `HashiCorp` Vault or `OpenBao`, KV version 2.
#[derive(Clone, Debug)]
pub struct Vault {
    pub address: Url,
    pub namespace: Option<String>,
    pub auth: VaultAuth,
}

/// How we log in to Vault. `mount` is the path under `auth/`.
#[derive(Clone, Debug)]
pub enum VaultAuth {
    Token(SecretSource),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: SecretSource,
    },
    /// Kubernetes and JWT logins are the same request.
    Jwt {
        mount: String,
        role: String,
        jwt: SecretSource,
    },
}

/// `[secrets.exec.<name>]`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program, absolute, and its first arguments.
    pub command: Vec<String>,
}

/// The backends that secrets are read from. `env:`, `file:`, `vault:` and `exec:` name their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSecrets {
    /// Who resolves `op://`.
    pub(super) provider: RawSecretProvider,
    /// How long a secret of a remote backend is kept in memory. 0 keeps none.
    #[schemars(range(max = 86_400))]
    pub(super) cache_seconds: u32,
    /// One attempt at a backend.
    #[schemars(range(min = 1, max = 60_000))]
    pub(super) timeout_ms: u32,
    /// 1Password.
    pub(super) onepassword: RawOnePassword,
    /// Vault or `OpenBao`, KV version 2. Unset: `vault:` references are refused.
    pub(super) vault: Option<RawVault>,
    /// Helper programs: `exec:sops/path` runs the helper `sops`.
    pub(super) exec: BTreeMap<String, RawExec>,
}

impl Default for RawSecrets {
    fn default() -> Self {
        Self {
            provider: RawSecretProvider::None,
            cache_seconds: 900,
            timeout_ms: 5_000,
            onepassword: RawOnePassword::default(),
            vault: None,
            exec: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(super) enum RawSecretProvider {
    #[serde(rename = "none")]
    None,
    #[serde(rename = "1password")]
    Cli,
    #[serde(rename = "1password-connect")]
    Connect,
}

/// 1Password, through the `op` command line or a Connect server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawOnePassword {
    /// The `op` program, absolute.
    pub(super) op_path: PathBuf,
    /// A directory for `op` alone, made with mode 0700.
    pub(super) op_config_dir: PathBuf,
    /// The service account's token. Unset: `OP_SERVICE_ACCOUNT_TOKEN`.
    pub(super) service_account_token: Option<RawSecret>,
    /// Where the Connect server is.
    pub(super) connect_url: Option<String>,
    /// The token for the Connect server.
    pub(super) connect_token: Option<RawSecret>,
}

impl Default for RawOnePassword {
    fn default() -> Self {
        Self {
            op_path: "/usr/local/bin/op".into(),
            op_config_dir: "broker-data/op".into(),
            service_account_token: None,
            connect_url: None,
            connect_token: None,
        }
    }
}

/// A Vault or `OpenBao` server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVault {
    /// Where it is.
    pub(super) address: String,
    /// Sent as `X-Vault-Namespace`.
    pub(super) namespace: Option<String>,
    /// How the broker logs in.
    pub(super) auth: RawVaultAuth,
}

/// One of: `token`, `approle`, `kubernetes`, `jwt`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawVaultAuth {
    /// A token that somebody else made. Never renewed by the broker.
    pub(super) token: Option<RawSecret>,
    /// An `AppRole` login.
    pub(super) approle: Option<RawAppRole>,
    /// A login with the pod's service account.
    pub(super) kubernetes: Option<RawVaultJwt>,
    /// A login with a signed token.
    pub(super) jwt: Option<RawVaultJwt>,
}

/// An `AppRole` login.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAppRole {
    /// The role's id.
    pub(super) role_id: String,
    /// Its secret id.
    pub(super) secret_id: RawSecret,
    /// The path under `auth/`. Unset: `approle`.
    pub(super) mount: Option<String>,
}

/// A login with a signed token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVaultJwt {
    /// The role to log in as.
    pub(super) role: String,
    /// The token. Unset for `kubernetes`: the file that Kubernetes mounts into every pod.
    pub(super) jwt: Option<RawSecret>,
    /// The path under `auth/`. Unset: `kubernetes` or `jwt`.
    pub(super) mount: Option<String>,
}

/// A helper program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExec {
    /// The program, absolute, and its first arguments. No shell; JSON on stdout.
    pub(super) command: Vec<String>,
}
