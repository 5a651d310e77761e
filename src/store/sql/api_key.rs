//! Keys of resource servers.

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::resource::ApiKeyRow;
use crate::time::Timestamp;

use super::columns::columns;

pub(super) async fn add(c: &mut Connection, row: &ApiKeyRow) -> Result<bool, StoreError> {
    // FOR SHARE, so that the resource cannot go while its key comes; SQLite has one writer anyway.
    const THERE: &str = "SELECT 1 FROM resources WHERE id = $1";
    const THERE_LOCKED: &str = "SELECT 1 FROM resources WHERE id = $1 FOR SHARE";
    const SQL: &str = "INSERT INTO api_keys (prefix, key_digest, resource_id, name, created_at, expires_at, \
        last_used_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (prefix) DO NOTHING";
    let there = if c.is_postgres() { THERE_LOCKED } else { THERE };
    if c.row(there, values![row.resource_id.as_str()]).await?.is_none() {
        return Ok(false);
    }
    let values = values![
        row.prefix.as_str(),
        row.key,
        row.resource_id.as_str(),
        &row.name,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn find(
    c: &mut Connection,
    prefix: &String,
) -> Result<Option<ApiKeyRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(api_keys), " FROM api_keys WHERE prefix = $1");
    c.row(SQL, values![prefix.as_str()]).await?.as_ref().map(row).transpose()
}

pub(super) async fn list(
    c: &mut Connection,
    resource: &String,
) -> Result<Vec<ApiKeyRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(api_keys),
        " FROM api_keys WHERE resource_id = $1 ORDER BY prefix LIMIT 1000"
    );
    c.rows(SQL, values![resource.as_str()]).await?.iter().map(row).collect()
}

pub(super) async fn revoke(
    c: &mut Connection,
    (resource, prefix, at): &(String, String, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE api_keys SET revoked_at = $3 WHERE prefix = $2 AND resource_id = $1 \
        AND revoked_at IS NULL";
    Ok(c.execute(SQL, values![resource.as_str(), prefix.as_str(), *at]).await? == 1)
}

fn row(row: &Row) -> Result<ApiKeyRow, StoreError> {
    Ok(ApiKeyRow {
        prefix: row.text("prefix")?,
        key: row.digest("key_digest")?,
        resource_id: row.text("resource_id")?,
        name: row.maybe_text("name")?,
        created_at: row.time("created_at")?,
        expires_at: row.maybe_time("expires_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
