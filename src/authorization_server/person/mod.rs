//! Who sits at the browser, and what the pages for people share.

mod people;
mod visit;

use crate::store::{Digest, LoginOrigin, UserRow};
use crate::time::Timestamp;

pub(crate) use people::{People, SentForm, with_cookie};
pub use people::{PeopleSettings, people_routes};
pub(crate) use visit::Visit;

/// A person with a live session. Comes from the session cookie alone, never from what a request says (N105).
#[derive(Clone, Debug)]
pub struct Person {
    pub user: UserRow,
    /// Names the session in the store; authorization requests are bound to it.
    pub session: Digest,
    /// When they proved who they are (OIDC Core §2, `auth_time`); `None` where the identity provider does not say.
    pub auth_time: Option<Timestamp>,
    /// When this session began.
    pub began: Timestamp,
    /// How: `pwd`, `passkey`, or `idp:<id>`.
    pub method: String,
    /// Which log-in this session comes from.
    pub login: LoginOrigin,
}

impl Person {
    /// What to call them on a page.
    #[must_use]
    pub fn name(&self) -> &str {
        self.user.display_name.as_deref().unwrap_or(&self.user.username)
    }
}
