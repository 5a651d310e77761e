//! Failed log-ins, counted.

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::person::LoginAttempts;
use crate::time::Timestamp;

/// Key, now, start of the window.
pub(super) type Attempt = (String, Timestamp, Timestamp);

pub(super) async fn failed(
    c: &mut Connection,
    (key, now, since): &Attempt,
) -> Result<LoginAttempts, StoreError> {
    const SQL: &str = "INSERT INTO login_failures (attempt_key, failures, last_failure_at) VALUES ($1, 1, $2) \
        ON CONFLICT (attempt_key) DO UPDATE SET failures = CASE WHEN login_failures.last_failure_at < $3 THEN 1 \
        ELSE login_failures.failures + 1 END, last_failure_at = excluded.last_failure_at \
        RETURNING failures, last_failure_at";
    let row = c.row(SQL, values![key.as_str(), *now, *since]).await?;
    row.as_ref().map_or(Ok(LoginAttempts::default()), attempts)
}

pub(super) async fn found(
    c: &mut Connection,
    (key, _, since): &Attempt,
) -> Result<LoginAttempts, StoreError> {
    const SQL: &str = "SELECT failures, last_failure_at FROM login_failures \
        WHERE attempt_key = $1 AND last_failure_at >= $2";
    let row = c.row(SQL, values![key.as_str(), *since]).await?;
    row.as_ref().map_or(Ok(LoginAttempts::default()), attempts)
}

pub(super) async fn take_back(c: &mut Connection, key: &String) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE login_failures SET failures = failures - 1 WHERE attempt_key = $1 AND failures > 0";
    c.execute(SQL, values![key.as_str()]).await.map(drop)
}

pub(super) async fn forget(c: &mut Connection, key: &String) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM login_failures WHERE attempt_key = $1";
    c.execute(SQL, values![key.as_str()]).await.map(drop)
}

fn attempts(row: &Row) -> Result<LoginAttempts, StoreError> {
    Ok(LoginAttempts {
        failures: u32::try_from(row.int("failures")?).unwrap_or(u32::MAX),
        last_failure_at: Some(row.time("last_failure_at")?),
    })
}
