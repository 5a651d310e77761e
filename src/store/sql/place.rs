//! Calls at a time that replicas share: a row for each replica and key, with how many it has.

use std::num::NonZeroU32;

use serde_json::json;

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::lease::{PLACES_LAST, PlaceLease};
use crate::time::Timestamp;

use super::lease::micros;

/// In microseconds.
#[expect(clippy::cast_possible_truncation, reason = "half a minute")]
const LAST: i64 = PLACES_LAST.as_micros() as i64;
/// What ends this much later than it could was written by a clock that was wrong.
const TOLERANCE: i64 = 5_000_000;

/// The count must see what everybody before has committed, so it is a statement of its own, after the wait for the lock.
/// Of a crash of the database the lease need not be left: it would end by itself. So no commit waits for the disk.
pub(super) async fn take(
    c: &mut Connection,
    (lease, most, at): &(PlaceLease, NonZeroU32, Option<Timestamp>),
) -> Result<bool, StoreError> {
    const TAKE: &str = "INSERT INTO places (place_key, owner, held, ends_at) SELECT $1, $2, $3, $4 \
        WHERE $3 + (SELECT COALESCE(SUM(held), 0) FROM places \
            WHERE place_key = $1 AND owner <> $2 AND ends_at > $5) <= $6 \
        ON CONFLICT (place_key, owner) DO UPDATE SET held = excluded.held, ends_at = excluded.ends_at";
    // Until the commit. SQLite has one writer at a time anyway.
    const LOCK: &str = "SELECT set_config('synchronous_commit', 'off', true), \
        set_config('lock_timeout', '300ms', true), pg_advisory_xact_lock($1)";
    let PlaceLease { key, owner, held } = *lease;
    if c.is_postgres() {
        c.execute(LOCK, values![lock_of(&key)]).await?;
    }
    let now = now(c, *at).await?;
    let (held, most) = (i64::from(held), i64::from(most.get()));
    let ends_at = now.saturating_add(LAST);
    Ok(c.execute(TAKE, values![key, owner, held, ends_at, now, most]).await? == 1)
}

pub(super) async fn hold(
    c: &mut Connection,
    (owner, held, at): &(Digest, Vec<(Digest, u32)>, Option<Timestamp>),
) -> Result<(), StoreError> {
    const HOLD: &str = "INSERT INTO places (place_key, owner, held, ends_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (place_key, owner) DO UPDATE SET held = excluded.held, ends_at = excluded.ends_at";
    const FREE: &str = "DELETE FROM places WHERE place_key = $1 AND owner = $2";
    let ends_at = now(c, *at).await?.saturating_add(LAST);
    if c.is_postgres() {
        return hold_at_once(c, (*owner, held), ends_at).await;
    }
    for (key, held) in held {
        match held {
            0 => c.execute(FREE, values![*key, *owner]).await?,
            _ => c.execute(HOLD, values![*key, *owner, i64::from(*held), ends_at]).await?,
        };
    }
    Ok(())
}

/// In a few statements, however many keys: each waits for the network.
async fn hold_at_once(
    c: &mut Connection,
    (owner, held): (Digest, &[(Digest, u32)]),
    ends_at: i64,
) -> Result<(), StoreError> {
    const AT_EASE: &str = "SELECT set_config('synchronous_commit', 'off', true)";
    const HOLD: &str = "INSERT INTO places (place_key, owner, held, ends_at) \
        SELECT decode(told.key, 'hex'), $2, told.held, $3 \
        FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS told (key text, held bigint) WHERE told.held > 0 \
        ON CONFLICT (place_key, owner) DO UPDATE SET held = excluded.held, ends_at = excluded.ends_at";
    const FREE: &str = "DELETE FROM places WHERE owner = $2 AND place_key IN (SELECT decode(told.key, 'hex') \
        FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS told (key text, held bigint) WHERE told.held = 0)";
    let told: Vec<_> =
        held.iter().map(|(key, held)| json!({ "key": hex(key), "held": held })).collect();
    let told = serde_json::Value::Array(told).to_string();
    c.execute(AT_EASE, values![]).await?;
    c.execute(HOLD, values![told.as_str(), owner, ends_at]).await?;
    c.execute(FREE, values![told.as_str(), owner]).await?;
    Ok(())
}

fn hex(digest: &Digest) -> String {
    digest.as_bytes().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

pub(super) async fn forget(c: &mut Connection, at: Option<Timestamp>) -> Result<u64, StoreError> {
    const SHORTEN: &str = "UPDATE places SET ends_at = $1 WHERE ends_at > $2";
    const FORGET: &str = "DELETE FROM places WHERE (place_key, owner) IN \
        (SELECT place_key, owner FROM places WHERE ends_at <= $1 ORDER BY ends_at LIMIT 1000)";
    let now = now(c, at).await?;
    let latest = now.saturating_add(LAST);
    c.execute(SHORTEN, values![latest, latest.saturating_add(TOLERANCE)]).await?;
    c.execute(FORGET, values![now]).await
}

/// By the database's own clock, for replicas' differ; in microseconds.
pub(super) async fn now(c: &mut Connection, at: Option<Timestamp>) -> Result<i64, StoreError> {
    const ON_POSTGRES: &str =
        "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS now";
    const ON_SQLITE: &str = "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now";
    if let Some(at) = at {
        return Ok(micros(at));
    }
    let row = c.row(if c.is_postgres() { ON_POSTGRES } else { ON_SQLITE }, values![]).await?;
    row.ok_or(StoreError::Corrupt("now"))?.int("now")
}

/// Two keys that share a lock wait for each other, and no more.
fn lock_of(key: &Digest) -> i64 {
    let start = key.as_bytes().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(start)
}
