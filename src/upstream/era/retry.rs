//! What a client brings to a call of an old server that waits for it: its state, and the answer to what was asked (RS-33).

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::guard::{self, Message};

use super::input::{ASKED, VISIT};
use super::message::Members;
use super::old_server::ToOld;
use super::{Translation, Way};
use crate::upstream::definition::sha256;
use crate::upstream::fault::Fault;
use crate::upstream::incoming::Incoming;
use crate::upstream::server::Server;
use crate::upstream::waiting::Taken;
use crate::upstream::who::Who;

const INVALID_PARAMS: i32 = -32602;
const RESPONSES: &str = "inputResponses";
const STATE: &str = "requestState";

/// A call that waits: the stream of its server, and what becomes of what is said there.
#[derive(Debug)]
pub(in crate::upstream) struct Parked {
    pub(in crate::upstream) incoming: Incoming,
    pub(in crate::upstream) translation: Box<Translation>,
    /// Of the question that waits for an answer, by the server's own id.
    pub(in crate::upstream) question: Box<RawValue>,
}

/// What is asked of a server: its method and what that is about, whatever is said beside it.
pub(super) fn call(method: &str, params: &Members) -> [u8; 32] {
    let said = |name| params.get::<Value>(name);
    sha256(json!([method, said("name"), said("uri"), said("arguments")]).to_string().as_bytes())
}

/// Goes on with a call that waits. `None`: this is a call of its own.
pub(super) async fn way(
    server: &Arc<Server>,
    who: &Who,
    message: &Message<'_>,
    (method, params): (&str, &Members),
) -> Result<Option<Way>, Fault> {
    let refuse = |text| {
        let refusal = guard::error(StatusCode::BAD_REQUEST, message.id, INVALID_PARAMS, text, None);
        Ok(Some(Way::Here(refusal)))
    };
    let responses = params.members(RESPONSES);
    if !params.has(STATE) {
        return if declines_a_visit(&responses) { Err(Fault::NotVisited) } else { Ok(None) };
    }
    let state = params.get::<String>(STATE);
    let name = state
        .as_deref()
        .and_then(|state| server.sessions.open_state(&server.id, &who.principal, state));
    let Some(name) = name else {
        return refuse("requestState is none that was given to this caller by this server");
    };
    let Some(answer) = responses.get::<Members>(ASKED) else {
        return refuse("inputResponses needs the answer to each of the inputRequests, an object");
    };
    match server.waiting.calls().take(name, &call(method, params)) {
        Taken::Here(parked) => parked.go_on(who, (params, &answer.text())).await.map(Some),
        Taken::Elsewhere => Err(Fault::WaitsElsewhere),
        Taken::Gone => Err(Fault::WaitsNoMore),
        Taken::OtherCall => {
            refuse("requestState is of another call: its parameters must be the same")
        }
    }
}

/// Whether a person did not open a page. The server would say once more that it wants that.
fn declines_a_visit(responses: &Members) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        action: String,
    }
    responses.names().filter(|name| name.starts_with(VISIT)).any(|name| {
        let answer = responses.get::<Answer>(name);
        answer.is_none_or(|answer| answer.action != "accept")
    })
}

impl Parked {
    /// Hands the server its answer, and listens again.
    async fn go_on(self, who: &Who, (params, answer): (&Members, &RawValue)) -> Result<Way, Fault> {
        let Self { incoming, mut translation, question } = self;
        if let Translation::Old(call) = &mut *translation {
            ToOld::go_on(call, who, params);
            call.hand_over(&question, answer).await?;
        }
        Ok(Way::Sent(Box::new(incoming), translation))
    }
}
