//! `[secrets]`: the backends that secrets are read from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::{Backends, Checker};
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::secret_ref::SecretRef;

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

/// Where Kubernetes mounts a pod's own token.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl RawSecrets {
    pub(super) fn backends(&self) -> Backends {
        Backends {
            one_password: self.provider != RawSecretProvider::None,
            vault: self.vault.is_some(),
            exec: self.exec.keys().cloned().collect(),
        }
    }

    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Secrets {
        Secrets {
            one_password: self.onepassword.parse(self.provider, &at.name("onepassword"), to),
            cache: Duration::from_secs(self.cache_seconds.into()),
            timeout: Duration::from_millis(self.timeout_ms.into()),
            vault: self.vault.and_then(|vault| vault.parse(&at.name("vault"), to)),
            exec: self
                .exec
                .into_iter()
                .filter_map(|(name, raw)| exec(name, raw, &at.name("exec"), to))
                .collect(),
        }
    }
}

impl RawOnePassword {
    fn parse(self, provider: RawSecretProvider, at: &Key, to: &mut Checker<'_>) -> OnePassword {
        let token_key = at.name("service_account_token");
        let service_token =
            self.service_account_token.and_then(|raw| to.own_secret(&token_key, &raw));
        let connect_key = at.name("connect_token");
        let connect_token = self.connect_token.and_then(|raw| to.own_secret(&connect_key, &raw));
        let url_key = at.name("connect_url");
        let url = self.connect_url.and_then(|text| to.endpoint(&url_key, &text));
        let parsed = match provider {
            RawSecretProvider::None => Some(OnePassword::None),
            RawSecretProvider::Cli => {
                absolute(&at.name("op_path"), &self.op_path.to_string_lossy(), to);
                require(
                    service_token.is_some(),
                    &token_key,
                    "the service account's token, ops_…; or OP_SERVICE_ACCOUNT_TOKEN",
                    to,
                );
                // The program runs with another working directory.
                let beside = to.directory.join(&self.op_config_dir);
                let config_dir = std::path::absolute(&beside).unwrap_or(beside);
                service_token.map(|token| OnePassword::Cli {
                    op_path: self.op_path,
                    token,
                    config_dir,
                })
            }
            RawSecretProvider::Connect => {
                require(url.is_some(), &url_key, "where the Connect server is", to);
                require(connect_token.is_some(), &connect_key, "env:NAME or file:/path", to);
                url.zip(connect_token).map(|(url, token)| OnePassword::Connect { url, token })
            }
        };
        parsed.unwrap_or(OnePassword::None)
    }
}

fn require(given: bool, key: &Key, allowed: &str, to: &mut Checker<'_>) {
    if !given {
        let finding =
            Finding::error(FindingCode::Missing, key, "is missing, and secrets.provider needs it");
        to.add(finding.allowed(allowed));
    }
}

fn absolute(key: &Key, path: &str, to: &mut Checker<'_>) {
    if !std::path::Path::new(path).is_absolute() {
        to.refuse(key, path, "is not an absolute path", "a program such as /usr/local/bin/op");
    }
}

impl RawVault {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<Vault> {
        let address = to.endpoint(&at.name("address"), &self.address);
        let auth = self.auth.parse(&at.name("auth"), to);
        Some(Vault { address: address?, namespace: self.namespace, auth: auth? })
    }
}

impl RawVaultAuth {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<VaultAuth> {
        let mut given = Vec::new();
        if let Some(raw) = self.token {
            given.push(("token", to.own_secret(&at.name("token"), &raw).map(VaultAuth::Token)));
        }
        if let Some(raw) = self.approle {
            let key = at.name("approle");
            let secret_id = to.own_secret(&key.name("secret_id"), &raw.secret_id);
            let mount = mount(raw.mount, "approle", &key, to);
            let auth = |secret_id| VaultAuth::AppRole { mount, role_id: raw.role_id, secret_id };
            given.push(("approle", secret_id.map(auth)));
        }
        if let Some(raw) = self.kubernetes {
            let pod = SecretSource::Ref(SecretRef::File(SERVICE_ACCOUNT_TOKEN.into()));
            given.push((
                "kubernetes",
                raw.parse("kubernetes", Some(pod), &at.name("kubernetes"), to),
            ));
        }
        if let Some(raw) = self.jwt {
            given.push(("jwt", raw.parse("jwt", None, &at.name("jwt"), to)));
        }
        to.one_of(at, given, "token, approle, kubernetes, jwt").flatten()
    }
}

impl RawVaultJwt {
    fn parse(
        self,
        name: &str,
        default: Option<SecretSource>,
        at: &Key,
        to: &mut Checker<'_>,
    ) -> Option<VaultAuth> {
        let key = at.name("jwt");
        let jwt = match self.jwt {
            Some(raw) => to.own_secret(&key, &raw),
            None => default,
        };
        if jwt.is_none() {
            let finding = Finding::error(FindingCode::Missing, &key, "is missing");
            to.add(finding.allowed("env:NAME or file:/path"));
        }
        let mount = mount(self.mount, name, at, to);
        Some(VaultAuth::Jwt { mount, role: self.role, jwt: jwt? })
    }
}

fn mount(text: Option<String>, default: &str, at: &Key, to: &mut Checker<'_>) -> String {
    let text = text.unwrap_or_else(|| default.to_owned());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let segment =
        |part: &str| !part.is_empty() && !matches!(part, "." | "..") && part.bytes().all(plain);
    if !text.split('/').all(segment) {
        to.refuse(
            &at.name("mount"),
            &text,
            "is no plain path",
            "the path under auth/, such as approle",
        );
    }
    text
}

fn exec(name: String, raw: RawExec, at: &Key, to: &mut Checker<'_>) -> Option<(String, Exec)> {
    let key = at.name(&name).name("command");
    let Some(program) = raw.command.first() else {
        to.add(
            Finding::error(FindingCode::Missing, &key, "is empty")
                .allowed("a program and its arguments"),
        );
        return None;
    };
    absolute(&to.item(&key, 0), program, to);
    Some((name, Exec { command: raw.command }))
}
