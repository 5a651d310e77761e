//! Accounts that ended: kept until their tokens were given back.

use crate::id::UserId;
use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::upstream_account::{EndedAccount, UpstreamAccountRow};
use crate::time::Timestamp;

use super::columns::columns;
use super::upstream_account::row;

/// For how long it is tried.
const TRIED: i64 = 86_400;
/// Accounts that are ended at once, so that others get their turn.
const AT_ONCE: i64 = 500;

/// All of a person's: their password was set anew, or they are disabled or gone.
pub(super) async fn end_all(
    c: &mut Connection,
    (user, now): (UserId, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "DELETE FROM upstream_accounts WHERE user_id = $1 RETURNING ",
        columns!(upstream_accounts)
    );
    let gone = c.rows(SQL, values![user.to_string()]).await?;
    keep(c, &gone, now).await.map(drop)
}

/// One, by its person.
pub(super) async fn end_one(
    c: &mut Connection,
    (user, server, now): &(UserId, String, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = concat!(
        "DELETE FROM upstream_accounts WHERE user_id = $1 AND server = $2 RETURNING ",
        columns!(upstream_accounts)
    );
    let gone = c.rows(SQL, values![user.to_string(), server.as_str()]).await?;
    Ok(keep(c, &gone, *now).await? > 0)
}

/// Whoever had no grant since they connected an account has yet to use it. Without that nobody could connect one before their first log-in.
pub(super) async fn end_without_grant(
    c: &mut Connection,
    now: &Timestamp,
) -> Result<u64, StoreError> {
    const SQL: &str = concat!(
        "DELETE FROM upstream_accounts WHERE (user_id, server) IN ( \
        SELECT account.user_id, account.server FROM upstream_accounts account WHERE NOT EXISTS ( \
            SELECT 1 FROM grants WHERE grants.user_id = account.user_id AND grants.revoked_at IS NULL \
            AND grants.expires_at > $1) \
        AND EXISTS (SELECT 1 FROM grants WHERE grants.user_id = account.user_id \
            AND COALESCE(grants.revoked_at, grants.expires_at) >= account.connected_at) LIMIT $2) RETURNING ",
        columns!(upstream_accounts)
    );
    let gone = c.rows(SQL, values![*now, AT_ONCE]).await?;
    keep(c, &gone, *now).await
}

/// Most of the time there is none, and looking takes no turn from those who write.
pub(super) async fn is_any_without_grant(
    c: &mut Connection,
    now: &Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM upstream_accounts account WHERE NOT EXISTS ( \
            SELECT 1 FROM grants WHERE grants.user_id = account.user_id AND grants.revoked_at IS NULL \
            AND grants.expires_at > $1) \
        AND EXISTS (SELECT 1 FROM grants WHERE grants.user_id = account.user_id \
            AND COALESCE(grants.revoked_at, grants.expires_at) >= account.connected_at) LIMIT 1";
    Ok(c.row(SQL, values![*now]).await?.is_some())
}

/// Sealed as they are, in the transaction that took them out: whoever seals everything anew meets each of them here or there.
pub(super) async fn keep(
    c: &mut Connection,
    gone: &[Row],
    now: Timestamp,
) -> Result<u64, StoreError> {
    const SQL: &str = "INSERT INTO ended_accounts \
        (user_id, server, version, sealed, connected_at, attempts, next_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, 0, $6, $7) \
        ON CONFLICT (user_id, server, version) DO UPDATE SET next_at = excluded.next_at";
    let mut count = 0;
    for gone in gone {
        let account = row(gone)?;
        let values = values![
            account.user_id.to_string(),
            account.server.as_str(),
            account.version,
            account.sealed.as_str(),
            account.connected_at,
            now,
            now.plus_seconds(TRIED),
        ];
        c.execute(SQL, values).await?;
        count += 1;
    }
    Ok(count)
}

pub(super) async fn is_due(c: &mut Connection, now: &Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM ended_accounts WHERE next_at <= $1 LIMIT 1";
    Ok(c.row(SQL, values![*now]).await?.is_some())
}

pub(super) async fn claim(
    c: &mut Connection,
    (now, until): &(Timestamp, Timestamp),
) -> Result<Option<EndedAccount>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE ended_accounts SET next_at = $2, attempts = attempts + 1 \
        WHERE next_at <= $1 AND (user_id, server, version) IN (SELECT user_id, server, version \
        FROM ended_accounts WHERE next_at <= $1 ORDER BY next_at LIMIT 1) RETURNING ",
        columns!(ended_accounts)
    );
    let Some(found) = c.row(SQL, values![*now, *until]).await? else { return Ok(None) };
    let attempts = u32::try_from(found.int("attempts")?).unwrap_or(u32::MAX);
    Ok(Some(EndedAccount { account: row(&found)?, attempts }))
}

/// What is gone stays so.
pub(super) async fn put_off(
    c: &mut Connection,
    (account, next_at): &(UpstreamAccountRow, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE ended_accounts SET next_at = $4 \
        WHERE user_id = $1 AND server = $2 AND version = $3";
    let user = account.user_id.to_string();
    let values = values![user, account.server.as_str(), account.version, *next_at];
    c.execute(SQL, values).await.map(drop)
}

pub(super) async fn forget(
    c: &mut Connection,
    account: &UpstreamAccountRow,
) -> Result<(), StoreError> {
    const SQL: &str =
        "DELETE FROM ended_accounts WHERE user_id = $1 AND server = $2 AND version = $3";
    let values = values![account.user_id.to_string(), account.server.as_str(), account.version];
    c.execute(SQL, values).await.map(drop)
}
