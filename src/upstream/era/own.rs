//! The broker's own questions in both eras, where no caller stands behind them.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::NEW;
use super::ask::{Answer, new_request, old_headers, own_id, read};
use super::detect::initialize;
use super::input::Askable;
use super::message::{Members, request};
use crate::upstream::fault::Fault;
use crate::upstream::incoming::Incoming;

/// What a server said.
pub(in crate::upstream) enum Probed {
    Result(Box<RawValue>),
    Other,
}

/// The revision that was agreed upon, and the session.
type Opened<'a> = (&'a HeaderValue, Option<&'a HeaderValue>);

/// Reads the answer to one of these questions: `limits` are bytes, and for silence.
pub(in crate::upstream) async fn read_own(
    limits: (usize, Duration),
    incoming: &mut Incoming,
) -> Result<Probed, Fault> {
    Ok(match read(limits, incoming, &own_id()).await? {
        Answer::Result(result) => Probed::Result(result),
        Answer::Error | Answer::Status(_) => Probed::Other,
    })
}

pub(in crate::upstream) fn discovery() -> (HeaderMap, Bytes) {
    new_request(&own_id(), ("server/discover", None), Members::default())
}

pub(in crate::upstream) fn names_the_new(discovered: &RawValue) -> bool {
    let versions = Members::of(discovered).get::<Vec<String>>("supportedVersions");
    versions.unwrap_or_default().iter().any(|version| version == NEW)
}

pub(in crate::upstream) fn greeting() -> (HeaderMap, Bytes) {
    let body = request(Some(&*own_id()), "initialize", &initialize(Askable::default()));
    (old_headers(None, None), body)
}

/// The revision that a server answered in.
pub(in crate::upstream) fn version_of(greeting: &RawValue) -> Option<HeaderValue> {
    Members::of(greeting).get::<String>("protocolVersion")?.parse().ok()
}

pub(in crate::upstream) fn greeted((version, session): Opened<'_>) -> (HeaderMap, Bytes) {
    let body = request(None, "notifications/initialized", &Members::default());
    (old_headers(Some(version), session), body)
}

pub(in crate::upstream) fn old_list(
    (version, session): Opened<'_>,
    cursor: Option<&str>,
) -> (HeaderMap, Bytes) {
    let body = request(Some(&*own_id()), "tools/list", &after(cursor));
    (old_headers(Some(version), session), body)
}

pub(in crate::upstream) fn new_list(cursor: Option<&str>) -> (HeaderMap, Bytes) {
    new_request(&own_id(), ("tools/list", None), after(cursor))
}

fn after(cursor: Option<&str>) -> Members {
    let mut params = Members::default();
    if let Some(cursor) = cursor {
        params.set("cursor", cursor);
    }
    params
}

/// The tools of one page, and where the next begins.
pub(in crate::upstream) fn page(result: &RawValue) -> Option<(Vec<Box<RawValue>>, Option<String>)> {
    #[derive(Deserialize)]
    struct Page {
        tools: Vec<Box<RawValue>>,
        #[serde(rename = "nextCursor")]
        next: Option<String>,
    }
    let page: Page = serde_json::from_str(result.get()).ok()?;
    Some((page.tools, page.next))
}
