//! People: local users, identities at other providers, sessions, one-time links, login throttling.

use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::id::UserId;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::page::{Page, PageRequest};

/// How a person logs in with us. Whoever is known by an identity elsewhere logs in there, with or without any of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnLogin {
    /// Not at all: at an identity provider, or not before they have used a set-up link.
    Nothing,
    /// With the password of which this is the Argon2id hash in PHC form, and with what may follow or replace it.
    Password(String),
    /// With passkeys, and no password. What it holds is random, new whenever a passkey takes a password's place, and no secret.
    Passkeys(String),
}

impl OwnLogin {
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    #[must_use]
    pub fn password_hash(&self) -> Option<&str> {
        match self {
            Self::Password(hash) => Some(hash),
            Self::Nothing | Self::Passkeys(_) => None,
        }
    }

    /// What is another once they log in otherwise than before: what was begun with one guard is not finished under another.
    #[must_use]
    pub fn guard(&self) -> Option<&str> {
        match self {
            Self::Password(guard) | Self::Passkeys(guard) => Some(guard),
            Self::Nothing => None,
        }
    }
}

/// A person. Local when they log in with us or have a set-up link, else known by an identity elsewhere.
#[derive(Clone, Debug)]
pub struct UserRow {
    pub id: UserId,
    /// Lower case, unique within the organisation.
    pub username: String,
    pub display_name: Option<String>,
    pub email: Option<String>,
    pub own_login: OwnLogin,
    pub administrator: bool,
    /// Groups that policy may name.
    pub groups: Vec<String>,
    /// The identity provider left groups out, because there were too many: what a rule denies by group may be theirs.
    pub groups_incomplete: bool,
    /// What somebody is at their identity provider, by the names that policy may use. Local people have none.
    pub roles: Vec<String>,
    /// The identity provider did not say all of them: the same as of groups.
    pub roles_incomplete: bool,
    pub created_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    pub disabled_at: Option<Timestamp>,
}

/// As much as fits into a token that its readers take (16 KiB), beside everything else in it.
const MAX_GROUPS_BYTES: usize = 8 * 1024;

/// Whether a token has room for these groups.
#[must_use]
pub fn groups_fit(groups: &[String]) -> bool {
    fit(groups, MAX_GROUPS_BYTES)
}

/// Beside that many groups.
const MAX_ROLES_BYTES: usize = 2 * 1024;

/// The same of roles.
#[must_use]
pub fn roles_fit(roles: &[String]) -> bool {
    fit(roles, MAX_ROLES_BYTES)
}

fn fit(names: &[String], most: usize) -> bool {
    serde_json::to_vec(names).is_ok_and(|written| written.len() <= most)
}

/// Who somebody is at another identity provider: linked by issuer and subject, never by e-mail.
#[derive(Clone, Debug)]
pub struct ExternalIdentity {
    pub issuer: String,
    pub subject: String,
    /// What the user row gets when it is made.
    pub username: String,
    pub display_name: Option<String>,
    pub email: Option<String>,
    pub groups: Vec<String>,
    /// Some are missing in `groups`.
    pub groups_incomplete: bool,
    pub roles: Vec<String>,
    /// Some are missing in `roles`.
    pub roles_incomplete: bool,
}

/// The log-in that a session, or what was allowed in it, comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginOrigin {
    /// Random: `sid` in our ID tokens and logout tokens. `None` before a log-in, and in rows that are older than this.
    pub sid: Option<String>,
    /// The identity provider at which it was, by its issuer. `None`: with us.
    pub issuer: Option<String>,
    /// What that provider calls it (`sid`, OIDC Back-Channel Logout §2.1), where it says.
    pub issuer_sid: Option<String>,
    /// How strong it was (`acr`, OIDC Core §2), where that is known.
    pub acr: Option<String>,
    /// How it was done (`amr`, RFC 8176), with spaces between.
    pub amr: Option<String>,
}

/// A browser session. The cookie holds the value, the store its digest.
#[derive(Clone, Debug)]
pub struct SessionRow {
    pub session: Digest,
    /// `None` before login.
    pub user_id: Option<UserId>,
    pub auth_time: Option<Timestamp>,
    /// How they logged in: `pwd`, or `idp:<id>`.
    pub method: Option<String>,
    pub login: LoginOrigin,
    /// A login that is under way elsewhere (`nonce`, `code_verifier`), sealed with the `state` that comes back with it.
    pub pending: Option<String>,
    pub created_at: Timestamp,
    pub last_seen_at: Timestamp,
    /// Absolute.
    pub expires_at: Timestamp,
}

/// The session of somebody who has just logged in.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub row: SessionRow,
    /// The one that their browser had. It ends: one of the same person gives its `sid` to the new one, of which their
    /// clients then hear as of the first; the clients of another person are told that theirs is over.
    pub before: Option<Digest>,
    /// For a log-in with us: the guard of how they logged in when it was looked at ([`OwnLogin::guard`]).
    pub guard: Option<String>,
    /// For a log-in at an identity provider of the store: its id.
    pub provider: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// A new user chooses a password, or makes a passkey.
    SetUp,
    Reset,
}

/// A link that works once.
#[derive(Clone, Debug)]
pub struct OneTimeLink {
    pub link: Digest,
    pub user_id: UserId,
    pub purpose: LinkPurpose,
    pub expires_at: Timestamp,
}

impl OneTimeLink {
    /// What [`OneTimeLink::link`] is for the token in a link: no cookie's and no code's digest is ever a link's.
    #[must_use]
    pub fn digest(token: &str) -> Digest {
        Digest::of(&Zeroizing::new(format!("link|{token}")))
    }
}

/// Failures counted within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginAttempts {
    pub failures: u32,
    pub last_failure_at: Option<Timestamp>,
}

/// What is to be another about a person; what is `None` stays, and an empty text is none.
#[derive(Clone, Debug)]
pub struct UserProfile {
    pub id: UserId,
    pub display_name: Option<String>,
    pub email: Option<String>,
    pub groups: Option<Vec<String>>,
}

/// Somebody who is to go for good.
#[derive(Clone, Debug)]
pub struct UserRemoval {
    pub id: UserId,
    /// Of our own tokens: calls that the person made with them wait for nobody any more.
    pub issuer: String,
    /// Whether nothing is to happen where nobody else who can log in has the role of administrators.
    pub keep_last_administrator: bool,
    pub at: Timestamp,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRemoved {
    Done,
    /// Nothing was changed: nobody else who can log in has the role.
    LastAdministrator,
    Unknown,
}

/// How an administrator is to stop being one and yet stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepDown {
    /// Without the role.
    Role,
    /// Disabled, at this time.
    Access(Timestamp),
}

#[async_trait]
pub trait PersonStore: Send + Sync {
    /// `false` where the name is taken.
    async fn add_user(&self, row: &UserRow) -> Result<bool, StoreError>;
    async fn find_user(&self, id: UserId) -> Result<Option<UserRow>, StoreError>;
    async fn find_user_by_name(&self, username: &str) -> Result<Option<UserRow>, StoreError>;
    async fn list_users(&self, page: &PageRequest) -> Result<Page<UserRow>, StoreError>;
    /// Whether there is any administrator who can log in, with us or elsewhere, so that first start knows to print a link.
    async fn has_administrator(&self) -> Result<bool, StoreError>;
    /// Sets the password, ends every session, revokes every grant (RFC 9700 §4.14.2), takes the one-time link: all or
    /// nothing. `false`: the link was used, is late, or there is none. Without a link, `link` is `None`.
    async fn set_password(
        &self,
        user_id: UserId,
        password_hash: &str,
        link: Option<&Digest>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// A password for who logs in with passkeys alone, beside these, while `guard` is theirs ([`OwnLogin::guard`]). Ends
    /// nothing: there was no password before that somebody else could have known. `false` where they log in otherwise by
    /// now, or are disabled.
    async fn add_password(
        &self,
        user_id: UserId,
        password_hash: &str,
        guard: &str,
    ) -> Result<bool, StoreError>;
    /// `false` where there is no such person.
    async fn change_user(&self, profile: &UserProfile) -> Result<bool, StoreError>;
    async fn set_administrator(&self, id: UserId, administrator: bool) -> Result<bool, StoreError>;
    /// Disabling also ends sessions and revokes grants. `None` enables again.
    async fn disable_user(&self, id: UserId, at: Option<Timestamp>) -> Result<bool, StoreError>;
    /// The same as the one of these two that is meant, where somebody else who can log in has the role of administrators, or
    /// this person cannot log in anyway. Of two who do it to each other, one stays.
    async fn step_down(&self, id: UserId, how: StepDown) -> Result<UserRemoved, StoreError>;
    /// Takes a person out: the row with name, address and password, identities elsewhere, sessions, links, codes, consents,
    /// connected accounts, calls that wait or that they have approved and nobody made. Grants are revoked and keep the id of
    /// the person until they are cleaned up. All or nothing; of two administrators who remove each other, one stays.
    async fn remove_user(&self, removal: &UserRemoval) -> Result<UserRemoved, StoreError>;
    async fn logged_in(&self, id: UserId, at: Timestamp) -> Result<(), StoreError>;

    /// The user of an identity; made when it is new. A taken username gets a suffix; accounts are never merged.
    /// Of one that is known, display name, e-mail, groups and roles become what the provider says now.
    async fn user_of_identity(
        &self,
        identity: &ExternalIdentity,
        new_id: UserId,
        now: Timestamp,
    ) -> Result<UserRow, StoreError>;

    /// The user of an identity, as they are known. Nothing is made or changed.
    async fn find_user_of_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserRow>, StoreError>;

    /// Issuer and subject of every identity that is linked to the user; not our own issuer's.
    async fn list_identities(&self, user_id: UserId) -> Result<Vec<(String, String)>, StoreError>;

    async fn add_link(&self, link: &OneTimeLink) -> Result<(), StoreError>;
    /// Read only: the page that the link opens.
    async fn find_link(
        &self,
        link: &Digest,
        now: Timestamp,
    ) -> Result<Option<OneTimeLink>, StoreError>;

    async fn add_session(&self, row: &SessionRow) -> Result<(), StoreError>;
    /// As [`Self::add_session`], over whatever row has this digest.
    async fn put_session(&self, row: &SessionRow) -> Result<(), StoreError>;
    /// `None` where it is past its end or idle since before `idle_since`.
    async fn find_session(
        &self,
        session: &Digest,
        idle_since: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError>;
    /// The live sessions of a person, newest first; 200 at most.
    async fn list_sessions(
        &self,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Vec<SessionRow>, StoreError>;
    /// Begins the session of a log-in. `false`: its person is gone or disabled, or logs in otherwise by now than when it was
    /// looked at (another password, say), or the identity provider is gone, disabled or another; nothing is changed.
    async fn begin_session(&self, new: &NewSession) -> Result<bool, StoreError>;
    async fn session_seen(&self, session: &Digest, at: Timestamp) -> Result<(), StoreError>;
    async fn end_session(&self, session: &Digest) -> Result<bool, StoreError>;
    /// Log out everywhere: ends sessions, and codes that are not used yet. How many sessions.
    async fn end_sessions(&self, user_id: UserId) -> Result<u64, StoreError>;

    /// Counts one attempt under `key` (`account:<digest>`, `network:<prefix>`, `user_code:<user>`), such as a login that
    /// failed; older than `window` is forgotten.
    async fn count_attempt(
        &self,
        key: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<LoginAttempts, StoreError>;
    /// Takes back one that was counted under `key`; nothing where none is.
    async fn take_back_attempt(&self, key: &str) -> Result<(), StoreError>;
    async fn login_attempts(
        &self,
        key: &str,
        now: Timestamp,
        window: Duration,
    ) -> Result<LoginAttempts, StoreError>;
    async fn forget_login_failures(&self, key: &str) -> Result<(), StoreError>;
}
