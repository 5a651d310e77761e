//! Who asks, and by which rules it is decided, as the guard put it beside the request.

use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};

use crate::broker::Caller;
use crate::guard::Presented;

use super::decide::Deciding;

/// Who asks, and the rules that decide about it.
pub(super) struct Asker {
    pub(super) caller: Caller,
    pub(super) deciding: Deciding,
    /// Noted where a server whose tools stand beside ours is called with what it is exchanged for.
    pub(super) presented: Option<Presented>,
}

impl std::ops::Deref for Asker {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// What the guard put beside the request.
pub(super) fn caller(context: &RequestContext<RoleServer>) -> Result<Asker, ErrorData> {
    let extensions =
        context.extensions.get::<http::request::Parts>().map(|parts| &parts.extensions);
    let asker = extensions.and_then(|extensions| {
        let (caller, deciding) = (extensions.get::<Caller>()?, extensions.get::<Deciding>()?);
        let presented = extensions.get().cloned();
        Some(Asker { caller: caller.clone(), deciding: deciding.clone(), presented })
    });
    asker.ok_or_else(|| {
        tracing::error!("mcp.unguarded_request");
        ErrorData::internal_error("the request did not pass the guard", None)
    })
}
