//! Servers whose tools stand in one list with ours, at `/mcp`: under the names that policy knows them by.
//!
//! A call of `weather.get` is a call of `get` at the server `weather`, by somebody with a token for the broker. What is
//! decided, counted, recorded and looked at is the same as at `/servers/weather/mcp`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::broker::Caller;
use crate::guard::{self, Answered, Beside, BesideCall, Message, Presented, Shown, Unrecorded};

use super::ending::TheirsAlone;
use super::events::Events;
use super::headers::{self, METHOD, NAME, SESSION, VERSION};
use super::server::Server;
use super::wanted::Wanted;

/// For one server to list its tools: the others, and ours, wait for it.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// How long a server that did not list its tools is not asked again.
const REST: Duration = Duration::from_secs(10);
/// Of one server's list.
const PAGES: usize = 50;
const TOOLS: usize = 20_000;
/// Servers that are asked at the same time for one caller.
const AT_ONCE: usize = 32;
const REVISION: &str = "2026-07-28";

/// All of them: those of the settings, and those that come and go while we run.
#[derive(Debug)]
pub struct Folded {
    settled: Vec<Arc<One>>,
    registered: RwLock<Arc<[Arc<One>]>>,
}

#[derive(Debug)]
struct One {
    server: Arc<Server>,
    /// In monotonic time.
    rests_until: Mutex<Duration>,
}

impl Folded {
    /// Their doors are those of the list in which they stand: what a caller is asked for is asked for there.
    #[must_use]
    pub fn new(servers: Vec<Server>) -> Self {
        let settled = servers.into_iter().map(One::new).collect();
        Self { settled, registered: RwLock::new(Arc::new([])) }
    }

    /// From now on these stand beside those of the settings, and no others.
    pub fn replace(&self, servers: Vec<Server>) {
        let servers = servers.into_iter().map(One::new).collect();
        *self.registered.write().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    fn registered(&self) -> Arc<[Arc<One>]> {
        Arc::clone(&self.registered.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn of<'t>(&self, tool: &'t str) -> Option<(Arc<Server>, &'t str)> {
        let (id, name) = tool.split_once('.')?;
        let registered = self.registered();
        let mut all = self.settled.iter().chain(&*registered);
        let one = all.find(|one| *one.server.id == *id)?;
        Some((Arc::clone(&one.server), name))
    }

    async fn answer(&self, call: BesideCall) -> Answered {
        let BesideCall { caller, presented, mut headers, body } = call;
        let Ok(message) = Message::parse(&body) else {
            return Ok(guard::plain(StatusCode::BAD_REQUEST));
        };
        let wanted = Wanted::of(&message, headers::is_modern(&headers));
        let Some((server, name)) = (match &wanted {
            Wanted::Tool { name, .. } => self.of(name),
            _ => None,
        }) else {
            return Ok(guard::plain(StatusCode::BAD_REQUEST));
        };
        if !headers::mirror_the_body(&headers, &message, &wanted) {
            let refusal = super::refused::mirrors_wrong(&message);
            return server.door.refuse(&caller, "tools/call", refusal).await;
        }
        let written = renamed(&body, name);
        if headers.contains_key(NAME) {
            // Its characters are those that MCP has for names, or there is no such tool.
            let name = HeaderValue::from_str(name);
            headers.insert(NAME, name.unwrap_or(HeaderValue::from_static("-")));
        }
        headers.remove(SESSION); // there are none at this endpoint
        let Some(written) = written else { return Ok(guard::plain(StatusCode::BAD_REQUEST)) };
        server.sent(caller, (&headers, presented), written).await
    }
}

impl Beside for Folded {
    fn holds(&self, tool: &str) -> bool {
        self.of(tool).is_some()
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
        let all: Vec<_> = self.settled.iter().chain(&*self.registered()).cloned().collect();
        async move {
            let shown = |one: Arc<One>| async move { one.shown(caller, presented).await };
            let shown = stream::iter(all.into_iter().map(shown));
            let shown: Vec<_> = shown.buffered(AT_ONCE).collect().await;
            Shown { tools: shown.into_iter().flatten().collect() }
        }
        .boxed()
    }

    fn call(self: Arc<Self>, call: BesideCall) -> BoxFuture<'static, Answered> {
        async move { self.answer(call).await }.boxed()
    }
}

impl One {
    fn new(server: Server) -> Arc<Self> {
        Arc::new(Self { server: Arc::new(server), rests_until: Mutex::default() })
    }

    /// A server that is down, slow or wrong has no tools here, and hides none of the others.
    async fn shown(&self, caller: &Caller, presented: Option<&Presented>) -> Vec<Box<RawValue>> {
        let (server, clock) = (&self.server, &self.server.door.clock);
        if clock.monotonic() < *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) {
            return Vec::new();
        }
        match tokio::time::timeout(LIMIT, list(server, (caller, presented))).await {
            Ok(Ok(tools)) => return tools,
            // Others may have what this caller lacks.
            Ok(Err(NoList::OfTheCaller)) => return Vec::new(),
            Ok(Err(NoList::OfTheServer)) | Err(_) => {}
        }
        let until = clock.monotonic().saturating_add(REST);
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        let (server, request_id) = (&server.id, caller.request_id());
        tracing::warn!(%server, %request_id, "upstream.not_folded");
        Vec::new()
    }
}

/// Why there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoList {
    /// The server was asked, and gave none; or one that is too long.
    OfTheServer,
    /// This caller could not ask, or may not: another one may.
    OfTheCaller,
}

/// The server's list as this caller sees it, page by page; all pages together as large as one answer may be.
pub(super) async fn list(
    server: &Arc<Server>,
    (caller, presented): (&Caller, Option<&Presented>),
) -> Result<Vec<Box<RawValue>>, NoList> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        tools: Vec<&'a RawValue>,
        #[serde(rename = "nextCursor")]
        next: Option<String>,
    }
    let (mut tools, mut cursor, mut bytes) = (Vec::new(), None::<String>, 0_usize);
    for _ in 0..PAGES {
        let (headers, body) = question(cursor.as_deref());
        let response = Arc::clone(server)
            .sent(caller.part(), (&headers, presented.cloned()), body)
            .await
            .map_err(|Unrecorded| NoList::OfTheCaller)?;
        if response.extensions().get::<TheirsAlone>().is_some() {
            return Err(NoList::OfTheCaller);
        }
        let result = result(response, server.max_response_bytes).await;
        let result = result.ok_or(NoList::OfTheServer)?;
        let page: Page<'_> = serde_json::from_str(result.get()).map_err(|_| NoList::OfTheServer)?;
        bytes = bytes.saturating_add(result.get().len());
        let count = tools.len().saturating_add(page.tools.len());
        if bytes > server.max_response_bytes || count > TOOLS {
            return Err(NoList::OfTheServer);
        }
        tools.extend(page.tools.into_iter().filter_map(|tool| prefixed(&server.id, tool)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(tools)
}

/// A request of our own for one page.
fn question(cursor: Option<&str>) -> (HeaderMap, Bytes) {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {
            "name": "mcp-auth-broker",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    if let (Some(cursor), Some(params)) = (cursor, params.as_object_mut()) {
        params.insert("cursor".to_owned(), cursor.into());
    }
    let body = json!({ "jsonrpc": "2.0", "id": "list", "method": "tools/list", "params": params });
    let headers = HeaderMap::from_iter([
        (VERSION, HeaderValue::from_static(REVISION)),
        (METHOD, HeaderValue::from_static("tools/list")),
    ]);
    (headers, body.to_string().into())
}

/// The result in an answer, in whatever form it comes. `None`: it is none.
async fn result(response: Response<Body>, most: usize) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Box<RawValue>>,
    }
    let read = |bytes: &[u8]| serde_json::from_slice::<Answer>(bytes).ok()?.result;
    let content = response.headers().get(header::CONTENT_TYPE);
    let streamed =
        content.is_some_and(|content| content.as_bytes().starts_with(b"text/event-stream"));
    let body = to_bytes(response.into_body(), most.saturating_mul(2)).await.ok()?;
    if !streamed {
        return read(&body);
    }
    let mut events = Events::new(most);
    events.add(&body);
    while let Ok(Some(data)) = events.next() {
        if let Some(result) = read(&data) {
            return Some(result);
        }
    }
    None
}

/// A definition under the name that it has here.
fn prefixed(server: &str, tool: &RawValue) -> Option<Box<RawValue>> {
    let mut members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(tool.get()).ok()?;
    let name: String = serde_json::from_str(members.get("name")?.get()).ok()?;
    let name = to_raw_value(&[server, ".", &name].concat()).ok()?;
    members.insert("name".into(), &name);
    to_raw_value(&members).ok()
}

/// The call under the server's own name of the tool; everything else as it was.
fn renamed(body: &[u8], name: &str) -> Option<Bytes> {
    let mut message: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    let params = message.get("params")?;
    let mut params: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(params.get()).ok()?;
    let name = to_raw_value(name).ok()?;
    params.insert("name".into(), &name);
    let params = to_raw_value(&params).ok()?;
    message.insert("params".into(), &params);
    serde_json::to_vec(&message).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_tool_is_another_in_the_list_and_in_the_call() {
        let tool = RawValue::from_string(r#"{"x":1.50,"name":"get","inputSchema":{}}"#.to_owned());
        let shown = prefixed("weather", &tool.unwrap()).unwrap();
        assert_eq!(shown.get(), r#"{"inputSchema":{},"name":"weather.get","x":1.50}"#);
        let call = br#"{"id":1,"method":"tools/call","params":{"name":"weather.get","arguments":{"n":1.50}},"jsonrpc":"2.0"}"#;
        let sent = renamed(call, "get").unwrap();
        assert_eq!(
            sent,
            r#"{"id":1,"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"n":1.50},"name":"get"}}"#
        );
    }
}
