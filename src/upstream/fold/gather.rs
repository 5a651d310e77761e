//! One server's list for the list of all: page by page, under the names that its things have there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::broker::Caller;
use crate::guard::{List, Presented, Unrecorded};

use super::names;
use crate::upstream::ending::TheirsAlone;
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
    /// The server was asked, and gave none; or one that is too long.
    OfTheServer,
    /// This caller could not ask, or may not: another one may.
    OfTheCaller,
}

/// What an answer says.
enum Said {
    Result(Box<RawValue>),
    /// The server has no such list.
    NoSuchMethod,
    Nothing,
}

/// The server's list as this caller sees it, page by page; all pages together as large as one answer may be. A server that does
/// not know the method has nothing of the kind.
pub(in crate::upstream) async fn list(
    server: &Arc<Server>,
    (caller, presented): (&Caller, Option<&Presented>),
    list: List,
) -> Result<Vec<Box<RawValue>>, NoList> {
    let (mut entries, mut cursor, mut bytes) = (Vec::new(), None::<String>, 0_usize);
    for _ in 0..PAGES {
        let (headers, body) = question(list, cursor.as_deref());
        let response = Arc::clone(server)
            .sent(caller.part(), (&headers, presented.cloned()), body)
            .await
            .map_err(|Unrecorded| NoList::OfTheCaller)?;
        if response.extensions().get::<TheirsAlone>().is_some() {
            return Err(NoList::OfTheCaller);
        }
        let result = match said(response, server.max_response_bytes).await {
            Said::Result(result) => result,
            Said::NoSuchMethod if list != List::Tools => return Ok(Vec::new()),
            Said::NoSuchMethod | Said::Nothing => return Err(NoList::OfTheServer),
        };
        let members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(result.get()).map_err(|_| NoList::OfTheServer)?;
        let page = members.get(list.member()).map(|page| page.get()).unwrap_or_default();
        let page: Vec<&RawValue> = serde_json::from_str(page).map_err(|_| NoList::OfTheServer)?;
        bytes = bytes.saturating_add(result.get().len());
        let count = entries.len().saturating_add(page.len());
        if bytes > server.max_response_bytes || count > ENTRIES {
            return Err(NoList::OfTheServer);
        }
        let named = page.into_iter().filter_map(|entry| names::prefixed(&server.id, list, entry));
        entries.extend(named);
        let next = members.get("nextCursor").and_then(|next| serde_json::from_str(next.get()).ok());
        cursor = next.flatten();
        if cursor.is_none() {
            break;
        }
    }
    Ok(entries)
}

/// A request of our own for one page.
fn question(list: List, cursor: Option<&str>) -> (HeaderMap, Bytes) {
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
    let method = list.method();
    let body = json!({ "jsonrpc": "2.0", "id": "list", "method": method, "params": params });
    let headers = HeaderMap::from_iter([
        (VERSION, HeaderValue::from_static(REVISION)),
        (METHOD, HeaderValue::from_static(method)),
    ]);
    (headers, body.to_string().into())
}

/// In whatever form the answer comes.
async fn said(response: Response<Body>, most: usize) -> Said {
    let content = response.headers().get(header::CONTENT_TYPE);
    let streamed =
        content.is_some_and(|content| content.as_bytes().starts_with(b"text/event-stream"));
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
        _ => Said::Nothing,
    }
}
