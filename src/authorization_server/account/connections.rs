//! A person's accounts at servers behind us: begun here, finished here, ended here.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Bytes;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::audit::AuditEvent;
use crate::authorization_server::pages::{Fault, see_other, when};
use crate::authorization_server::person::{People, Visit};
use crate::authorization_server::seal::KeyEncryptionKey;
use crate::authorization_server::session::{self, FormPurpose, Session};
use crate::connections::{Connections, Pending};
use crate::id::UserId;
use crate::oauth_client::Callback;
use crate::store::{Digest, LoginOrigin, SessionRow};
use crate::time::Timestamp;

/// How long somebody may take at the other side.
const TIME_TO_ALLOW: std::time::Duration = std::time::Duration::from_mins(10);

/// One server at which people connect accounts.
#[derive(Debug)]
pub(super) struct AccountView {
    pub(super) server: String,
    /// `None`: not connected.
    pub(super) since: Option<String>,
    pub(super) begin_token: String,
    pub(super) end_token: String,
}

/// What is kept while a person is at the other side; found by the digest of `state`.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    /// The session that began, by its digest: no other may finish.
    session: Vec<u8>,
    user_id: UserId,
    pending: Pending,
}

#[derive(Deserialize)]
pub(crate) struct Sent {
    #[serde(default)]
    form: String,
}

/// All of them, for the account page.
pub(super) async fn views(people: &People, session: &Session) -> Result<Vec<AccountView>, Fault> {
    let Some(connections) = &people.connections else { return Ok(Vec::new()) };
    let accounts = connections.list(session.person.user.id).await.map_err(Fault::Connection)?;
    let view = |account: crate::connections::Account| AccountView {
        begin_token: connecting(&[&account.server]).token(&session.cookie),
        end_token: ending(&[&account.server]).token(&session.cookie),
        since: account.since.map(when),
        server: account.server,
    };
    Ok(accounts.into_iter().map(view).collect())
}

/// `GET /account/connections/{server}/begin`. A link, not a form: `form-action` would refuse to be led elsewhere. It
/// carries a form's token all the same, so that no other site begins it.
pub(crate) async fn begin(
    State(people): State<People>,
    Path(server): Path<String>,
    Query(sent): Query<Sent>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let connections = connections(&people)?;
    let Some(session) = session::open(&people.server, &headers).await? else {
        return Ok(people.lead_to("/login"));
    };
    if !connecting(&[&server]).fits(&session.cookie, &sent.form) {
        return Err(Fault::Forged);
    }
    let begun =
        connections.begin(session.person.user.id, &server).await.map_err(Fault::Connection)?;
    let under_way = UnderWay {
        session: session.person.session.as_bytes().to_vec(),
        user_id: session.person.user.id,
        pending: begun.pending,
    };
    let now = people.server.clock.now();
    let row = SessionRow {
        session: digest(begun.state.expose()),
        user_id: None,
        auth_time: None,
        method: None,
        login: LoginOrigin::default(),
        pending: Some(seal(begun.state.expose(), &under_way).ok_or(Fault::NoConnection)?),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(TIME_TO_ALLOW),
    };
    people.server.store.add_session(&row).await?;
    Ok(see_other(begun.url.as_str()))
}

/// `GET /account/connections/{server}/callback` (RFC 6749 §4.1.2).
pub(crate) async fn come_back(
    State(people): State<People>,
    Path(server): Path<String>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, Fault> {
    let connections = connections(&people)?;
    let callback = Callback::parse(&query.unwrap_or_default()).ok_or(Fault::NoLogin)?;
    let (user_id, pending) = take(&people, &callback, &visit.headers).await?;
    let finished = connections.finish((user_id, &server), &pending, &callback).await;
    let connected = matches!(finished, Ok(true));
    let event = AuditEvent::AccountConnect { server: server.as_str().into(), connected };
    people.audit(visit.request_id, Some(user_id), None, event).await?;
    if finished.map_err(Fault::Connection)? {
        Ok(people.lead_to("/account"))
    } else {
        Err(Fault::NoLogin)
    }
}

/// `POST /account/connections/{server}/end`: the tokens are deleted, and given back.
pub(crate) async fn end(
    State(people): State<People>,
    Path(server): Path<String>,
    visit: Visit,
    body: Bytes,
) -> Result<Response, Fault> {
    let connections = connections(&people)?;
    let form = people.form(&visit.headers, &body)?;
    let Some(session) = session::open(&people.server, &visit.headers).await? else {
        return Ok(people.lead_to("/login"));
    };
    form.check(ending(&[&server]), &session.cookie)?;
    let user_id = session.person.user.id;
    if connections.end(user_id, &server).await.map_err(Fault::Connection)? {
        let event = AuditEvent::AccountEnd { server: server.as_str().into() };
        people.audit(visit.request_id, Some(user_id), None, event).await?;
    }
    Ok(people.lead_to("/account"))
}

fn connections(people: &People) -> Result<&Connections, Fault> {
    people.connections.as_ref().ok_or(Fault::NoConnection)
}

/// What `state` names, if this very session of this person began it; nobody gets it again.
async fn take(
    people: &People,
    callback: &Callback,
    headers: &HeaderMap,
) -> Result<(UserId, Pending), Fault> {
    let session = session::open(&people.server, headers).await?;
    let (Some(state), Some(session)) = (&callback.state, session) else {
        return Err(Fault::NoLogin);
    };
    let key = digest(state);
    let store = &people.server.store;
    let row = store.find_session(&key, Timestamp::default(), people.server.clock.now()).await?;
    let pending = row.and_then(|row| row.pending).ok_or(Fault::NoLogin)?;
    let under_way = open(state, &pending).ok_or(Fault::NoLogin)?;
    let ours = session.person.session.as_bytes();
    let same = verify_slices_are_equal(ours, &under_way.session).is_ok()
        && under_way.user_id == session.person.user.id;
    if !same || !store.end_session(&key).await? {
        return Err(Fault::NoLogin);
    }
    Ok((under_way.user_id, under_way.pending))
}

/// How the store knows a consent that is under way: not how it knows sessions, nor logins.
fn digest(state: &str) -> Digest {
    Digest::of(&format!("connect|{state}"))
}

/// What the `code_verifier` is sealed for. Whoever has the store has it not without the `state` that the browser brings back,
/// of which the store has a digest alone.
const PURPOSE: &str = "connection under way v1";

/// `None` never happens: AES-256-GCM seals whatever fits into memory.
fn seal(state: &str, under_way: &UnderWay) -> Option<String> {
    let plain = Zeroizing::new(serde_json::to_string(under_way).ok()?);
    KeyEncryptionKey::from_token(state, PURPOSE)?.seal_text(&plain, PURPOSE)
}

/// `None` where somebody changed it, or an older version wrote it.
fn open(state: &str, sealed: &str) -> Option<UnderWay> {
    let key = KeyEncryptionKey::from_token(state, PURPOSE)?;
    let plain = Zeroizing::new(key.open_text(sealed, PURPOSE)?);
    serde_json::from_str(&plain).ok()
}

const fn connecting<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "connect", about }
}

const fn ending<'a>(about: &'a [&'a str]) -> FormPurpose<'a> {
    FormPurpose { action: "disconnect", about }
}
