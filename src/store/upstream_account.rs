//! What people have allowed at servers behind us, and who we are at those servers' authorization servers.

use async_trait::async_trait;

use crate::id::UserId;
use crate::time::Timestamp;

use super::error::StoreError;

/// A person's account at one server.
#[derive(Clone, Debug)]
pub struct UpstreamAccountRow {
    pub user_id: UserId,
    /// The server's id.
    pub server: String,
    /// Its tokens, sealed; their shape belongs to who seals them.
    pub sealed: String,
    /// Counted up each time something else is put there. An account that is connected anew after it was ended has none that
    /// was there before.
    pub version: i64,
    pub connected_at: Timestamp,
}

/// An account that has ended, and whose tokens are still to be given back.
#[derive(Clone, Debug)]
pub struct EndedAccount {
    pub account: UpstreamAccountRow,
    /// With the one that is under way.
    pub attempts: u32,
}

#[async_trait]
pub trait UpstreamAccountStore: Send + Sync {
    async fn find_upstream_account(
        &self,
        user_id: UserId,
        server: &str,
    ) -> Result<Option<UpstreamAccountRow>, StoreError>;
    /// By server, 200 at most.
    async fn list_upstream_accounts(
        &self,
        user_id: UserId,
    ) -> Result<Vec<UpstreamAccountRow>, StoreError>;
    /// A new consent: whatever was there gives way. [`UpstreamAccountRow::version`] is not looked at. `false`: the person is
    /// gone or disabled.
    async fn put_upstream_account(&self, row: &UpstreamAccountRow) -> Result<bool, StoreError>;
    /// Lets one caller renew the tokens of this version until `until`. `true` for exactly one: `false` where they were
    /// replaced, are gone, or somebody else renews them.
    async fn claim_upstream_account(
        &self,
        row: &UpstreamAccountRow,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Puts renewed tokens in the place of those of this version. `false` where others are there, or none: the person ended
    /// it or connected anew, and what was renewed is nobody's.
    async fn renew_upstream_account(
        &self,
        row: &UpstreamAccountRow,
        sealed: &str,
    ) -> Result<bool, StoreError>;
    /// Its person ends it: from then on it is one that ended, until its tokens were given back. `false`: there is none.
    async fn disconnect_upstream_account(
        &self,
        user_id: UserId,
        server: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Takes it out, at most once, with tokens that are not given back; gives what was there. Only where it is still of that
    /// version.
    async fn end_upstream_account(
        &self,
        user_id: UserId,
        server: &str,
        version: i64,
    ) -> Result<Option<UpstreamAccountRow>, StoreError>;

    /// Ends the accounts of people who had a grant since they connected them, and have none any more. How many.
    async fn end_accounts_without_grant(&self, now: Timestamp) -> Result<u64, StoreError>;
    /// Takes one whose tokens are to be given back, for one caller until `until`. `None`: none is due.
    async fn claim_ended_account(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<EndedAccount>, StoreError>;
    /// Its tokens could not be given back: to be tried again at `next_at`, within the day that began with its end.
    async fn put_off_ended_account(
        &self,
        account: &UpstreamAccountRow,
        next_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// They were given back, or are given up.
    async fn forget_ended_account(&self, account: &UpstreamAccountRow) -> Result<(), StoreError>;

    /// Who we are at a server's authorization server, sealed.
    async fn find_upstream_client(&self, server: &str) -> Result<Option<String>, StoreError>;
    /// Inserts or replaces.
    async fn put_upstream_client(
        &self,
        server: &str,
        sealed: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}
