//! Refresh tokens: rotated at every use, the same reply again within the grace (OAuth 2.1 §4.3.1).

use crate::store::connection::{Connection, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::{GrantRow, NewRefreshToken, RefreshRotation, RevokeReason, Rotated};
use crate::store::revoked::Revocation;

use super::columns::columns;
use super::grant;

pub(super) async fn add(
    c: &mut Connection,
    grant: &GrantRow,
    token: &NewRefreshToken,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO refresh_tokens \
        (token, grant_id, client_id, scopes, expires_at, keep_until, dpop_jkt) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = values![
        token.token,
        grant.id.to_string(),
        grant.client_id.as_str(),
        token.scopes.to_string(),
        token.expires_at,
        grant.expires_at.max(token.expires_at),
        &token.dpop_jkt,
    ];
    c.execute(SQL, values).await.map(drop)
}

pub(super) async fn find(
    c: &mut Connection,
    token: &Digest,
) -> Result<Option<(GrantRow, NewRefreshToken)>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(grants "g."),
        ", t.scopes AS token_scopes, t.expires_at AS token_expires_at, \
         t.dpop_jkt AS token_dpop_jkt FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id \
         WHERE t.token = $1 AND t.used_at IS NULL AND g.revoked_at IS NULL AND ",
        grant::not_ending!("g")
    );
    let Some(row) = c.row(SQL, values![*token]).await? else { return Ok(None) };
    let scopes = row.parsed("token_scopes")?;
    let expires_at = row.time("token_expires_at")?;
    let dpop_jkt = row.maybe_text("token_dpop_jkt")?;
    let token = NewRefreshToken { token: *token, scopes, dpop_jkt, expires_at };
    Ok(Some((grant::row(&row)?, token)))
}

/// What became of it, and what is revoked now.
pub(super) async fn rotate(
    c: &mut Connection,
    asked: &RefreshRotation,
) -> Result<(Rotated, Option<Revocation>), StoreError> {
    match take(c, asked).await? {
        Some(Some(grant)) => Ok((Rotated::Granted { grant: Box::new(grant) }, None)),
        Some(None) => Ok((Rotated::GrantEnded, None)),
        None => lost(c, asked).await,
    }
}

/// Marks the token used and adds its successor, where the grant lives. `None`: somebody else was first.
async fn take(
    c: &mut Connection,
    asked: &RefreshRotation,
) -> Result<Option<Option<GrantRow>>, StoreError> {
    const SQL: &str = "UPDATE refresh_tokens SET used_at = $3, successor = $4, sealed_reply = $5, \
        replay_until = $6 WHERE token = $1 AND client_id = $2 AND used_at IS NULL AND expires_at > $3 \
        RETURNING grant_id";
    let values = values![
        asked.presented,
        asked.client_id.as_str(),
        asked.now,
        asked.successor.token,
        asked.sealed_reply.as_slice(),
        asked.replay_until,
    ];
    let Some(won) = c.row(SQL, values).await? else { return Ok(None) };
    let Some(grant) = grant::used(c, won.parsed("grant_id")?, asked.now).await? else {
        return Ok(Some(None));
    };
    add(c, &grant, &asked.successor).await?;
    Ok(Some(Some(grant)))
}

async fn lost(
    c: &mut Connection,
    asked: &RefreshRotation,
) -> Result<(Rotated, Option<Revocation>), StoreError> {
    const SQL: &str = "SELECT t.grant_id, t.used_at, t.sealed_reply, t.replay_until, s.used_at AS spent_at \
        FROM refresh_tokens t LEFT JOIN refresh_tokens s ON s.token = t.successor \
        WHERE t.token = $1 AND t.client_id = $2";
    let values = values![asked.presented, asked.client_id.as_str()];
    let Some(row) = c.row(SQL, values).await? else { return Ok((Rotated::Refused, None)) };
    if row.maybe_time("used_at")?.is_none() {
        return Ok((Rotated::Refused, None)); // expired
    }
    let grant_id = row.parsed("grant_id")?;
    if !grant::is_alive(c, grant_id, asked.now).await? {
        return Ok((Rotated::GrantEnded, None));
    }
    let in_time = row.maybe_time("replay_until")?.is_some_and(|until| asked.now <= until);
    if in_time && row.maybe_time("spent_at")?.is_none() {
        let sealed_reply = row.blob("sealed_reply")?;
        return Ok((Rotated::SameReply { grant_id, sealed_reply }, None));
    }
    let revoked = grant::revoke(c, &(grant_id, RevokeReason::RefreshReuse, asked.now)).await?;
    // Of two thieves at once one was faster: the theft is told once.
    let outcome =
        if revoked.is_some() { Rotated::Reused { grant_id } } else { Rotated::GrantEnded };
    Ok((outcome, revoked))
}
