//! What is sent, before it is written as JSON.

use std::borrow::Cow;
use std::time::Duration;

use crate::id::{RequestId, TraceId};
use crate::time::Timestamp;

/// The name of an attribute, by OpenTelemetry's conventions where they have one, and its value.
pub type Attribute = (&'static str, Value);

/// Identifiers, codes and numbers; never a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Cow<'static, str>),
    Number(i64),
    /// A number that is said as a text. Written where it is sent, as below.
    Digits(i64),
    Truth(bool),
    /// Written where it is sent: a request does not wait for that.
    Request(RequestId),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Text(text)
    }
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// We were called.
    Server,
    /// We call.
    Client,
}

/// Something that took time.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: TraceId,
    pub id: u64,
    pub parent: Option<u64>,
    /// Of a closed set, or with names from the settings: it is what traces are grouped by.
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub ended: Timestamp,
    pub took: Duration,
    pub attributes: Vec<Attribute>,
    /// Whether its status says so: what a client did wrong is no error of the server's span.
    pub failed: bool,
    /// The code of what went wrong.
    pub error: Option<Cow<'static, str>>,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub struct Log {
    pub at: Timestamp,
    /// `DEBUG`, `INFO`, `WARN`, `ERROR`.
    pub severity: &'static str,
    /// By OTLP's numbers.
    pub number: u8,
    pub body: String,
    pub target: String,
    pub attributes: Vec<(String, String)>,
    /// The request that it was written for, where it was for one.
    pub of: Option<(TraceId, RequestId)>,
}
