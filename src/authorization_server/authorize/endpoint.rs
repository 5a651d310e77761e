//! `GET` and `POST /authorize` (RFC 6749 §3.1): where a client sends a person's browser.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};

use crate::audit::{AuditEvent, Context};
use crate::authorization_server::consent::Receiver;
use crate::authorization_server::form::{Form, MAX_FORM_BYTES};
use crate::authorization_server::pages::{Fault, RefusedRequest, see_other};
use crate::authorization_server::person::Person;
use crate::authorization_server::secret_values::random_text;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::session;
use crate::id::{ClientAddress, RequestId, TraceId};
use crate::store::{AuthorizationRequestRow, Digest};

use super::decide::{DecideError, grant_unasked, is_asked_always, offer};
use super::likely::likely_apps;
use super::pending::Pending;
use super::redirect::{Refused, error_url};
use super::reference;
use super::refusal::Asked;
use super::request::{Rejected, read, validate};

/// How long a person may take to log in and to answer.
const REQUEST_LIVES: Duration = Duration::from_mins(10);

/// `/authorize`. Never with CORS: it is for browsers to go to, not for scripts to read (N112).
pub fn routes() -> Router<AuthorizationServer> {
    Router::new()
        .route("/authorize", get(by_query).post(by_form))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
}

async fn by_query(
    State(server): State<AuthorizationServer>,
    address: Option<Extension<ClientAddress>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(&server, from(address), &headers, read(query.unwrap_or_default().as_bytes())).await
}

/// OIDC Core §3.1.2.1. Parameters in the query as well are refused (N12).
async fn by_form(
    State(server): State<AuthorizationServer>,
    address: Option<Extension<ClientAddress>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let form = match (&query, &body) {
        (_, Err(_)) => Err(Fault::MalformedRequest("the form is too large, or did not come whole")),
        (Some(query), _) if !query.is_empty() => {
            Err(Fault::MalformedRequest("the parameters belong into the form alone"))
        }
        (_, Ok(body)) => Form::parse(&headers, body)
            .map_err(|_| Fault::MalformedRequest("the form cannot be read"))
            .and_then(|_| read(body)),
    };
    let mut page = answer(&server, from(address), &headers, form).await;
    if let Err(unread) = body
        && page.status() == StatusCode::BAD_REQUEST
    {
        *page.status_mut() = unread.status();
    }
    page
}

fn from(address: Option<Extension<ClientAddress>>) -> Option<IpAddr> {
    address.map(|Extension(ClientAddress(address))| address)
}

async fn answer(
    server: &AuthorizationServer,
    address: Option<IpAddr>,
    headers: &HeaderMap,
    form: Result<Form, Fault>,
) -> Response {
    let request_id = RequestId::generate(&*server.clock, &*server.random);
    let asked = form.as_ref().map(Asked::of).unwrap_or_default();
    let (rejected, form) = match form {
        Ok(form) => match lead(server, request_id, (address, headers), &form).await {
            Ok(location) => return see_other(&location),
            Err(rejected) => (rejected, Some(form)),
        },
        Err(fault) => (Rejected::Page(fault), None),
    };
    if let Err(error) = asked.record(server, (request_id, address), &rejected).await {
        return Fault::Audit(error).page(server.root(), request_id);
    }
    let fault = match rejected {
        Rejected::Page(fault) => fault,
        Rejected::Client { redirect_uri, state, trusted, refused } => {
            tracing::info!(request.id = %request_id, error = refused.code(), detail = refused.description(), "authorize.refused");
            let receiver = Receiver::of(&redirect_uri);
            match error_url(server, &redirect_uri, state.as_deref(), refused) {
                Ok(url) if trusted || !receiver.is_remote() => return see_other(url.as_str()),
                Ok(back) => {
                    let refused = refused.description();
                    Fault::Refused(Box::new(RefusedRequest { refused, receiver, back }))
                }
                Err(error) => Fault::Store(error),
            }
        }
    };
    let likely = match &form {
        Some(form) => likely_apps(server, address, (form, &fault)).await,
        None => Vec::new(),
    };
    fault.page_for(server.root(), request_id, &likely)
}

/// Where the browser goes next: to the login page with a request that waits, or without a page back to the client.
async fn lead(
    server: &AuthorizationServer,
    request_id: RequestId,
    (address, headers): (Option<IpAddr>, &HeaderMap),
    form: &Form,
) -> Result<String, Rejected> {
    let pending = match form.get("request_uri").and_then(reference::handle) {
        // Counted when it was pushed, where it came from: one that waits is refused for no load here.
        Some(handle) => reference::take(server, address, (form, handle)).await?,
        None => admitted(server, (address, headers), form).await?,
    };
    if pending.prompt.none {
        return without_a_page(server, request_id, headers, &pending).await;
    }
    let handle = random_text(&*server.random);
    let row = AuthorizationRequestRow {
        handle: Digest::of(&handle),
        client_id: pending.client_id.clone(),
        parameters: pending.written(),
        session: None,
        expires_at: server.clock.now().plus(REQUEST_LIVES),
    };
    server.store.add_authorization_request(&row).await.map_err(Fault::Store)?;
    let event = AuditEvent::AuthorizationStart {
        unverified_client_id: pending.client_id,
        resource: pending.resource,
        scopes: pending.scope,
    };
    let context = context(server, request_id, None);
    server.auditor.record(&context, event).await.map_err(Fault::Audit)?;
    // The login page sends on whoever is logged in.
    Ok(server.page_path(&format!("/login?request={}", handle.as_str())))
}

/// A request that comes in a browser: counted for who is logged in there, else among those of strangers. A whole office
/// is one site, and must not wait for itself.
async fn admitted(
    server: &AuthorizationServer,
    (address, headers): (Option<IpAddr>, &HeaderMap),
    form: &Form,
) -> Result<Pending, Rejected> {
    if let Some(person) = session::current(server, headers).await.map_err(Fault::Store)? {
        server.shares.request_of(person.user.id).map_err(|_| Fault::TooMany)?;
        return validate(server, address, form).await;
    }
    server.shares.request(address).map_err(|_| Fault::TooMany)?;
    let pending = validate(server, address, form).await?;
    server.shares.waiting_request(address).map_err(|_| Fault::TooMany)?;
    Ok(pending)
}

/// `prompt=none` (OIDC Core §3.1.2.1): an answer that is known already, or an error for the client (N27).
async fn without_a_page(
    server: &AuthorizationServer,
    request_id: RequestId,
    headers: &HeaderMap,
    pending: &Pending,
) -> Result<String, Rejected> {
    let refuse = |refused| Rejected::Client {
        redirect_uri: pending.redirect_uri.clone(),
        state: pending.state.clone(),
        trusted: pending.trusted_client,
        refused,
    };
    let person = session::current(server, headers).await.map_err(Fault::Store)?;
    let person = person.ok_or_else(|| refuse(Refused::LoginRequired))?;
    if !pending.means(&person) {
        return Err(refuse(Refused::OtherPerson));
    }
    // Where nobody can be asked, a log-in of this very second is no stronger for it.
    if pending.wants_new_login(&person) || !pending.is_met_by(&person) {
        return Err(refuse(Refused::NewLoginRequired));
    }
    let offered = offer(server, pending, &person).await.map_err(Fault::Store)?;
    // An answer to an app on somebody's computer is never given without asking (N102).
    let certain =
        Receiver::of(&pending.redirect_uri).is_certain() && !is_asked_always(server, pending);
    if !certain || offered.scope.is_empty() || !offered.added.is_empty() {
        return Err(refuse(Refused::ConsentRequired));
    }
    let event = AuditEvent::AuthorizationGrant {
        resource: pending.resource.clone(),
        scopes: offered.scope.clone(),
        asked: false,
    };
    let context = context(server, request_id, Some((pending, &person)));
    server.auditor.record(&context, event).await.map_err(Fault::Audit)?;
    match grant_unasked(server, pending, &person, offered.scope).await {
        Ok(url) => Ok(url.into()),
        Err(DecideError::Gone) => Err(refuse(Refused::LoginRequired)),
        Err(error) => Err(Fault::from(error).into()),
    }
}

fn context(
    server: &AuthorizationServer,
    request_id: RequestId,
    between: Option<(&Pending, &Person)>,
) -> Context {
    let person = between.and_then(|(_, person)| person.user.id.to_string().parse().ok());
    Context {
        request_id,
        trace_id: TraceId::generate(&*server.random),
        requester_id: person,
        client_id: between.map(|(pending, _)| pending.client_id.clone()),
        asserted_requester_id: None,
        redactions: Vec::new(),
    }
}
