//! Fetching documents, and what serves while that fails.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, StatusCode};
use url::Url;

use crate::authorization_server::server::AuthorizationServer;
use crate::outbound::{Answer, Call, Limits};
use crate::store::MetadataDocument;
use crate::time::Timestamp;

use super::budget::Budget;
use super::{Document, DocumentError, InvalidDocument, is_missing, parse};

/// Resolve, connect, answer: all of it.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 10 * 1024 };
/// `max-age` is brought into these bounds.
const MIN_FRESH: Duration = Duration::from_mins(5);
const MAX_FRESH: Duration = Duration::from_hours(24);
/// How long after its last confirmation a document serves while its host does not answer.
const MAX_STALE: Duration = Duration::from_hours(24);
/// How long a failure is remembered, so that nobody makes us ask again and again.
const FAILED_FOR: Duration = Duration::from_secs(30);
const MAX_REMEMBERED: usize = 1024;

/// What is kept about fetches: the budgets, those in flight, and those that failed a moment ago.
#[derive(Debug, Default)]
pub(in crate::authorization_server) struct Fetches {
    /// For documents that are stored already: whoever makes URLs up does not stop clients that people use.
    known: Mutex<Budget>,
    unknown: Mutex<Budget>,
    /// Used where `unknown` is used up, by sites that have asked for next to nothing: whoever makes URLs of an origin up
    /// does not stop others who come with a client of it for the first time.
    reserve: Mutex<Budget>,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Until when (monotonic), and what its host said, where that is what nobody else can mend.
    failed: Mutex<HashMap<String, (Duration, Option<Said>)>>,
}

/// What a host said of its own.
#[derive(Clone, Copy, Debug)]
enum Said {
    Invalid(InvalidDocument),
    Missing(StatusCode),
}

impl Fetches {
    /// One fetch at a time for one URL; whoever waits finds what the other stored.
    fn flight(&self, url: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.len() >= MAX_REMEMBERED {
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
        }
        Arc::clone(flights.entry(url.to_owned()).or_default())
    }

    /// The failure of a moment ago: a document that was wrong then still is, and is not stood in for (N99).
    fn failed_recently(&self, url: &str, now: Duration) -> Option<DocumentError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, said) = failed.get(url).filter(|(until, _)| now < *until)?;
        Some(match said {
            Some(Said::Invalid(what)) => DocumentError::Invalid(*what),
            Some(Said::Missing(status)) => DocumentError::Status(*status),
            None => DocumentError::Recent,
        })
    }

    fn note_failure(&self, url: &str, failure: &DocumentError, now: Duration) {
        let said = match failure {
            DocumentError::Invalid(what) => Some(Said::Invalid(*what)),
            DocumentError::Status(status) if is_missing(*status) => Some(Said::Missing(*status)),
            _ => None,
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MAX_REMEMBERED {
            failed.retain(|_, (until, _)| now < *until);
        }
        if failed.len() < MAX_REMEMBERED {
            failed.insert(url.to_owned(), (now.saturating_add(FAILED_FOR), said));
        }
    }
}

impl AuthorizationServer {
    /// Spends one fetch from `url`, where there is one left for the site that `address` is of; `known` where what is
    /// there was read before.
    pub(in crate::authorization_server) fn spend_fetch(
        &self,
        address: Option<IpAddr>,
        url: &Url,
        known: bool,
    ) -> bool {
        // The site's share first: what it may not have is not taken from the others.
        if self.shares.documents.take(address).is_err() {
            return false;
        }
        let (fetches, now) = (&self.clients.fetches, self.clock.monotonic());
        let spend = |budget: &Mutex<Budget>| {
            let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.spend(&url.origin().ascii_serialization(), now)
        };
        if known {
            return spend(&fetches.known);
        }
        spend(&fetches.unknown)
            || self.shares.first_documents.take(address).is_ok() && spend(&fetches.reserve)
    }
}

/// The document that is in force now.
pub(super) async fn current(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    url: &Url,
) -> Result<Document, DocumentError> {
    if let Some(decided) = stored(server, url).await?.and_then(|row| fresh(server, url, &row)) {
        return decided;
    }
    let flight = server.clients.fetches.flight(url.as_str());
    let _held = flight.lock().await;
    let row = stored(server, url).await?;
    if let Some(decided) = row.as_ref().and_then(|row| fresh(server, url, row)) {
        return decided;
    }
    let fetches = &server.clients.fetches;
    let now = server.clock.monotonic();
    if let Some(failure) = fetches.failed_recently(url.as_str(), now) {
        return instead(server, url, row.as_ref(), failure);
    }
    let failure = match fetch(server, address, url, row.as_ref()).await {
        Ok(document) => return Ok(document),
        Err(decided @ (DocumentError::Gone | DocumentError::Store(_))) => return Err(decided),
        Err(failure) => failure,
    };
    if !matches!(failure, DocumentError::Budget) {
        tracing::warn!(host = url.host_str(), reason = %failure, "a client metadata document cannot be read");
        fetches.note_failure(url.as_str(), &failure, server.clock.monotonic());
    }
    instead(server, url, row.as_ref(), failure)
}

async fn stored(
    server: &AuthorizationServer,
    url: &Url,
) -> Result<Option<MetadataDocument>, DocumentError> {
    Ok(server.store.find_metadata_document(url.as_str()).await?)
}

/// What a stored document says while nobody need ask its host.
fn fresh(
    server: &AuthorizationServer,
    url: &Url,
    row: &MetadataDocument,
) -> Option<Result<Document, DocumentError>> {
    if server.clock.now() >= row.fresh_until {
        return None;
    }
    if row.gone_at.is_some() {
        return Some(Err(DocumentError::Gone));
    }
    // What an older version stored is checked by the rules of this one.
    parse(url.as_str(), &row.body).ok().map(Ok)
}

/// Last-known-good for a day, then the shipped snapshot; a document that is *wrong* now, or of which its host says that it is
/// not there, is neither (N99, N100).
fn instead(
    server: &AuthorizationServer,
    url: &Url,
    row: Option<&MetadataDocument>,
    failure: DocumentError,
) -> Result<Document, DocumentError> {
    match failure {
        DocumentError::Invalid(_) => return Err(failure),
        DocumentError::Status(status) if is_missing(status) => return Err(failure),
        _ => {}
    }
    match row {
        // Its host said so; only its host can take that back.
        Some(row) if row.gone_at.is_some() => return Err(DocumentError::Gone),
        Some(row) if server.clock.now().since(row.fetched_at) <= MAX_STALE => {
            return parse(url.as_str(), &row.body).map_err(DocumentError::Invalid);
        }
        Some(_) | None => {}
    }
    let servers = server.settings.resources.iter().map(|resource| resource.uri.as_str());
    match server.settings.known_clients.snapshot(url.as_str(), servers) {
        Some(snapshot) => Ok(parse(url.as_str(), snapshot.as_bytes())?),
        None => Err(failure),
    }
}

async fn fetch(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    url: &Url,
    row: Option<&MetadataDocument>,
) -> Result<Document, DocumentError> {
    if !server.spend_fetch(address, url, row.is_some()) {
        return Err(DocumentError::Budget);
    }
    let usable = row.filter(|row| row.gone_at.is_none());
    let mut call =
        Call::get(url.clone()).header(ACCEPT, HeaderValue::from_static("application/json"));
    let known = usable.and_then(|row| row.etag.as_deref());
    if let Some(etag) = known.and_then(|etag| HeaderValue::try_from(etag).ok()) {
        call = call.header(IF_NONE_MATCH, etag);
    }
    let answer = server.to_clients.send(call, LIMITS).await.map_err(DocumentError::Outbound)?;
    let now = server.clock.now();
    match (answer.status, usable) {
        (StatusCode::OK, _) => replace(server, url, &answer, now).await,
        (StatusCode::NOT_MODIFIED, Some(row)) => confirm(server, url, row, &answer, now).await,
        (StatusCode::NOT_FOUND | StatusCode::GONE, _) => match row {
            Some(row) => revoke(server, row, now).await,
            None => Err(DocumentError::Status(answer.status)),
        },
        (other, _) => Err(DocumentError::Status(other)),
    }
}

async fn replace(
    server: &AuthorizationServer,
    url: &Url,
    answer: &Answer,
    now: Timestamp,
) -> Result<Document, DocumentError> {
    if !is_json(answer) {
        return Err(DocumentError::ContentType);
    }
    let document = parse(url.as_str(), &answer.body)?;
    let row = MetadataDocument {
        url: url.as_str().to_owned(),
        body: answer.body.to_vec(),
        digest: document.digest,
        etag: answer.header(&ETAG).filter(|etag| etag.len() <= 256).map(str::to_owned),
        fetched_at: now,
        fresh_until: now.plus(freshness(answer)),
        gone_at: None,
    };
    server.store.put_metadata_document(&row).await?;
    Ok(document)
}

async fn confirm(
    server: &AuthorizationServer,
    url: &Url,
    row: &MetadataDocument,
    answer: &Answer,
    now: Timestamp,
) -> Result<Document, DocumentError> {
    let document = parse(url.as_str(), &row.body)?;
    let fresh_until = now.plus(freshness(answer));
    let row = MetadataDocument { fetched_at: now, fresh_until, ..row.clone() };
    server.store.put_metadata_document(&row).await?;
    Ok(document)
}

/// Only for a client that was known: a spray of made-up URLs stores nothing (N101), and nobody learns from us which
/// paths a host has.
async fn revoke(
    server: &AuthorizationServer,
    row: &MetadataDocument,
    now: Timestamp,
) -> Result<Document, DocumentError> {
    let gone_at = row.gone_at.or(Some(now));
    let row = MetadataDocument { gone_at, fresh_until: now.plus(MIN_FRESH), ..row.clone() };
    server.store.put_metadata_document(&row).await?;
    Err(DocumentError::Gone)
}

fn is_json(answer: &Answer) -> bool {
    let essence = answer.header(&CONTENT_TYPE).unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// `max-age` (RFC 9111 §5.2.2.1) within our bounds. Everything else counts as the shorter one.
fn freshness(answer: &Answer) -> Duration {
    let stated = answer.header(&CACHE_CONTROL).unwrap_or_default();
    let mut directives = stated.split(',').map(str::trim);
    let age = directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok());
    age.map_or(MIN_FRESH, Duration::from_secs).clamp(MIN_FRESH, MAX_FRESH)
}
