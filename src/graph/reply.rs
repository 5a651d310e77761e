//! What Graph answered, made safe to hand on: headers from a list, bodies redacted, links made relative.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use crate::outbound::Answer;
use crate::time::Timestamp;

use super::error::Problem;
use super::redact::Redactor;

/// Something that was left out of an answer, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redaction {
    /// Where it would have been, such as `result.execution.response_headers.location`.
    pub field: String,
    pub reason: &'static str,
}

impl Redaction {
    /// A value that gives access to something.
    pub(super) const fn credential(field: String) -> Self {
        Self { field, reason: "credential" }
    }

    /// The broker's own token or secret, which Graph sent back.
    pub(super) const fn known_secret(field: String) -> Self {
        Self { field, reason: "known_secret" }
    }

    /// A paging link to somewhere else than Graph.
    pub(super) const fn foreign_origin(field: String) -> Self {
        Self { field, reason: "foreign_origin" }
    }
}

/// A completed call. `Debug` shows the status only.
#[derive(Clone)]
pub struct GraphReply {
    pub(super) http_status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Value,
    pub(super) redactions: Vec<Redaction>,
    pub(super) attempts: u32,
    pub(super) duration: Duration,
}

impl GraphReply {
    /// Graph's own, 4xx about the operation included.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.http_status
    }

    #[must_use]
    pub const fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// JSON as it came; anything else as `{content_type, encoding, data}`; `null` where there was none.
    #[must_use]
    pub const fn body(&self) -> &Value {
        &self.body
    }

    #[must_use]
    pub fn into_body(self) -> Value {
        self.body
    }

    #[must_use]
    pub fn redactions(&self) -> &[Redaction] {
        &self.redactions
    }

    /// Graph's `request-id`.
    #[must_use]
    pub fn provider_request_id(&self) -> Option<&str> {
        self.headers.get("request-id").map(String::as_str)
    }

    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// All attempts and the waits between them.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }
}

impl std::fmt::Debug for GraphReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GraphReply({}, {} redactions)", self.http_status, self.redactions.len())
    }
}

/// Tells a completed call from one that failed for reasons of ours or of Graph's health.
///
/// A 4xx about the *operation* is an answer; 401 and 403 are about *our* credential.
pub(super) fn judge(answer: &Answer, now: Timestamp) -> Result<(), Problem> {
    let retry_after = answer.retry_after(now);
    match answer.status.as_u16() {
        401 => Err(Problem::Unauthorized { claims_challenge: is_claims_challenge(answer) }),
        403 => Err(Problem::Forbidden { least_permissions: Vec::new() }),
        408 | 504 => Err(Problem::Timeout),
        429 | 509 => Err(Problem::RateLimited { retry_after }),
        501 | 507 => Ok(()),
        500.. => Err(Problem::Unavailable { retry_after }),
        _ => Ok(()),
    }
}

fn is_claims_challenge(answer: &Answer) -> bool {
    let challenge = answer.header(&http::header::WWW_AUTHENTICATE).unwrap_or_default();
    challenge.contains("insufficient_claims") || challenge.contains("claims=")
}

/// The headers that pass.
fn passes(name: &str) -> bool {
    const LISTED: [&str; 8] = [
        "content-type",
        "etag",
        "request-id",
        "client-request-id",
        "date",
        "retry-after",
        "preference-applied",
        "x-ms-resource-unit",
    ];
    LISTED.contains(&name) || name.starts_with("x-ms-throttle-")
}

/// Header values are short; a longer one is not what it says it is.
const MAX_HEADER: usize = 1024;

pub(super) fn headers(answer: &Answer, redactor: &mut Redactor<'_>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in &answer.headers {
        let field = format!("result.execution.response_headers.{name}");
        if name == http::header::LOCATION && !redactor.reveals_links() {
            kept.insert(name.as_str().to_owned(), "[redacted]".to_owned());
            redactor.list(Redaction::credential(field));
        } else if (passes(name.as_str()) || name == http::header::LOCATION)
            && let Some(text) = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER)
        {
            kept.insert(name.as_str().to_owned(), redactor.scrub(text, &field));
        }
    }
    kept
}

pub(super) fn body(answer: &Answer, redactor: &mut Redactor<'_>) -> Result<Value, Problem> {
    const FIELD: &str = "result.execution.response_body";
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    let content_type = answer.header(&http::header::CONTENT_TYPE).unwrap_or_default();
    if is_json(content_type) {
        let mut value = serde_json::from_slice(&answer.body).map_err(|_| Problem::InvalidJson)?;
        redactor.clean(&mut value, &mut FIELD.to_owned());
        return Ok(value);
    }
    let data = if redactor.knows_any_of(&answer.body) {
        redactor.list(Redaction::known_secret(format!("{FIELD}.data")));
        "[redacted]".to_owned()
    } else {
        STANDARD.encode(&answer.body)
    };
    let content_type = redactor.scrub(content_type, &format!("{FIELD}.content_type"));
    Ok(json!({"content_type": content_type, "encoding": "base64", "data": data}))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
