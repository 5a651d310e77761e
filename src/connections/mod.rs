//! People's own accounts at servers behind us: connected by their consent, kept sealed, renewed, ended.
//!
//! The pages connect and end them, calls use them. A person's tokens are never shown to anybody, and go to the server
//! and its authorization server alone.

mod connecting;
mod ended;
mod kept;
mod servers;
mod tokens;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::id::UserId;
use crate::oauth_client::{ClientIdentity, Forced, Registered, Unusable};
use crate::random::Random;
use crate::store::{StoreError, UpstreamAccountRow, UpstreamAccountStore};
use crate::time::{Clock, Timestamp};

pub use connecting::{Begun, Pending};
pub use kept::account_context;
pub use servers::{Explicit, ServerSettings};

/// Seals a text, or opens one. `None`: it cannot be.
pub type Seal = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// Why an account cannot be connected or used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("people connect no accounts at this server")]
    NoServer,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("what is kept of it cannot be sealed or opened with this key-encryption key")]
    Sealed,
}

/// What [`Connections`] is made of.
pub struct Parts {
    pub store: Arc<dyn UpstreamAccountStore>,
    /// Text and context to what is kept, and back.
    pub seal: Seal,
    pub open: Seal,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Who we are where nobody registered us; of its redirect URIs each server has one.
    pub identity: ClientIdentity,
    /// Where people connect accounts: a page of ours.
    pub page: Arc<str>,
    pub servers: Vec<ServerSettings>,
}

/// All accounts, of everybody, at all servers. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// Servers that come and go while we run, beside those of `parts`.
    registered: RwLock<Arc<[ServerSettings]>>,
    /// What was found out about each server, and until when it counts (monotonic).
    known: Mutex<HashMap<String, servers::Known>>,
    /// Who renews which tokens in this process: the others wait.
    renewing: tokens::Renewing,
    /// They end whether or not somebody still waits for them.
    under_way: TaskTracker,
    /// Whose tokens servers refused lately.
    forced: Forced<(UserId, String)>,
}

/// One account, as its person is shown it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The server's id.
    pub server: String,
    /// `None`: not connected.
    pub since: Option<Timestamp>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.0.parts).finish()
    }
}

/// What the client of ours that is registered at a server's authorization server opens as.
#[must_use]
pub fn client_context(server: &str) -> String {
    format!("upstream client {server}")
}

impl Connections {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (known, renewing) = (Mutex::default(), tokens::Renewing::new());
        let (forced, under_way) = (Forced::new(), TaskTracker::new());
        let registered = RwLock::new(Arc::new([]) as Arc<[ServerSettings]>);
        Self(Arc::new(Inner { parts, registered, known, renewing, under_way, forced }))
    }

    /// Who we are, for those who read our metadata document.
    #[must_use]
    pub fn identity(&self) -> ClientIdentity {
        let mut identity = self.0.parts.identity.clone();
        let registered = self.come_and_go();
        identity.redirect_uris.extend(registered.iter().map(|server| server.redirect_uri.clone()));
        identity
    }

    /// From now on people connect accounts at these, too, and at no others that were not there from the start. Accounts at one that is gone
    /// stay, for when it comes back to where it was.
    pub fn replace(&self, servers: Vec<ServerSettings>) {
        *self.0.registered.write().unwrap_or_else(PoisonError::into_inner) = servers.into();
    }

    fn come_and_go(&self) -> Arc<[ServerSettings]> {
        Arc::clone(&self.0.registered.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where people connect accounts.
    #[must_use]
    pub fn page(&self) -> &Arc<str> {
        &self.0.parts.page
    }

    /// Every server that people connect accounts at, and since when this person has.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Store`]
    pub async fn list(&self, user_id: UserId) -> Result<Vec<Account>, ConnectionError> {
        let rows = self.0.parts.store.list_upstream_accounts(user_id).await?;
        let since = |id: &str| rows.iter().find(|row| row.server == id).map(|row| row.connected_at);
        let registered = self.come_and_go();
        let servers = self.0.parts.servers.iter().chain(&*registered);
        Ok(servers
            .map(|server| Account { server: server.id.clone(), since: since(&server.id) })
            .collect())
    }

    /// Ends an account: its tokens are deleted here, and given back to the authorization server within seconds as far as that
    /// takes them (RFC 7009), later where it is away. `false` where there was none. Nobody is asked meanwhile: it is done
    /// whether or not the person's browser waits.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Store`]
    pub async fn end(&self, user_id: UserId, server: &str) -> Result<bool, ConnectionError> {
        let (store, now) = (&self.0.parts.store, self.0.parts.clock.now());
        Ok(store.disconnect_upstream_account(user_id, server, now).await?)
    }

    /// Once: there is nobody whose account it is.
    async fn try_give_back(&self, row: &UpstreamAccountRow) {
        if let Err(error) = self.give_back(row).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(server = row.server, error, "connections.not_given_back");
        }
    }

    async fn give_back(&self, row: &UpstreamAccountRow) -> Result<(), ConnectionError> {
        let kept = self.open(row)?;
        if kept.server_url != self.server(&row.server)?.url.as_str() {
            return Ok(()); // who is asked there now need not be who gave them
        }
        let authorization = self.authorization(&row.server, &kept.issuer).await?;
        let token = kept.refresh_token.as_ref().unwrap_or(&kept.access_token);
        Ok(authorization.revoke(token).await?)
    }

    fn server(&self, id: &str) -> Result<ServerSettings, ConnectionError> {
        let registered = self.come_and_go();
        let mut servers = self.0.parts.servers.iter().chain(&*registered);
        servers.find(|server| server.id == id).cloned().ok_or(ConnectionError::NoServer)
    }

    /// Who we are at a server's authorization server: registered once, and kept.
    async fn registered(
        &self,
        server: &ServerSettings,
        metadata: &crate::oauth_client::ServerMetadata,
    ) -> Result<Registered, ConnectionError> {
        if let Some((id, secret)) = &server.client {
            // Settings never come to this: whose the secret is stands in them.
            if secret.is_some() && server.endpoints.is_none() && server.issuer.is_none() {
                return Err(Unusable::OtherIssuer.into());
            }
            return Ok(Registered::configured(metadata, id, secret.clone()));
        }
        let parts = &self.0.parts;
        let context = client_context(&server.id);
        let kept = parts.store.find_upstream_client(&server.id).await?;
        let kept = kept.and_then(|sealed| Registered::from_text(&(parts.open)(&sealed, &context)?));
        // Of another issuer: no client of ours, and no secret of it, is shown there (MCP, authorization server binding).
        if let Some(kept) = kept.filter(|kept| kept.issuer == metadata.issuer) {
            return Ok(kept);
        }
        let identity = ClientIdentity {
            redirect_uris: vec![server.redirect_uri.clone()],
            ..parts.identity.clone()
        };
        let made = crate::oauth_client::register(&identity, metadata, &server.outbound).await?;
        let text = made.to_text().ok_or(ConnectionError::Sealed)?;
        let sealed = (parts.seal)(text.expose(), &context).ok_or(ConnectionError::Sealed)?;
        parts.store.put_upstream_client(&server.id, &sealed, parts.clock.now()).await?;
        Ok(made)
    }
}
