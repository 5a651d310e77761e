//! Which headers pass, in each direction: those that are listed here, and no others.
//!
//! So the caller's token, cookies, addresses and whatever else it sends stay here, and a server can set no cookie, ask for
//! no credential and open no door for other origins.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::guard::{Message, Mirrored, PARAMETER};

use super::wanted::Wanted;

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(super) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub(super) const NAME: HeaderName = HeaderName::from_static("mcp-name");
const ACCEPT: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Whether the request is of 2026-07-28 or later: dates compare as texts do.
pub(super) fn is_modern(headers: &HeaderMap) -> bool {
    headers.get(VERSION).is_some_and(|version| version.as_bytes() >= b"2026-07-28".as_slice())
}

/// What of a request's headers goes to the server. Its session id is the caller's to add.
pub(super) fn to_server(headers: &HeaderMap) -> HeaderMap {
    let mut sent = HeaderMap::with_capacity(8);
    for (name, value) in headers {
        let passes = matches!(
            name.as_str(),
            "mcp-protocol-version" | "mcp-method" | "mcp-name" | "traceparent" | "tracestate"
        ) || name.as_str().starts_with(PARAMETER);
        if passes {
            sent.append(name.clone(), value.clone());
        }
    }
    sent.insert(header::ACCEPT, ACCEPT);
    sent.insert(header::CONTENT_TYPE, JSON);
    sent
}

/// Whether the headers that mirror the body say what the body says.
pub(super) fn mirror_the_body(
    headers: &HeaderMap,
    message: &Message<'_>,
    wanted: &Wanted<'_>,
) -> bool {
    let mirrored = match wanted {
        Wanted::Tool { name, arguments, .. } => Mirrored::Thing(name, *arguments),
        Wanted::Prompt { name, .. } => Mirrored::Thing(name, None),
        Wanted::Resources(uris) => {
            uris.first().map_or(Mirrored::Nothing, |uri| Mirrored::Thing(uri, None))
        }
        Wanted::Unknown => Mirrored::Unknown,
        Wanted::List(_) | Wanted::Protocol | Wanted::Reply | Wanted::Malformed(_) => {
            Mirrored::Nothing
        }
    };
    mirrored.agrees_with(headers, message.method.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    // MCP 2026-07-28 Streamable HTTP — N116
    #[test]
    fn only_what_the_protocol_needs_reaches_the_server() {
        let sent = to_server(&headers(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-broker-identity", "forged"),
            ("x-forwarded-for", "1.2.3.4"),
            ("connection", "mcp-name"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "Basic x"),
            ("last-event-id", "7"),
            ("mcp-session-id", "s"),
            ("mcp-name", "n"),
            ("mcp-param-region", "eu"),
        ]));
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-type", "mcp-name", "mcp-param-region"]);
    }

    fn mirrors(all: &[(&'static str, &str)]) -> bool {
        let body = br#"{"id":1,"method":"tools/call","params":{"name":"\u00e9","arguments":{"a":[{"b":"eu"}],"n":3}}}"#;
        let message = Message::parse(body).unwrap();
        mirror_the_body(&headers(all), &message, &Wanted::of(&message, true))
    }

    #[test]
    fn headers_that_say_something_else_than_the_body_are_refused() {
        assert!(mirrors(&[]));
        assert!(mirrors(&[("mcp-method", "tools/call"), ("mcp-name", "=?base64?w6k=?=")]));
        assert!(mirrors(&[("mcp-param-region", "eu"), ("mcp-param-n", "3")]));
        for lie in [
            ("mcp-method", "tools/list"),
            ("mcp-name", "other"),
            ("mcp-name", "=?base64?!?="),
            ("mcp-param-region", "us"),
        ] {
            assert!(!mirrors(&[lie]), "{lie:?}");
        }
    }
}
