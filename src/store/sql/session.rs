//! Browser sessions.

use crate::id::UserId;
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::person::{LoginOrigin, NewSession, SessionRow};
use crate::time::Timestamp;

use super::columns::columns;
use super::{identity_provider, logout, user};

pub(super) async fn add(c: &mut Connection, row: &SessionRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO sessions (session, user_id, auth_time, method, pending, created_at, \
        last_seen_at, expires_at, sid, issuer, issuer_sid, acr, amr) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    insert(c, SQL, row).await
}

pub(super) async fn put(c: &mut Connection, row: &SessionRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO sessions (session, user_id, auth_time, method, pending, created_at, \
        last_seen_at, expires_at, sid, issuer, issuer_sid, acr, amr) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
        ON CONFLICT (session) DO UPDATE SET user_id = excluded.user_id, \
        auth_time = excluded.auth_time, method = excluded.method, pending = excluded.pending, \
        created_at = excluded.created_at, last_seen_at = excluded.last_seen_at, \
        expires_at = excluded.expires_at, sid = excluded.sid, issuer = excluded.issuer, \
        issuer_sid = excluded.issuer_sid, acr = excluded.acr, amr = excluded.amr";
    insert(c, SQL, row).await
}

async fn insert(c: &mut Connection, sql: &'static str, row: &SessionRow) -> Result<(), StoreError> {
    let values = values![
        row.session,
        row.user_id.map(|id| id.to_string()),
        row.auth_time,
        &row.method,
        &row.pending,
        row.created_at,
        row.last_seen_at,
        row.expires_at,
        &row.login.sid,
        &row.login.issuer,
        &row.login.issuer_sid,
        &row.login.acr,
        &row.login.amr,
    ];
    c.execute(sql, values).await.map(drop)
}

/// Session, idle since, now.
pub(super) async fn find(
    c: &mut Connection,
    (session, idle_since, now): &(Digest, Timestamp, Timestamp),
) -> Result<Option<SessionRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(sessions),
        " FROM sessions WHERE session = $1 AND last_seen_at >= $2 AND expires_at > $3"
    );
    c.row(SQL, values![*session, *idle_since, *now]).await?.as_ref().map(row).transpose()
}

pub(super) async fn list(
    c: &mut Connection,
    (user, now): &(UserId, Timestamp),
) -> Result<Vec<SessionRow>, StoreError> {
    // What says that a browser is known, or that a code is to follow, is none, and there may be more of it than sessions.
    const SQL: &str = concat!(
        "SELECT ",
        columns!(sessions),
        " FROM sessions WHERE user_id = $1 AND expires_at > $2 \
        AND (method IS NULL OR method NOT IN ('device', 'first_step')) ORDER BY created_at DESC, session LIMIT 200"
    );
    c.rows(SQL, values![user.to_string(), *now]).await?.iter().map(row).collect()
}

pub(super) async fn begin(c: &mut Connection, new: &NewSession) -> Result<bool, StoreError> {
    let NewSession { row, before, guard, provider } = new;
    let Some(id) = row.user_id else { return Ok(false) };
    if let Some(provider) = provider
        && !identity_provider::holds(c, provider, row.login.issuer.as_deref()).await?
    {
        return Ok(false);
    }
    if !user::holds(c, id, guard.as_deref()).await? {
        return Ok(false);
    }
    let kept = match before {
        Some(before) => take_over(c, before, row).await?,
        None => None,
    };
    let sid = kept.or_else(|| row.login.sid.clone());
    let login = LoginOrigin { sid, ..row.login.clone() };
    add(c, &SessionRow { login, ..row.clone() }).await?;
    Ok(true)
}

/// Ends the session before this one in the same browser. Its `sid`, where it is the same person's: then what waits for an answer in
/// another tab goes on, too.
async fn take_over(
    c: &mut Connection,
    before: &Digest,
    new: &SessionRow,
) -> Result<Option<String>, StoreError> {
    const SQL: &str = "DELETE FROM sessions WHERE session = $1 RETURNING user_id, sid";
    let Some(row) = c.row(SQL, values![*before]).await? else { return Ok(None) };
    let sid = row.maybe_text("sid")?;
    if row.maybe_parsed("user_id")? == new.user_id {
        for waiting in [
            "UPDATE authorization_requests SET session = $2 WHERE session = $1",
            "UPDATE device_requests SET session = $2 WHERE session = $1",
        ] {
            c.execute(waiting, values![*before, new.session]).await?;
        }
        return Ok(sid);
    }
    logout::notify(c, &[sid], new.created_at).await?;
    Ok(None)
}

/// Whether it is there. It is until this transaction is over: whoever ends it waits, and finds what is written here.
pub(super) async fn hold(c: &mut Connection, session: &Digest) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM sessions WHERE session = $1";
    const SHARED: &str = "SELECT 1 FROM sessions WHERE session = $1 FOR SHARE";
    // On `SQLite` one writes at a time.
    let sql = if c.is_postgres() { SHARED } else { SQL };
    Ok(c.row(sql, values![*session]).await?.is_some())
}

pub(super) async fn seen(
    c: &mut Connection,
    (session, at): &(Digest, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE sessions SET last_seen_at = $2 WHERE session = $1 AND last_seen_at < $2";
    c.execute(SQL, values![*session, *at]).await.map(drop)
}

pub(super) async fn end(c: &mut Connection, session: &Digest) -> Result<bool, StoreError> {
    Ok(c.execute("DELETE FROM sessions WHERE session = $1", values![*session]).await? == 1)
}

/// With the codes that were given out in them and not used yet: none becomes tokens after its person has gone (N37).
pub(super) async fn end_all(c: &mut Connection, user: &UserId) -> Result<u64, StoreError> {
    const SESSIONS: &str = "DELETE FROM sessions WHERE user_id = $1";
    const CODES: &str = "DELETE FROM codes WHERE used_at IS NULL AND grant_id IN \
        (SELECT id FROM grants WHERE user_id = $1)";
    // First: this waits for who is just getting a code in one of them.
    let ended = c.execute(SESSIONS, values![user.to_string()]).await?;
    c.execute(CODES, values![user.to_string()]).await?;
    Ok(ended)
}

/// Sessions and grants have the same columns for it.
pub(super) fn origin(row: &Row) -> Result<LoginOrigin, StoreError> {
    Ok(LoginOrigin {
        sid: row.maybe_text("sid")?,
        issuer: row.maybe_text("issuer")?,
        issuer_sid: row.maybe_text("issuer_sid")?,
        acr: row.maybe_text("acr")?,
        amr: row.maybe_text("amr")?,
    })
}

pub(super) fn row(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        session: row.digest("session")?,
        user_id: row.maybe_parsed("user_id")?,
        auth_time: row.maybe_time("auth_time")?,
        method: row.maybe_text("method")?,
        login: origin(row)?,
        pending: row.maybe_text("pending")?,
        created_at: row.time("created_at")?,
        last_seen_at: row.time("last_seen_at")?,
        expires_at: row.time("expires_at")?,
    })
}
