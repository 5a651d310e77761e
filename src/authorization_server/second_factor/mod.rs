//! What people have beside a password, or in its place: an authenticator app (RFC 6238), passkeys (`WebAuthn`), and codes for
//! the day these are lost.
//!
//! For who logs in here. Who logs in elsewhere has what the identity provider asks for.

mod authenticator;
mod passkey;
mod qr;
mod recovery_code;

use crate::id::UserId;
use crate::store::{PasskeyRow, StoreError, UserRow};

use super::server::AuthorizationServer;
use super::settings::{Administrators, Settings};

pub(crate) use authenticator::Authenticator;
pub use authenticator::authenticator_context;
pub(crate) use passkey::{
    Assertion, Ceremony, NewPasskey, PasskeyError, Passkeys, Question, answered,
};
pub(crate) use qr::QrPicture;
pub(crate) use recovery_code::RecoveryCode;

/// As many passkeys as one person may have.
pub(crate) const MOST_PASSKEYS: usize = 10;

/// What a person has. With any of it, their password alone opens nothing.
#[derive(Debug)]
pub(crate) struct Factors {
    pub(crate) app: bool,
    pub(crate) passkeys: Vec<PasskeyRow>,
}

impl Factors {
    /// # Errors
    ///
    /// [`StoreError`]
    pub(crate) async fn of(
        server: &AuthorizationServer,
        user_id: UserId,
    ) -> Result<Self, StoreError> {
        let app = server.store.find_authenticator(user_id).await?.is_some();
        Ok(Self { app, passkeys: server.store.list_passkeys(user_id).await? })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        !self.app && self.passkeys.is_empty()
    }
}

/// Who must have a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondFactor {
    /// Nobody: it is everybody's own choice.
    #[default]
    Optional,
    /// Who may administer the broker.
    Administrators,
    Everyone,
}

impl Settings {
    /// Whether this person gets no further with a password alone.
    pub(super) fn requires_second_factor(&self, user: &UserRow) -> bool {
        match self.second_factor {
            SecondFactor::Optional => false,
            SecondFactor::Administrators => self.administrators.include(user),
            SecondFactor::Everyone => true,
        }
    }
}

impl Administrators {
    pub(super) fn include(&self, user: &UserRow) -> bool {
        let id = user.id.to_string();
        user.administrator
            || self.subjects.contains(&id)
            || self.groups.include(user.groups.iter().map(String::as_str))
    }
}
