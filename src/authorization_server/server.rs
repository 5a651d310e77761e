//! The authorization server's state, shared by every handler.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::audit::Auditor;
use crate::id::{ClientId, Subject, UserId};
use crate::outbound::Outbound;
use crate::random::Random;
use crate::resource_server::ProofChecker;
use crate::scope::Scope;
use crate::secret_text::SecretText;
use crate::store::{Database, StoreError};
use crate::time::Clock;

use super::authorize::RequestLimits;
use super::client::Clients;
use super::device::UserCodes;
use super::identity_provider::IdentityProviders;
use super::keys::KeyRing;
use super::mark::Marks;
use super::register::reap as reap_clients;
use super::seal::KeyEncryptionKey;
use super::server_secret::ServerSecret;
use super::settings::Settings;
use super::shares::Shares;
use super::token::{AssertionIssuers, TokenState};
use super::vouching::{self, NoIdToken, Vouching};

/// The authorization server. Cheap to clone; the axum state of every handler here.
#[derive(Clone, Debug)]
pub struct AuthorizationServer(Arc<Parts>);

/// What [`AuthorizationServer`] is made of.
#[derive(Debug)]
pub struct Parts {
    pub(super) settings: Settings,
    pub(super) store: Arc<dyn Database>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// To what an operator named.
    pub(super) outbound: Outbound,
    /// To what anybody may name: metadata documents of clients, and the key sets that those name.
    pub(super) to_clients: Outbound,
    pub(super) auditor: Auditor,
    pub(super) grantable: Arc<dyn Grantable>,
    /// Seals what lies in the store and must be read again.
    pub(super) encryption: KeyEncryptionKey,
    pub(super) clients: Clients,
    pub(super) user_codes: UserCodes,
    pub(super) marks: Marks,
    /// Checks that clients hold the keys that they bind tokens to. `None`: no token is bound to any.
    pub(super) dpop: Option<ProofChecker>,
    pub(super) authorization_requests: RequestLimits,
    pub(super) shares: Shares,
    pub(super) tokens: TokenState,
    pub(super) assertions: AssertionIssuers,
    /// What identity providers last said of people.
    pub(super) vouching: Vouching,
    /// Somebody logged out: clients may be to be told.
    pub(super) logged_out: Arc<Notify>,
}

/// What `app` puts in.
#[derive(Debug)]
pub struct NewAuthorizationServer {
    pub settings: Settings,
    pub store: Arc<dyn Database>,
    pub keys: Arc<KeyRing>,
    /// Where people log in.
    pub providers: IdentityProviders,
    pub secret: ServerSecret,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub outbound: Outbound,
    /// For URLs that anybody may name without logging in: nothing of `outbound.allow_private`.
    pub to_clients: Outbound,
    pub auditor: Auditor,
    pub grantable: Arc<dyn Grantable>,
    /// Checks that clients hold the keys that they bind tokens to (RFC 9449). `None`: no token is bound to any.
    pub dpop: Option<ProofChecker>,
}

impl Deref for AuthorizationServer {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl AuthorizationServer {
    #[must_use]
    pub fn new(new: NewAuthorizationServer) -> Self {
        let NewAuthorizationServer {
            settings,
            store,
            keys,
            providers,
            secret,
            clock,
            random,
            outbound,
            to_clients,
            auditor,
            grantable,
            dpop,
        } = new;
        let clients = Clients::new(&secret, &settings.clients);
        let tokens = TokenState::new(settings.rates, &clock);
        let (user_codes, marks) = (UserCodes::new(&secret), Marks::new(&secret));
        let encryption = secret.key_encryption_key();
        let shares = Shares::new(settings.site_shares, &clock);
        let logged_out = Arc::new(Notify::new());
        let vouching = Vouching::new(vouching::Parts {
            providers,
            store: Arc::clone(&store),
            key: encryption.clone(),
            auditor: auditor.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            logged_out: Arc::clone(&logged_out),
            asking: TaskTracker::new(),
        });
        let assertions = AssertionIssuers::new(&settings, &outbound, &clock);
        Self(Arc::new(Parts {
            settings,
            store,
            keys,
            clock,
            random,
            outbound,
            to_clients,
            auditor,
            grantable,
            encryption,
            clients,
            user_codes,
            marks,
            dpop,
            authorization_requests: RequestLimits::default(),
            shares,
            tokens,
            assertions,
            vouching,
            logged_out,
        }))
    }

    /// Removes what is past its end, in bounded batches, and registrations that nobody uses. How many rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: some rows are gone, the others are tried the next time.
    pub async fn clean_up(&self) -> Result<u64, StoreError> {
        let ended = self.store.clean_up(self.clock.now()).await?;
        Ok(ended.saturating_add(reap_clients(self).await?))
    }

    /// An ID token that lasts, of somebody who logged in at the provider with this issuer, for our client there. `None`: none is
    /// kept.
    ///
    /// # Errors
    ///
    /// [`NoIdToken`]
    pub async fn id_token(
        &self,
        user_id: UserId,
        (issuer, client_id): (&str, &str),
    ) -> Result<Option<SecretText>, NoIdToken> {
        self.vouching.id_token(user_id, (issuer, client_id)).await
    }

    /// Waits for what is under way when the broker ends, and must not be lost.
    pub async fn settle(&self) {
        self.vouching.settle().await;
    }

    /// `server.public_url`
    #[must_use]
    pub fn public_url(&self) -> &Url {
        &self.settings.public_url
    }

    /// The path of `public_url` without its last slash: empty, or such as `/broker`.
    pub(super) fn root(&self) -> &str {
        self.settings.public_url.path().trim_end_matches('/')
    }

    /// Where a browser finds the page that is at `path` here, on our own host.
    pub(super) fn page_path(&self, path: &str) -> String {
        format!("{}{path}", self.root())
    }

    /// One of our own URLs: `path` below `public_url`, which may have a path of its own.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.issuer)
    }
}

/// Who is to get scopes, as policy sees them.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, none of which follows from another")]
pub struct PersonFacts {
    /// What their tokens will have as `sub`.
    pub subject: Subject,
    /// A local user with that role. Those of the settings file are found by `subject` and `groups`.
    pub administrator: bool,
    pub groups: Vec<Arc<str>>,
    /// Some are missing in `groups`.
    pub groups_incomplete: bool,
    pub roles: Vec<Arc<str>>,
    /// Some are missing in `roles`.
    pub roles_incomplete: bool,
    /// The client that acts for them.
    pub client_id: ClientId,
    /// Whether an operator knows the client. One that registered itself never gets `broker:*` (N115).
    pub trusted_client: bool,
}

/// Which scopes are worth granting: those with which policy would allow that person something.
///
/// A seam, because policy is the broker's and the authorization server must not know its rules.
pub trait Grantable: Send + Sync + fmt::Debug {
    /// A subset of `wanted`. Never grants by itself: every call is decided again.
    fn grantable(&self, person: &PersonFacts, at: UsedAt<'_>, wanted: &Scope) -> Scope;
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedAt<'a> {
    /// The broker's own tools.
    Broker,
    /// The server of this id behind the broker.
    Behind(&'a str),
    /// The server of this id, registered with these scopes: it decides by itself, or by asking us.
    Elsewhere(&'a str, &'a Scope),
}
