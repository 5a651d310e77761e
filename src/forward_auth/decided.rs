//! What a decision comes to: its event, and what the proxy is told.

use axum::body::Body;
use axum::http::Response;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::Caller;
use crate::code::Code;
use crate::guard::{Unrecorded, millis};
use crate::id::ToolName;
use crate::policy::{Decision, Recorded};

use super::answer;
use super::servers::Server;

/// A decision with what was asked.
pub(super) struct Decided {
    pub(super) method: &'static str,
    /// The tool, or the server whose prompt, resource or handshake it is.
    pub(super) tool_name: Option<ToolName>,
    pub(super) decision: Decision,
    pub(super) question: Box<Recorded>,
}

impl Server {
    /// Lets it through where policy allows it, else refuses it with this.
    pub(super) async fn end_as_decided(
        &self,
        caller: &Caller,
        decided: Decided,
        refusal: Response<Body>,
    ) -> Result<Response<Body>, Unrecorded> {
        let Decided { method, tool_name, decision, question } = decided;
        let allowed = decision.is_allow();
        let event = AuditEvent::ResultEmit {
            method,
            tool_name,
            status: if allowed { ResultStatus::Ok } else { ResultStatus::Error },
            error_code: (!allowed).then_some(decision.code.unwrap_or(Code::PolicyDenied)),
            duration_ms: millis(self.door.spent(caller)),
            decision: Some(decision.effect),
            reason: Some(decision.reason),
            policy_version: Some(decision.policy_version),
            evaluated: decision.evaluated,
            obligations: decision.obligations,
            question: Some(question),
        };
        caller.end(event).await?;
        Ok(if allowed { answer::admitted(caller.principal()) } else { refusal })
    }
}
