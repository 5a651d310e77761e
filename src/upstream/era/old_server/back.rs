//! What an old server answers, tells and asks, as a client of the new era knows it.

use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::broker::Failure;
use crate::code::Code;
use crate::guard;
use crate::upstream::era::held::Opened;
use crate::upstream::era::input::{Question, visits};
use crate::upstream::era::message::{LOG_LEVEL, META, Members, SERVER, answer, raw, request};
use crate::upstream::era::{Told, Written};

use super::request::{Progress, ToOld};
use super::{INVALID_PARAMS, METHOD_NOT_FOUND};

/// From the least to the most severe (RFC 5424 §6.2.1).
pub(in crate::upstream::era) const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// What each result of the new era says (TR-17, TR-18, TR-19).
pub(super) fn finish(result: &mut Members, opened: &Opened, cacheable: bool) {
    result.set("resultType", "complete");
    if cacheable {
        result.set("ttlMs", 0);
        result.set("cacheScope", "private");
    }
    if let Some(server) = opened.said.raw("serverInfo") {
        let mut meta = result.members(META);
        meta.set(SERVER, server);
        result.set(META, meta);
    }
}

pub(super) fn level(params: &Members) -> Option<usize> {
    let wanted = params.members(META).get::<String>(LOG_LEVEL)?;
    LEVELS.iter().position(|level| *level == wanted)
}

/// What a server tells or asks.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// The answer to a question of the server: nobody can be asked.
pub(in crate::upstream::era) fn answer_to(body: &[u8]) -> Option<Bytes> {
    let said: Said<'_> = serde_json::from_slice(body).ok()?;
    let id = said.id?;
    if said.method == "ping" {
        return Some(answer(id, "result", &raw(json!({}))));
    }
    let error = json!({
        "code": METHOD_NOT_FOUND,
        "message": "Method not found: the client cannot be asked by a request of this protocol revision",
    });
    Some(answer(id, "error", &raw(error)))
}

impl ToOld {
    pub(in crate::upstream::era) fn result(&mut self, result: &RawValue) -> Written {
        self.answered = true;
        if !self.modern {
            return Written::Result(result.to_owned());
        }
        let mut result = Members::of(result);
        finish(&mut result, &self.opened, self.cacheable);
        Written::Result(result.text())
    }

    pub(in crate::upstream::era) fn error(&mut self, error: &RawValue) -> Written {
        self.answered = true;
        if !self.modern {
            return Written::Error(error.to_owned(), StatusCode::OK);
        }
        let mut error = Members::of(error);
        match error.get::<i64>("code") {
            Some(-32601) => return Written::Error(error.text(), StatusCode::NOT_FOUND),
            // TR-9: codes that the new era does not have.
            Some(-32002) => error.set("code", INVALID_PARAMS),
            Some(-32042) => {
                return match visits(&error, self.askable) {
                    Some(pages) => Written::Asks(self.asks(&pages, None)),
                    None => Written::Refused(needs_input()),
                };
            }
            Some(-32099..=-32020) => error.set("code", guard::INTERNAL_ERROR),
            _ => {}
        }
        Written::Error(error.text(), StatusCode::OK)
    }

    /// Progress, and log messages where the client wants them (TR-4, TR-22).
    pub(in crate::upstream::era) fn told(&self, body: Bytes) -> Told {
        if let Some(question) = Question::of(&body, self.askable) {
            return Told::Asks(question);
        }
        if let Some(answer) = answer_to(&body) {
            return Told::Answer(answer);
        }
        let Ok(said) = serde_json::from_slice::<Said<'_>>(&body) else { return Told::Kept };
        let wanted = match &*said.method {
            "notifications/progress" => {
                return match self.progress(said.params) {
                    None => Told::On(body),
                    Some(told) => told,
                };
            }
            "notifications/message" => said.params.is_some_and(|params| self.wants(params)),
            _ => false,
        };
        if wanted { Told::On(body) } else { Told::Kept }
    }

    fn wants(&self, params: &RawValue) -> bool {
        let level = Members::of(params).get::<String>("level");
        let level = level.and_then(|said| LEVELS.iter().position(|level| *level == said));
        self.level.is_some_and(|least| level.is_some_and(|level| level >= least))
    }

    /// As the request that the client has open now is told. `None`: as it came.
    fn progress(&self, params: Option<&RawValue>) -> Option<Told> {
        match &self.progress {
            Progress::Same => None,
            Progress::Untold => Some(Told::Kept),
            Progress::As(token) => {
                let mut params = params.map(Members::of).unwrap_or_default();
                params.set("progressToken", token);
                Some(Told::On(request(None, "notifications/progress", &params)))
            }
        }
    }

    /// An `InputRequiredResult` (TR-20).
    pub(in crate::upstream::era) fn asks(
        &self,
        requests: &Members,
        state: Option<&str>,
    ) -> Box<RawValue> {
        let mut result = Members::default();
        finish(&mut result, &self.opened, false);
        result.set("resultType", "input_required");
        result.set("inputRequests", requests);
        if let Some(state) = state {
            result.set("requestState", state);
        }
        result.text()
    }
}

fn needs_input() -> Failure {
    let message = "the server wants a page to be visited before this call, and says so in a way of MCP 2025-11-25 that cannot be translated";
    Failure::new(Code::UnsupportedOperation, message)
}
