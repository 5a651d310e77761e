//! A call that is too much: how it is counted, recorded and answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::Caller;
use crate::code::Code;
use crate::id::{RequestId, ToolName};
use crate::limits::{LimitFacts, Refused};
use crate::policy::{Decision, Effect, Recorded};

use super::answer::method_name;
use super::jsonrpc::{self, Message};

/// Who is counted for a call. The limits of a tool concern only those whom policy lets through to it:
/// for everybody else it is like a tool that does not exist (RS-28).
pub(super) fn facts<'a>(
    caller: &'a Caller,
    tool: &'a str,
    decision: Option<&'a Decision>,
) -> LimitFacts<'a> {
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

/// The terminal event of the call.
pub(super) fn event(
    message: &Message<'_>,
    tool: &str,
    decided: Option<(&Decision, Option<Box<Recorded>>)>,
    (code, spent): (Code, Duration),
) -> AuditEvent {
    let (decision, question) = decided.unzip();
    AuditEvent::ResultEmit {
        method: method_name(message.method.as_deref()),
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
pub(super) fn answer(
    message: &Message<'_>,
    refused: &Refused,
    request_id: RequestId,
) -> Response<Body> {
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
        message.id,
        number,
        &format!("{code}: {refused}; retry after {seconds} s"),
        Some(data),
    );
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
