//! [`DeviceStore`] on SQL.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::ClientId;
use crate::store::connection::{Connection, Row, values};
use crate::store::device::{DeviceAnswer, DeviceRequestRow, DeviceStore, Polled};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::time::Timestamp;

use super::code;
use super::columns::columns;
use super::database::SqlDatabase;
use super::session;

/// What a poll that comes too early costs, in milliseconds (RFC 8628 §3.5, `slow_down`).
const SLOWER: i64 = 5_000;

#[async_trait]
impl DeviceStore for SqlDatabase {
    async fn add_device_request(&self, row: &DeviceRequestRow) -> Result<bool, StoreError> {
        self.named("add device_requests").write(row.clone(), |c, row| Box::pin(add(c, row))).await
    }

    async fn claim_device_request(
        &self,
        user_code: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRequestRow>, StoreError> {
        let asked = (*user_code, *session, now);
        self.named("claim device_requests").write(asked, |c, asked| Box::pin(claim(c, asked))).await
    }

    async fn claimed_device_request(
        &self,
        user_code: &Digest,
        session: &Digest,
        now: Timestamp,
    ) -> Result<Option<DeviceRequestRow>, StoreError> {
        let asked = (*user_code, *session, now);
        self.named("claimed device_requests")
            .read(&asked, |c, asked| Box::pin(claimed(c, asked)))
            .await
    }

    async fn answer_device_request(
        &self,
        user_code: &Digest,
        session: &Digest,
        answer: &DeviceAnswer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let asked = ((*user_code, *session, now), answer.clone());
        self.named("answered device_requests")
            .write(asked, |c, asked| Box::pin(answered(c, asked)))
            .await
    }

    async fn poll_device_request(
        &self,
        device_code: &Digest,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Polled, StoreError> {
        let asked = (*device_code, client_id.clone(), now);
        self.named("poll device_requests").write(asked, |c, asked| Box::pin(poll(c, asked))).await
    }
}

async fn add(c: &mut Connection, row: &DeviceRequestRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO device_requests \
        (device_code, user_code, client_id, parameters, state, wait_ms, expires_at) \
        VALUES ($1, $2, $3, $4, 'waiting', $5, $6) ON CONFLICT DO NOTHING";
    let values = values![
        row.device_code,
        row.user_code,
        row.client_id.as_str(),
        row.parameters.as_str(),
        i64::try_from(row.wait.as_millis()).unwrap_or(i64::MAX),
        row.expires_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

/// User code, session, now.
type Mine = (Digest, Digest, Timestamp);

async fn claim(
    c: &mut Connection,
    (user_code, session, now): &Mine,
) -> Result<Option<DeviceRequestRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE device_requests SET session = $2 WHERE user_code = $1 \
        AND state = 'waiting' AND expires_at > $3 AND (session IS NULL OR session = $2) RETURNING ",
        columns!(device_requests)
    );
    c.row(SQL, values![*user_code, *session, *now]).await?.as_ref().map(row).transpose()
}

async fn claimed(
    c: &mut Connection,
    (user_code, session, now): &Mine,
) -> Result<Option<DeviceRequestRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(device_requests),
        " FROM device_requests WHERE user_code = $1 AND session = $2 \
        AND state = 'waiting' AND expires_at > $3"
    );
    c.row(SQL, values![*user_code, *session, *now]).await?.as_ref().map(row).transpose()
}

/// The request, its grant and its code: all of it or nothing.
async fn answered(
    c: &mut Connection,
    ((user_code, session, now), answer): &(Mine, DeviceAnswer),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE device_requests SET state = $4 WHERE user_code = $1 \
        AND state = 'waiting' AND expires_at > $3 AND session = $2";
    let state = match answer {
        DeviceAnswer::Approve(_) => "approved",
        DeviceAnswer::Deny => "denied",
    };
    if !session::hold(c, session).await? {
        return Ok(false);
    }
    if c.execute(SQL, values![*user_code, *session, *now, state]).await? != 1 {
        return Ok(false);
    }
    if let DeviceAnswer::Approve(rows) = answer {
        code::add_with_grant(c, rows).await?;
    }
    Ok(true)
}

/// The first statement lets one of several polls through and locks the row; whoever it does not let through waits longer.
async fn poll(
    c: &mut Connection,
    (device_code, client_id, now): &(Digest, ClientId, Timestamp),
) -> Result<Polled, StoreError> {
    const IN_TIME: &str = concat!(
        "UPDATE device_requests SET polled_at = $3 WHERE device_code = $1 \
        AND client_id = $2 AND (polled_at IS NULL OR polled_at + wait_ms <= $3) RETURNING ",
        columns!(device_requests)
    );
    const EARLY: &str = "UPDATE device_requests SET polled_at = $3, wait_ms = wait_ms + $4 \
        WHERE device_code = $1 AND client_id = $2";
    let values = values![*device_code, client_id.as_str(), *now];
    let Some(row) = c.row(IN_TIME, values).await? else {
        let values = values![*device_code, client_id.as_str(), *now, SLOWER];
        let known = c.execute(EARLY, values).await? == 1;
        return Ok(if known { Polled::TooEarly } else { Polled::Unknown });
    };
    let late = row.time("expires_at")? <= *now;
    match row.text("state")?.as_str() {
        "waiting" if late => Ok(Polled::Expired),
        "waiting" => Ok(Polled::Pending),
        "approved" => Ok(Polled::Approved),
        "denied" => Ok(Polled::Denied),
        _ => Err(StoreError::Corrupt("state")),
    }
}

fn row(row: &Row) -> Result<DeviceRequestRow, StoreError> {
    Ok(DeviceRequestRow {
        device_code: row.digest("device_code")?,
        user_code: row.digest("user_code")?,
        client_id: row.parsed("client_id")?,
        parameters: row.text("parameters")?,
        wait: Duration::from_millis(row.int("wait_ms")?.unsigned_abs()),
        expires_at: row.time("expires_at")?,
    })
}
