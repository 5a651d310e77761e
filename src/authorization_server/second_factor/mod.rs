//! What people have beside a password: an authenticator app (RFC 6238), and codes for the day it is lost.
//!
//! For who logs in here with a password. Who logs in elsewhere has what the identity provider asks for.

mod authenticator;
mod qr;
mod recovery_code;

use crate::store::UserRow;

use super::settings::{Administrators, Settings};

pub(crate) use authenticator::Authenticator;
pub(crate) use qr::QrPicture;
pub(crate) use recovery_code::RecoveryCode;

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
            || user.groups.iter().any(|group| self.groups.contains(group))
    }
}
