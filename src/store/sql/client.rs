//! Clients.

use crate::id::ClientId;
use crate::store::client::{ClientKind, ClientRow, NewRegistration};
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::RevokeReason;
use crate::store::page::{Page, PageRequest};
use crate::store::revoked::Whose;
use crate::time::Timestamp;

use super::columns::columns;
use super::ending::{self, Ended};
use super::revocation;

pub(super) async fn find(
    c: &mut Connection,
    id: &ClientId,
) -> Result<Option<ClientRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(clients), " FROM clients WHERE id = $1");
    c.row(SQL, values![id.as_str()]).await?.as_ref().map(row).transpose()
}

pub(super) async fn add(c: &mut Connection, row: &ClientRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO clients (id, kind, metadata, metadata_digest, secret, previous_secret, \
        previous_until, created_at, last_used_at, expires_at, disabled_at, registration_token) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING";
    let values = values![
        row.id.as_str(),
        word(row.kind),
        row.metadata.as_str(),
        row.metadata_digest,
        row.secret,
        row.previous_secret.map(|(digest, _)| digest),
        row.previous_secret.map(|(_, until)| until),
        row.created_at,
        row.last_used_at,
        row.expires_at,
        row.disabled_at,
        row.registration_token,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn update(
    c: &mut Connection,
    (id, metadata, digest): &(ClientId, String, Digest),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE clients SET metadata = $2, metadata_digest = $3 WHERE id = $1";
    Ok(c.execute(SQL, values![id.as_str(), metadata.as_str(), *digest]).await? == 1)
}

pub(super) async fn change(
    c: &mut Connection,
    (id, metadata, (before, digest)): &(ClientId, String, (Digest, Digest)),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE clients SET metadata = $2, metadata_digest = $3 \
        WHERE id = $1 AND metadata_digest = $4";
    let values = values![id.as_str(), metadata.as_str(), *digest, *before];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn replace(c: &mut Connection, new: &NewRegistration) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE clients SET metadata = $3, metadata_digest = $4, registration_token = $5 \
        WHERE id = $1 AND registration_token = $2 AND disabled_at IS NULL";
    let values = values![
        new.id.as_str(),
        new.presented,
        new.metadata.as_str(),
        new.metadata_digest,
        new.token,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn list(
    c: &mut Connection,
    page: &PageRequest,
) -> Result<Page<ClientRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(clients), " FROM clients WHERE id > $1 ORDER BY id LIMIT $2");
    let after = page.after.clone().unwrap_or_default();
    let rows = c.rows(SQL, values![after, super::limit(page)]).await?;
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(super::page(rows, page, |row| row.id.to_string()))
}

pub(super) async fn rotate_secret(
    c: &mut Connection,
    (id, secret, until): &(ClientId, Digest, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE clients SET previous_secret = secret, \
        previous_until = CASE WHEN secret IS NULL THEN NULL ELSE CAST($3 AS BIGINT) END, secret = $2 WHERE id = $1";
    Ok(c.execute(SQL, values![id.as_str(), *secret, *until]).await? == 1)
}

pub(super) async fn disable(
    c: &mut Connection,
    (id, at): &(ClientId, Option<Timestamp>),
) -> Result<(bool, Ended), StoreError> {
    const SQL: &str = "UPDATE clients SET disabled_at = $2 WHERE id = $1";
    let Some(now) = *at else { return Ok((enable(c, id).await?, Ended::default())) };
    let found = c.execute(SQL, values![id.as_str(), now]).await? == 1;
    if !found && !shut_out(c, id, now).await? {
        return Ok((false, Ended::default()));
    }
    let why = (RevokeReason::Disabled, now);
    let mut ended = ending::end_all(c, Whose::Client(id.clone()), why).await?;
    let own = [revocation::of_client(id, now)];
    revocation::write(c, &own).await?;
    ended.revoked.extend(own);
    Ok((true, ended))
}

/// Whether it is not disabled. Until this transaction is over it is not: whoever disables it waits, and ends what is written
/// here. One without a row is not.
pub(super) async fn holds(c: &mut Connection, id: &ClientId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT disabled_at FROM clients WHERE id = $1";
    const SHARED: &str = "SELECT disabled_at FROM clients WHERE id = $1 FOR SHARE";
    // On `SQLite` one writes at a time.
    let sql = if c.is_postgres() { SHARED } else { SQL };
    let Some(row) = c.row(sql, values![id.as_str()]).await? else { return Ok(true) };
    Ok(row.maybe_time("disabled_at")?.is_none())
}

/// A client that is known by its id alone gets a row that says no more than that it is disabled.
async fn shut_out(c: &mut Connection, id: &ClientId, now: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO clients (id, kind, metadata, metadata_digest, created_at, last_used_at, disabled_at) \
        VALUES ($1, $2, '', $3, $4, $4, $4) ON CONFLICT DO NOTHING";
    let Some(kind) = ClientKind::of_id(id) else { return Ok(false) };
    let values = values![id.as_str(), word(kind), Digest::of(""), now];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn enable(c: &mut Connection, id: &ClientId) -> Result<bool, StoreError> {
    const FORGET: &str = "DELETE FROM clients WHERE id = $1 AND metadata = ''";
    const SQL: &str = "UPDATE clients SET disabled_at = NULL WHERE id = $1";
    let shut_out = c.execute(FORGET, values![id.as_str()]).await? == 1;
    Ok(shut_out || c.execute(SQL, values![id.as_str()]).await? == 1)
}

pub(super) async fn delete(c: &mut Connection, id: &ClientId) -> Result<bool, StoreError> {
    Ok(c.execute("DELETE FROM clients WHERE id = $1", values![id.as_str()]).await? == 1)
}

/// Idle since, now, how many.
pub(super) async fn reap(
    c: &mut Connection,
    (idle_since, now, limit): &(Timestamp, Timestamp, u32),
) -> Result<u64, StoreError> {
    const SQL: &str = "DELETE FROM clients WHERE id IN (SELECT id FROM clients AS idle \
        WHERE kind = 'dynamic' AND disabled_at IS NULL AND last_used_at < $1 AND NOT EXISTS (SELECT 1 FROM grants \
        WHERE grants.client_id = idle.id AND grants.revoked_at IS NULL AND grants.expires_at > $2) \
        ORDER BY last_used_at LIMIT $3)";
    c.execute(SQL, values![*idle_since, *now, i64::from(*limit)]).await
}

fn row(row: &Row) -> Result<ClientRow, StoreError> {
    let previous = row.maybe_digest("previous_secret")?;
    Ok(ClientRow {
        id: row.parsed("id")?,
        kind: kind(&row.text("kind")?)?,
        metadata: row.text("metadata")?,
        metadata_digest: row.digest("metadata_digest")?,
        secret: row.maybe_digest("secret")?,
        previous_secret: previous.zip(row.maybe_time("previous_until")?),
        registration_token: row.maybe_digest("registration_token")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
        expires_at: row.maybe_time("expires_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
    })
}

const fn word(kind: ClientKind) -> &'static str {
    match kind {
        ClientKind::Static => "static",
        ClientKind::Dynamic => "dynamic",
        ClientKind::MetadataDocument => "metadata_document",
    }
}

fn kind(text: &str) -> Result<ClientKind, StoreError> {
    Ok(match text {
        "static" => ClientKind::Static,
        "dynamic" => ClientKind::Dynamic,
        "metadata_document" => ClientKind::MetadataDocument,
        _ => return Err(StoreError::Corrupt("kind")),
    })
}
