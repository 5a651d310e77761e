//! What stands for a pushed request in a browser (RFC 9126 §2.2, §4).

use std::net::IpAddr;

use crate::authorization_server::form::Form;
use crate::authorization_server::guesses::Attempt;
use crate::authorization_server::mark::Marked;
use crate::authorization_server::pages::Fault;
use crate::authorization_server::server::AuthorizationServer;
use crate::store::{AuthorizationRequestRow, Digest};

use super::pending::Pending;
use super::request::{Rejected, find_client};

/// RFC 9126 §2.2
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// What stands in a pushed request's row where a waiting one has its browser session. No session has this digest: nobody
/// who holds the reference can use it as the handle of a page.
pub(super) fn pushed() -> Digest {
    Digest::of("pushed authorization request")
}

/// The reference to the request with this handle.
pub(super) fn of(handle: &str) -> String {
    format!("{PREFIX}{handle}")
}

/// What names a pushed request in its reference. `None` for what is no reference of ours: nothing is ever fetched (N20).
pub(super) fn handle(uri: &str) -> Option<&str> {
    uri.strip_prefix(PREFIX)
}

/// Counts the references that no store need be asked for among the requests of strangers at their site: those of the client
/// were counted when they were pushed. One of ours that was used, or is another client's, comes so often and no more.
fn admit(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    handle: &str,
) -> Result<Attempt, Fault> {
    if !server.marks.is_live(Marked::PushedRequest, handle, server.clock.now()) {
        server.shares.request(address).map_err(|_| Fault::TooMany)?;
    }
    let guesses = &server.tokens.guesses;
    let attempt = guesses.attempt(handle.as_bytes(), address);
    guesses.check(attempt).map_err(|_| Fault::TooMany)?;
    Ok(attempt)
}

/// The pushed request that `/authorize` is given a reference to, once (RFC 9126 §4). Whatever else that request says does
/// not count, but for who the client is.
///
/// # Errors
///
/// [`Fault::NoRequest`] on a page: unknown, late, used before, or another client's (N21). [`Fault::WrongRedirect`] where its
/// redirect URI has ceased to be the client's meanwhile. [`Fault::TooMany`]
pub(super) async fn take(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    (form, handle): (&Form, &str),
) -> Result<Pending, Rejected> {
    const NONE: Rejected = Rejected::Page(Fault::NoRequest);
    if form.is_repeated("request_uri") {
        return Err(Fault::MalformedRequest("request_uri is there more than once").into());
    }
    let attempt = admit(server, address, handle)?;
    let client = find_client(server, address, form).await?;
    let handle = Digest::of(handle);
    let now = server.clock.now();
    let waiting = server.store.find_authorization_request(&handle, now).await;
    let waiting = waiting.map_err(Fault::Store)?;
    let is_its_own = |row: &AuthorizationRequestRow| {
        row.session == Some(pushed()) && row.client_id == *client.id()
    };
    if !waiting.as_ref().is_some_and(is_its_own) {
        server.tokens.guesses.failed(attempt).map_err(|_| Fault::TooMany)?;
        return Err(NONE);
    }
    let taken = server.store.take_authorization_request(&handle, now).await;
    let row = taken.map_err(Fault::Store)?.ok_or(NONE)?;
    let mut pending = Pending::read(&row.parameters).map_err(Fault::Store)?;
    // It may be another's since it was pushed.
    if !client.allows_redirect(&pending.redirect_uri) {
        return Err(Fault::WrongRedirect.into());
    }
    // A login since it was pushed is none since the browser came.
    pending.requested_at = now.unix_seconds();
    Ok(pending)
}
