//! For whom a server is asked.

use crate::resource_server::Principal;

/// A caller, as far as the server is shown something on their behalf. Cheap to clone: some of it happens when they have gone.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) principal: Principal,
}
