//! Multi-round-trip tools: they answer `input_required` until the client has sent what they ask for.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rmcp::{
    ErrorData,
    model::{ClientCapabilities, InputResponses},
};
use serde_json::{Map, Value, json};

use crate::answers;

/// Signs `requestState`, so that a client that changes it is refused.
#[derive(Debug)]
pub(crate) struct Seal(hmac::Key);

impl Seal {
    pub(crate) fn new() -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, b"a test fixture keeps no secret"))
    }

    fn close(&self, step: &str) -> String {
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, step.as_bytes()));
        format!("{step}.{tag}")
    }

    fn open<'a>(&self, state: &'a str) -> Result<&'a str, ErrorData> {
        state
            .split_once('.')
            .and_then(|(step, tag)| Some((step, URL_SAFE_NO_PAD.decode(tag).ok()?)))
            .filter(|(step, tag)| hmac::verify(&self.0, step.as_bytes(), tag).is_ok())
            .map(|(step, _)| step)
            .ok_or_else(|| ErrorData::invalid_params("requestState does not verify", None))
    }
}

/// What the client sent with this round.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    pub(crate) responses: Option<&'a InputResponses>,
    pub(crate) state: Option<&'a str>,
    pub(crate) capabilities: ClientCapabilities,
}

impl Round<'_> {
    /// The content the person accepted for `key`; a malformed answer counts as none.
    fn accepted(&self, key: &str) -> Option<&Value> {
        self.responses?.get(key)?.get("content")
    }

    fn has(&self, key: &str) -> bool {
        self.responses.and_then(|all| all.get(key)).is_some_and(Value::is_object)
    }
}

fn elicit(message: &str, field: &str, kind: &str) -> Value {
    json!({ "method": "elicitation/create", "params": { "mode": "form", "message": message,
        "requestedSchema": { "type": "object",
            "properties": { field: { "type": kind } }, "required": [field] } } })
}

fn sample(text: &str) -> Value {
    json!({ "method": "sampling/createMessage", "params": { "maxTokens": 100,
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }] } })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

fn ask<const N: usize>(requests: [(&str, Value); N], state: Option<String>) -> Value {
    let requests: Map<String, Value> =
        requests.into_iter().map(|(key, request)| (key.to_owned(), request)).collect();
    let mut result = Map::new();
    result.insert("resultType".to_owned(), json!("input_required"));
    result.insert("inputRequests".to_owned(), Value::Object(requests));
    if let Some(state) = state {
        result.insert("requestState".to_owned(), Value::String(state));
    }
    Value::Object(result)
}

/// The next answer of a multi-round tool; `None` for every other name.
///
/// # Errors
/// `-32602` where the state that came back is not the one that was sent.
pub(crate) fn tool(name: &str, round: &Round<'_>, seal: &Seal) -> Option<Result<Value, ErrorData>> {
    Some(match name {
        "test_input_required_result_elicitation" | "test_streaming_elicitation" => Ok(greet(round)),
        "test_input_required_result_sampling" => {
            Ok(once(round, "capital_question", sample("What is the capital of France?")))
        }
        "test_input_required_result_list_roots" => Ok(once(round, "client_roots", roots())),
        "test_input_required_result_request_state"
        | "test_input_required_result_tampered_state" => confirm(round, seal),
        "test_input_required_result_multiple_inputs" => three(round, seal),
        "test_input_required_result_multi_round" => rounds(round, seal),
        "test_input_required_result_capabilities" => Ok(declared(round)),
        _ => return None,
    })
}

/// The one prompt that needs an input.
pub(crate) fn prompt(round: &Round<'_>) -> Value {
    match round.accepted("user_context") {
        None => {
            let request = elicit("What context should the prompt use?", "context", "string");
            ask([("user_context", request)], None)
        }
        Some(context) => json!({ "messages": [{ "role": "user",
            "content": { "type": "text", "text": format!("In this context: {context}") } }] }),
    }
}

fn greet(round: &Round<'_>) -> Value {
    match round
        .accepted("user_name")
        .and_then(|content| content.get("name"))
        .and_then(Value::as_str)
    {
        None => ask([("user_name", elicit("What is your name?", "name", "string"))], None),
        Some(name) => answers::text(&format!("Hello, {name}!")),
    }
}

fn once(round: &Round<'_>, key: &str, request: Value) -> Value {
    match round.responses.and_then(|all| all.get(key)).filter(|answer| answer.is_object()) {
        None => ask([(key, request)], None),
        Some(answer) => answers::text(&format!("The client answered {answer}")),
    }
}

fn confirm(round: &Round<'_>, seal: &Seal) -> Result<Value, ErrorData> {
    let state = round.state.map(|state| seal.open(state)).transpose()?;
    Ok(match state {
        Some("confirm") if round.has("confirm") => answers::text("state-ok"),
        _ => {
            let request = elicit("Please confirm", "ok", "boolean");
            ask([("confirm", request)], Some(seal.close("confirm")))
        }
    })
}

fn three(round: &Round<'_>, seal: &Seal) -> Result<Value, ErrorData> {
    let state = round.state.map(|state| seal.open(state)).transpose()?;
    let all = ["user_name", "greeting", "client_roots"].iter().all(|key| round.has(key));
    Ok(match state {
        Some("three") if all => answers::text("all three inputs arrived"),
        _ => ask(
            [
                ("user_name", elicit("What is your name?", "name", "string")),
                ("greeting", sample("Generate a greeting")),
                ("client_roots", roots()),
            ],
            Some(seal.close("three")),
        ),
    })
}

fn rounds(round: &Round<'_>, seal: &Seal) -> Result<Value, ErrorData> {
    let state = round.state.map(|state| seal.open(state)).transpose()?;
    Ok(match state {
        Some("one") if round.has("step1") => ask(
            [("step2", elicit("Step 2: What is your favorite color?", "color", "string"))],
            Some(seal.close("two")),
        ),
        Some("two") if round.has("step2") => answers::text("both rounds are done"),
        _ => ask(
            [("step1", elicit("Step 1: What is your name?", "name", "string"))],
            Some(seal.close("one")),
        ),
    })
}

fn declared(round: &Round<'_>) -> Value {
    if round.has("greeting") || round.has("user_name") {
        return answers::text("the declared capability answered");
    }
    match round.capabilities {
        ClientCapabilities { sampling: Some(_), .. } => {
            ask([("greeting", sample("Generate a greeting"))], None)
        }
        ClientCapabilities { elicitation: Some(_), .. } => {
            ask([("user_name", elicit("What is your name?", "name", "string"))], None)
        }
        _ => answers::text("the client declared nothing to ask for"),
    }
}
