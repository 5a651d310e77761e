//! What a page is told of the request for it, and how it answers where it cannot do what was asked.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::authorization_server::pages::Fault;
use crate::id::{ClientAddress, RequestId};

use super::People;

/// Somebody's request for a page.
#[derive(Debug)]
pub(crate) struct Visit {
    /// On an error page, and of every event.
    pub(crate) request_id: RequestId,
    /// Of their network; `None` where the server was told of none.
    pub(crate) address: Option<IpAddr>,
    pub(crate) headers: HeaderMap,
}

impl FromRequestParts<People> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, people: &People) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<RequestId>();
        Ok(Self {
            request_id: known.copied().unwrap_or_else(|| people.request_id()),
            address: parts.extensions.get().map(|ClientAddress(address)| *address),
            headers: parts.headers.clone(),
        })
    }
}

/// Gives the request its id, and makes the error page of a [`Fault`] under it. What the page says is kept in memory, so that
/// the id leads somewhere: what is only looked at has no event.
pub(super) async fn answer_faults(
    State(people): State<People>,
    mut request: Request,
    next: Next,
) -> Response {
    let request_id = people.request_id();
    request.extensions_mut().insert(request_id);
    let mut response = next.run(request).await;
    let fault = response.extensions_mut().remove::<Arc<Fault>>();
    let Some(fault) = fault.or_else(|| unread(&response)) else { return response };
    people.server.auditor.keep_page(request_id, &fault.in_short());
    let mut page = fault.page(people.root(), request_id);
    *page.status_mut() = response.status();
    page
}

/// What axum says where a query, a path or a body cannot be read is a bare line of text: people get a page for it.
fn unread(response: &Response) -> Option<Arc<Fault>> {
    let kind = response.headers().get(header::CONTENT_TYPE)?;
    let bare = response.status().is_client_error() && kind.as_bytes().starts_with(b"text/plain");
    bare.then(|| Arc::new(Fault::MalformedRequest("it cannot be read")))
}
