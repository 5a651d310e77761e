//! Links that work once.

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::person::{LinkPurpose, OneTimeLink};
use crate::time::Timestamp;

use super::columns::columns;

pub(super) async fn add(c: &mut Connection, link: &OneTimeLink) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO links (link, user_id, purpose, expires_at) VALUES ($1, $2, $3, $4)";
    let purpose = match link.purpose {
        LinkPurpose::SetUp => "set_up",
        LinkPurpose::Reset => "reset",
    };
    let values = values![link.link, link.user_id.to_string(), purpose, link.expires_at];
    c.execute(SQL, values).await.map(drop)
}

pub(super) async fn find(
    c: &mut Connection,
    (link, now): &(Digest, Timestamp),
) -> Result<Option<OneTimeLink>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(links), " FROM links WHERE link = $1 AND expires_at > $2");
    let Some(row) = c.row(SQL, values![*link, *now]).await? else { return Ok(None) };
    let purpose = match row.text("purpose")?.as_str() {
        "set_up" => LinkPurpose::SetUp,
        "reset" => LinkPurpose::Reset,
        _ => return Err(StoreError::Corrupt("purpose")),
    };
    let user_id = row.parsed("user_id")?;
    Ok(Some(OneTimeLink { link: *link, user_id, purpose, expires_at: row.time("expires_at")? }))
}
