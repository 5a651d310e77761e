//! A Graph call as an agent asks for it: method, path, the few headers that may pass, a JSON body.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::code::Code;
use crate::id::RequestId;

use super::path::{GraphPath, PathError};
use super::reply::Redaction;

/// The call as it arrived, its types checked and nothing else.
#[derive(Clone, Debug)]
pub struct UnverifiedRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a BTreeMap<String, String>,
    /// `null` is no body.
    pub body: Option<&'a Value>,
}

/// A call that may be sent once policy agrees. `Debug` shows no header and no body.
#[derive(Clone)]
pub struct GraphRequest {
    method: Method,
    path: GraphPath,
    headers: HeaderMap,
    body: Bytes,
    redactions: Vec<Redaction>,
}

/// Why a call cannot be made. Names the field, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("operation.method must be GET, POST, PUT, PATCH or DELETE")]
    Method,
    #[error("operation.path {0}")]
    Path(#[from] PathError),
    #[error(
        "operation.headers may hold accept, content-type, if-match, if-none-match, prefer and consistencylevel only"
    )]
    HeaderName,
    #[error("operation.headers.{0} holds a line break or another character a header cannot carry")]
    HeaderValue(&'static str),
    #[error("operation.headers.{0} is given twice, in different spellings")]
    DuplicateHeader(&'static str),
    #[error("operation.headers.content-type must be application/json: bodies are JSON")]
    ContentType,
    #[error("operation.body must be absent for GET")]
    BodyOfGet,
}

impl RequestError {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Method => Code::UnsupportedOperation,
            Self::Path(error) => error.code(),
            Self::HeaderName
            | Self::HeaderValue(_)
            | Self::DuplicateHeader(_)
            | Self::ContentType
            | Self::BodyOfGet => Code::InvalidField,
        }
    }

    /// The field that is wrong.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Method => "operation.method",
            Self::Path(_) => "operation.path",
            Self::HeaderName
            | Self::HeaderValue(_)
            | Self::DuplicateHeader(_)
            | Self::ContentType => "operation.headers",
            Self::BodyOfGet => "operation.body",
        }
    }
}

/// Accepted from a caller, and how each is sent. Graph knows no `Consistency-Level`, with a hyphen.
const FORWARDED: [(&str, &str); 7] = [
    ("accept", "accept"),
    ("content-type", "content-type"),
    ("if-match", "if-match"),
    ("if-none-match", "if-none-match"),
    ("prefer", "prefer"),
    ("consistencylevel", "consistencylevel"),
    ("consistency-level", "consistencylevel"),
];

/// Taken away in silence would be a lie, so each is listed in `redactions`.
const STRIPPED: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

impl GraphRequest {
    /// Parses a call (contract, "Path rules" and "Header rules"). `request_id` goes along as
    /// `client-request-id`, so that Microsoft's logs and ours can be joined.
    ///
    /// # Errors
    ///
    /// [`RequestError`]: `bad_request.invalid_field`, or `bad_request.unsupported_operation` for a method.
    pub fn parse(
        unverified: &UnverifiedRequest<'_>,
        request_id: RequestId,
    ) -> Result<Self, RequestError> {
        let method = parse_method(unverified.method)?;
        let path = GraphPath::parse(unverified.path)?;
        let (mut headers, redactions) = parse_headers(unverified.headers)?;
        let body = match unverified.body {
            None | Some(Value::Null) => Bytes::new(),
            Some(_) if method == Method::GET => return Err(RequestError::BodyOfGet),
            Some(body) => body.to_string().into(),
        };
        if !body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            headers.entry(http::header::CONTENT_TYPE).or_insert(json);
        }
        if let Ok(id) = HeaderValue::try_from(request_id.to_string()) {
            headers.insert(HeaderName::from_static("client-request-id"), id);
        }
        Ok(Self { method, path, headers, body, redactions })
    }

    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    #[must_use]
    pub const fn path(&self) -> &GraphPath {
        &self.path
    }

    /// The headers that were taken away.
    #[must_use]
    pub fn redactions(&self) -> &[Redaction] {
        &self.redactions
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether sending it twice does what sending it once does: GET, and changes guarded by `If-Match`.
    ///
    /// Never POST: an action such as `sendMail` does not look at `If-Match`.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        let guarded = self.headers.contains_key(http::header::IF_MATCH);
        self.method == Method::GET || (guarded && self.method != Method::POST)
    }
}

impl std::fmt::Debug for GraphRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GraphRequest({} {:?})", self.method, self.path)
    }
}

fn parse_method(text: &str) -> Result<Method, RequestError> {
    match text {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(RequestError::Method),
    }
}

fn parse_headers(
    unverified: &BTreeMap<String, String>,
) -> Result<(HeaderMap, Vec<Redaction>), RequestError> {
    let mut headers = HeaderMap::new();
    let mut redactions = Vec::new();
    for (name, value) in unverified {
        let name = name.to_ascii_lowercase();
        if STRIPPED.contains(&name.as_str()) {
            redactions.push(Redaction::credential(format!("operation.headers.{name}")));
            continue;
        }
        let known = FORWARDED.iter().find(|(accepted, _)| *accepted == name);
        let (_, sent) = known.ok_or(RequestError::HeaderName)?;
        let value = HeaderValue::from_str(value).map_err(|_| RequestError::HeaderValue(sent))?;
        if *sent == "content-type" && !is_json(&value) {
            return Err(RequestError::ContentType);
        }
        if headers.insert(HeaderName::from_static(sent), value).is_some() {
            return Err(RequestError::DuplicateHeader(sent));
        }
    }
    Ok((headers, redactions))
}

fn is_json(value: &HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(
        method: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<GraphRequest, RequestError> {
        let headers: BTreeMap<String, String> =
            headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let path = "/v1.0/users";
        let id = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().unwrap();
        GraphRequest::parse(&UnverifiedRequest { method, path, headers: &headers, body }, id)
    }

    #[test]
    fn credentials_of_the_caller_are_stripped_and_listed() {
        let request =
            parse("GET", &[("Authorization", "Bearer CANARY"), ("COOKIE", "x")], None).unwrap();
        assert_eq!(request.headers().len(), 1, "only client-request-id");
        let fields: Vec<&str> = request.redactions().iter().map(|r| r.field.as_str()).collect();
        assert_eq!(fields, ["operation.headers.authorization", "operation.headers.cookie"]);
        assert!(!format!("{request:?}").contains("CANARY"));
    }

    #[test]
    fn consistency_level_is_sent_as_graph_spells_it() {
        for name in ["Consistency-Level", "ConsistencyLevel"] {
            let request = parse("GET", &[(name, "eventual")], None).unwrap();
            assert_eq!(request.headers()["consistencylevel"], "eventual", "{name}");
        }
        let both = parse("GET", &[("Consistency-Level", "a"), ("ConsistencyLevel", "b")], None);
        assert_eq!(both.unwrap_err(), RequestError::DuplicateHeader("consistencylevel"));
    }

    #[test]
    fn other_headers_and_split_headers_are_refused() {
        for name in ["host", "x-ms-client", "transfer-encoding", "client-request-id", "", "a b"] {
            let error = parse("GET", &[(name, "x")], None).unwrap_err();
            assert_eq!(error, RequestError::HeaderName, "{name}");
        }
        for value in ["a\r\nHost: b", "a\nb", "a\0b"] {
            let error = parse("GET", &[("prefer", value)], None).unwrap_err();
            assert_eq!(error, RequestError::HeaderValue("prefer"));
        }
    }

    #[test]
    fn bodies_are_json_and_methods_are_five() {
        let body = json!({"a": 1});
        let request = parse("PATCH", &[], Some(&body)).unwrap();
        assert_eq!(request.headers()["content-type"], "application/json");
        let text = parse("POST", &[("content-type", "text/plain")], Some(&body));
        assert_eq!(text.unwrap_err(), RequestError::ContentType);
        assert_eq!(parse("GET", &[], Some(&body)).unwrap_err(), RequestError::BodyOfGet);
        assert!(parse("GET", &[], Some(&Value::Null)).is_ok());
        for method in ["get", "HEAD", "OPTIONS", "GET ", ""] {
            assert_eq!(parse(method, &[], None).unwrap_err(), RequestError::Method, "{method}");
        }
    }

    #[test]
    fn only_reads_and_guarded_changes_are_idempotent() {
        let guarded = [("if-match", "*")];
        assert!(parse("GET", &[], None).unwrap().is_idempotent());
        assert!(parse("PATCH", &guarded, None).unwrap().is_idempotent());
        for (method, headers) in [("PATCH", &[][..]), ("DELETE", &[]), ("POST", &guarded)] {
            assert!(!parse(method, headers, None).unwrap().is_idempotent(), "{method}");
        }
    }

    /// Names that are forwarded, stripped or neither, in any case; values that may end a line.
    fn header() -> impl Strategy<Value = (String, String)> {
        let names = FORWARDED.map(|(name, _)| name).into_iter().chain(STRIPPED);
        let names: Vec<&str> = names.chain(["host", "prefer ", "x-http-method"]).collect();
        let name = (prop::sample::select(names), any::<bool>()).prop_map(|(name, upper)| {
            if upper { name.to_ascii_uppercase() } else { name.to_owned() }
        });
        let value = ["application/json", "a", "CANARY", "a\r\nHost: b", "a\nb", "\0", "é", ""];
        (name, prop::sample::select(value.to_vec()).prop_map(str::to_owned))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// Nothing but listed names is sent, no value ends a line, and what was taken away is told.
        #[test]
        fn only_listed_headers_leave(given in prop::collection::btree_map(header().prop_map(|(n, _)| n), header().prop_map(|(_, v)| v), 0..4)) {
            let headers: Vec<(&str, &str)> =
                given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let Ok(request) = parse("GET", &headers, None) else { return Ok(()) };
            for (name, value) in request.headers() {
                let listed = FORWARDED.iter().any(|(_, sent)| sent == name);
                prop_assert!(listed || name == "client-request-id", "{}", name);
                prop_assert!(!value.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            }
            let stripped = given.keys().filter(|name| STRIPPED.contains(&name.to_ascii_lowercase().as_str()));
            prop_assert_eq!(request.redactions().len(), stripped.count());
        }
    }
}
