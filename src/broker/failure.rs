//! From the errors of the parts to the contract's error: code, message, and what a program can use.
//!
//! Nothing here copies a provider's text: it may hold anything.

use crate::code::Code;
use crate::graph::GraphError;
use crate::policy::Decision;
use crate::token::TokenError;

use super::flow::millis;
use super::reply::Failure;

pub(super) fn of_policy(decision: &Decision) -> Failure {
    let code = decision.code.unwrap_or(Code::PolicyDenied);
    let message = match code {
        Code::PolicyApprovalRequired => "a person has to approve this call first",
        Code::PolicyInvalidScope => {
            "a Graph permission is outside what the deciding rule and the settings allow"
        }
        Code::PolicyMissingIdentity => "the token names no subject",
        _ => "policy does not allow this call",
    };
    let missing: Vec<&str> =
        decision.missing_scopes.iter().map(crate::scope::ScopeToken::as_str).collect();
    Failure::new(code, message)
        .with("reason_code", Some(&decision.reason))
        .with("policy_version", Some(&decision.policy_version))
        .with("missing_scopes", (!missing.is_empty()).then_some(missing))
}

pub(super) fn of_token(error: &TokenError) -> Failure {
    log(error, error.hint());
    let detail = match error {
        TokenError::Secret(secret) => serde_json::to_value(secret.detail()).ok(),
        _ => serde_json::to_value(error.detail()).ok(),
    };
    Failure::new(error.code(), error.to_string())
        .with("detail", detail.filter(|detail| !detail.is_null()))
        .with("retry_after_ms", error.retry_after().map(millis))
        .with("identity_provider", error.diagnostics())
        .withholding(matches!(error, TokenError::Refused { .. } | TokenError::BadResponse { .. }))
}

pub(super) fn of_graph(error: &GraphError) -> Failure {
    log(error, error.hint());
    let least: Vec<&str> =
        error.least_permissions().iter().map(crate::id::Permission::as_str).collect();
    Failure::new(error.code(), error.to_string())
        .with("detail", error.detail())
        .with("retry_after_ms", error.retry_after().map(millis))
        .with("http_status", error.http_status())
        .with("provider_request_id", error.provider_request_id())
        .with("attempts", Some(error.attempts()))
        .with("least_permissions", (!least.is_empty()).then_some(least))
        .with("response_bytes", error.too_large().and_then(|(size, _)| size))
        .with("max_response_bytes", error.too_large().map(|(_, limit)| limit))
        .withholding(error.http_status().is_some())
}

/// The chain of causes and what to do are for the operator's log, once; the caller gets code and sentence.
fn log(error: &(dyn std::error::Error + 'static), hint: &str) {
    tracing::warn!(error, hint, "provider.call_failed");
}
