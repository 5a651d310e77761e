//! Logging out: what ends with a log-in, and whom that is told to.

use async_trait::async_trait;

use crate::id::{ClientId, UserId};
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;

/// Which log-ins are over.
#[derive(Clone, Debug)]
pub enum LogOut {
    /// The one of this browser session.
    Session {
        session: Digest,
        /// Its `sid`; `None` for one that is older than that.
        sid: Option<String>,
        revokes: Revokes,
        /// An authorization request of this session that somebody else is to answer in its place.
        left: Option<Digest>,
    },
    /// Every one of a person's sessions. What they allowed stays.
    Everywhere(UserId),
    /// What an identity provider says. What was allowed in them is revoked.
    Elsewhere(LogoutToken),
}

/// What of the things that were allowed in a log-in ends with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revokes {
    Nothing,
    /// What this client got.
    Client(ClientId),
    Everything,
}

/// A logout token of an identity provider (OIDC Back-Channel Logout §2.4), verified. `subject`, `sid`, or both.
#[derive(Clone, Debug)]
pub struct LogoutToken {
    pub issuer: String,
    /// As accounts are linked by it.
    pub subject: Option<String>,
    pub sid: Option<String>,
    pub jti: String,
    /// Until when its `jti` is remembered.
    pub remember_until: Timestamp,
}

/// How much ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoggedOut {
    pub sessions: u64,
    pub grants: u64,
}

/// A client that is to be told that a log-in in which it got something is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutNotice {
    pub sid: String,
    pub client_id: ClientId,
    pub user_id: UserId,
    /// With the one that is under way.
    pub attempts: u32,
}

/// Which notices to take.
#[derive(Clone, Debug)]
pub struct NoticeClaim {
    pub now: Timestamp,
    /// Whoever takes them has until then before others may.
    pub until: Timestamp,
    /// At most.
    pub limit: u32,
    /// Of one client at most, so that one which hangs leaves room for the others.
    pub each: u32,
    /// None of these.
    pub but: Vec<ClientId>,
}

#[async_trait]
pub trait LogoutStore: Send + Sync {
    /// Ends log-ins: their sessions, what is to be revoked, and a notice for each client that got something in them, all
    /// or nothing. `None`: a logout token that was used before; nothing is changed.
    async fn log_out(
        &self,
        which: &LogOut,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError>;
    /// Takes notices that are due for one caller.
    async fn claim_logout_notices(
        &self,
        claim: &NoticeClaim,
    ) -> Result<Vec<LogoutNotice>, StoreError>;
    /// It could not be delivered: to be tried again at `next_at`.
    async fn put_off_logout_notice(
        &self,
        notice: &LogoutNotice,
        next_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// It was delivered, or is given up.
    async fn end_logout_notice(&self, notice: &LogoutNotice) -> Result<(), StoreError>;
}
