//! How an exchange ends: what the audit log says of it, and what its caller is told where the server failed.

use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::http::{Response, StatusCode, header};

use crate::audit::{AuditEvent, ResultStatus};
use crate::code::Code;
use crate::guard::{self, List, Unrecorded, millis};
use crate::policy::{Decision, Obligations};

use super::answer::{Exchange, Kind, json};
use super::fault::{Fault, tool_error};
use super::seen::Said;
use super::server::Ended;
use super::watch::News;

/// Flawed tools of one list that are recorded one by one.
const EVENTS: usize = 100;

/// Beside an answer: what failed is this caller's affair, and another's request may succeed.
#[derive(Clone, Copy, Debug)]
pub(super) struct TheirsAlone;

/// Beside an answer: it is ours, for the server gave none that could be handed on, whoever asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered;

impl Exchange {
    /// Records where the shadow rules would show another list, and what was noticed about tools, and in a handshake of the broker's
    /// own: of that one list is not to write more than so many events, the first of which says how many others there are.
    pub(super) async fn notice(&self, mut news: Vec<News>) -> Result<(), Unrecorded> {
        let unlike =
            std::mem::take(&mut *self.unlike.lock().unwrap_or_else(PoisonError::into_inner));
        for (tool_name, said, other) in unlike {
            guard::record_difference(&self.caller, &tool_name, &said, other).await?;
        }
        // First, so that no list of many keeps it from having an event of its own.
        news.splice(0..0, self.server.watch.told.kept());
        let mut others = news.len().checked_sub(EVENTS).filter(|others| *others > 0);
        for News { thing, tool, flaw, digest, hidden } in news.into_iter().take(EVENTS) {
            let decider = &self.server.decider;
            let named =
                if thing.is_some() { decider.server_name() } else { decider.tool_name(&tool) };
            let Some(tool_name) = named else { continue };
            let others = others.take();
            tracing::warn!(%tool_name, ?thing, ?flaw, digest, hidden, others, "upstream.tool_flawed");
            let event = AuditEvent::ToolFlawed { tool_name, thing, flaw, digest, hidden, others };
            self.caller.record(self.caller.context(), event).await?;
        }
        Ok(())
    }

    /// Records how the exchange ended. Of several calls the first counts.
    pub(super) async fn end_seen(&mut self, said: &Said) -> Result<(), Unrecorded> {
        match said {
            Said::Nothing => Ok(()),
            Said::Failed => self.end(ResultStatus::Error, None).await,
            Said::Refused(code) => self.end(ResultStatus::Error, Some(*code)).await,
            Said::Listed(List::Tools, listed, hidden) => {
                let policy_version = Arc::clone(self.server.decider.now().version());
                let (listed, hidden) = (*listed, *hidden);
                let event = AuditEvent::ToolsList { listed, hidden, policy_version };
                Ok(self.caller.end(event).await?)
            }
            Said::Done | Said::Listed(..) => self.end(ResultStatus::Ok, None).await,
        }
    }

    pub(super) async fn end(
        &mut self,
        status: ResultStatus,
        code: Option<Code>,
    ) -> Result<(), Unrecorded> {
        if !self.caller.is_open() {
            return Ok(());
        }
        match std::mem::replace(&mut self.kind, Kind::Other) {
            Kind::Tool(decided) | Kind::Thing(decided) => {
                self.end_decided(*decided, (status, code)).await
            }
            Kind::Stream(Some(decided)) => {
                self.kind = Kind::Stream(None);
                self.end_decided(*decided, (status, code)).await
            }
            kind => {
                self.kind = kind;
                let event = AuditEvent::ResultEmit {
                    method: self.method,
                    tool_name: self.server.decider.server_name(),
                    status,
                    error_code: code,
                    duration_ms: millis(self.server.door.spent(&self.caller)),
                    decision: None,
                    reason: None,
                    policy_version: None,
                    evaluated: Vec::new(),
                    obligations: Obligations::default(),
                    question: None,
                };
                Ok(self.caller.end(event).await?)
            }
        }
    }

    async fn end_decided(
        &self,
        (decision, ended): (Decision, Ended),
        (status, code): (ResultStatus, Option<Code>),
    ) -> Result<(), Unrecorded> {
        let how = (&decision, status, code);
        self.server.end_as(&self.caller, self.method, how, ended).await
    }

    /// The answer to a message that the server did not answer properly.
    pub(super) async fn failed(&mut self, fault: &Fault) -> Result<Response<Body>, Unrecorded> {
        let is_tool = matches!(self.kind, Kind::Tool(_));
        self.note(fault);
        self.end(ResultStatus::Error, Some(fault.code())).await?;
        if let Some(challenge) = fault.challenge(&self.server.door.metadata_url) {
            let mut response = fault.answer(self.id.as_deref());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response.extensions_mut().insert(TheirsAlone);
            return Ok(response);
        }
        let mut response = match (&self.id, is_tool) {
            (Some(id), true) => json(StatusCode::OK, tool_error(id, &fault.failure(), self.modern)),
            (id, _) => fault.answer(id.as_deref()),
        };
        if fault.is_the_callers() {
            response.extensions_mut().insert(TheirsAlone);
        } else {
            response.extensions_mut().insert(Unanswered);
        }
        Ok(response)
    }

    /// For the operator.
    pub(super) fn note(&self, fault: &Fault) {
        self.server.era.doubt(self.server.door.clock.monotonic());
        let (server, request_id) = (&self.server.id, self.caller.request_id());
        let hint = fault.hint();
        let fault: &(dyn std::error::Error + 'static) = fault;
        tracing::warn!(%server, method = self.method, error = fault, hint, %request_id, "upstream.failed");
    }
}
