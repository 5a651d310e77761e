//! Signing keys; their private half is opaque here.

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::signing_key::{SigningKeyRow, SigningKeyState};
use crate::time::Timestamp;

use super::columns::columns;
use super::sealing::chosen_bytes;

pub(super) async fn list(c: &mut Connection, (): &()) -> Result<Vec<SigningKeyRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(signing_keys), " FROM signing_keys ORDER BY not_before, kid");
    c.rows(SQL, values![]).await?.iter().map(row).collect()
}

/// Replicas that would add a key at the same time take turns.
async fn wait_for_turn(c: &mut Connection) -> Result<(), StoreError> {
    if c.is_postgres() {
        c.execute("SELECT pg_advisory_xact_lock(5570417004)", values![]).await?;
    }
    Ok(())
}

pub(super) async fn add_first(c: &mut Connection, row: &SigningKeyRow) -> Result<bool, StoreError> {
    wait_for_turn(c).await?;
    if c.row("SELECT 1 FROM signing_keys LIMIT 1", values![]).await?.is_some() {
        return Ok(false);
    }
    add(c, row).await
}

pub(super) async fn add_after(
    c: &mut Connection,
    (row, newest): &(SigningKeyRow, Timestamp),
) -> Result<bool, StoreError> {
    const NEWER: &str = "SELECT 1 FROM signing_keys \
        WHERE state = 'usable' AND not_before > $1 AND algorithm = $2 LIMIT 1";
    wait_for_turn(c).await?;
    if c.row(NEWER, values![*newest, row.algorithm.as_str()]).await?.is_some() {
        return Ok(false);
    }
    add(c, row).await
}

pub(super) async fn add(c: &mut Connection, row: &SigningKeyRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO signing_keys (kid, algorithm, public_jwk, private, state, created_at, \
        not_before, retire_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (kid) DO NOTHING";
    let state = match row.state {
        SigningKeyState::Usable => "usable",
        SigningKeyState::Retiring => "retiring",
    };
    let private = chosen_bytes(c, &row.private).await?;
    let values = values![
        row.kid.as_str(),
        row.algorithm.as_str(),
        row.public_jwk.as_str(),
        private.as_slice(),
        state,
        row.created_at,
        row.not_before,
        row.retire_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn replace(
    c: &mut Connection,
    rows: &Vec<SigningKeyRow>,
) -> Result<u64, StoreError> {
    let mut deleted: u64 = 0;
    for old in list(c, &()).await?.iter().filter(|old| rows.iter().all(|row| row.kid != old.kid)) {
        deleted = deleted.saturating_add(delete(c, &old.kid).await?.into());
    }
    for row in rows {
        add(c, row).await?;
    }
    Ok(deleted)
}

pub(super) async fn retire(
    c: &mut Connection,
    (kid, retire_at): &(String, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE signing_keys SET state = 'retiring', retire_at = $2 \
        WHERE kid = $1 AND state = 'usable'";
    Ok(c.execute(SQL, values![kid.as_str(), *retire_at]).await? == 1)
}

pub(super) async fn delete(c: &mut Connection, kid: &String) -> Result<bool, StoreError> {
    Ok(c.execute("DELETE FROM signing_keys WHERE kid = $1", values![kid.as_str()]).await? == 1)
}

fn row(row: &Row) -> Result<SigningKeyRow, StoreError> {
    let state = match row.text("state")?.as_str() {
        "usable" => SigningKeyState::Usable,
        "retiring" => SigningKeyState::Retiring,
        _ => return Err(StoreError::Corrupt("state")),
    };
    Ok(SigningKeyRow {
        kid: row.text("kid")?,
        algorithm: row.text("algorithm")?,
        public_jwk: row.text("public_jwk")?,
        private: row.blob("private")?,
        state,
        created_at: row.time("created_at")?,
        not_before: row.time("not_before")?,
        retire_at: row.maybe_time("retire_at")?,
    })
}
