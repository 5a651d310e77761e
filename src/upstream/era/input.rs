//! What an old server asks in the middle of a call, as a client of the new era can be asked (MCP 2026-07-28 basic/patterns/mrtr, TR-20).

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::message::{CAPABILITIES, META, Members, answer, raw};

/// The key of the one question that a client is asked at a time.
pub(super) const ASKED: &str = "mcp-auth-broker/server";
/// Before the number of a page that the server wants visited.
pub(super) const VISIT: &str = "mcp-auth-broker/visit/";
/// Pages of one answer.
const MOST_VISITS: usize = 8;

const FORM: u8 = 1;
const URL: u8 = 2;
const SAMPLING: u8 = 4;
const SAMPLING_TOOLS: u8 = 8;
const ROOTS: u8 = 16;

/// What a client says it can be asked for. An old server is told the same, and the client is asked for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Askable(u8);

impl Askable {
    /// What the `_meta` of a request says (MCP 2026-07-28 basic, TR-23).
    pub(super) fn of(params: &Members) -> Self {
        let said = params.members(META).members(CAPABILITIES);
        let object = |of: &Members, name: &str| of.get::<Members>(name);
        let mut all = 0;
        if let Some(elicitation) = object(&said, "elicitation") {
            let opens_pages = object(&elicitation, "url").is_some();
            // One that says nothing more fills in forms, as before there was anything else.
            let fills_forms = object(&elicitation, "form").is_some() || !opens_pages;
            all |= if opens_pages { URL } else { 0 } | if fills_forms { FORM } else { 0 };
        }
        if let Some(sampling) = object(&said, "sampling") {
            let tools = object(&sampling, "tools").is_some();
            all |= SAMPLING | if tools { SAMPLING_TOOLS } else { 0 };
        }
        if object(&said, "roots").is_some() {
            all |= ROOTS;
        }
        Self(all)
    }

    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    const fn has(self, what: u8) -> bool {
        self.0 & what != 0
    }

    /// As the capabilities of a client in `initialize` (MCP 2025-11-25 lifecycle).
    pub(super) fn declared(self) -> Members {
        let mut all = Members::default();
        if self.has(FORM | URL) {
            let mut modes = Members::default();
            for (mode, name) in [(FORM, "form"), (URL, "url")] {
                if self.has(mode) {
                    modes.set(name, json!({}));
                }
            }
            all.set("elicitation", modes);
        }
        if self.has(SAMPLING) {
            let tools = if self.has(SAMPLING_TOOLS) { json!({ "tools": {} }) } else { json!({}) };
            all.set("sampling", tools);
        }
        if self.has(ROOTS) {
            all.set("roots", json!({}));
        }
        all
    }
}

/// A question of the server that its client can be asked.
#[derive(Debug)]
pub(in crate::upstream) struct Question {
    id: Box<RawValue>,
    /// As an `InputRequest`.
    request: Members,
}

impl Question {
    /// `None`: it is none, or one that this client said nothing of.
    pub(super) fn of(body: &[u8], may: Askable) -> Option<Self> {
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(borrow)]
            params: Option<&'a RawValue>,
        }
        let Said { id, method, params } = serde_json::from_slice(body).ok()?;
        let mut params = params.map(Members::of).unwrap_or_default();
        let needs = match &*method {
            "elicitation/create" => match params.get::<String>("mode").as_deref() {
                None if !params.has("mode") => FORM,
                Some("form") => FORM,
                Some("url") => URL,
                _ => return None,
            },
            "sampling/createMessage" if params.has("tools") || params.has("toolChoice") => {
                SAMPLING_TOOLS
            }
            "sampling/createMessage" => SAMPLING,
            "roots/list" => ROOTS,
            _ => return None,
        };
        if !may.has(needs) {
            return None;
        }
        // Of the old era alone (EL-8), of tasks, or about the message.
        for name in ["elicitationId", "task", META] {
            params.take(name);
        }
        let mut request = Members::default();
        request.set("method", &method);
        if !params.is_empty() {
            request.set("params", params);
        }
        Some(Self { id: id?.to_owned(), request })
    }

    /// The server's own id of it.
    pub(in crate::upstream) fn id(&self) -> &RawValue {
        &self.id
    }

    /// As the `inputRequests` of a result.
    pub(super) fn requests(&self) -> Members {
        let mut requests = Members::default();
        requests.set(ASKED, &self.request);
        requests
    }

    /// What the server gets where there is no room for one more call that waits.
    pub(in crate::upstream) fn refused(&self) -> Bytes {
        let error =
            json!({ "code": -32603, "message": "too many calls wait for input; ask later" });
        answer(&self.id, "error", &raw(error))
    }
}

/// The pages that an error `-32042` wants visited before the call is made again, as `inputRequests` (MCP 2025-11-25
/// client/elicitation, URL Elicitation Required). `None`: it names none, or this client opens no pages.
pub(super) fn visits(error: &Members, may: Askable) -> Option<Members> {
    let pages = error.members("data").get::<Vec<Members>>("elicitations")?;
    if !may.has(URL) || pages.is_empty() || pages.len() > MOST_VISITS {
        return None;
    }
    let mut requests = Members::default();
    for (number, page) in pages.iter().enumerate() {
        let (message, url) = (page.get::<String>("message")?, page.get::<String>("url")?);
        let params = json!({ "mode": "url", "message": message, "url": url });
        let request = json!({ "method": "elicitation/create", "params": params });
        requests.set(&format!("{VISIT}{number}"), request);
    }
    Some(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn askable(capabilities: &str) -> Askable {
        let text = format!(r#"{{"_meta":{{"{CAPABILITIES}":{capabilities}}}}}"#);
        Askable::of(&Members::of(&RawValue::from_string(text).unwrap()))
    }

    fn asked(capabilities: &str, method: &str, params: &str) -> Option<String> {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}","params":{params}}}"#);
        let question = Question::of(body.as_bytes(), askable(capabilities))?;
        Some(question.requests().text().get().to_owned())
    }

    #[test]
    fn a_server_is_told_what_the_client_said_of_itself() {
        for (said, told) in [
            ("{}", "{}"),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#),
            (r#"{"elicitation":7,"roots":null,"sampling":[]}"#, "{}"),
            (
                r#"{"sampling":{"tools":{},"context":{}},"roots":{"listChanged":true},"tasks":{}}"#,
                r#"{"roots":{},"sampling":{"tools":{}}}"#,
            ),
        ] {
            assert_eq!(askable(said).declared().text().get(), told, "{said}");
        }
    }

    #[test]
    fn a_client_is_asked_for_nothing_that_it_did_not_offer() {
        let forms = r#"{"elicitation":{}}"#;
        assert!(asked(forms, "elicitation/create", r#"{"message":"?"}"#).is_some());
        for (offered, method, params) in [
            ("{}", "elicitation/create", r#"{"message":"?"}"#),
            (forms, "elicitation/create", r#"{"mode":"url","url":"https://a.example"}"#),
            (forms, "elicitation/create", r#"{"mode":7}"#),
            (forms, "elicitation/create", r#"{"mode":"other"}"#),
            (forms, "roots/list", "{}"),
            (r#"{"sampling":{}}"#, "sampling/createMessage", r#"{"tools":[]}"#),
            (r#"{"roots":{}}"#, "tasks/get", "{}"),
        ] {
            assert_eq!(asked(offered, method, params), None, "{offered} {method} {params}");
        }
    }

    #[test]
    fn a_question_is_asked_without_what_only_the_old_era_knows() {
        let params = r#"{"mode":"url","message":"?","url":"https://a.example","elicitationId":"e","_meta":{"x":1},"task":{}}"#;
        let said = asked(r#"{"elicitation":{"url":{}}}"#, "elicitation/create", params).unwrap();
        assert_eq!(
            said,
            r#"{"mcp-auth-broker/server":{"method":"elicitation/create","params":{"message":"?","mode":"url","url":"https://a.example"}}}"#
        );
        let said = asked(r#"{"roots":{}}"#, "roots/list", "{}").unwrap();
        assert_eq!(said, r#"{"mcp-auth-broker/server":{"method":"roots/list"}}"#);
    }
}
