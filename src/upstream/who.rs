//! For whom a server is asked.

use crate::guard::Presented;
use crate::resource_server::Principal;

use super::caller_tokens::For;

/// A caller, as far as the server is shown something on their behalf. Cheap to clone: some of it happens when they have gone.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) principal: Principal,
    /// Their own token, where the server's credential is obtained with it.
    pub(super) presented: Option<Presented>,
}

impl Who {
    pub(super) const fn caller(&self) -> For<'_> {
        For { principal: &self.principal, presented: self.presented.as_ref() }
    }
}
