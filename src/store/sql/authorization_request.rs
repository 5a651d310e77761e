//! Authorization requests that wait for their person.

use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::AuthorizationRequestRow;
use crate::time::Timestamp;

pub(super) async fn add(
    c: &mut Connection,
    row: &AuthorizationRequestRow,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO authorization_requests \
        (handle, client_id, parameters, session, expires_at) VALUES ($1, $2, $3, $4, $5)";
    let parameters = row.parameters.as_str();
    let values =
        values![row.handle, row.client_id.as_str(), parameters, row.session, row.expires_at];
    c.execute(SQL, values).await.map(drop)
}

pub(super) async fn find(
    c: &mut Connection,
    (handle, now): &(Digest, Timestamp),
) -> Result<Option<AuthorizationRequestRow>, StoreError> {
    const SQL: &str = "SELECT handle, client_id, parameters, session, expires_at \
        FROM authorization_requests WHERE handle = $1 AND expires_at > $2";
    c.row(SQL, values![*handle, *now]).await?.as_ref().map(row).transpose()
}

pub(super) async fn bind(
    c: &mut Connection,
    (handle, session, now): &(Digest, Digest, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE authorization_requests SET session = $2 WHERE handle = $1 \
        AND expires_at > $3 AND (session IS NULL OR session = $2)";
    Ok(c.execute(SQL, values![*handle, *session, *now]).await? == 1)
}

/// Of this session alone: nobody lets go of what another one was shown.
pub(super) async fn let_go(
    c: &mut Connection,
    handle: &Digest,
    session: &Digest,
) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE authorization_requests SET session = NULL WHERE handle = $1 AND session = $2";
    c.execute(SQL, values![*handle, *session]).await.map(drop)
}

pub(super) async fn take(
    c: &mut Connection,
    (handle, now): &(Digest, Timestamp),
) -> Result<Option<AuthorizationRequestRow>, StoreError> {
    const SQL: &str = "DELETE FROM authorization_requests WHERE handle = $1 AND expires_at > $2 \
        RETURNING handle, client_id, parameters, session, expires_at";
    c.row(SQL, values![*handle, *now]).await?.as_ref().map(row).transpose()
}

fn row(row: &Row) -> Result<AuthorizationRequestRow, StoreError> {
    Ok(AuthorizationRequestRow {
        handle: row.digest("handle")?,
        client_id: row.parsed("client_id")?,
        parameters: row.text("parameters")?,
        session: row.maybe_digest("session")?,
        expires_at: row.time("expires_at")?,
    })
}
