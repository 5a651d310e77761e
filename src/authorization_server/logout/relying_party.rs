//! `/end-session` (`OpenID` Connect RP-Initiated Logout 1.0): a client sends somebody here to log out.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::audit::AuditEvent;
use crate::authorization_server::authorize::appended;
use crate::authorization_server::client::{self, ClientError};
use crate::authorization_server::consent::introduce;
use crate::authorization_server::form::Form;
use crate::authorization_server::pages::{Fault, Forms, page, query_value, see_other};
use crate::authorization_server::person::{People, Visit, with_cookie};
use crate::authorization_server::session::{self, CookieKind, FormPurpose};
use crate::id::ClientId;
use crate::redirect_uri::RedirectUri;
use crate::store::{ClientKind, LogOut, Revokes};

pub(in crate::authorization_server) const PATH: &str = "/end-session";

/// Nothing is longer in a client that means well; it is sent back as it came.
const MAX_STATE: usize = 2048;

/// What a client asks for: its own, and checked to be so.
struct Asked {
    client_id: ClientId,
    /// Registered, byte for byte (§3.1).
    redirect_uri: Option<String>,
    state: Option<String>,
}

#[derive(Template)]
#[template(path = "end_session.html")]
struct EndSessionPage<'a> {
    name: &'a str,
    client: String,
    client_id: &'a str,
    redirect_uri: &'a str,
    state: &'a str,
    form_token: String,
    host: String,
    root: String,
}

/// `GET /end-session` asks; only our own form logs out, so that no link or image of anybody's can (§6).
pub(crate) async fn ask(
    State(people): State<People>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let query = query.unwrap_or_default();
    let unreadable = |_| Fault::MalformedRequest("the request cannot be read");
    let form = Form::decode(query.as_bytes()).and_then(Form::without_repetition);
    let Some(asked) = asked(&people, &form.map_err(unreadable)?).await? else {
        return Ok(people.lead_to("/logout"));
    };
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(onward(&people, &asked));
    };
    let [client_id, redirect_uri, state] = asked.shown();
    let client = introduce(&people.server, &asked.client_id).await?.name;
    let template = EndSessionPage {
        name: session.person.name(),
        client,
        client_id,
        redirect_uri,
        state,
        form_token: purpose(&asked.shown()).token(&session.cookie),
        host: people.host(),
        root: people.root().to_owned(),
    };
    Ok(page(StatusCode::OK, Forms::Anywhere, &template))
}

/// `POST /end-session` (§2): from another site, with which no session cookie comes. What was posted comes again in our own
/// address, the ID token left out: whose it is, is known by then.
pub(crate) async fn forward(
    State(people): State<People>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Fault> {
    let unreadable = |_| Fault::MalformedRequest("the form cannot be read");
    let form = Form::parse(&headers, &body).map_err(unreadable)?;
    let mut query = Vec::new();
    if let Some(asked) = asked(&people, &form).await? {
        query.push(format!("client_id={}", query_value(asked.client_id.as_str())));
        let rest = [("post_logout_redirect_uri", asked.redirect_uri), ("state", asked.state)];
        let rest = rest.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        query.extend(rest.map(|(name, value)| format!("{name}={}", query_value(&value))));
    }
    Ok(people.lead_to(&format!("{PATH}?{}", query.join("&"))))
}

/// `POST /end-session/confirm`: ends the session, and what this client was allowed in it; with `everything` what every
/// client was.
pub(crate) async fn confirm(
    State(people): State<People>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let (people, headers) = (&people, &visit.headers);
    let form = people.form(headers, &body)?;
    let field = |name: &str| form.fields.filled(name).map(str::to_owned);
    let id = form.fields.text("client_id").parse().map_err(|_| Fault::Forged)?;
    let (uri, state) = (field("post_logout_redirect_uri"), field("state"));
    let asked = checked(people, &id, (uri, state)).await?;
    let Some(session) = session::open(&people.server, headers).await? else {
        return Ok(onward(people, &asked));
    };
    form.check(purpose(&asked.shown()), &session.cookie)?;
    let revokes = match form.fields.text("decision") {
        "log_out" => Revokes::Client(id.clone()),
        "everything" => Revokes::Everything,
        _ => return Err(Fault::Forged),
    };
    let person = &session.person;
    let which = LogOut::Session {
        session: person.session,
        sid: person.login.sid.clone(),
        revokes,
        left: None,
    };
    let grants = super::end(people, &which).await?.grants;
    let event = AuditEvent::LogOut { everywhere: false, grants };
    people.audit(visit.request_id, Some(person.user.id), Some(id), event).await?;
    let cookie = people.server.cookies().remove(CookieKind::Session);
    Ok(with_cookie(onward(people, &asked), cookie))
}

impl Asked {
    /// What the page shows, and its form says again.
    fn shown(&self) -> [&str; 3] {
        [
            self.client_id.as_str(),
            self.redirect_uri.as_deref().unwrap_or_default(),
            self.state.as_deref().unwrap_or_default(),
        ]
    }
}

const fn purpose<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "end_session", about }
}

/// To where the client wants its people, else to the page that says that they are logged out.
fn onward(people: &People, asked: &Asked) -> Response {
    let Some(uri) = &asked.redirect_uri else { return people.lead_to("/logout") };
    let state = asked.state.as_deref().map(|state| ("state", state));
    see_other(&appended(uri, state.into_iter()))
}

/// `None` where no client asks.
///
/// # Errors
///
/// [`Fault`] for another client than the hint's own, and a place that is not the client's (§2, §3)
async fn asked(people: &People, form: &Form) -> Result<Option<Asked>, Fault> {
    let named: Option<ClientId> = form
        .get("client_id")
        .map(|id| id.parse().map_err(|_| Fault::UnknownClient(ClientError::Unknown)))
        .transpose()?;
    // One that cannot be checked, as its key was replaced long ago, is as good as none: the person is asked in any case, and
    // led nowhere but to where the client that is named beside it is registered.
    let hint = form.get("id_token_hint");
    let hinted =
        hint.and_then(|hint| people.server.tokens.own.id_token_client(&people.server, hint));
    if named.as_ref().zip(hinted.as_ref()).is_some_and(|(named, hinted)| named != hinted) {
        return Err(Fault::MalformedRequest("id_token_hint is not the client's"));
    }
    let redirect_uri = form.get("post_logout_redirect_uri").map(str::to_owned);
    let Some(id) = hinted.or(named) else {
        let nowhere = redirect_uri.is_none() || hint.is_some();
        let whose = "post_logout_redirect_uri needs id_token_hint or client_id beside it";
        return nowhere.then_some(None).ok_or(Fault::MalformedRequest(whose));
    };
    let state = form.get("state").map(str::to_owned);
    checked(people, &id, (redirect_uri, state)).await.map(Some)
}

async fn checked(
    people: &People,
    id: &ClientId,
    (redirect_uri, state): (Option<String>, Option<String>),
) -> Result<Asked, Fault> {
    let known = redirect_uris(people, id).await?;
    if redirect_uri.as_ref().is_some_and(|uri| !known.iter().any(|known| known.as_str() == *uri)) {
        return Err(Fault::WrongReturn);
    }
    if state.as_ref().is_some_and(|state| state.len() > MAX_STATE) {
        return Err(Fault::MalformedRequest("state is longer than 2048 characters"));
    }
    Ok(Asked { client_id: id.clone(), redirect_uri, state })
}

/// Where this client may have its people led.
async fn redirect_uris(people: &People, id: &ClientId) -> Result<Vec<RedirectUri>, Fault> {
    let server = &people.server;
    let has_document = ClientKind::of_id(id) == Some(ClientKind::MetadataDocument);
    // Anybody can write its name here, and its host would be asked (N101). It may have people led nowhere.
    if has_document && server.clients.configured(id).is_none() {
        return Ok(Vec::new());
    }
    let client = client::find(server, None, id).await.map_err(|error| match error {
        ClientError::Store(error) => Fault::Store(error),
        other => Fault::UnknownClient(other),
    })?;
    Ok(client.logout().redirect_uris.clone())
}
