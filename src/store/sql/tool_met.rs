//! Tools that a replica meets: the first definition is pinned, and what is another is noted.

use std::collections::HashMap;

use serde_json::json;

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::tool_pin::{MetTool, MetTools, ToolPin};
use crate::time::Timestamp;

use super::tool_pin::pin;

/// Tools in one transaction, so that others get their turn.
const AT_ONCE: usize = 1_000;
/// Pins of one server, as many as a process remembers tools of it.
const PINS: i64 = 20_000;
/// Characters of definitions that are kept for one server, and of one definition: a server writes what it likes.
const KEPT: i64 = 8 << 20;
const LONGEST: i64 = 32 << 10;
/// How long a change of a tool is not told again, and how long another definition that waits is not replaced: a server can write another
/// one into each list.
const TELL_AGAIN: i64 = 60 * 60;
const REPLACE_AGAIN: i64 = 60;

/// A pin as it is before the meeting.
struct Known {
    pin: ToolPin,
    found_at: Option<Timestamp>,
    told_at: Option<Timestamp>,
    found_length: i64,
}

/// How much room there is for one server.
struct Room {
    pins: i64,
    kept: i64,
}

pub(super) async fn meet(
    c: &mut Connection,
    (server, tools, now): &(String, Vec<MetTool>, Timestamp),
) -> Result<MetTools, StoreError> {
    const COUNT: &str =
        "UPDATE tool_pin_servers SET version = version + 1, pins = $2, kept = $3 WHERE server = $1";
    let tools = tools.get(..AT_ONCE).unwrap_or(tools);
    let (version, before) = lock(c, server, *now).await?;
    let known = known(c, server, tools).await?;
    let mut room = Room { pins: before.pins, kept: before.kept };
    let (mut pins, mut told) = (Vec::with_capacity(tools.len()), Vec::new());
    let (mut new, mut other) = (HashMap::new(), HashMap::new());
    for met in tools {
        let Some(known) = known.get(&met.tool) else {
            // Of two of one name in one list the first counts.
            if !new.contains_key(met.tool.as_str()) && room.pins < PINS {
                room.pins += 1;
                let definition = room.keeps(met.definition.as_deref());
                new.insert(&*met.tool, (met, definition));
                let (tool, digest) = (met.tool.clone(), met.digest.clone());
                pins.push(ToolPin { tool, digest, found: None });
            }
            continue;
        };
        let mut pin = known.pin.clone();
        if known.is_replaced_by(&met.digest, *now) && !other.contains_key(met.tool.as_str()) {
            room.kept -= known.found_length;
            let definition = room.keeps(met.definition.as_deref());
            let tells = is_past(known.told_at, TELL_AGAIN, *now);
            told.extend(tells.then(|| met.tool.clone()));
            let told_at = if tells { Some(*now) } else { known.told_at };
            other.insert(&*met.tool, (met, definition, told_at));
            pin.found = Some(met.digest.clone());
        }
        pins.push(pin);
    }
    if new.is_empty() && other.is_empty() {
        return Ok(MetTools { versions: (version, version), pins, told });
    }
    let rows = new.into_values().map(|(met, definition)| {
        json!({ "tool": met.tool, "digest": met.digest, "definition": definition })
    });
    write(c, (server, *now), (INSERT, rows.collect())).await?;
    let rows = other.into_values().map(|(met, definition, told_at)| {
        let told_at = told_at.map(Timestamp::unix_millis);
        json!({ "tool": met.tool, "digest": met.digest, "definition": definition, "told_at": told_at })
    });
    write(c, (server, *now), (UPDATE, rows.collect())).await?;
    c.execute(COUNT, values![server.as_str(), room.pins, room.kept]).await?;
    Ok(MetTools { versions: (version, version.saturating_add(1)), pins, told })
}

/// Whether so many seconds have passed since.
fn is_past(since: Option<Timestamp>, seconds: i64, now: Timestamp) -> bool {
    since.is_none_or(|since| since.plus_seconds(seconds) <= now)
}

impl Known {
    /// A definition that is not the approved one, and not the one that waits.
    fn is_replaced_by(&self, digest: &str, now: Timestamp) -> bool {
        let waits = self.pin.found.as_deref();
        digest != self.pin.digest
            && waits != Some(digest)
            && is_past(self.found_at, REPLACE_AGAIN, now)
    }
}

impl Room {
    /// The definition, where there is room for it.
    fn keeps<'t>(&mut self, definition: Option<&'t str>) -> Option<&'t str> {
        let length = i64::try_from(definition?.chars().count()).ok()?;
        if length > LONGEST || self.kept + length > KEPT {
            return None;
        }
        self.kept += length;
        definition
    }
}

/// Locks the server's row until the commit: whoever comes at the same time waits. Its first version is the time, in milliseconds: no row
/// that was deleted before has had it.
async fn lock(c: &mut Connection, server: &str, now: Timestamp) -> Result<(i64, Room), StoreError> {
    const SQL: &str = "INSERT INTO tool_pin_servers (server, version, pins, kept, served_at) VALUES ($1, $2, 0, 0, $2) \
        ON CONFLICT (server) DO UPDATE SET served_at = excluded.served_at RETURNING version, pins, kept";
    let row = c.row(SQL, values![server, now]).await?.ok_or(StoreError::Corrupt("version"))?;
    Ok((row.int("version")?, Room { pins: row.int("pins")?, kept: row.int("kept")? }))
}

async fn known(
    c: &mut Connection,
    server: &str,
    tools: &[MetTool],
) -> Result<HashMap<String, Known>, StoreError> {
    const ON_POSTGRES: &str = "SELECT tool, digest, found_digest, found_at, told_at, \
        CAST(COALESCE(LENGTH(found_definition), 0) AS BIGINT) AS found_length FROM tool_pins \
        WHERE server = $1 AND tool IN (SELECT value FROM json_array_elements_text(CAST($2 AS json)))";
    const ON_SQLITE: &str = "SELECT tool, digest, found_digest, found_at, told_at, \
        CAST(COALESCE(LENGTH(found_definition), 0) AS BIGINT) AS found_length FROM tool_pins \
        WHERE server = $1 AND tool IN (SELECT value FROM json_each($2))";
    let names: Vec<String> = tools.iter().map(|met| met.tool.clone()).collect();
    let sql = if c.is_postgres() { ON_POSTGRES } else { ON_SQLITE };
    let rows = c.rows(sql, values![server, names.as_slice()]).await?;
    let read = |row: &Row| {
        let known = Known {
            pin: pin(row)?,
            found_at: row.maybe_time("found_at")?,
            told_at: row.maybe_time("told_at")?,
            found_length: row.int("found_length")?,
        };
        Ok((known.pin.tool.clone(), known))
    };
    rows.iter().map(read).collect()
}

/// On PostgreSQL and on `SQLite`: they differ in how they take a list of objects apart.
type Statements = (&'static str, &'static str);

const INSERT: Statements = (
    "INSERT INTO tool_pins (server, tool, digest, definition, approved_at) \
     SELECT $1, value ->> 'tool', value ->> 'digest', value ->> 'definition', $3 \
     FROM json_array_elements(CAST($2 AS json))",
    "INSERT INTO tool_pins (server, tool, digest, definition, approved_at) \
     SELECT $1, value ->> 'tool', value ->> 'digest', value ->> 'definition', $3 FROM json_each($2)",
);
const UPDATE: Statements = (
    "UPDATE tool_pins SET found_digest = value ->> 'digest', found_definition = value ->> 'definition', found_at = $3, \
     told_at = CAST(value ->> 'told_at' AS BIGINT) FROM json_array_elements(CAST($2 AS json)) \
     WHERE server = $1 AND tool = value ->> 'tool'",
    "UPDATE tool_pins SET found_digest = value ->> 'digest', found_definition = value ->> 'definition', found_at = $3, \
     told_at = CAST(value ->> 'told_at' AS BIGINT) FROM json_each($2) \
     WHERE server = $1 AND tool = value ->> 'tool'",
);

async fn write(
    c: &mut Connection,
    (server, now): (&str, Timestamp),
    ((on_postgres, on_sqlite), rows): (Statements, Vec<serde_json::Value>),
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = if c.is_postgres() { on_postgres } else { on_sqlite };
    let rows = serde_json::Value::from(rows).to_string();
    c.execute(sql, values![server, rows, now]).await.map(drop)
}
