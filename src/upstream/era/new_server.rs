//! An old client before a server of the new era alone.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;

use crate::broker::Failure;
use crate::code::Code;
use crate::guard::{self, Message};
use crate::random::Random;

use super::ask::new_request;
use super::cancel::Ticket;
use super::detect::Eras;
use super::in_session;
use super::message::{LOG_LEVEL, META, Members, SERVER, answer, raw};
use super::ours::Offers;
use super::{Asked, OLD, Translation, Way, Written};
use crate::upstream::answer::json as json_response;
use crate::upstream::fault::Fault;
use crate::upstream::headers::{SESSION, VERSION};
use crate::upstream::server::Server;
use crate::upstream::session::who_takes_room;
use crate::upstream::who::Who;

const METHOD_NOT_FOUND: i32 = -32601;
const MISSING_CAPABILITY: i64 = -32021;
/// With which the ids of our sessions begin, so that no server is asked about them.
const OURS: &str = "broker-";

/// What the answer to an old client's request becomes.
#[derive(Debug)]
pub(in crate::upstream) struct ToNew {
    server: Arc<Server>,
    /// Of an `initialize`.
    handshake: Option<Handshake>,
}

#[derive(Debug)]
struct Handshake {
    /// The revision that is answered.
    version: &'static str,
    session: String,
    /// Who takes the room of the session.
    owner: Vec<u8>,
}

/// Whether a session's id, once opened, is one of ours.
pub(in crate::upstream) fn is_ours(session: &str) -> bool {
    session.starts_with(OURS)
}

impl Eras {
    /// Makes the call of an old client one that can be cancelled, where it names a session of ours.
    pub(in crate::upstream) fn begin(
        &self,
        given: &HeaderMap,
        session: Option<&axum::http::HeaderValue>,
        id: Option<&RawValue>,
    ) -> Option<Ticket> {
        session.filter(|session| session.to_str().is_ok_and(is_ours))?;
        Some(self.cancellations.begin(named(given)?, id?))
    }
}

/// The session as the client names it: with the code that binds it to its caller.
fn named(given: &HeaderMap) -> Option<&str> {
    given.get(SESSION)?.to_str().ok()
}

pub(super) async fn way(server: &Arc<Server>, who: &Who, asked: &Asked<'_>) -> Result<Way, Fault> {
    let message = asked.message;
    if let Some(refusal) = unknown_version(asked) {
        return Ok(Way::Here(refusal));
    }
    let (Some(method), Some(id)) = (message.method.as_deref(), message.id) else {
        cancel(server, asked);
        return Ok(Way::Here(guard::plain(StatusCode::ACCEPTED)));
    };
    let mut params = message.params::<&RawValue>().map(Members::of).unwrap_or_default();
    let handshake = match method {
        "initialize" => Some(Handshake::new(server, who, &params)),
        "tools/list"
        | "prompts/list"
        | "resources/list"
        | "resources/templates/list"
        | "tools/call"
        | "prompts/get"
        | "resources/read"
        | "completion/complete" => None,
        "ping" => {
            let body = answer(id, "result", &raw(json!({})));
            return Ok(Way::Here(json_response(StatusCode::OK, body)));
        }
        "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
            return in_session::way(server, who, (asked, method, &params)).await;
        }
        _ => return Ok(Way::Here(not_found(message))),
    };
    if !method.ends_with("/list")
        && let Some(level) = in_session::level(server, asked)
    {
        let mut meta = params.members(META);
        meta.set(LOG_LEVEL, level);
        params.set(META, meta);
    }
    let name = match method {
        "tools/call" | "prompts/get" => params.get::<String>("name"),
        "resources/read" => params.get::<String>("uri"),
        _ => None,
    };
    let (mut headers, body) = match &handshake {
        Some(_) => new_request(id, ("server/discover", None), Members::default()),
        None => new_request(id, (method, name.as_deref()), params.clone()),
    };
    if let ("tools/call", Some(tool)) = (method, &name) {
        let call = (tool.as_str(), params.raw("arguments"));
        server.era.parameters.add(server, who, call, &mut headers).await;
    }
    super::traces(asked.sent, &mut headers);
    let incoming = server.open(who, Method::POST, headers, body).await?;
    let translation = ToNew { server: Arc::clone(server), handshake };
    Ok(Way::Sent(Box::new(incoming), Box::new(Translation::New(translation))))
}

/// LG-5.
fn unknown_version(asked: &Asked<'_>) -> Option<Response<Body>> {
    let said = asked.given.get(VERSION)?;
    let known = OLD.iter().any(|version| said == version);
    let text = "MCP-Protocol-Version is none that this server knows";
    let refuse = || {
        guard::error(StatusCode::BAD_REQUEST, asked.message.id, guard::INVALID_REQUEST, text, None)
    };
    (!known).then(refuse)
}

fn cancel(server: &Server, asked: &Asked<'_>) {
    if asked.message.method.as_deref() != Some("notifications/cancelled") {
        return;
    }
    let params = asked.message.params::<&RawValue>().map(Members::of).unwrap_or_default();
    if let (Some(session), Some(id)) = (named(asked.given), params.raw("requestId")) {
        server.era.cancellations.cancel(session, id);
    }
}

pub(super) fn not_found(message: &Message<'_>) -> Response<Body> {
    let text = "Method not found: the server behind this endpoint is of MCP 2026-07-28 and does not offer it, or it needs the session that initialize gives";
    guard::error(StatusCode::OK, message.id, METHOD_NOT_FOUND, text, None)
}

impl Handshake {
    /// LG-1: the revision that the client names, or the newest of its era.
    fn new(server: &Server, who: &Who, params: &Members) -> Self {
        let wanted = params.get::<String>("protocolVersion").unwrap_or_default();
        let version = OLD.into_iter().find(|version| *version == wanted).unwrap_or(OLD[0]);
        let owner = who_takes_room(&who.principal);
        Self { version, session: session_id(&*server.door.random), owner }
    }
}

fn session_id(random: &dyn Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    OURS.chars().chain(digits).collect()
}

impl ToNew {
    pub(super) fn session(&self) -> Option<String> {
        self.handshake.as_ref().map(|handshake| handshake.session.clone())
    }

    pub(super) fn result(&self, result: &RawValue) -> Written {
        let mut result = Members::of(result);
        if let Some(handshake) = &self.handshake {
            return Written::Result(self.initialized(handshake, &result));
        }
        match result.take("resultType").as_deref().map(RawValue::get) {
            None | Some("\"complete\"") => {}
            Some("\"input_required\"") => return Written::Refused(needs_input()),
            Some(_) => return Written::Refused(unheard_of()),
        }
        result.take("ttlMs");
        result.take("cacheScope");
        Written::Result(result.text())
    }

    pub(super) fn error(&self, error: &RawValue) -> Written {
        match Members::of(error).get::<i64>("code") {
            Some(MISSING_CAPABILITY) => Written::Refused(needs_input()),
            // What the broker wrote is not what the server reads.
            Some(-32020) => {
                self.server.era.parameters.forget();
                Written::Refused(misunderstood())
            }
            Some(-32022) => {
                self.server.era.doubt(self.server.door.clock.monotonic());
                Written::Refused(misunderstood())
            }
            _ => Written::Error(error.to_owned(), StatusCode::OK),
        }
    }

    /// What a server says of itself, as an `InitializeResult` (MCP 2025-11-25 lifecycle), and the session in which it is kept.
    fn initialized(&self, handshake: &Handshake, discovered: &Members) -> Box<RawValue> {
        let offered = discovered.members("capabilities");
        let mut capabilities = Members::default();
        for name in ["tools", "prompts", "resources", "completions", "logging"] {
            if let Some(capability) = offered.raw(name) {
                capabilities.set(name, capability);
            }
        }
        let now = guard::millis(self.server.door.clock.monotonic());
        let begun = (handshake.owner.clone(), Offers::of(&offered));
        self.server.era.ours.begin(&handshake.session, begun, now);
        let mut result = Members::default();
        result.set("protocolVersion", handshake.version);
        result.set("capabilities", capabilities);
        match discovered.members(META).raw(SERVER) {
            Some(server) => result.set("serverInfo", server),
            None => result.set("serverInfo", json!({ "name": self.server.id, "version": "0" })),
        }
        if let Some(instructions) = discovered.raw("instructions") {
            result.set("instructions", instructions);
        }
        result.text()
    }
}

fn needs_input() -> Failure {
    let message = "the server asks for input during this call, which only clients of MCP 2026-07-28 and later can give";
    Failure::new(Code::UnsupportedOperation, message)
}

fn unheard_of() -> Failure {
    let message =
        "the server answered in a way that only clients of MCP 2026-07-28 and later understand";
    Failure::new(Code::UnsupportedOperation, message)
}

fn misunderstood() -> Failure {
    let message =
        "the server did not accept the request as the broker wrote it for MCP 2026-07-28; retry";
    Failure::new(Code::ProviderBadResponse, message)
}
