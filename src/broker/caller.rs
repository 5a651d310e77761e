//! Who calls: a verified principal, and the request it makes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::audit::{AuditError, AuditEvent, Auditor, Context, Noted, TerminalGuard};
use crate::id::{EventId, RequestId, ToolName, TraceId};
use crate::policy::Who;
use crate::resource_server::Principal;
use crate::steps::{self, Steps};

/// One request by one verified caller. Cheap to clone; all clones are the same request.
///
/// Whoever holds a clone may end the request, once. When the last clone is dropped before anybody did
/// (the client went away, so the work was dropped), the audit log says `cancelled`.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    principal: Principal,
    context: Context,
    /// Monotonic time of arrival.
    started: Duration,
    auditor: Auditor,
    owed: Mutex<Option<TerminalGuard>>,
    /// `None` where no traces are sent.
    steps: Option<Steps>,
}

impl Caller {
    #[must_use]
    pub fn new(
        principal: Principal,
        request_id: RequestId,
        trace_id: TraceId,
        started: Duration,
        auditor: Auditor,
    ) -> Self {
        let context = Context {
            request_id,
            trace_id,
            requester_id: principal.subject().cloned(),
            client_id: principal.client_id().cloned(),
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let (owed, steps) = (Mutex::default(), Steps::current());
        Self(Arc::new(Inner { principal, context, started, auditor, owed, steps }))
    }

    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The caller as policy sees it.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        let principal = &self.0.principal;
        Who {
            issuer: principal.issuer(),
            subject: principal.subject(),
            client_id: principal.client_id(),
            scopes: principal.scopes(),
            groups: principal.groups(),
            groups_incomplete: principal.groups_incomplete(),
            roles: principal.roles(),
            roles_incomplete: principal.roles_incomplete(),
            claims: Some(principal.claims()),
            told: None,
        }
    }

    #[must_use]
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.0.context.request_id
    }

    /// When the request arrived, in monotonic time.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.0.started
    }

    /// The same caller in a request of ours that is a part of this one: it owes no terminal event of its own.
    #[must_use]
    pub fn part(&self) -> Self {
        let Inner { principal, context, started, auditor, steps, .. } = &*self.0;
        let (principal, context) = (principal.clone(), context.clone());
        let (started, auditor, steps) = (*started, auditor.clone(), steps.clone());
        let owed = Mutex::default();
        Self(Arc::new(Inner { principal, context, started, auditor, owed, steps }))
    }

    /// What the request waits for. `None` where no traces are sent.
    #[must_use]
    pub fn steps(&self) -> Option<Steps> {
        self.0.steps.clone()
    }

    /// What an attempt at a provider is sent, so that what happens there hangs under the attempt (W3C Trace Context).
    #[must_use]
    pub fn traceparent(&self, context: &Context, attempt: u32) -> String {
        let Context { trace_id, request_id, .. } = context;
        let kept =
            self.0.steps.as_ref().map_or(trace_id.is_sampled(), |steps| steps.keeps(trace_id));
        trace_id.traceparent_of(steps::attempt_span(*request_id, attempt), kept)
    }

    /// The id of the JSON-RPC message that it asks with, for traces.
    pub fn asks(&self, rpc_id: Option<&str>) {
        if let (Some(steps), Some(rpc_id)) = (&self.0.steps, rpc_id) {
            steps.asks(rpc_id);
        }
    }

    /// From now on it is known which request this is, and to which trace it belongs.
    pub fn is_read(&self) {
        if let Some(steps) = &self.0.steps {
            steps.belong(self.0.context.trace_id, self.0.context.request_id);
        }
    }

    /// From now on the request owes a terminal event. `method` is the MCP method.
    ///
    /// # Errors
    ///
    /// [`AuditError`] when the audit log cannot take one more: the request must not go on.
    pub async fn owe_terminal_event(
        &self,
        method: &'static str,
        tool: Option<ToolName>,
    ) -> Result<(), AuditError> {
        let guard = self.0.auditor.guard(self.0.context.clone(), method, tool).await?;
        *self.owed() = Some(guard);
        Ok(())
    }

    /// Says what the request is, once its body was read. `chosen` is the id that a tool's caller brought;
    /// only the first holder of a request may name it, before anything was recorded.
    pub fn describe(
        &mut self,
        method: &'static str,
        tool: Option<ToolName>,
        chosen: Option<RequestId>,
    ) {
        let Some(inner) = Arc::get_mut(&mut self.0) else { return };
        inner.context.request_id = chosen.unwrap_or(inner.context.request_id);
        let owed = inner.owed.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(guard) = owed {
            guard.context.request_id = inner.context.request_id;
            guard.describe(method, tool);
        }
    }

    /// Says which trace the request belongs to, where its body says it. Before anything was recorded, as for [`Caller::describe`].
    pub fn join(&mut self, trace: TraceId) {
        let Some(inner) = Arc::get_mut(&mut self.0) else { return };
        inner.context.trace_id = trace;
        let owed = inner.owed.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(guard) = owed {
            guard.context.trace_id = trace;
        }
    }

    /// Records an event of this request that does not end it.
    ///
    /// # Errors
    ///
    /// [`AuditError`] when the audit log cannot take it: the caller must not get its answer then.
    pub async fn record(
        &self,
        context: &Context,
        event: AuditEvent,
    ) -> Result<EventId, AuditError> {
        self.0.auditor.record(context, event).await
    }

    /// Queues an event of what was done for this request, without waiting, before its end ([`Auditor::note`]).
    ///
    /// # Errors
    ///
    /// [`AuditError`] where the audit log has ended.
    pub fn note(&self, context: &Context, event: &AuditEvent) -> Result<Noted, AuditError> {
        self.0.auditor.note(context, event)
    }

    /// Waits until a noted event is kept.
    ///
    /// # Errors
    ///
    /// As for [`Caller::record`].
    pub async fn kept(&self, noted: Noted) -> Result<(), AuditError> {
        self.0.auditor.kept(noted).await
    }

    /// Ends the request with its terminal event; of several calls only the first records one.
    ///
    /// # Errors
    ///
    /// As for [`Caller::record`].
    pub async fn end(&self, event: AuditEvent) -> Result<(), AuditError> {
        let owed = self.owed().take();
        match owed {
            Some(guard) => Steps::within(self.steps(), guard.finish(event)).await,
            None => Ok(()),
        }
    }

    /// The same, in a context of its own: the request id that a tool's caller chose, redactions.
    ///
    /// # Errors
    ///
    /// As for [`Caller::record`].
    pub async fn end_with(&self, context: Context, event: AuditEvent) -> Result<(), AuditError> {
        let owed = self.owed().take();
        match owed {
            Some(mut guard) => {
                guard.context = context;
                Steps::within(self.steps(), guard.finish(event)).await
            }
            None => Ok(()),
        }
    }

    /// Whether a terminal event is still owed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.owed().is_some()
    }

    fn owed(&self) -> std::sync::MutexGuard<'_, Option<TerminalGuard>> {
        self.0.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
