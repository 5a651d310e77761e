//! Who asks, and by which rules it is decided, as the guard put it beside the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};

use crate::broker::Caller;
use crate::guard::Presented;

use super::decide::Deciding;

/// What becomes of a request, for the guard that waits for its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    hands_over: bool,
    well_formed: AtomicBool,
    asks: AtomicBool,
}

impl Noted {
    /// Of a call of a tool that stands beside ours: it is handed over once it is known to be well formed.
    pub(super) fn before_it_is_handed_over() -> Self {
        Self(Arc::new(Notes { hands_over: true, ..Notes::default() }))
    }

    /// Whether the call goes no further here than this: noted as well formed.
    pub(super) fn hands_over(&self) -> bool {
        if self.0.hands_over {
            self.0.well_formed.store(true, Ordering::Release);
        }
        self.0.hands_over
    }

    pub(super) fn is_well_formed(&self) -> bool {
        self.0.well_formed.load(Ordering::Acquire)
    }

    /// The answer asks the caller's user something.
    pub(super) fn asks(&self) -> bool {
        self.0.asks.load(Ordering::Acquire)
    }

    pub(super) fn note_asks(&self) {
        self.0.asks.store(true, Ordering::Release);
    }
}

/// Who asks, and the rules that decide about it.
pub(super) struct Asker {
    pub(super) caller: Caller,
    pub(super) deciding: Deciding,
    /// Noted where a server whose tools stand beside ours is called with what it is exchanged for.
    pub(super) presented: Option<Presented>,
    pub(super) noted: Noted,
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
        let noted = extensions.get::<Noted>()?.clone();
        Some(Asker { caller: caller.clone(), deciding: deciding.clone(), presented, noted })
    });
    asker.ok_or_else(|| {
        tracing::error!("mcp.unguarded_request");
        ErrorData::internal_error("the request did not pass the guard", None)
    })
}
