//! Revocations: written in the order of their commits, read on from where we were.

use crate::id::{ClientId, GrantId};
use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::revoked::{Ending, Revocation};
use crate::time::Timestamp;

use super::database::Shared;

const PAGE: i64 = 1000;
const READ: &str = "SELECT sequence, grant_id, jti, client_id, issued_until, ending, ended_before, \
                    expires_at FROM revocations WHERE sequence > $1 ORDER BY sequence LIMIT $2";

/// Reads one page of what came since. Whether there may be more.
pub(super) async fn read_on(shared: &Shared) -> Result<bool, StoreError> {
    let from = shared.revoked.sequence();
    let rows = shared.backend.read(&from, |c, from| Box::pin(page(c, *from))).await?;
    shared.revoked.read(&rows);
    Ok(i64::try_from(rows.len()).is_ok_and(|count| count >= PAGE))
}

async fn page(c: &mut Connection, from: i64) -> Result<Vec<Revocation>, StoreError> {
    c.rows(READ, values![from, PAGE]).await?.iter().map(revocation).collect()
}

fn revocation(row: &Row) -> Result<Revocation, StoreError> {
    Ok(Revocation {
        sequence: row.int("sequence")?,
        grant_id: row.maybe_parsed("grant_id")?,
        jti: row.maybe_text("jti")?,
        client: row.maybe_text("client_id")?.zip(row.maybe_int("issued_until")?),
        ending: ending(row)?,
        expires_at: row.time("expires_at")?,
    })
}

fn ending(row: &Row) -> Result<Option<Ending>, StoreError> {
    // Of one that only a newer version knows, the rows follow one by one.
    let whose = row.maybe_text("ending")?.and_then(|whose| whose.parse().ok());
    let Some(whose) = whose else { return Ok(None) };
    Ok(Some(Ending { whose, before: row.time("ended_before")? }))
}

/// Before the first line of a transaction, and that is the last thing it does: on PostgreSQL, sequence numbers are given out
/// under a lock that is held until the commit, so that nobody reads a later number before an earlier one is there.
pub(super) async fn lock(c: &mut Connection) -> Result<(), StoreError> {
    if c.is_postgres() {
        c.execute("SELECT pg_advisory_xact_lock(5570417002)", values![]).await?;
    }
    Ok(())
}

/// The last thing a transaction does: see [`lock`].
pub(super) async fn write(
    c: &mut Connection,
    revocations: &[Revocation],
) -> Result<(), StoreError> {
    const WRITE: &str = "INSERT INTO revocations (grant_id, jti, client_id, issued_until, expires_at) \
        VALUES ($1, $2, $3, $4, $5)";
    if !revocations.is_empty() {
        lock(c).await?;
    }
    for one in revocations {
        let grant_id = one.grant_id.map(|id| id.to_string());
        let (client_id, issued_until) = one.client.clone().unzip();
        let values = values![grant_id, &one.jti, client_id, issued_until, one.expires_at];
        c.execute(WRITE, values).await?;
    }
    Ok(())
}

/// For as long as the last of its access tokens may live, which is a day, however long the grant would have, and the little
/// that clocks differ.
pub(super) fn of_grant(id: GrantId, now: Timestamp) -> Revocation {
    Revocation { grant_id: Some(id), ..until(now.plus_seconds(86_400 + 300)) }
}

/// Every grant of one kind.
pub(super) fn of_all(ending: Ending) -> Revocation {
    let end = ending.before.plus_seconds(86_400 + 300);
    Revocation { ending: Some(ending), ..until(end) }
}

/// Every token of a client that was issued until now. None is good for more than a day.
pub(super) fn of_client(id: &ClientId, now: Timestamp) -> Revocation {
    let client = Some((id.to_string(), now.unix_seconds()));
    Revocation { client, ..until(now.plus_seconds(86_400 + 300)) }
}

/// One access token.
pub(super) fn of_token(jti: &str, expires_at: Timestamp) -> Revocation {
    Revocation { jti: Some(jti.to_owned()), ..until(expires_at.plus_seconds(300)) }
}

/// Of nothing yet.
const fn until(expires_at: Timestamp) -> Revocation {
    Revocation { sequence: 0, grant_id: None, jti: None, client: None, ending: None, expires_at }
}
