//! A call, another request or a stream that is too much: how it is counted, recorded and answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::value::RawValue;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::Caller;
use crate::code::Code;
use crate::id::{RequestId, ToolName};
use crate::limits::{LimitFacts, Permits, Refused};
use crate::policy::{Decision, Effect, Recorded};

use super::answer::method_name;
use super::door::{Door, Unrecorded};
use super::jsonrpc::{self, Message};

impl Door {
    /// Counts a call (RS-26). Before anything else is said about it, so that a client that ignores challenges is slowed
    /// down too. `decision` is `None` for a tool that is not there; `question` is what was decided, as the audit log keeps it.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]; the inner one is the answer to a call that is too much.
    pub async fn within_limits(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        (tool, decision): (&str, Option<&Decision>),
        question: impl FnOnce() -> Option<Box<Recorded>> + Send,
    ) -> Result<Result<Permits, Response<Body>>, Unrecorded> {
        match self.limits.check(&facts(caller, tool, decision)).await {
            Ok(permits) => Ok(Ok(permits)),
            Err(refused) => {
                let method = method_name(message.method.as_deref());
                let decided = decision.map(|decision| (decision, question()));
                let ended = event(method, tool, decided, (refused.code(), self.spent(caller)));
                caller.end(ended).await?;
                Ok(Err(answer(message.id, &refused, caller.request_id())))
            }
        }
    }

    /// Counts a request that is no call: a list, a handshake, a notification.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]; the inner one is the answer to a request that is too much.
    pub async fn within_request_limits(
        &self,
        caller: &Caller,
        (method, id): (&'static str, Option<&RawValue>),
    ) -> Result<Result<Permits, Response<Body>>, Unrecorded> {
        let counted = self.limits.check_request(&facts(caller, "", None)).await;
        self.counted(caller, (method, id), counted).await
    }

    /// Takes a place for a stream that stays open.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`]; the inner one is the answer where there is none.
    pub async fn within_stream_limits(
        &self,
        caller: &Caller,
        (method, id): (&'static str, Option<&RawValue>),
    ) -> Result<Result<Permits, Response<Body>>, Unrecorded> {
        let counted = self.limits.check_stream(&facts(caller, "", None)).await;
        self.counted(caller, (method, id), counted).await
    }

    async fn counted(
        &self,
        caller: &Caller,
        (method, id): (&'static str, Option<&RawValue>),
        counted: Result<Permits, Refused>,
    ) -> Result<Result<Permits, Response<Body>>, Unrecorded> {
        let refused = match counted {
            Ok(permits) => return Ok(Ok(permits)),
            Err(refused) => refused,
        };
        let ended = event(method, "", None, (refused.code(), self.spent(caller)));
        caller.end(ended).await?;
        Ok(Err(answer(id, &refused, caller.request_id())))
    }
}

/// Who is counted for a call. The limits of a tool concern only those whom policy lets through to it:
/// for everybody else it is like a tool that does not exist (RS-28).
fn facts<'a>(caller: &'a Caller, tool: &'a str, decision: Option<&'a Decision>) -> LimitFacts<'a> {
    let reached = decision.filter(|decision| decision.effect != Effect::Deny);
    let principal = caller.principal();
    LimitFacts {
        issuer: principal.issuer(),
        client: principal.client_id(),
        user: principal.subject(),
        tenant: reached.and_then(|decision| decision.tenant_id.as_ref()),
        tool: reached.map(|_| tool),
    }
}

/// The terminal event of the call, or of what is none.
fn event(
    method: &'static str,
    tool: &str,
    decided: Option<(&Decision, Option<Box<Recorded>>)>,
    (code, spent): (Code, Duration),
) -> AuditEvent {
    let (decision, question) = decided.unzip();
    AuditEvent::ResultEmit {
        method,
        tool_name: tool_name(tool),
        status: ResultStatus::Error,
        error_code: Some(code),
        duration_ms: super::door::millis(spent),
        decision: decision.map(|decision| decision.effect),
        reason: decision.map(|decision| decision.reason.clone()),
        policy_version: decision.map(|decision| Arc::clone(&decision.policy_version)),
        evaluated: decision.map(|decision| decision.evaluated.clone()).unwrap_or_default(),
        obligations: decision.map(|decision| decision.obligations.clone()).unwrap_or_default(),
        question: question.flatten(),
    }
}

/// A tool by its own name; of a prompt or a resource of a server, whose names are no tool's, the server.
fn tool_name(name: &str) -> Option<ToolName> {
    name.parse().ok().or_else(|| name.split_once('/')?.0.parse().ok())
}

/// 429 (RFC 6585 §4), or 503 where a limit cannot be counted; with `Retry-After` (RFC 9110 §10.2.3), and the
/// same for programs in the body.
fn answer(id: Option<&RawValue>, refused: &Refused, request_id: RequestId) -> Response<Body> {
    let code = refused.code();
    let seconds = refused.retry_after_seconds();
    let data = serde_json::json!({
        "code": code,
        "category": code.category(),
        "retryable": code.retryable(),
        "request_id": request_id,
        "retry_after_ms": super::door::millis(refused.retry_after()).saturating_add(1),
    });
    let (status, number) = match refused {
        Refused::RateLimited(_) => (StatusCode::TOO_MANY_REQUESTS, jsonrpc::INVALID_REQUEST),
        Refused::StoreAway(_) => (StatusCode::SERVICE_UNAVAILABLE, jsonrpc::INTERNAL_ERROR),
    };
    let mut response = jsonrpc::error(
        status,
        id,
        number,
        &format!("{code}: {refused}; retry after {seconds} s"),
        Some(data),
    );
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
