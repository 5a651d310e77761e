//! One server's list for the list of all: page by page, under the names that its things have there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::broker::Caller;
use crate::guard::{List, Presented, Unrecorded};

use super::names;
use crate::upstream::answer::Kind;
use crate::upstream::ending::{TheirsAlone, Unanswered};
use crate::upstream::events::Events;
use crate::upstream::headers::{METHOD, VERSION};
use crate::upstream::server::Server;

/// Of one server's list.
const PAGES: usize = 50;
const ENTRIES: usize = 20_000;
const REVISION: &str = "2026-07-28";
const METHOD_NOT_FOUND: i64 = -32601;

/// Why there is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum NoList {
    /// The server was asked, and did not answer; or with a list that is too long.
    OfTheServer,
    /// This caller could not ask, or got an error for it: another one may have a list.
    OfTheCaller,
}

/// What an answer says.
pub(super) enum Said {
    Result(Box<RawValue>),
    /// The server has no such list.
    NoSuchMethod,
    /// Another error, of this request.
    Error,
    Nothing,
}

/// The server's list as this caller sees it, page by page; all pages together as large as one answer may be. A server that does
/// not know the method has nothing of the kind.
pub(in crate::upstream) async fn list(
    server: &Arc<Server>,
    caller: (&Caller, Option<&Presented>),
    list: List,
) -> Result<Vec<Box<RawValue>>, NoList> {
    let named = |entry: &RawValue| names::prefixed(&server.id, list, entry);
    pages(server, caller, (list, Asks::ForTheCaller), named).await
}

/// Whose question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// The answer has what the caller may see.
    ForTheCaller,
    /// The answer has everything, and the caller gets none of it.
    ForUs,
}

/// The same with what `kept` makes of each entry.
pub(super) async fn pages<T>(
    server: &Arc<Server>,
    (caller, presented): (&Caller, Option<&Presented>),
    (list, asks): (List, Asks),
    kept: impl Fn(&RawValue) -> Option<T> + Send,
) -> Result<Vec<T>, NoList>
where
    T: Send,
{
    let (mut entries, mut cursor, mut bytes) = (Vec::new(), None::<String>, 0_usize);
    let mut read = 0_usize;
    for _ in 0..PAGES {
        let from = cursor.as_deref().map(|cursor| ("cursor", cursor.into()));
        let (headers, body) = question(list.method(), from);
        let (to, presented) = (Arc::clone(server), presented.cloned());
        let response = match asks {
            Asks::ForTheCaller => to.sent(caller.part(), (&headers, presented), body).await,
            Asks::ForUs => {
                let caller = (caller.part(), presented);
                to.asked_by_us(caller, (&headers, body), Kind::Other).await
            }
        };
        let response = response.map_err(|Unrecorded| NoList::OfTheCaller)?;
        if response.extensions().get::<TheirsAlone>().is_some() {
            return Err(NoList::OfTheCaller);
        }
        // Errors of ours look the same.
        let unanswered = response.extensions().get::<Unanswered>().is_some();
        let result = match said(response, server.max_response_bytes).await {
            Said::Result(result) => result,
            _ if unanswered => return Err(NoList::OfTheServer),
            Said::NoSuchMethod if list != List::Tools => return Ok(Vec::new()),
            Said::NoSuchMethod | Said::Error => return Err(NoList::OfTheCaller),
            Said::Nothing => return Err(NoList::OfTheServer),
        };
        let members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(result.get()).map_err(|_| NoList::OfTheServer)?;
        let page = members.get(list.member()).map(|page| page.get()).unwrap_or_default();
        let page: Vec<&RawValue> = serde_json::from_str(page).map_err(|_| NoList::OfTheServer)?;
        bytes = bytes.saturating_add(result.get().len());
        let count = read.saturating_add(page.len());
        if bytes > server.max_response_bytes || count > ENTRIES {
            return Err(NoList::OfTheServer);
        }
        read += page.len();
        entries.extend(page.into_iter().filter_map(&kept));
        let next = members.get("nextCursor").and_then(|next| serde_json::from_str(next.get()).ok());
        cursor = next.flatten();
        if cursor.is_none() {
            break;
        }
    }
    Ok(entries)
}

/// A request of our own, with this parameter.
pub(super) fn question(method: &'static str, with: Option<(&str, Value)>) -> (HeaderMap, Bytes) {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {
            "name": "mcp-auth-broker",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    if let (Some((name, value)), Some(params)) = (with, params.as_object_mut()) {
        params.insert(name.to_owned(), value);
    }
    let body = json!({ "jsonrpc": "2.0", "id": "list", "method": method, "params": params });
    let headers = HeaderMap::from_iter([
        (VERSION, HeaderValue::from_static(REVISION)),
        (METHOD, HeaderValue::from_static(method)),
    ]);
    (headers, body.to_string().into())
}

pub(super) fn is_stream(response: &Response<Body>) -> bool {
    let content = response.headers().get(header::CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"text/event-stream"))
}

/// In whatever form the answer comes.
pub(super) async fn said(response: Response<Body>, most: usize) -> Said {
    let streamed = is_stream(&response);
    let Ok(body) = to_bytes(response.into_body(), most.saturating_mul(2)).await else {
        return Said::Nothing;
    };
    if !streamed {
        return read(&body);
    }
    let mut events = Events::new(most);
    events.add(&body);
    while let Ok(Some(data)) = events.next() {
        match read(&data) {
            Said::Nothing => {}
            said => return said,
        }
    }
    Said::Nothing
}

fn read(message: &[u8]) -> Said {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Box<RawValue>>,
        error: Option<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        code: i64,
    }
    match serde_json::from_slice(message) {
        Ok(Answer { result: Some(result), .. }) => Said::Result(result),
        Ok(Answer { error: Some(Error { code: METHOD_NOT_FOUND }), .. }) => Said::NoSuchMethod,
        Ok(Answer { error: Some(_), .. }) => Said::Error,
        _ => Said::Nothing,
    }
}
