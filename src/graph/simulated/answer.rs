//! Answers in Graph's shapes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::time::Timestamp;

/// An answer before the ids that each one carries.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Content,
}

pub(super) enum Content {
    None,
    Json(Value),
    Other(&'static str, Bytes),
}

impl Reply {
    pub(super) const fn json(status: StatusCode, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Content::Json(body) }
    }

    pub(super) const fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Content::None }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn into_response(
        self,
        (request_id, client_request_id): (&str, Option<&HeaderValue>),
        now: Timestamp,
    ) -> Response<Full<Bytes>> {
        let (content_type, body) = match self.body {
            Content::None => (None, Bytes::new()),
            Content::Other(content_type, bytes) => (Some(content_type), bytes),
            Content::Json(mut value) => {
                if let Some(Value::Object(error)) = value.get_mut("error") {
                    let client = client_request_id.and_then(|id| id.to_str().ok());
                    let date = now.to_string();
                    let inner = json!({"date": date, "request-id": request_id, "client-request-id": client});
                    error.insert("innerError".to_owned(), inner);
                }
                (
                    Some("application/json;odata.metadata=minimal;charset=utf-8"),
                    value.to_string().into(),
                )
            }
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let own = self.headers.into_iter().chain([("request-id", request_id.to_owned())]);
        for (name, value) in own.chain(content_type.map(|kind| ("content-type", kind.to_owned()))) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if let Some(id) = client_request_id {
            headers.insert(HeaderName::from_static("client-request-id"), id.clone());
        }
        response
    }
}

/// `{"error": {"code", "message"}}`; the inner error is added on the way out.
pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Reply {
    Reply::json(status, json!({"error": {"code": code, "message": message}}))
}

pub(super) fn not_found(id: &str) -> Reply {
    let text = format!(
        "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
    );
    problem(StatusCode::NOT_FOUND, "Request_ResourceNotFound", &text)
}

pub(super) fn bad_request(message: &str) -> Reply {
    problem(StatusCode::BAD_REQUEST, "Request_BadRequest", message)
}

pub(super) fn method_not_allowed() -> Reply {
    let text = "Specified HTTP method is not allowed for the request target.";
    problem(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", text)
}

pub(super) fn throttled() -> Reply {
    let reply = problem(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Too many requests.");
    reply.header("retry-after", "1")
}

pub(super) fn unavailable() -> Reply {
    problem(StatusCode::SERVICE_UNAVAILABLE, "serviceNotAvailable", "The service is unavailable.")
}
