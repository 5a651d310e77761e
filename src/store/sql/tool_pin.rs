//! Pins of tools: what people and replicas read of them, and what people do with them.

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::store::tool_pin::{
    FoundTool, ToolApproval, ToolApproved, ToolPin, ToolPinList, ToolPinRow, ToolPins,
};
use crate::time::Timestamp;

pub(super) async fn versions(c: &mut Connection) -> Result<Vec<(String, i64)>, StoreError> {
    const SQL: &str = "SELECT server, version FROM tool_pin_servers";
    let rows = c.rows(SQL, values![]).await?;
    rows.iter().map(|row| Ok((row.text("server")?, row.int("version")?))).collect()
}

/// The version first: pins that are newer than it are read again, older ones never taken for newer.
pub(super) async fn all(c: &mut Connection, server: &String) -> Result<ToolPins, StoreError> {
    const VERSION: &str = "SELECT version FROM tool_pin_servers WHERE server = $1";
    const PINS: &str = "SELECT tool, digest, found_digest FROM tool_pins WHERE server = $1";
    let version = c.row(VERSION, values![server.as_str()]).await?;
    let version = version.map(|row| row.int("version")).transpose()?;
    let pins = c.rows(PINS, values![server.as_str()]).await?;
    Ok(ToolPins { version, pins: pins.iter().map(pin).collect::<Result<_, _>>()? })
}

pub(super) fn pin(row: &Row) -> Result<ToolPin, StoreError> {
    Ok(ToolPin {
        tool: row.text("tool")?,
        digest: row.text("digest")?,
        found: row.maybe_text("found_digest")?,
    })
}

pub(super) async fn hold(
    c: &mut Connection,
    (servers, now): &(Vec<String>, Timestamp),
) -> Result<(), StoreError> {
    const ON_POSTGRES: &str = "UPDATE tool_pin_servers SET served_at = $2 \
        WHERE server IN (SELECT value FROM json_array_elements_text(CAST($1 AS json)))";
    const ON_SQLITE: &str = "UPDATE tool_pin_servers SET served_at = $2 \
        WHERE server IN (SELECT value FROM json_each($1))";
    let sql = if c.is_postgres() { ON_POSTGRES } else { ON_SQLITE };
    c.execute(sql, values![servers.as_slice(), *now]).await.map(drop)
}

pub(super) async fn list(
    c: &mut Connection,
    (server, which, page): &(String, ToolPinList, PageRequest),
) -> Result<Page<ToolPinRow>, StoreError> {
    const ALL: &str = "SELECT server, tool, digest, NULL AS definition, approved_at, approved_by, \
        found_digest, NULL AS found_definition, found_at FROM tool_pins \
        WHERE server = $1 AND tool > $2 ORDER BY tool LIMIT $3";
    const CHANGED: &str = "SELECT server, tool, digest, NULL AS definition, approved_at, approved_by, \
        found_digest, NULL AS found_definition, found_at FROM tool_pins \
        WHERE server = $1 AND tool > $2 AND found_digest IS NOT NULL ORDER BY tool LIMIT $3";
    const IN_FULL: &str = "SELECT server, tool, digest, definition, approved_at, approved_by, \
        found_digest, found_definition, found_at FROM tool_pins \
        WHERE server = $1 AND tool > $2 ORDER BY tool LIMIT $3";
    let sql = match which {
        ToolPinList::All => ALL,
        ToolPinList::Changed => CHANGED,
        ToolPinList::InFull => IN_FULL,
    };
    let after = page.after.clone().unwrap_or_default();
    let values = values![server.as_str(), after, super::limit(page)];
    let rows = c.rows(sql, values).await?;
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(super::page(rows, page, |row| row.tool.clone()))
}

pub(super) async fn find(
    c: &mut Connection,
    (server, tool): &(String, String),
) -> Result<Option<ToolPinRow>, StoreError> {
    const SQL: &str = "SELECT server, tool, digest, definition, approved_at, approved_by, \
        found_digest, found_definition, found_at FROM tool_pins WHERE server = $1 AND tool = $2";
    let values = values![server.as_str(), tool.as_str()];
    c.row(SQL, values).await?.as_ref().map(row).transpose()
}

/// Whoever changes pins of a server holds its row: the version counts up in the order in which changes are seen.
async fn changes(
    c: &mut Connection,
    server: &str,
    (fewer_pins, fewer_characters): (i64, i64),
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE tool_pin_servers SET version = version + 1, pins = pins - $2, kept = kept - $3 \
        WHERE server = $1";
    c.execute(SQL, values![server, fewer_pins, fewer_characters]).await.map(drop)
}

async fn lock(c: &mut Connection, server: &str) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE tool_pin_servers SET version = version WHERE server = $1";
    c.execute(SQL, values![server]).await.map(drop)
}

const LENGTHS: &str = "SELECT digest, found_digest, CAST(COALESCE(LENGTH(definition), 0) AS BIGINT) AS old_length, \
    CAST(COALESCE(LENGTH(found_definition), 0) AS BIGINT) AS found_length \
    FROM tool_pins WHERE server = $1 AND tool = $2";

pub(super) async fn approve(
    c: &mut Connection,
    approval: &ToolApproval,
) -> Result<ToolApproved, StoreError> {
    const FOUND: &str = "UPDATE tool_pins SET digest = found_digest, definition = found_definition, approved_at = $3, \
        approved_by = $4, found_digest = NULL, found_definition = NULL, found_at = NULL, told_at = NULL \
        WHERE server = $1 AND tool = $2";
    const KEPT: &str = "UPDATE tool_pins SET approved_at = $3, approved_by = $4, found_digest = NULL, \
        found_definition = NULL, found_at = NULL, told_at = NULL WHERE server = $1 AND tool = $2";
    let ToolApproval { server, tool, digest, by, at } = approval;
    lock(c, server).await?;
    let Some(row) = c.row(LENGTHS, values![server.as_str(), tool.as_str()]).await? else {
        return Ok(ToolApproved::Unknown);
    };
    let (sql, given_up) = if row.maybe_text("found_digest")?.as_ref() == Some(digest) {
        (FOUND, row.int("old_length")?)
    } else if row.text("digest")? == *digest {
        (KEPT, row.int("found_length")?)
    } else {
        return Ok(ToolApproved::Other);
    };
    c.execute(sql, values![server.as_str(), tool.as_str(), *at, by]).await?;
    changes(c, server, (0, given_up)).await?;
    Ok(ToolApproved::Done)
}

pub(super) async fn delete(
    c: &mut Connection,
    (server, tool): &(String, String),
) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM tool_pins WHERE server = $1 AND tool = $2";
    lock(c, server).await?;
    let values = values![server.as_str(), tool.as_str()];
    let Some(row) = c.row(LENGTHS, values.clone()).await? else { return Ok(false) };
    c.execute(SQL, values).await?;
    changes(c, server, (1, row.int("old_length")?.saturating_add(row.int("found_length")?)))
        .await?;
    Ok(true)
}

/// All of a server that is one no more, or another one from now on.
pub(super) async fn delete_all(c: &mut Connection, server: &str) -> Result<(), StoreError> {
    c.execute("DELETE FROM tool_pin_servers WHERE server = $1", values![server]).await?;
    c.execute("DELETE FROM tool_pins WHERE server = $1", values![server]).await.map(drop)
}

fn row(row: &Row) -> Result<ToolPinRow, StoreError> {
    let found = row.maybe_text("found_digest")?.map(|digest| {
        Ok(FoundTool {
            digest,
            definition: row.maybe_text("found_definition")?,
            at: row.time("found_at")?,
        })
    });
    Ok(ToolPinRow {
        server: row.text("server")?,
        tool: row.text("tool")?,
        digest: row.text("digest")?,
        definition: row.maybe_text("definition")?,
        approved_at: row.time("approved_at")?,
        approved_by: row.maybe_text("approved_by")?,
        found: found.transpose()?,
    })
}
