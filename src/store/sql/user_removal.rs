//! A person goes for good, with everything that is about them alone, or stops being an administrator.

use crate::id::UserId;
use crate::store::connection::{Connection, values};
use crate::store::error::StoreError;
use crate::store::grant::RevokeReason;
use crate::store::person::{StepDown, UserRemoval, UserRemoved};
use crate::store::revoked::Whose;

use super::ending::{self, Ended};
use super::{ended_account, logout, session, user};

/// What is about a user and keyed by the id.
const OF_USER: [&str; 7] = [
    "DELETE FROM identities WHERE user_id = $1",
    "DELETE FROM links WHERE user_id = $1",
    "DELETE FROM consents WHERE user_id = $1",
    "DELETE FROM authenticators WHERE user_id = $1",
    "DELETE FROM recovery_codes WHERE user_id = $1",
    "DELETE FROM passkeys WHERE user_id = $1",
    "DELETE FROM provider_tokens WHERE user_id = $1",
];

/// What became of it, and what is revoked now.
pub(super) async fn remove(
    c: &mut Connection,
    asked: &UserRemoval,
) -> Result<(UserRemoved, Ended), StoreError> {
    const SQL: &str = "DELETE FROM users WHERE id = $1";
    if user::find(c, &asked.id).await?.is_none() {
        return Ok((UserRemoved::Unknown, Ended::default()));
    }
    if asked.keep_last_administrator && !leaves_administrator(c, &asked.id).await? {
        return Ok((UserRemoved::LastAdministrator, Ended::default()));
    }
    let id = asked.id.to_string();
    if c.execute(SQL, values![id.as_str()]).await? != 1 {
        return Ok((UserRemoved::Unknown, Ended::default()));
    }
    session::end_all(c, &asked.id).await?;
    // After the sessions: who was just allowing something in one of them has done so, or will not.
    let sids = logins(c, &id).await?;
    logout::notify(c, &sids, asked.at).await?;
    for sql in OF_USER {
        c.execute(sql, values![id.as_str()]).await?;
    }
    ended_account::end_all(c, (asked.id, asked.at)).await?;
    let wrong_codes = format!("user_code:{id}");
    c.execute("DELETE FROM login_failures WHERE attempt_key = $1", values![wrong_codes]).await?;
    end_approvals(c, (&asked.issuer, &id)).await?;
    let why = (RevokeReason::Disabled, asked.at);
    Ok((UserRemoved::Done, ending::end_all(c, Whose::User(asked.id), why).await?))
}

/// Every log-in in which a client got something, also those that are long over here: the client may have a session of its own.
async fn logins(c: &mut Connection, user: &str) -> Result<Vec<Option<String>>, StoreError> {
    const SQL: &str = "SELECT DISTINCT sid FROM grants WHERE user_id = $1 AND sid IS NOT NULL";
    c.rows(SQL, values![user]).await?.iter().map(|row| row.maybe_text("sid")).collect()
}

/// Whether somebody else who can log in has the role. Removals take turns to ask, so that the last two do not see each other.
async fn leaves_administrator(c: &mut Connection, id: &UserId) -> Result<bool, StoreError> {
    const OTHER: &str = "SELECT 1 FROM users WHERE administrator = 1 AND disabled_at IS NULL AND id <> $1 AND \
        (password_hash IS NOT NULL OR passkey_login IS NOT NULL OR EXISTS (SELECT 1 FROM identities WHERE identities.user_id = users.id)) LIMIT 1";
    if c.is_postgres() {
        c.execute("SELECT pg_advisory_xact_lock(5570417006)", values![]).await?;
    }
    Ok(c.row(OTHER, values![id.to_string()]).await?.is_some())
}

/// An administrator stays somebody here, and administers no more. What became of it, and what is revoked now.
pub(super) async fn step_down(
    c: &mut Connection,
    (id, how): &(UserId, StepDown),
) -> Result<(UserRemoved, Ended), StoreError> {
    const ABLE: &str = "SELECT 1 FROM users WHERE id = $1 AND disabled_at IS NULL AND \
        (password_hash IS NOT NULL OR passkey_login IS NOT NULL OR EXISTS (SELECT 1 FROM identities WHERE identities.user_id = users.id))";
    let left = leaves_administrator(c, id).await?;
    if !left && c.row(ABLE, values![id.to_string()]).await?.is_some() {
        return Ok((UserRemoved::LastAdministrator, Ended::default()));
    }
    let (found, revoked) = match how {
        StepDown::Role => (user::set_administrator(c, &(*id, false)).await?, Ended::default()),
        StepDown::Access(at) => user::disable(c, &(*id, Some(*at))).await?,
    };
    Ok((if found { UserRemoved::Done } else { UserRemoved::Unknown }, revoked))
}

/// Calls of theirs, and what they said yes to and nobody has made: it would be done in the name of somebody who is gone.
async fn end_approvals(
    c: &mut Connection,
    (issuer, subject): (&str, &str),
) -> Result<(), StoreError> {
    const OWN: &str = "DELETE FROM approvals WHERE issuer = $1 AND subject = $2";
    const GIVEN: &str = "DELETE FROM approvals WHERE approver = $1 AND state = 'approved'";
    c.execute(OWN, values![issuer, subject]).await?;
    c.execute(GIVEN, values![subject]).await.map(drop)
}
