//! The arguments of `auth.graph.operation.execute.v1`, parsed: what cannot be wrong any more.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::code::Code;
use crate::graph::{GraphRequest, UnverifiedRequest};
use crate::id::{IdError, Permission, RequestId, Subject, TenantId};
use crate::policy::GraphAsk;

/// The one version of the contract that is spoken.
pub const CONTRACT_VERSION: &str = "v0.1.0";

/// Permissions a call may name.
const MAX_PERMISSIONS: usize = 32;

/// One Graph call as its caller wants it. Well formed; whether it is allowed is for policy to say.
#[derive(Clone, Debug)]
pub struct GraphCall {
    request_id: RequestId,
    asserted_requester: Option<Subject>,
    tenant: Option<TenantId>,
    resource: Option<String>,
    permissions: Vec<Permission>,
    request: GraphRequest,
    timeout: Duration,
    /// The caller wants it sooner than it has to be.
    hurried: bool,
    /// As they were sent, for rules that look at them.
    arguments: Box<str>,
    /// What the client sends back of an answer that said that the call waits for a person.
    request_state: Option<String>,
}

/// Why the arguments are no call. Names the field and its shape, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", prefix(field, message))]
pub struct CallError {
    pub code: Code,
    /// Dotted, such as `operation.path`; `arguments` for the whole.
    pub field: String,
    pub message: String,
    /// The id of the call: the caller's where it was readable.
    pub request_id: RequestId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall {
    contract_version: Option<String>,
    request_id: Option<String>,
    requester: Option<RawRequester>,
    graph: Option<RawGraph>,
    operation: RawOperation,
    timeout_ms: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequester {
    requester_id: Option<String>,
    #[serde(rename = "identity_assurance")]
    _identity_assurance: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGraph {
    tenant_id: Option<String>,
    resource: Option<String>,
    scopes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperation {
    action: Option<String>,
    method: String,
    path: String,
    headers: Option<BTreeMap<String, String>>,
    body: Option<Value>,
}

/// A fault before it has a request id.
struct Fault {
    code: Code,
    field: String,
    message: String,
}

impl GraphCall {
    /// Parses the arguments of a tool call. `request_id` is the call's where it brings none;
    /// `max_timeout` is the configured budget of a whole call.
    ///
    /// # Errors
    ///
    /// [`CallError`]: `bad_request.invalid_field`, `bad_request.invalid_timeout` or
    /// `bad_request.unsupported_operation`, for the first field that is wrong.
    pub fn parse(
        arguments: &[u8],
        request_id: RequestId,
        max_timeout: Duration,
    ) -> Result<Self, CallError> {
        let identified = |request_id: RequestId, fault: Fault| {
            let Fault { code, field, message } = fault;
            CallError { code, field, message, request_id }
        };
        let mut reader = serde_json::Deserializer::from_slice(arguments);
        let raw: RawCall = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| identified(request_id, shape(&error)))?;
        let own = field("request_id", raw.request_id.as_deref())
            .map_err(|fault| identified(request_id, fault))?;
        let request_id = own.unwrap_or(request_id);
        let call = Self::from_raw(raw, request_id, max_timeout)
            .map_err(|fault| identified(request_id, fault))?;
        Ok(Self { arguments: String::from_utf8_lossy(arguments).into(), ..call })
    }

    fn from_raw(raw: RawCall, request_id: RequestId, max_timeout: Duration) -> Result<Self, Fault> {
        if raw.contract_version.is_some_and(|version| version != CONTRACT_VERSION) {
            return Err(invalid("contract_version", format!("must be {CONTRACT_VERSION}")));
        }
        let timeout = timeout(raw.timeout_ms, max_timeout)?;
        let requester = raw.requester.and_then(|requester| requester.requester_id);
        let graph = raw.graph.unwrap_or_default();
        let permissions = graph.scopes.unwrap_or_default();
        if permissions.len() > MAX_PERMISSIONS {
            let message =
                format!("has {} entries, at most {MAX_PERMISSIONS} are allowed", permissions.len());
            return Err(invalid("graph.scopes", message));
        }
        Ok(Self {
            request_id,
            asserted_requester: field("requester.requester_id", requester.as_deref())?,
            tenant: field("graph.tenant_id", graph.tenant_id.as_deref())?,
            resource: graph.resource.map(|resource| origin(&resource)).transpose()?,
            permissions: permissions
                .iter()
                .map(|text| parse("graph.scopes", text))
                .collect::<Result<_, _>>()?,
            request: request(&raw.operation, request_id)?,
            timeout,
            hurried: timeout < max_timeout,
            arguments: Box::default(),
            request_state: None,
        })
    }

    /// Hands the call to `ask` as policy sees it.
    pub fn ask<T>(&self, ask: impl FnOnce(GraphAsk<'_>) -> T) -> T {
        let path = self.request.path();
        let query: Vec<(&str, &str)> =
            path.query().iter().map(|option| (option.name(), option.value())).collect();
        ask(GraphAsk {
            tenant: self.tenant.as_ref(),
            resource: self.resource.as_deref(),
            method: self.request.method().as_str(),
            version: path.version().as_str(),
            segments: path.segments(),
            query: &query,
            permissions: &self.permissions,
            asserted_requester: self.asserted_requester.as_ref(),
        })
    }

    /// The arguments as JSON, for rules that look at them.
    #[must_use]
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// The same call with what its client sends back beside the arguments (MCP 2026-07-28 basic/patterns/mrtr).
    #[must_use]
    pub fn with_request_state(self, request_state: Option<String>) -> Self {
        Self { request_state, ..self }
    }

    #[must_use]
    pub fn request_state(&self) -> Option<&str> {
        self.request_state.as_deref()
    }

    #[must_use]
    pub const fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The tenant the caller named.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// The requester the caller claims to act for, where it claims one.
    #[must_use]
    pub const fn asserted_requester(&self) -> Option<&Subject> {
        self.asserted_requester.as_ref()
    }

    pub(super) const fn request(&self) -> &GraphRequest {
        &self.request
    }

    /// Whether its time is shorter than that of a call that names none.
    pub(super) const fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// How long the whole call may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }
}

fn request(raw: &RawOperation, request_id: RequestId) -> Result<GraphRequest, Fault> {
    if raw.action.as_deref().is_some_and(|action| action != "downstream_call") {
        return Err(unsupported("operation.action", "must be downstream_call"));
    }
    let none = BTreeMap::new();
    let unverified = UnverifiedRequest {
        method: &raw.method,
        path: &raw.path,
        headers: raw.headers.as_ref().unwrap_or(&none),
        body: raw.body.as_ref(),
    };
    let request = GraphRequest::parse(&unverified, request_id).map_err(|error| Fault {
        code: error.code(),
        field: error.field().to_owned(),
        message: error.to_string(),
    })?;
    if request.path().needs_signed_in_user() {
        let message =
            "/me needs a signed-in user, and the broker acts as an application: use /users/{id}";
        return Err(unsupported("operation.path", message));
    }
    Ok(request)
}

fn invalid(field: &str, message: String) -> Fault {
    Fault { code: Code::InvalidField, field: field.to_owned(), message }
}

fn unsupported(field: &str, message: &str) -> Fault {
    Fault { code: Code::UnsupportedOperation, ..invalid(field, message.to_owned()) }
}

fn parse<T: FromStr<Err = IdError>>(name: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|error: IdError| invalid(name, error.to_string()))
}

fn field<T: FromStr<Err = IdError>>(name: &str, text: Option<&str>) -> Result<Option<T>, Fault> {
    text.map(|text| parse(name, text)).transpose()
}

/// An origin in one spelling: `https://graph.microsoft.com`, without a path.
fn origin(text: &str) -> Result<String, Fault> {
    let wrong = || {
        invalid(
            "graph.resource",
            "must be an origin such as https://graph.microsoft.com".to_owned(),
        )
    };
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if bare && anonymous && url.origin().is_tuple() {
        Ok(url.origin().ascii_serialization())
    } else {
        Err(wrong())
    }
}

fn timeout(raw: Option<Value>, max: Duration) -> Result<Duration, Fault> {
    let Some(raw) = raw.filter(|raw| !raw.is_null()) else {
        return Ok(max);
    };
    let max_ms = max.as_millis();
    match raw.as_u64() {
        Some(millis) if millis >= 1 && u128::from(millis) <= max_ms => {
            Ok(Duration::from_millis(millis))
        }
        _ => {
            let fault = invalid("timeout_ms", format!("must be a whole number from 1 to {max_ms}"));
            Err(Fault { code: Code::InvalidTimeout, ..fault })
        }
    }
}

/// What serde found, without the value it found: its own message would quote it.
fn shape(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let text = error.inner().to_string();
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    let quoted = text.split('`').nth(1).map(printable).unwrap_or_default();
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let (field, message) = if text.starts_with("unknown field") {
        // The path of an unknown field ends in its name already.
        let field = if path.ends_with(&quoted) { printable(&path) } else { below(&quoted) };
        (field, "is not a field of this contract")
    } else if text.starts_with("missing field") {
        (below(&quoted), "is required")
    } else if text.starts_with("duplicate field") {
        (below(&quoted), "is given twice")
    } else if error.inner().is_data() {
        (
            if path.is_empty() { "arguments".to_owned() } else { printable(&path) },
            "has the wrong type",
        )
    } else {
        ("arguments".to_owned(), "are not a JSON object")
    };
    invalid(&field, message.to_owned())
}

/// Names the field in front of messages that do not begin with it.
fn prefix(field: &str, message: &str) -> String {
    if message.starts_with(field) { String::new() } else { format!("{field}: ") }
}

/// A field name as a caller spelled it, short enough and plain enough to be shown.
fn printable(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}
