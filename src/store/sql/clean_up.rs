//! Deletes what is past its end, a batch at a time, so that requests get their turn in between.

use std::time::Duration;

use crate::store::backend::Work;
use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::load::Measured;
use crate::time::Timestamp;

use super::{approval, lease, place};

const BATCH: u64 = 1000;
/// How long one round may take; the rest waits for the next. Not a number of rows: what comes in faster than that would
/// pile up, and anybody can make us keep used proofs (N88).
const ROUND: Duration = Duration::from_mins(1);
/// After a full batch, for what others wait to write.
const PAUSE: Duration = Duration::from_millis(5);

macro_rules! delete {
    // Documents that no grant, consent or request names: strangers make us store them (N90).
    (unnamed_documents, $which:literal) => {
        concat!(
            "DELETE FROM metadata_documents WHERE url IN (SELECT url FROM metadata_documents WHERE ",
            $which,
            " AND fresh_until < $1 ",
            // By the index: of grants and consents there may be a million.
            "AND NOT EXISTS (SELECT 1 FROM grants WHERE client_id = metadata_documents.url) ",
            "AND NOT EXISTS (SELECT 1 FROM consents WHERE client_id = metadata_documents.url) ",
            "AND url NOT IN (SELECT client_id FROM authorization_requests) ",
            "ORDER BY fresh_until LIMIT 1000)"
        )
    };
    ($table:literal, $key:literal, $end:literal) => {
        delete!($table, $key, $key, $end)
    };
    ($table:literal, $row:literal, $columns:literal, $end:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE ",
            $row,
            " IN (SELECT ",
            $columns,
            " FROM ",
            $table,
            " WHERE ",
            $end,
            " < $1 ORDER BY ",
            $end,
            " LIMIT 1000)"
        )
    };
}

/// Each statement, and for how many seconds after its end a row is kept: a replay must still be known as one.
const DELETES: &[(&str, i64)] = &[
    (delete!("authorization_requests", "handle", "expires_at"), 0),
    (delete!("codes", "code", "expires_at"), 1800),
    // A device that goes on asking is told that it is too late.
    (delete!("device_requests", "device_code", "expires_at"), 1800),
    (delete!("refresh_tokens", "token", "keep_until"), 0),
    (delete!("grants", "id", "expires_at"), 86_400),
    (
        delete!(
            "consents",
            "(user_id, client_id, redirect_class, resource)",
            "user_id, client_id, redirect_class, resource",
            "expires_at"
        ),
        0,
    ),
    (delete!("revocations", "sequence", "expires_at"), 0),
    (delete!("assertions", "(issuer, jti)", "issuer, jti", "expires_at"), 300),
    (delete!("sessions", "session", "expires_at"), 0),
    (delete!("links", "link", "expires_at"), 0),
    (delete!("logout_notices", "(sid, client_id)", "sid, client_id", "expires_at"), 0),
    (
        delete!(
            "ended_accounts",
            "(user_id, server, version)",
            "user_id, server, version",
            "expires_at"
        ),
        0,
    ),
    // Nothing is left of the log-ins that they came with: there is nothing to ask a provider for.
    (
        "DELETE FROM provider_tokens WHERE (user_id, issuer) IN (SELECT user_id, issuer FROM provider_tokens \
         WHERE heard_at < $1 AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.user_id = provider_tokens.user_id \
         AND grants.issuer = provider_tokens.issuer AND grants.revoked_at IS NULL AND grants.expires_at > $1) LIMIT 1000)",
        86_400,
    ),
    (delete!("approvals", "id", "expires_at"), 30 * 86_400),
    (delete!("registration_tokens", "prefix", "expires_at"), 30 * 86_400),
    (delete!("login_failures", "attempt_key", "last_failure_at"), 86_400),
    (delete!(unnamed_documents, "gone_at IS NULL"), 3600),
    // That a host took its document back is remembered for longer: its name could come back with another's document.
    (delete!(unnamed_documents, "gone_at IS NOT NULL"), 90 * 86_400),
    // Of servers that no broker has served for so long: they were taken out of the settings. Those of registered ones go with
    // them: one that is disabled comes back, and is held to what was approved.
    (
        "DELETE FROM tool_pins WHERE (server, tool) IN (SELECT tool_pins.server, tool_pins.tool \
         FROM tool_pins JOIN tool_pin_servers ON tool_pin_servers.server = tool_pins.server \
         WHERE tool_pin_servers.served_at < $1 AND NOT EXISTS (SELECT 1 FROM resources \
         WHERE resources.id = tool_pin_servers.server AND resources.url IS NOT NULL) LIMIT 1000)",
        30 * 86_400,
    ),
    (
        "DELETE FROM tool_pin_servers WHERE served_at < $1 AND NOT EXISTS \
         (SELECT 1 FROM tool_pins WHERE tool_pins.server = tool_pin_servers.server)",
        30 * 86_400,
    ),
];

pub(super) async fn clean_up(backend: &Measured<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let delete: Work<(&'static str, Timestamp), u64> =
        |c, (sql, before)| Box::pin(one(c, sql, *before));
    backend.write(now, |c, now| Box::pin(approval::note_late(c, *now))).await?;
    let began = backend.clock.monotonic();
    let mut deleted = 0;
    // A batch of each in turn, so that no table waits until another one has no more.
    let mut left = DELETES.to_vec();
    while !left.is_empty() && backend.clock.monotonic().saturating_sub(began) < ROUND {
        let mut full = Vec::new();
        for (sql, kept) in left {
            let count = backend.write((sql, now.plus_seconds(-kept)), delete).await?;
            deleted += count;
            if count >= BATCH {
                full.push((sql, kept));
                tokio::time::sleep(PAUSE).await;
            }
        }
        left = full;
    }
    // By the clock that counts them, not by ours.
    deleted += backend.write((), |c, ()| Box::pin(lease::forget(c, None))).await?;
    while backend.clock.monotonic().saturating_sub(began) < ROUND {
        let count = backend.write((), |c, ()| Box::pin(place::forget(c, None))).await?;
        deleted += count;
        if count < BATCH {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(deleted)
}

async fn one(c: &mut Connection, sql: &'static str, before: Timestamp) -> Result<u64, StoreError> {
    c.execute(sql, values![before]).await
}

/// Remembers an assertion until it is cleaned up. Issuer, digest of the `jti`, its end.
pub(super) async fn first_use(
    c: &mut Connection,
    (issuer, jti, expires_at): &(String, Digest, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO assertions (issuer, jti, expires_at) VALUES ($1, $2, $3) \
        ON CONFLICT (issuer, jti) DO NOTHING";
    Ok(c.execute(SQL, values![issuer.as_str(), *jti, *expires_at]).await? == 1)
}
