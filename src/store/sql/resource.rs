//! Protected resources.

use crate::store::connection::{Connection, Row, Value, values};
use crate::store::error::StoreError;
use crate::store::grant::RevokeReason;
use crate::store::page::{Page, PageRequest};
use crate::store::resource::{ResourceChange, ResourceRow};
use crate::store::revoked::Whose;
use crate::time::Timestamp;

use super::columns::columns;
use super::ending::{self, Ended};
use super::tool_pin;

/// `false` where the id, the URI or an alias is taken.
pub(super) async fn add(c: &mut Connection, row: &ResourceRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO resources (id, uri, aliases, name, description, owner, scopes, \
        access_token_ttl_seconds, created_at, disabled_at, url, proxy) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
        ON CONFLICT (id) DO NOTHING";
    if !are_free(c, row).await? {
        return Ok(false);
    }
    let values = values![
        row.id.as_str(),
        row.uri.as_str(),
        row.aliases.as_slice(),
        row.name.as_str(),
        &row.description,
        &row.owner,
        row.scopes.to_string(),
        ttl(row),
        row.created_at,
        row.disabled_at,
        &row.url,
        &row.proxy,
    ];
    if c.execute(SQL, values).await? == 0 {
        return Ok(false);
    }
    add_uris(c, row).await?;
    // It is another server than the one that once had this id. One that clients reach themselves has no pins: those of its
    // id are of a server of the settings.
    if row.url.is_some() {
        tool_pin::delete_all(c, &row.id).await?;
    }
    Ok(true)
}

/// In one statement: of two changes at once neither is lost, and none undoes that the resource is disabled.
pub(super) async fn change(c: &mut Connection, new: &ResourceChange) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE resources SET name = COALESCE(CAST($2 AS TEXT), name), \
        description = NULLIF(COALESCE(CAST($3 AS TEXT), description), ''), \
        scopes = COALESCE(CAST($4 AS TEXT), scopes), \
        access_token_ttl_seconds = NULLIF(COALESCE(CAST($5 AS BIGINT), access_token_ttl_seconds), 0) \
        WHERE id = $1";
    let values = values![
        new.id.as_str(),
        &new.name,
        &new.description,
        new.scopes.as_ref().map(ToString::to_string),
        Value::Int(new.access_token_ttl_seconds.map(i64::from)),
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn disable(
    c: &mut Connection,
    (id, at): &(String, Option<Timestamp>),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE resources SET disabled_at = $2 WHERE id = $1";
    Ok(c.execute(SQL, values![id.as_str(), *at]).await? == 1)
}

pub(super) async fn set_proxy(
    c: &mut Connection,
    (id, url, proxy): &(String, String, Option<String>),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE resources SET proxy = $3 WHERE id = $1 AND url = $2";
    Ok(c.execute(SQL, values![id.as_str(), url.as_str(), proxy]).await? == 1)
}

fn ttl(row: &ResourceRow) -> Value {
    Value::Int(row.access_token_ttl_seconds.map(i64::from))
}

fn uris(row: &ResourceRow) -> std::collections::BTreeSet<&str> {
    std::iter::once(&row.uri).chain(&row.aliases).map(String::as_str).collect()
}

/// Whether none of its URIs belongs to another, with or without the last slash: clients write either, and get tokens for the same
/// server. Writers of resources take turns, so that it stays true.
async fn are_free(c: &mut Connection, row: &ResourceRow) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM resource_uris WHERE uri IN ($1, $2) AND resource_id <> $3";
    if c.is_postgres() {
        c.execute("SELECT pg_advisory_xact_lock(5570417003)", values![]).await?;
    }
    for uri in uris(row) {
        let bare = uri.trim_end_matches('/');
        let other = if bare == uri { format!("{uri}/") } else { bare.to_owned() };
        if c.row(SQL, values![uri, other.as_str(), row.id.as_str()]).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn add_uris(c: &mut Connection, row: &ResourceRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO resource_uris (uri, resource_id) VALUES ($1, $2)";
    for uri in uris(row) {
        c.execute(SQL, values![uri, row.id.as_str()]).await?;
    }
    Ok(())
}

pub(super) async fn find(
    c: &mut Connection,
    id: &String,
) -> Result<Option<ResourceRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(resources), " FROM resources WHERE id = $1");
    c.row(SQL, values![id.as_str()]).await?.as_ref().map(self::row).transpose()
}

pub(super) async fn find_by_uri(
    c: &mut Connection,
    uri: &String,
) -> Result<Option<ResourceRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(resources "resources."),
        " FROM resource_uris JOIN resources \
        ON resources.id = resource_uris.resource_id WHERE resource_uris.uri = $1"
    );
    c.row(SQL, values![uri.as_str()]).await?.as_ref().map(self::row).transpose()
}

pub(super) async fn list(
    c: &mut Connection,
    page: &PageRequest,
) -> Result<Page<ResourceRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(resources),
        " FROM resources WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let after = page.after.clone().unwrap_or_default();
    let rows = c.rows(SQL, values![after, super::limit(page)]).await?;
    let rows = rows.iter().map(self::row).collect::<Result<Vec<_>, _>>()?;
    Ok(super::page(rows, page, |row| row.id.clone()))
}

pub(super) async fn list_proxied(c: &mut Connection) -> Result<Vec<ResourceRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(resources),
        " FROM resources WHERE url IS NOT NULL AND disabled_at IS NULL \
        ORDER BY id LIMIT 10000"
    );
    c.rows(SQL, values![]).await?.iter().map(self::row).collect()
}

pub(super) async fn delete(
    c: &mut Connection,
    (id, keep_pins, now): &(String, bool, Timestamp),
) -> Result<(bool, Ended), StoreError> {
    const URIS: &str = "SELECT uri FROM resource_uris WHERE resource_id = $1 ORDER BY uri";
    let id = id.as_str();
    let uris = c.rows(URIS, values![id]).await?;
    let gone = c.row("DELETE FROM resources WHERE id = $1 RETURNING url", values![id]).await?;
    let url = gone.as_ref().map(|row| row.maybe_text("url")).transpose()?.flatten();
    c.execute("DELETE FROM resource_uris WHERE resource_id = $1", values![id]).await?;
    c.execute("DELETE FROM api_keys WHERE resource_id = $1", values![id]).await?;
    if url.is_some() && !keep_pins {
        tool_pin::delete_all(c, id).await?;
    }
    let uris = uris.iter().map(|row| row.text("uri")).collect::<Result<Vec<_>, _>>()?;
    // What comes to this place next is another server, which nobody has said yes to.
    for uri in &uris {
        c.execute("DELETE FROM consents WHERE resource = $1", values![uri.as_str()]).await?;
    }
    let kinds = uris.into_iter().map(Whose::Resource).collect();
    let ended = ending::end_each(c, kinds, (RevokeReason::Administrator, *now)).await?;
    Ok((gone.is_some(), ended))
}

fn row(row: &Row) -> Result<ResourceRow, StoreError> {
    let ttl = row.maybe_int("access_token_ttl_seconds")?.map(u32::try_from).transpose();
    Ok(ResourceRow {
        id: row.text("id")?,
        uri: row.text("uri")?,
        aliases: row.list("aliases")?,
        url: row.maybe_text("url")?,
        proxy: row.maybe_text("proxy")?,
        name: row.text("name")?,
        description: row.maybe_text("description")?,
        owner: row.maybe_text("owner")?,
        scopes: row.parsed("scopes")?,
        access_token_ttl_seconds: ttl
            .map_err(|_| StoreError::Corrupt("access_token_ttl_seconds"))?,
        created_at: row.time("created_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
    })
}
