//! Authorization codes, used once (RFC 6749 §4.1.2, §10.5).

use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::{CodeRedemption, CodeRow, ConsentUse, GrantRow, Redeemed, RevokeReason};
use crate::store::revoked::Revocation;

use super::client;
use super::columns::columns;
use super::consent;
use super::grant;
use super::refresh;
use super::session;

/// Grant and code, and what they rest on. `false` where the session is over, the client disabled or the
/// consent gone: see [`session::hold`].
pub(super) async fn add_in_session(
    c: &mut Connection,
    (session, rows, basis): &(Digest, (GrantRow, CodeRow), Option<ConsentUse>),
) -> Result<bool, StoreError> {
    if !session::hold(c, session).await? {
        return Ok(false);
    }
    if !client::holds(c, &rows.0.client_id).await? {
        return Ok(false);
    }
    let now = rows.0.created_at;
    match basis {
        Some(ConsentUse::Given(given)) => consent::remember(c, given, now).await?,
        Some(ConsentUse::Standing(key)) if !consent::hold(c, key, now).await? => return Ok(false),
        Some(ConsentUse::Standing(_)) | None => {}
    }
    add_with_grant(c, rows).await?;
    Ok(true)
}

pub(super) async fn add_with_grant(
    c: &mut Connection,
    (row, code): &(GrantRow, CodeRow),
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO codes (code, grant_id, client_id, redirect_uri, code_challenge, nonce, \
        scopes, expires_at, used_at, dpop_jkt) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    grant::add(c, row).await?;
    let values = values![
        code.code,
        code.grant_id.to_string(),
        code.client_id.as_str(),
        code.redirect_uri.as_str(),
        code.code_challenge.as_str(),
        &code.nonce,
        code.scopes.to_string(),
        code.expires_at,
        code.used_at,
        &code.dpop_jkt,
    ];
    c.execute(SQL, values).await.map(drop)
}

pub(super) async fn find(c: &mut Connection, code: &Digest) -> Result<Option<CodeRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(codes), " FROM codes WHERE code = $1");
    c.row(SQL, values![*code]).await?.as_ref().map(row).transpose()
}

/// What became of it, and what is revoked now.
pub(super) async fn redeem(
    c: &mut Connection,
    asked: &CodeRedemption,
) -> Result<(Redeemed, Option<Revocation>), StoreError> {
    const SQL: &str = concat!(
        "UPDATE codes SET used_at = $5 WHERE code = $1 AND used_at IS NULL AND expires_at > $5 \
        AND client_id = $2 AND redirect_uri = $3 AND code_challenge = $4 RETURNING ",
        columns!(codes)
    );
    let values = values![
        asked.code,
        asked.client_id.as_str(),
        asked.redirect_uri.as_str(),
        asked.code_challenge.as_str(),
        asked.now,
    ];
    let Some(won) = c.row(SQL, values).await? else { return lost(c, asked).await };
    let code = row(&won)?;
    let Some(grant) = grant::used(c, code.grant_id, asked.now).await? else {
        return Ok((Redeemed::GrantEnded, None));
    };
    if let Some(token) = &asked.refresh {
        refresh::add(c, &grant, token).await?;
    }
    Ok((Redeemed::Granted { grant: Box::new(grant), code: Box::new(code) }, None))
}

/// The refresh token proves that it was this redemption which used the code, and not another one of the same moment.
pub(super) async fn give_back(
    c: &mut Connection,
    asked: &CodeRedemption,
) -> Result<bool, StoreError> {
    const LOCK: &str = "SELECT code FROM codes WHERE code = $1 FOR UPDATE";
    const SQL: &str =
        "UPDATE codes SET used_at = NULL WHERE code = $1 AND client_id = $2 AND used_at = $3";
    const PROVEN: &str = "UPDATE codes SET used_at = NULL WHERE code = $1 AND client_id = $2 AND used_at = $3 \
        AND EXISTS (SELECT 1 FROM refresh_tokens WHERE token = $4 AND used_at IS NULL)";
    const TOKEN: &str = "DELETE FROM refresh_tokens WHERE token = $1 AND used_at IS NULL";
    if c.is_postgres() {
        // The redemption itself may be about to be committed: then it is seen below.
        c.row(LOCK, values![asked.code]).await?;
    }
    let mut values = values![asked.code, asked.client_id.as_str(), asked.now];
    let Some(refresh) = &asked.refresh else { return Ok(c.execute(SQL, values).await? > 0) };
    values.extend(values![refresh.token]);
    if c.execute(PROVEN, values).await? == 0 {
        return Ok(false);
    }
    c.execute(TOKEN, values![refresh.token]).await.map(|_| true)
}

/// Only whoever proves that the code was theirs can end its grant: a guess or a stolen code without its
/// verifier changes nothing.
async fn lost(
    c: &mut Connection,
    asked: &CodeRedemption,
) -> Result<(Redeemed, Option<Revocation>), StoreError> {
    let Some(code) = find(c, &asked.code).await? else { return Ok((Redeemed::Refused, None)) };
    let matches = code.client_id == asked.client_id
        && code.redirect_uri == asked.redirect_uri
        && code.code_challenge == asked.code_challenge;
    if !matches || code.used_at.is_none() {
        return Ok((Redeemed::Refused, None));
    }
    let revoked = grant::revoke(c, &(code.grant_id, RevokeReason::CodeReplay, asked.now)).await?;
    Ok((Redeemed::Replayed { grant_id: code.grant_id }, revoked))
}

fn row(row: &Row) -> Result<CodeRow, StoreError> {
    Ok(CodeRow {
        code: row.digest("code")?,
        grant_id: row.parsed("grant_id")?,
        client_id: row.parsed("client_id")?,
        redirect_uri: row.text("redirect_uri")?,
        code_challenge: row.text("code_challenge")?,
        nonce: row.maybe_text("nonce")?,
        dpop_jkt: row.maybe_text("dpop_jkt")?,
        scopes: row.parsed("scopes")?,
        expires_at: row.time("expires_at")?,
        used_at: row.maybe_time("used_at")?,
    })
}
