//! `[store]`: where keys, clients and grants live.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::deployment::Deployment;
use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

/// `[store]`, parsed.
#[derive(Clone, Debug)]
pub struct Store {
    pub url: StoreUrl,
    /// Seals signing keys and stored credentials: 32 bytes in base64.
    pub key_encryption_key: Option<SecretSource>,
    /// The one before it, until `broker store rekey` has sealed everything anew.
    pub previous_key_encryption_key: Option<SecretSource>,
    pub replicas: u32,
}

/// Which database.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `sqlite:path`, relative to the working directory.
    Sqlite(PathBuf),
    /// `postgres://…` as written: it may hold a password.
    Postgres(SecretText),
}

/// Where keys, clients and grants are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    /// `sqlite:path` (made with mode 0600 in a directory with 0700) or `postgres://user@host/database`.
    pub(super) url: String,
    /// Seals signing keys and stored credentials at rest: 32 bytes in base64. prod requires it.
    pub(super) key_encryption_key: Option<RawSecret>,
    /// While the key is replaced: the one before it, which opens what is not sealed anew yet. `broker store rekey` says when it
    /// can go.
    pub(super) previous_key_encryption_key: Option<RawSecret>,
    /// How many brokers share this store. More than one needs `PostgreSQL`.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) replicas: u32,
}

impl Default for RawStore {
    fn default() -> Self {
        Self {
            url: "sqlite:broker-data/broker.db".to_owned(),
            key_encryption_key: None,
            previous_key_encryption_key: None,
            replicas: 1,
        }
    }
}

const URL: &str = "sqlite:path or postgres://user@host/database";

impl RawStore {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Store {
        let mut encryption_key = |name, raw: Option<RawSecret>| {
            let key = at.name(name);
            let source = to.secret_of_the_start(&key, &raw?)?;
            to.encryption_key(&key, &source);
            if matches!(source, SecretSource::Ref(SecretRef::Env(_))) {
                to.not_for_the_environment(&key);
            }
            Some(source)
        };
        let key_encryption_key = encryption_key("key_encryption_key", self.key_encryption_key);
        let previous = self.previous_key_encryption_key;
        let previous_key_encryption_key = encryption_key("previous_key_encryption_key", previous);
        let store = Store {
            url: url(&at.name("url"), &self.url, to),
            key_encryption_key,
            previous_key_encryption_key,
            replicas: self.replicas,
        };
        store.check(at, to);
        store
    }
}

const MAKE_ONE: &str =
    "openssl rand -base64 32 > kek, then key_encryption_key = \"file:/path/to/kek\"";

impl Store {
    fn check(&self, at: &Key, to: &mut Checker<'_>) {
        let postgres = matches!(self.url, StoreUrl::Postgres(_));
        if self.key_encryption_key.is_none() && postgres && to.deployment == Deployment::Dev {
            let problem = "is not set: each replica makes one of its own, and only the first one can read the keys";
            let key = at.name("key_encryption_key");
            let finding = if self.replicas > 1 {
                Finding::error(FindingCode::Missing, &key, problem)
            } else {
                Finding::warning(FindingCode::Missing, &key, problem)
            };
            to.add(finding.hint(MAKE_ONE));
        } else if self.key_encryption_key.is_none() {
            let problem = "is not set: signing keys would lie in the store unencrypted";
            let finding =
                Finding::error(FindingCode::Missing, &at.name("key_encryption_key"), problem);
            to.weak(finding.hint(MAKE_ONE));
        }
        if self.replicas > 1 && matches!(self.url, StoreUrl::Sqlite(_)) {
            let problem = format!("is {} on SQLite, which one process can use", self.replicas);
            let finding = Finding::error(FindingCode::Conflict, &at.name("replicas"), problem);
            to.weak(finding.allowed("1 on SQLite").hint("set store.url to a postgres:// URL"));
        }
    }
}

fn url(key: &Key, text: &str, to: &mut Checker<'_>) -> StoreUrl {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() && path != ":memory:" => {
            return StoreUrl::Sqlite(to.directory.join(path));
        }
        Some(("postgres" | "postgresql", _))
            if url::Url::parse(text).is_ok_and(|url| url.has_host()) =>
        {
            if holds_a_password(text) && to.origin(key).is_exposed() {
                let problem = "holds a password in the clear";
                let hint =
                    "set MCP_AUTH_BROKER_STORE__URL or MCP_AUTH_BROKER_STORE__URL_FILE instead";
                to.weak(Finding::error(FindingCode::Weak, key, problem).hint(hint));
            }
            return StoreUrl::Postgres(SecretText::new(text.to_owned()));
        }
        _ => to.refuse(key, text, "names no database this broker knows", URL),
    }
    StoreUrl::Sqlite(to.directory.join("broker-data/broker.db"))
}

/// In the one place of a URL or in the other that sqlx reads.
fn holds_a_password(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        let mut keys = url.query_pairs().map(|(key, _)| key.into_owned());
        url.password().is_some() || keys.any(|key| key.ends_with("password"))
    })
}
