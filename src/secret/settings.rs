//! What this module is told: who answers which scheme, and for how long answers are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

/// `[secrets]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `secrets.provider`: who answers `op://`.
    pub one_password: OnePassword,
    /// `[secrets.vault]`: who answers `vault:`.
    pub vault: Option<VaultSettings>,
    /// `[secrets.exec.<name>]`: who answers `exec:<name>`.
    pub exec: BTreeMap<String, ExecSettings>,
    /// `secrets.cache_seconds`: how long a value of a remote backend is kept. Zero keeps nothing.
    pub cache: Duration,
    /// What one attempt may take.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            one_password: OnePassword::None,
            vault: None,
            exec: BTreeMap::new(),
            cache: Duration::from_mins(15),
            timeout: Duration::from_secs(5),
        }
    }
}

/// Who answers `op://`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnePassword {
    None,
    Cli(OnePasswordCliSettings),
    Connect(ConnectSettings),
}

/// A credential of ours: its text, or where it is. Only `env:` and `file:` references are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Text(SecretText),
    Reference(SecretRef),
}

/// `secrets.provider = "1password"`: the `op` command line with a service-account token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnePasswordCliSettings {
    /// `secrets.onepassword.op_path`, absolute.
    pub op_path: PathBuf,
    /// `OP_SERVICE_ACCOUNT_TOKEN`, `ops_…`.
    pub token: Credential,
    /// A directory for `op` alone. Made with mode 0700 when it does not exist.
    pub config_dir: PathBuf,
    /// `outbound.proxy`. It may hold a password.
    pub proxy: Option<SecretText>,
    /// `outbound.ca_file`.
    pub ca_file: Option<PathBuf>,
}

/// `secrets.provider = "1password-connect"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectSettings {
    /// `secrets.onepassword.connect_url`
    pub url: Url,
    /// `secrets.onepassword.connect_token`
    pub token: Credential,
}

/// `[secrets.vault]`: `HashiCorp` Vault or `OpenBao`, KV version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSettings {
    pub address: Url,
    pub auth: VaultAuth,
    /// Sent as `X-Vault-Namespace`.
    pub namespace: Option<String>,
}

/// How we log in to Vault. `mount` is the path under `auth/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAuth {
    /// A token made by somebody else. Never renewed by us.
    Token(Credential),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: Credential,
    },
    /// Kubernetes and JWT logins are the same request: a role and a signed token.
    Jwt {
        mount: String,
        role: String,
        jwt: Credential,
    },
}

/// `[secrets.exec.<name>]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program, absolute, and its first arguments. No shell looks at them.
    pub command: Vec<String>,
}

/// Why the settings cannot be used. All of it is configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "{key} is a reference to a backend that needs a credential itself\n  hint: use env:NAME or file:/path"
    )]
    OwnCredential { key: &'static str },
    #[error(
        "secrets.onepassword.op_path is not an absolute path\n  hint: command -v op says where it is"
    )]
    OpPath,
    #[error(
        "secrets.exec.{name}.command does not begin with an absolute path\n  hint: command = [\"/usr/local/bin/helper\"]"
    )]
    ExecPath { name: String },
    #[error(
        "{key} is not an http or https URL without user, password, query and fragment\n  hint: https://vault.internal:8200"
    )]
    Address { key: &'static str },
    #[error(
        "secrets.vault.auth: {key} is not a plain path\n  hint: letters, digits, `-`, `_`, `.` and `/`, as in auth/kubernetes"
    )]
    VaultMount { key: &'static str },
    #[error("secrets.vault.namespace is not plain text\n  hint: a path such as team-a/prod")]
    VaultNamespace,
    #[error("the timeout of a secret is zero\n  hint: secrets.timeout_ms is 1 or more")]
    Timeout,
}

/// A base URL that a path can be put behind.
pub(super) fn base_url(key: &'static str, url: Url) -> Result<Url, SettingsError> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(SettingsError::Address { key }) }
}
