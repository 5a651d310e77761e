//! Error answers of the API (RFC 9457): what is wrong, with which field, what is allowed.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::error::AdminError;

/// A problem document. Nothing in it quotes the request.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
}

pub(super) fn problem(
    status: StatusCode,
    detail: &str,
    hint: Option<&'static str>,
    field: Option<&'static str>,
) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body =
        Problem { r#type: "about:blank", title, status: status.as_u16(), detail, hint, field };
    let mut response = (status, axum::Json(body)).into_response();
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A fault of ours goes to the log with its chain, and to the caller without.
impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        match &self {
            Self::Invalid { field, problem: what, allowed } => problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                &format!("{field} {what}"),
                Some(allowed),
                Some(field),
            ),
            Self::NotFound(what) => {
                problem(StatusCode::NOT_FOUND, &format!("there is no such {what}"), None, None)
            }
            Self::Taken { field, hint } => {
                problem(StatusCode::CONFLICT, &format!("{field} is taken"), Some(hint), Some(field))
            }
            Self::Forbidden { problem: detail, hint } => {
                problem(StatusCode::FORBIDDEN, detail, Some(hint), None)
            }
            Self::TooLate => {
                let hint = "GET it to see what became of it";
                problem(StatusCode::CONFLICT, &self.to_string(), Some(hint), None)
            }
            Self::OtherRules => {
                let hint = "the call waits anew when it is made again";
                problem(StatusCode::CONFLICT, &self.to_string(), Some(hint), None)
            }
            Self::Outdated { problem: detail, hint } => {
                problem(StatusCode::CONFLICT, detail, Some(hint), None)
            }
            // Of our own files, not of the request: lines, columns and what is allowed there.
            Self::Policy(faults) => {
                let hint = "the rules that were in force still are; mend the file and ask again";
                problem(StatusCode::UNPROCESSABLE_ENTITY, &faults.to_string(), Some(hint), None)
            }
            // What we say of its answer; what is beneath goes to the log.
            Self::Provider(why) => {
                tracing::warn!(error = &**why as &dyn std::error::Error, "admin.provider_refused");
                let detail = format!("nobody could log in at the identity provider: {why}");
                let hint = "mend it and try again, or add it unseen: no_check";
                problem(StatusCode::UNPROCESSABLE_ENTITY, &detail, Some(hint), None)
            }
            Self::Store(_) | Self::Audit(_) | Self::Log(_) => {
                tracing::error!(error = &self as &dyn std::error::Error, "admin.unavailable");
                let hint = "look whether it happened before you repeat it";
                unavailable("the store or the audit log does not answer", Some(hint))
            }
        }
    }
}

/// `503` for a caller whose refusal cannot be recorded: nothing was done.
pub fn unrecorded() -> Response {
    unavailable("the audit log does not answer", None)
}

fn unavailable(detail: &str, hint: Option<&'static str>) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, detail, hint, None);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(super) async fn not_found() -> Response {
    let hint = Some("GET /api/v1/users, /clients, /resources, /grants, /approvals, /policy");
    problem(StatusCode::NOT_FOUND, "there is nothing at this path", hint, None)
}

pub(super) async fn method_not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method", None, None)
}
