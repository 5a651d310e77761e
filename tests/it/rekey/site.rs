//! A store full of sealed values, and the brokers and commands on it.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use mcp_auth_broker::authorization_server::{
    KeyEncryptionKey, authenticator_context, provider_tokens_context, signing_key_context,
};
use mcp_auth_broker::connections::{account_context, client_context};
use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    AuthenticatorRow, Database, Digest, GivenTokens, ProviderLogin, SealedCount, SealedPlace,
    StoreSettings, UpstreamAccountRow, open, status,
};
use mcp_auth_broker::time::{Clock as _, SystemClock};

use crate::store::database;
use crate::store::rows::user;
use crate::support::child::{Served, command};

/// A store and the folder of the brokers on it.
pub(super) struct Site {
    directory: tempfile::TempDir,
    pub(super) url: String,
    /// How the first broker was reached, and every later one is called.
    authority: String,
}

pub(super) fn key(byte: u8) -> KeyEncryptionKey {
    KeyEncryptionKey::parse(&STANDARD.encode([byte; 32]).into()).unwrap()
}

pub(super) fn id(byte: u8) -> String {
    key(byte).ids().next().unwrap().to_owned()
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

impl Site {
    pub(super) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/data/broker.db", directory.path().display());
        Self { directory, url, authority: String::new() }
    }

    pub(super) fn postgres() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), url: database(), authority: String::new() }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `broker.toml` with these keys, for whoever starts from now on.
    pub(super) fn settings(&self, keys: &[u8]) -> String {
        let mut store = String::new();
        for (name, byte) in ["key_encryption_key", "previous_key_encryption_key"].iter().zip(keys) {
            let path = self.path().join(format!("kek-{byte}"));
            std::fs::write(&path, STANDARD.encode([*byte; 32])).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
            let line = format!("{name} = \"file:{}\"\n", path.display());
            store.push_str(&line);
        }
        let server = match self.authority.as_str() {
            "" => String::new(),
            known => format!(
                "[server]\npublic_url = \"http://{known}\"\nallowed_hosts = [\"127.0.0.1\"]\n"
            ),
        };
        let settings = format!("{server}[store]\n{store}");
        std::fs::write(self.path().join("broker.toml"), &settings).unwrap();
        settings
    }

    pub(super) async fn serves(&mut self, keys: &[u8]) -> Served {
        let settings = self.settings(keys);
        let served = Served::start_on(self.path(), &settings, &self.url).await;
        if self.authority.is_empty() {
            self.authority.clone_from(&served.authority);
        }
        served
    }

    pub(super) fn run(&self, keys: &[u8], arguments: &[&str]) -> Output {
        self.settings(keys);
        let store = format!("store.url={}", self.url);
        command(self.path(), &[&["--set", &store], arguments].concat())
    }

    pub(super) fn rekey(&self, keys: &[u8]) -> Output {
        self.run(keys, &["store", "rekey", "--wait", "0"])
    }

    pub(super) fn store_settings(&self) -> StoreSettings {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => StoreSettings::Sqlite(path.into()),
            None => StoreSettings::Postgres(self.url.clone().into()),
        }
    }

    pub(super) async fn store(&self) -> Arc<dyn Database> {
        open(&self.store_settings(), Arc::new(SystemClock)).await.unwrap()
    }

    pub(super) async fn sealed(&self) -> Vec<SealedCount> {
        status(&self.store_settings()).await.unwrap().sealed
    }

    pub(super) async fn rows_with(&self, byte: u8) -> u64 {
        let id = id(byte);
        self.sealed().await.iter().filter(|count| count.key_id == id).map(|count| count.rows).sum()
    }

    /// Somebody with an authenticator app, accounts at so many servers, and one that is over; all of it sealed with this key alone.
    pub(super) async fn filled(&self, byte: u8, accounts: usize) -> UserId {
        let (store, key) = (self.store().await, key(byte));
        let user_id = person(&*store).await;
        let context = authenticator_context(&user_id.to_string());
        let sealed = key.seal_text("the app's secret", &context).unwrap();
        let row =
            AuthenticatorRow { user_id, sealed, last_step: 1, confirmed_at: SystemClock.now() };
        assert!(store.add_authenticator(&row, &[Digest::of("a code")], None).await.unwrap());
        let sealed = key.seal_text("ours", &client_context("weather")).unwrap();
        store.put_upstream_client("weather", &sealed, SystemClock.now()).await.unwrap();
        let put = |number: usize| connected(&*store, &key, user_id, format!("{number:04}"));
        assert!(join_all((0..accounts).map(put)).await.into_iter().all(|done| done));
        // One that its person ended, whose tokens were not given back yet.
        assert!(connected(&*store, &key, user_id, "over".to_owned()).await);
        assert!(
            store.disconnect_upstream_account(user_id, "over", SystemClock.now()).await.unwrap()
        );
        user_id
    }

    /// They logged in at an identity provider, whose tokens are sealed with this key alone.
    pub(super) async fn logged_in_elsewhere(&self, byte: u8, user_id: UserId) {
        let issuer = "https://idp.example".to_owned();
        let context = provider_tokens_context(&user_id.to_string(), &issuer);
        let tokens = GivenTokens::New(key(byte).seal_text("the tokens", &context).unwrap());
        let login =
            ProviderLogin { user_id, issuer, provider: None, tokens, now: SystemClock.now() };
        assert!(self.store().await.put_provider_login(&login).await.unwrap());
    }

    /// How many values open with this key alone, and how many do not.
    pub(super) async fn opened(&self, byte: u8) -> (usize, usize) {
        let (store, key) = (self.store().await, key(byte));
        let (mut opened, mut closed) = (0, 0);
        for place in SealedPlace::ALL {
            let mut after = None;
            loop {
                let rows = store.sealed_rows(place, after.as_ref()).await.unwrap();
                let Some(last) = rows.last().cloned() else { break };
                for row in &rows {
                    let [first, second] = &row.of;
                    let context = match place {
                        SealedPlace::SigningKeys => signing_key_context(first, second),
                        SealedPlace::Authenticators => authenticator_context(first),
                        SealedPlace::UpstreamAccounts => account_context(first, second),
                        SealedPlace::EndedAccounts => {
                            account_context(first, second.split_once(' ').unwrap().0)
                        }
                        SealedPlace::ProviderTokens => provider_tokens_context(first, second),
                        SealedPlace::UpstreamClients => client_context(first),
                        SealedPlace::Approvals => "approval arguments".to_owned(),
                    };
                    // A signing key is no text: that it opens is told by who uses it.
                    let opens = match place {
                        SealedPlace::SigningKeys => row.sealed.contains(&id(byte)),
                        _ => key.open_text(&row.sealed, &context).is_some(),
                    };
                    if opens { opened += 1 } else { closed += 1 }
                }
                after = Some(last);
            }
        }
        (opened, closed)
    }
}

pub(super) async fn person(store: &dyn Database) -> UserId {
    let row = user("ada");
    assert!(store.add_user(&row).await.unwrap());
    row.id
}

pub(super) async fn connected(
    store: &dyn Database,
    key: &KeyEncryptionKey,
    user_id: UserId,
    server: String,
) -> bool {
    let context = account_context(&user_id.to_string(), &server);
    let sealed = key.seal_text("tokens", &context).unwrap();
    let connected_at = SystemClock.now();
    let row = UpstreamAccountRow { user_id, server, sealed, version: 0, connected_at };
    store.put_upstream_account(&row).await.unwrap()
}
