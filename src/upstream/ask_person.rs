//! A tool's call that waits for a person, by a client of 2026-07-28 that opens links: the question to its user, and what
//! comes back of it.
//!
//! What answers our question, and the request state beside it, is ours: it is taken out before the call is decided, shown,
//! bound and sent on. So the server gets no answer to what it never asked, and the call is the one that was approved.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::broker::{Approvals, Failure};
use crate::code::Code;
use crate::guard::{INVITATION, Message, QUESTION};

use super::answer::json as json_answer;

/// The answers of a client's user to what it was asked (MCP 2026-07-28 basic/patterns/mrtr).
pub(super) const RESPONSES: &str = "inputResponses";
const STATE: &str = "requestState";

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// What a client sends back of our question.
#[derive(Debug)]
pub(super) struct SentBack {
    /// Anything but `accept` is a no: what is spent by mistake cannot be taken back, and the call can be made again.
    pub(super) accepted: bool,
    /// The request state, as far as there is one.
    pub(super) state: Option<String>,
}

/// The answer to our question, and the message without it. `None`: it has none.
pub(super) fn taken_out(message: &Message<'_>, body: &[u8]) -> Option<(SentBack, Bytes)> {
    let mut params: Members<'_> = message.params()?;
    let mut responses: Members<'_> = serde_json::from_str(params.get(RESPONSES)?.get()).ok()?;
    let response = responses.remove(QUESTION)?;
    let state = params.remove(STATE);
    // What is no text is no state of ours either, and is refused like one that was altered.
    let state = state.map(|state| serde_json::from_str(state.get()).unwrap_or_default());
    let responses = to_raw_value(&responses).ok().filter(|_| !responses.is_empty());
    match &responses {
        Some(others) => drop(params.insert(RESPONSES.into(), others)),
        None => drop(params.remove(RESPONSES)),
    }
    let params = to_raw_value(&params).ok()?;
    let mut message: Members<'_> = serde_json::from_slice(body).ok()?;
    message.insert("params".into(), &params);
    let without = serde_json::to_vec(&message).ok()?;
    Some((SentBack { accepted: is_accept(response), state }, without.into()))
}

fn is_accept(response: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        action: Cow<'a, str>,
    }
    serde_json::from_str::<Answer<'_>>(response.get()).is_ok_and(|answer| answer.action == "accept")
}

/// Asks the user to open our page (EL-2), once: whether a person approved, and what became of the call, is for the store to
/// say. `None`: the failure is answered as it is. So it is also where the call brings answers to the server, for a client
/// that makes it again with ours would leave those out.
pub(super) fn input_required(
    message: &Message<'_>,
    failure: &Failure,
    approvals: &Approvals,
) -> Option<Response<Body>> {
    let id = message.id.filter(|_| failure.code == Code::PolicyApprovalRequired)?;
    let url = failure.metadata.get("approval_url")?.as_str()?;
    if !message.params::<Params>()?.can_be_asked() {
        return None;
    }
    let params = json!({ "mode": "url", "message": INVITATION, "url": url });
    let mut result = json!({
        "resultType": "input_required",
        "inputRequests": { QUESTION: { "method": "elicitation/create", "params": params } },
    });
    let asked = failure.metadata.get("approval_id").and_then(Value::as_str);
    let state = asked.and_then(|id| approvals.request_state(id.parse().ok()?));
    if let (Some(state), Some(members)) = (state, result.as_object_mut()) {
        members.insert(STATE.to_owned(), state.into());
    }
    let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.get());
    Some(json_answer(StatusCode::OK, text))
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "_meta", default)]
    meta: Meta,
    #[serde(rename = "inputResponses")]
    responses: Option<IgnoredAny>,
    #[serde(rename = "requestState")]
    state: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", default)]
    capabilities: Capabilities,
}

#[derive(Default, Deserialize)]
struct Capabilities {
    elicitation: Option<Elicitation>,
}

#[derive(Deserialize)]
struct Elicitation {
    url: Option<IgnoredAny>,
}

impl Params {
    fn can_be_asked(&self) -> bool {
        let elicitation = self.meta.capabilities.elicitation.as_ref();
        let opens_links = elicitation.is_some_and(|elicitation| elicitation.url.is_some());
        opens_links && self.responses.is_none() && self.state.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(params: &str) -> Option<(bool, Option<String>, String)> {
        let body = format!(r#"{{"id":1,"jsonrpc":"2.0","method":"tools/call","params":{params}}}"#);
        let message = Message::parse(body.as_bytes()).unwrap();
        let (back, rest) = taken_out(&message, body.as_bytes())?;
        // As they are sent on: a number that is read is rounded.
        let rest: Members<'_> = serde_json::from_slice(&rest).unwrap();
        Some((back.accepted, back.state, rest["params"].get().to_owned()))
    }

    #[test]
    fn what_answers_us_is_taken_out_and_everything_else_stays() {
        let ours = r#""mcp-auth-broker/approval":{"action":"accept"}"#;
        let (accepted, state, rest) = taken(&format!(
            r#"{{"name":"t","arguments":{{"n":1.50}},"inputResponses":{{{ours}}},"requestState":"s"}}"#
        ))
        .unwrap();
        assert!(accepted && state.as_deref() == Some("s"));
        assert_eq!(rest, r#"{"arguments":{"n":1.50},"name":"t"}"#);
        let both = format!(r#"{{"name":"t","inputResponses":{{{ours},"who":{{"a":1}}}}}}"#);
        let (_, state, rest) = taken(&both).unwrap();
        assert_eq!(state, None);
        assert_eq!(rest, r#"{"inputResponses":{"who":{"a":1}},"name":"t"}"#);
        assert!(taken(r#"{"name":"t","inputResponses":{"who":{}},"requestState":"s"}"#).is_none());
    }

    #[test]
    fn only_an_accept_is_one() {
        for no in [r#"{"action":"decline"}"#, r#"{"action":"Accept"}"#, "{}", "\"accept\"", "null"]
        {
            let params = format!(r#"{{"inputResponses":{{"mcp-auth-broker/approval":{no}}}}}"#);
            assert!(!taken(&params).unwrap().0, "{no}");
        }
        let odd = r#"{"inputResponses":{"mcp-auth-broker/approval":{"action":"accept"}},"requestState":7}"#;
        assert_eq!(taken(odd).unwrap().1.as_deref(), Some(""));
    }
}
