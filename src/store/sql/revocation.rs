//! Revocations: written in the order of their commits, read on from where we were.

use crate::id::{ClientId, GrantId};
use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::revoked::Revocation;
use crate::time::Timestamp;

use super::database::Shared;

const PAGE: i64 = 1000;
const READ: &str = "SELECT sequence, grant_id, jti, client_id, issued_until, expires_at FROM revocations \
                    WHERE sequence > $1 ORDER BY sequence LIMIT $2";

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
        expires_at: row.time("expires_at")?,
    })
}

/// The last thing a transaction does: on PostgreSQL, sequence numbers are given out under a lock that is
/// held until the commit, so that nobody reads a later number before an earlier one is there.
pub(super) async fn write(
    c: &mut Connection,
    revocations: &[Revocation],
) -> Result<(), StoreError> {
    const WRITE: &str = "INSERT INTO revocations (grant_id, jti, client_id, issued_until, expires_at) \
        VALUES ($1, $2, $3, $4, $5)";
    if c.is_postgres() && !revocations.is_empty() {
        c.execute("SELECT pg_advisory_xact_lock(5570417002)", values![]).await?;
    }
    for one in revocations {
        let grant_id = one.grant_id.map(|id| id.to_string());
        let (client_id, issued_until) = one.client.clone().unzip();
        let values = values![grant_id, &one.jti, client_id, issued_until, one.expires_at];
        c.execute(WRITE, values).await?;
    }
    Ok(())
}

/// Access tokens may outlive their grant by the little that clocks differ and lifetimes are rounded.
pub(super) fn of_grant(id: GrantId, expires_at: Timestamp) -> Revocation {
    Revocation {
        sequence: 0,
        grant_id: Some(id),
        jti: None,
        client: None,
        expires_at: expires_at.plus_seconds(86_400),
    }
}

/// Every token of a client that was issued until now. None is good for more than a day.
pub(super) fn of_client(id: &ClientId, now: Timestamp) -> Revocation {
    Revocation {
        sequence: 0,
        grant_id: None,
        jti: None,
        client: Some((id.to_string(), now.unix_seconds())),
        expires_at: now.plus_seconds(86_400 + 300),
    }
}

/// One access token.
pub(super) fn of_token(jti: &str, expires_at: Timestamp) -> Revocation {
    Revocation {
        sequence: 0,
        grant_id: None,
        jti: Some(jti.to_owned()),
        client: None,
        expires_at: expires_at.plus_seconds(300),
    }
}
