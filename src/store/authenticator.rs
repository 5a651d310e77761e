//! Second factors: people's authenticator apps (RFC 6238), and the codes that open when one is lost.

use async_trait::async_trait;

use crate::id::UserId;
use crate::time::Timestamp;

use super::digest::Digest;
use super::error::StoreError;
use super::person::OneTimeLink;

/// A person's authenticator app.
#[derive(Clone, Debug)]
pub struct AuthenticatorRow {
    pub user_id: UserId,
    /// The secret that the app has, too, sealed by `authorization_server`.
    pub sealed: String,
    /// The newest time step of which a code was used: no code of it or of one before counts again (RFC 6238 §5.2).
    pub last_step: u64,
    pub confirmed_at: Timestamp,
}

#[async_trait]
pub trait AuthenticatorStore: Send + Sync {
    async fn find_authenticator(
        &self,
        user_id: UserId,
    ) -> Result<Option<AuthenticatorRow>, StoreError>;
    /// Adds it with its recovery codes, all or nothing. `false` where the person has one, is gone or disabled, or logs in
    /// otherwise by now than when this began (`guard`, [`OwnLogin::guard`](super::OwnLogin::guard)).
    async fn add_authenticator(
        &self,
        row: &AuthenticatorRow,
        recovery_codes: &[Digest],
        guard: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// Uses up every time step until this one. `false` where a code of this step or of a later one was used: of two who
    /// come at once with one code, at one replica or two, one is refused.
    async fn use_step(&self, user_id: UserId, step: u64) -> Result<bool, StoreError>;
    /// Uses up a recovery code. `false` where the person has no such code (any more).
    async fn use_recovery_code(&self, user_id: UserId, code: &Digest) -> Result<bool, StoreError>;
    /// Other codes in place of all that are left. `false` where the person has neither an authenticator nor a passkey.
    async fn replace_recovery_codes(
        &self,
        user_id: UserId,
        codes: &[Digest],
    ) -> Result<bool, StoreError>;
    /// How many are left.
    async fn count_recovery_codes(&self, user_id: UserId) -> Result<u64, StoreError>;
    /// With the recovery codes, but where the person has a passkey as well. `false` where there is none.
    async fn remove_authenticator(&self, user_id: UserId) -> Result<bool, StoreError>;
    /// The authenticator, every passkey and the recovery codes together with the password, every session and every other
    /// link: whoever has the old password could set up an app of theirs. What is left is `link`, by which another is chosen.
    /// `false`, and nothing is changed, where the person is disabled or has neither an authenticator nor a passkey.
    async fn start_over(&self, link: &OneTimeLink) -> Result<bool, StoreError>;
}
