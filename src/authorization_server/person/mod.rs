//! Who sits at the browser, and what the pages for people share.

use crate::store::{Digest, UserRow};
use crate::time::Timestamp;

/// A person with a live session. Comes from the session cookie alone, never from what a request says (N105).
#[derive(Clone, Debug)]
pub struct Person {
    pub user: UserRow,
    /// Names the session in the store; authorization requests are bound to it.
    pub session: Digest,
    /// When they proved who they are (OIDC Core §2, `auth_time`).
    pub auth_time: Timestamp,
    /// How: `pwd`, or `idp:<id>`.
    pub method: String,
}
