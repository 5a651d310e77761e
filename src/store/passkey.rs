//! Passkeys: people's public keys (`WebAuthn` Level 3 §4, "credential record").

use async_trait::async_trait;

use crate::id::UserId;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;

/// A person's passkey.
#[derive(Clone, Debug)]
pub struct PasskeyRow {
    /// In base64url. Unique among everybody's.
    pub credential_id: String,
    pub user_id: UserId,
    /// What authenticators know the person by (`WebAuthn` §6.1 "user handle"): a random UUID.
    pub user_handle: String,
    /// The public key and what else was registered, as `authorization_server` wrote it.
    pub credential: String,
    /// The highest that was seen (§6.1.1). Stays 0 with authenticators that do not count.
    pub sign_count: u32,
    /// Whether it was said to be backed up when it was last used (§6.1.3).
    pub backed_up: bool,
    /// Whether it opens the account by itself: since a new password not before it was shown beside that one; since a passkey took the
    /// password's place, not at all. Whoever had the old password may have added it.
    pub alone: bool,
    /// What the person calls it.
    pub name: String,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// A passkey whose signature was right.
#[derive(Clone, Debug)]
pub struct PasskeyUse {
    pub credential_id: String,
    pub sign_count: u32,
    pub backed_up: bool,
    /// The session, or log-in under way, in which the password was right before: none where it is to open the account by itself.
    pub beside: Option<Digest>,
    pub at: Timestamp,
}

/// What became of a new passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyAdded {
    /// The person had no second factor before: the recovery codes count from now on.
    First,
    /// Beside what they have. The recovery codes are those that they had.
    Another,
    /// The person has as many as they may have, is gone or disabled, logs in otherwise by now than when this
    /// began, or a second factor that was not shown, or the credential is somebody's already.
    Refused,
}

/// A passkey by which somebody opens their account from now on, instead of by a password.
#[derive(Clone, Debug)]
pub struct PasskeySetUp {
    pub row: PasskeyRow,
    /// As many as they may have.
    pub most: usize,
    /// For who has no second factor yet.
    pub recovery_codes: Vec<Digest>,
    /// Whether a second factor was shown, by who has one.
    pub second: bool,
    /// The one-time link that they came by. It is used up.
    pub link: Digest,
    /// What [`OwnLogin::Passkeys`](super::OwnLogin::Passkeys) holds from then on.
    pub mark: String,
    pub at: Timestamp,
}

/// What became of one that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyRemoved {
    Done,
    /// Nothing was changed: the person has no password, and no other passkey that opens the account by itself.
    Last,
    Unknown,
}

#[async_trait]
pub trait PasskeyStore: Send + Sync {
    /// The oldest first.
    async fn list_passkeys(&self, user_id: UserId) -> Result<Vec<PasskeyRow>, StoreError>;
    async fn find_passkey(&self, credential_id: &str) -> Result<Option<PasskeyRow>, StoreError>;
    /// Adds it where the person has fewer than `most`, and `recovery_codes` where it is their first second factor. `shown` is
    /// the guard of how they logged in when this began ([`OwnLogin::guard`](super::OwnLogin::guard)), and whether a second factor
    /// was shown: by who has one.
    async fn add_passkey(
        &self,
        row: &PasskeyRow,
        most: usize,
        recovery_codes: &[Digest],
        shown: (Option<&str>, bool),
    ) -> Result<PasskeyAdded, StoreError>;
    /// Notes a use, and that it opens the account by itself from now on where it was shown beside the password of now. `false`
    /// where it is gone, does not open it by itself but was to (as beside a session of who has no password), or the sign count is not above the stored one, both being 0 apart (§7.2): of
    /// two who come at once with one count, at one replica or two, one is refused.
    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, StoreError>;
    /// Adds it in place of the password, by a one-time link. What a new password ends by such a link, this ends as well
    /// ([`PersonStore::set_password`](super::PersonStore::set_password)): sessions, grants, every other link, and that other
    /// passkeys open the account by themselves. All or nothing; [`PasskeyAdded::Refused`], too, where the link was used, is late,
    /// or there is none.
    async fn set_up_passkey(&self, new: &PasskeySetUp) -> Result<PasskeyAdded, StoreError>;
    /// With the recovery codes, where the person has no other second factor. The last that opens an account which has no
    /// password stays: of two that are removed at once, too.
    async fn remove_passkey(
        &self,
        user_id: UserId,
        credential_id: &str,
    ) -> Result<PasskeyRemoved, StoreError>;
}
