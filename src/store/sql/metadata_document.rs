//! Client ID metadata documents as they were fetched.

use crate::store::client::MetadataDocument;
use crate::store::connection::{Connection, values};
use crate::store::error::StoreError;

use super::columns::columns;

pub(super) async fn find(
    c: &mut Connection,
    url: &String,
) -> Result<Option<MetadataDocument>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(metadata_documents), " FROM metadata_documents WHERE url = $1");
    let Some(row) = c.row(SQL, values![url.as_str()]).await? else { return Ok(None) };
    Ok(Some(MetadataDocument {
        url: row.text("url")?,
        body: row.blob("body")?,
        digest: row.digest("digest")?,
        etag: row.maybe_text("etag")?,
        fetched_at: row.time("fetched_at")?,
        fresh_until: row.time("fresh_until")?,
        gone_at: row.maybe_time("gone_at")?,
    }))
}

pub(super) async fn put(c: &mut Connection, row: &MetadataDocument) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO metadata_documents \
        (url, body, digest, etag, fetched_at, fresh_until, gone_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
        ON CONFLICT (url) DO UPDATE SET body = excluded.body, digest = excluded.digest, etag = excluded.etag, \
        fetched_at = excluded.fetched_at, fresh_until = excluded.fresh_until, gone_at = excluded.gone_at";
    let values = values![
        row.url.as_str(),
        row.body.as_slice(),
        row.digest,
        &row.etag,
        row.fetched_at,
        row.fresh_until,
        row.gone_at,
    ];
    c.execute(SQL, values).await.map(drop)
}
