//! A call that is too much: how it is counted, recorded and answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::Caller;
use crate::limits::{LimitFacts, RateLimited};
use crate::policy::{Decision, Effect};

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
pub(super) fn event(tool: &str, decision: Option<&Decision>, spent: Duration) -> AuditEvent {
    AuditEvent::ResultEmit {
        method: "tools/call",
        tool_name: tool.parse().ok(),
        status: ResultStatus::Error,
        error_code: Some(crate::code::Code::PolicyRateLimited),
        duration_ms: super::guard::millis(spent),
        decision: decision.map(|decision| decision.effect),
        reason: decision.map(|decision| decision.reason.clone()),
        policy_version: decision.map(|decision| Arc::clone(&decision.policy_version)),
    }
}

/// 429 with `Retry-After` (RFC 6585 §4, RFC 9110 §10.2.3), and the same for programs in the body.
pub(super) fn answer(message: &Message<'_>, limited: &RateLimited) -> Response<Body> {
    let code = limited.code();
    let seconds = limited.retry_after_seconds();
    let data = serde_json::json!({
        "code": code,
        "category": code.category(),
        "retryable": code.retryable(),
        "retry_after_ms": super::guard::millis(limited.retry_after).saturating_add(1),
    });
    let mut response = jsonrpc::error(
        StatusCode::TOO_MANY_REQUESTS,
        message.id,
        jsonrpc::INVALID_REQUEST,
        &format!("{code}: {limited}; retry after {seconds} s"),
        Some(data),
    );
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
