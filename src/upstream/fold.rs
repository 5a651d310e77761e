//! Servers whose things stand in one list with ours, at `/mcp`: tools and prompts under the names `weather.get`, resources as
//! `weather+city:paris`.
//!
//! A call of `weather.get` is a call of `get` at the server `weather`, by somebody with a token for the broker. What is
//! decided, counted, recorded and looked at is the same as at `/servers/weather/mcp`.

mod attend;
mod away;
mod board;
mod ear;
mod follow;
mod gather;
mod heard;
mod hub;
mod last;
mod listen;
mod merged;
mod names;
mod one;
mod places;
mod visible;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditEvent, ResultStatus};
use crate::broker::Caller;
use crate::code::Code;
use crate::guard::{
    self, Answered, Beside, BesideCall, Door, List, Listening, Message, Presented, Shown, millis,
};
use crate::policy::{Live, Obligations};
use crate::resource_server::Revocations;

use super::answer::json as json_answer;
use super::era;
use super::headers::{self, NAME, SESSION};
use super::refused::{INVALID_PARAMS, RESOURCE_NOT_FOUND, mirrors_wrong, not_there, out_of_form};
use super::server::Server;
use super::wanted::Wanted;

use hub::Hub;
use last::{Lasts, Whose};
use one::{Asking, One};

pub(super) use gather::{NoList, list};
pub(super) use names::outward;

/// For one server to list its things: the others, and ours, wait for it.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// For all servers to list them whose last lists are known.
const SOON: Duration = Duration::from_millis(500);
/// Servers that are asked at the same time for one caller.
const AT_ONCE: usize = 32;

/// What a list of 2026-07-28 says beside its entries (TR-17, TR-18, TR-19).
const MODERN: &str = concat!(
    r#","resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"mcp-auth-broker","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}"#
);

/// All of them: those of the settings, and those that come and go while we run.
#[derive(Debug)]
pub struct Folded {
    settled: Vec<Arc<One>>,
    registered: RwLock<Arc<[Arc<One>]>>,
    /// Tells when these are others.
    replaced: watch::Sender<()>,
    lasts: Arc<Lasts>,
    /// Who is told of changes.
    hub: Arc<Hub>,
    around: Around,
}

/// What it takes to tell of changes.
#[derive(Clone, Debug)]
pub struct Around {
    pub policy: Live,
    /// Asked again and again about the caller of what stays open.
    pub revocations: Arc<dyn Revocations>,
    /// Ends what stays open when the broker drains.
    pub closing: CancellationToken,
}

impl Folded {
    /// Their doors are those of the list in which they stand: what a caller is asked for is asked for there.
    #[must_use]
    pub fn new(servers: Vec<Server>, around: Around) -> Self {
        let (lasts, hub) = (Lasts::new(), Hub::new());
        let settled = servers.into_iter().map(|server| One::new(server, &lasts)).collect();
        let (registered, replaced) = (RwLock::new(Arc::default()), watch::Sender::default());
        Self { settled, registered, replaced, lasts, hub, around }
    }

    /// From now on these stand beside those of the settings, and no others.
    pub fn replace(&self, servers: Vec<Server>) {
        let known = self.registered();
        let known: HashMap<&str, &Arc<One>> =
            known.iter().map(|one| (&*one.server.id, one)).collect();
        // One that stays the same is listened to as before.
        let one = |server: Server| {
            let same = known.get(&*server.id).copied();
            let same = same.filter(|one| Arc::ptr_eq(&one.server.watch, &server.watch));
            same.map_or_else(|| One::new(server, &self.lasts), Arc::clone)
        };
        let servers = servers.into_iter().map(one).collect();
        *self.registered.write().unwrap_or_else(PoisonError::into_inner) = servers;
        self.hub.follow(&self.all());
        self.replaced.send_replace(());
    }

    fn all(&self) -> Vec<Arc<One>> {
        self.settled.iter().chain(&*self.registered()).cloned().collect()
    }

    fn registered(&self) -> Arc<[Arc<One>]> {
        Arc::clone(&self.registered.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server of which something is, and its name there.
    fn of<'t>(&self, named: &'t str, between: char) -> Option<(Arc<Server>, &'t str)> {
        let (id, name) = named.split_once(between)?;
        if between == names::URI && !names::begins_a_uri(id) {
            return None;
        }
        let registered = self.registered();
        let mut all = self.settled.iter().chain(&*registered);
        let one = all.find(|one| *one.server.id == *id)?;
        Some((Arc::clone(&one.server), name))
    }

    /// One of them: they share the door.
    fn any(&self) -> Option<Arc<Server>> {
        let first = |one: &Arc<One>| Arc::clone(&one.server);
        self.settled.first().map(first).or_else(|| self.registered().first().map(first))
    }

    async fn answer(&self, call: BesideCall) -> Answered {
        let body = call.body.clone();
        let Ok(message) = Message::parse(&body) else {
            return Ok(guard::plain(StatusCode::BAD_REQUEST));
        };
        let wanted = Wanted::of(&message, headers::is_modern(&call.headers));
        match &wanted {
            Wanted::Tool { name, .. } => match self.of(name, names::NAME) {
                Some(found) => tool(call, &message, (&wanted, found)).await,
                None => Ok(guard::plain(StatusCode::BAD_REQUEST)),
            },
            _ => self.other(call, &message, &wanted).await,
        }
    }

    /// Prompts and resources, of which the broker has none: nothing before has looked at the form of these requests.
    async fn other(
        &self,
        call: BesideCall,
        message: &Message<'_>,
        wanted: &Wanted<'_>,
    ) -> Answered {
        let Some(any) = self.any() else { return Ok(guard::plain(StatusCode::BAD_REQUEST)) };
        let (method, modern) =
            (guard::method_name(message.method.as_deref()), headers::is_modern(&call.headers));
        let wrong = modern.then(|| era::wrong_form(message, &call.headers)).flatten();
        let wrong = wrong.or_else(|| out_of_form(&call.headers, message, wanted, false));
        if let Some(refusal) = wrong {
            return any.door.malformed(&call.caller, (method, message.id), refusal).await;
        }
        let found = match wanted {
            Wanted::List(list) => return self.merged(&any, call, (message, *list, modern)).await,
            Wanted::Prompt { name, .. } => self.of(name, names::NAME),
            Wanted::Resources(uris) => uris.first().and_then(|uri| self.of(uri, names::URI)),
            _ => None,
        };
        match found {
            Some((server, own)) => hand_over(server, call, (method, own)).await,
            None => unknown(&any.door, &call.caller, (message, wanted, modern)).await,
        }
    }

    /// One list of what all have. All of it is one page: a server that has more than may be listed has nothing there.
    async fn merged(
        &self,
        any: &Arc<Server>,
        call: BesideCall,
        (message, list, modern): (&Message<'_>, List, bool),
    ) -> Answered {
        let BesideCall { caller, presented, .. } = call;
        let method = list.method();
        if let Err(refusal) = any.door.within_request_limits(&caller, (method, message.id)).await? {
            return Ok(refusal);
        }
        if has_cursor(message) {
            let refusal =
                not_there(message, INVALID_PARAMS, "Invalid cursor: the list is one page");
            return any.door.refuse(&caller, method, refusal).await;
        }
        let shown = self.shown(list, (&caller, presented.as_ref())).await;
        let (id, member) = (message.id.map_or("null", RawValue::get), list.member());
        let shown = serde_json::to_string(&shown).unwrap_or_else(|_| "[]".to_owned());
        let about = if modern { MODERN } else { "" };
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"{member}":{shown}{about}}}}}"#);
        any.door.end(&caller, method, json_answer(StatusCode::OK, body)).await
    }

    async fn shown(
        &self,
        list: List,
        (caller, presented): (&Caller, Option<&Presented>),
    ) -> Vec<Box<RawValue>> {
        let all = self.all();
        let whose = Whose::of(caller.principal()).filter(|_| !all.is_empty());
        let asking = Asking { caller, presented, whose, soon: Instant::now() + SOON };
        let shown = all.into_iter().map(|one| one.shown(list, asking));
        let shown: Vec<_> = stream::iter(shown).buffered(AT_ONCE).collect().await;
        shown.into_iter().flatten().collect()
    }
}

/// Whether it asks for another page, of which there is none (MCP server/utilities/pagination, Error Handling).
fn has_cursor(message: &Message<'_>) -> bool {
    let params = message.params::<BTreeMap<Cow<'_, str>, &RawValue>>().unwrap_or_default();
    params.get("cursor").is_some_and(|cursor| cursor.get() != "null")
}

async fn tool(
    call: BesideCall,
    message: &Message<'_>,
    (wanted, (server, name)): (&Wanted<'_>, (Arc<Server>, &str)),
) -> Answered {
    if !headers::mirror_the_body(&call.headers, message, wanted) {
        let refused = ("tools/call", message.id);
        return server.door.malformed(&call.caller, refused, mirrors_wrong(message)).await;
    }
    hand_over(server, call, ("tools/call", name)).await
}

/// To the server, under its own name of what is asked for.
async fn hand_over(server: Arc<Server>, call: BesideCall, (method, own): (&str, &str)) -> Answered {
    let BesideCall { caller, presented, mut headers, body } = call;
    let written = names::renamed(&body, method, own);
    if headers.contains_key(NAME) {
        let name = era::header_text(own);
        headers.insert(NAME, name.unwrap_or(HeaderValue::from_static("-")));
    }
    headers.remove(SESSION); // there are none at this endpoint
    let Some(written) = written else { return Ok(guard::plain(StatusCode::BAD_REQUEST)) };
    server.sent(caller, (&headers, presented), written).await
}

/// What no server has is answered as what policy hides (RS-28).
async fn unknown(
    door: &Door,
    caller: &Caller,
    (message, wanted, modern): (&Message<'_>, &Wanted<'_>, bool),
) -> Answered {
    let (name, code, text) = match wanted {
        Wanted::Prompt { name, .. } => (&**name, INVALID_PARAMS, format!("Unknown prompt: {name}")),
        _ if modern => ("", INVALID_PARAMS, "Resource not found".to_owned()),
        _ => ("", RESOURCE_NOT_FOUND, "Resource not found".to_owned()),
    };
    if let Err(refusal) = door.within_limits(caller, message, (name, None), || None).await? {
        return Ok(refusal);
    }
    let event = AuditEvent::ResultEmit {
        method: guard::method_name(message.method.as_deref()),
        tool_name: None,
        status: ResultStatus::Error,
        error_code: Some(Code::PolicyDenied),
        duration_ms: millis(door.spent(caller)),
        decision: None,
        reason: None,
        policy_version: None,
        evaluated: Vec::new(),
        obligations: Obligations::default(),
        question: None,
    };
    caller.end(event).await?;
    Ok(not_there(message, code, &text))
}

impl Beside for Folded {
    fn holds(&self, tool: &str) -> bool {
        self.of(tool, names::NAME).is_some()
    }

    fn answers(&self, method: &str) -> bool {
        let theirs = matches!(
            method,
            "prompts/list"
                | "prompts/get"
                | "resources/list"
                | "resources/templates/list"
                | "resources/read"
                | "completion/complete"
        );
        theirs && self.are_any()
    }

    fn are_any(&self) -> bool {
        self.any().is_some()
    }

    fn need_the_callers_token(&self) -> bool {
        let need = |one: &Arc<One>| one.server.credential.needs_the_callers_token();
        self.settled.iter().any(need) || self.registered().iter().any(need)
    }

    fn tools<'a>(
        &'a self,
        caller: &'a Caller,
        presented: Option<&'a Presented>,
    ) -> BoxFuture<'a, Shown> {
        let shown = self.shown(List::Tools, (caller, presented));
        shown.map(|tools| Shown { tools }).boxed()
    }

    fn call(self: Arc<Self>, call: BesideCall) -> BoxFuture<'static, Answered> {
        async move { self.answer(call).await }.boxed()
    }

    fn listen(self: Arc<Self>, listening: Listening) -> BoxFuture<'static, Answered> {
        async move { self.admit_listener(listening).await }.boxed()
    }
}
