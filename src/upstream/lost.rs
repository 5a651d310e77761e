//! A session that its server knows no more: after a restart, most of all.

use axum::http::StatusCode;
use serde_json::value::RawValue;

use super::reply;

/// Whether it is the session that the server knows no more, so that nothing was run. 404 says so (MCP 2025-11-25 transports),
/// and some servers say 400, with a word about the session. Under whose id they say it differs: `null`, none, one of their
/// own. What answers our request has read it, and may have run it.
pub(super) fn is_lost(status: StatusCode, body: &[u8], asked: &RawValue) -> bool {
    match reply::is_for(body, asked) {
        Some(true) => false,
        Some(false) | None => match status {
            StatusCode::NOT_FOUND => true,
            StatusCode::BAD_REQUEST => {
                let word = b"session";
                body.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
            }
            _ => false,
        },
    }
}

/// How the SDKs name its id, in any case.
const WORDS: [&str; 3] = ["session id", "session-id", "mcp-session"];

/// Whether a session that is lost was missed by whoever keeps the sessions, before anything was run: then the request may be
/// sent again. A 400 that is no message of MCP may come from what a tool has called: `checkout session expired`.
pub(super) fn was_not_run(status: StatusCode, body: &[u8], asked: &RawValue) -> bool {
    let says = |words: &str| {
        body.windows(words.len()).any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
    };
    status == StatusCode::NOT_FOUND
        || reply::is_for(body, asked).is_some()
        || WORDS.into_iter().any(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_may_have_said_is_not_sent_again() {
        let asked = RawValue::from_string("7".to_owned()).unwrap();
        let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no session"}}"#;
        for (status, body, again) in [
            (404, "", true),
            (400, error, true),
            (400, "Bad Request: No valid session ID provided", true),
            (400, "missing mcp-session-id", true),
            (400, r#"{"error":"checkout session expired"}"#, false),
            (400, "<html><form name=sessionid></html>", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(was_not_run(status, body.as_bytes(), &asked), again, "{status} {body}");
        }
    }

    #[test]
    fn a_session_is_lost_where_it_is_said_under_no_id_of_ours() {
        let asked = RawValue::from_string("7".to_owned()).unwrap();
        let says = |id: &str| {
            let error = r#""error":{"code":-32600,"message":"Session not found"}"#;
            format!(r#"{{"jsonrpc":"2.0",{id}{error}}}"#)
        };
        let bodies = [r#""id":"server-error","#, r#""id":null,"#, ""].map(says);
        let texts = ["Bad Request: No valid session ID provided", r#"{"error":"no such session"}"#];
        for body in bodies.iter().map(String::as_str).chain(texts) {
            for status in [400, 404] {
                let status = StatusCode::from_u16(status).unwrap();
                assert!(is_lost(status, body.as_bytes(), &asked), "{status} {body}");
            }
        }
        for (status, body, lost) in [
            (404, "", true),
            (404, "<html>", true),
            (404, says(r#""id":7,"#).as_str(), false),
            (400, says(r#""id":7,"#).as_str(), false),
            (400, "Bad Request", false),
            (500, "session", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_lost(status, body.as_bytes(), &asked), lost, "{status} {body}");
        }
    }
}
