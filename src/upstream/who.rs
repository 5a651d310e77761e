//! For whom a server is asked.

use crate::guard::Presented;
use crate::resource_server::Principal;

use super::caller_tokens::For;
use super::definition::sha256;
use super::server::Server;
use super::session::whose;

/// Whom an answer is about: what a server that knows its callers has for one of them says nothing of others. `None`: whoever asks.
pub(super) type By = Option<[u8; 32]>;

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

impl Server {
    /// This caller, as far as it can tell them from others.
    pub(super) fn tells_apart(&self, caller: &Principal) -> By {
        (!self.knows_no_callers()).then(|| sha256(&whose(caller)))
    }
}
