//! Grants: made, found, listed, ended.

use crate::id::GrantId;
use crate::scope::Scope;
use crate::store::connection::{Connection, Row, Value, values};
use crate::store::error::StoreError;
use crate::store::grant::{GrantFilter, GrantRow, RevokeReason};
use crate::store::page::{Page, PageRequest};
use crate::store::revoked::Revocation;
use crate::time::Timestamp;

use super::columns::columns;
use super::identity_provider::Part;
use super::{consent, revocation, session};

pub(super) async fn add(c: &mut Connection, row: &GrantRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO grants (id, user_id, client_id, scopes, resource, redirect_origin, \
        client_digest, auth_time, acr, extra, created_at, last_used_at, expires_at, revoked_at, revoke_reason, \
        sid, issuer, issuer_sid, amr) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    let values = values![
        row.id.to_string(),
        row.user_id.map(|id| id.to_string()),
        row.client_id.as_str(),
        row.scopes.to_string(),
        row.resource.as_str(),
        &row.redirect_origin,
        row.client_digest,
        row.auth_time,
        &row.login.acr,
        &row.extra,
        row.created_at,
        row.last_used_at,
        row.expires_at,
        row.revoked_at,
        row.revoke_reason.map(|reason| word(reason).to_owned()),
        &row.login.sid,
        &row.login.issuer,
        &row.login.issuer_sid,
        &row.login.amr,
    ];
    c.execute(SQL, values).await.map(drop)
}

pub(super) async fn find(c: &mut Connection, id: &GrantId) -> Result<Option<GrantRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(grants), " FROM grants WHERE id = $1");
    c.row(SQL, values![id.to_string()]).await?.as_ref().map(row).transpose()
}

/// Whether nothing ends all grants of its kind while rows have yet to say so (see `ending`).
macro_rules! not_ending {
    ($grant:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM revocations e WHERE e.ending_reason IS NOT NULL AND e.ended_before > ",
            $grant,
            ".created_at AND (e.ending = 'user:' || ",
            $grant,
            ".user_id OR e.ending = 'client:' || ",
            $grant,
            ".client_id OR e.ending = 'resource:' || ",
            $grant,
            ".resource OR e.ending = 'user:' || ",
            $grant,
            ".user_id || ' client:' || ",
            $grant,
            ".client_id))"
        )
    };
}
pub(super) use not_ending;

/// The grant if it is alive, and notes that it was used: for a code or a refresh token of it.
pub(super) async fn used(
    c: &mut Connection,
    id: GrantId,
    now: Timestamp,
) -> Result<Option<GrantRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE grants SET last_used_at = $2 WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 AND ",
        not_ending!("grants"),
        " RETURNING ",
        columns!(grants)
    );
    c.row(SQL, values![id.to_string(), now]).await?.as_ref().map(row).transpose()
}

/// The same without a note.
pub(super) async fn is_alive(
    c: &mut Connection,
    id: GrantId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = concat!(
        "SELECT 1 FROM grants WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 AND ",
        not_ending!("grants")
    );
    Ok(c.row(SQL, values![id.to_string(), now]).await?.is_some())
}

/// One text for each filter, so that each has its index. `$1` to `$4`: after, limit, with ended ones, now.
macro_rules! page_sql {
    ($filter:literal) => {
        concat!(
            "SELECT ",
            columns!(grants),
            " FROM grants WHERE id > $1 AND ",
            "($3 = CAST(1 AS BIGINT) OR (revoked_at IS NULL AND expires_at > $4))",
            $filter,
            " ORDER BY id LIMIT $2"
        )
    };
}

pub(super) async fn list(
    c: &mut Connection,
    (filter, page, now): &(GrantFilter, PageRequest, Timestamp),
) -> Result<Page<GrantRow>, StoreError> {
    let after = page.after.clone().unwrap_or_default();
    let mut values = values![after, super::limit(page), filter.ended, *now];
    values.extend(filtered(filter));
    let sql = match (filter.user_id, &filter.client_id) {
        (None, None) => page_sql!(""),
        (Some(_), None) => page_sql!(" AND user_id = $5"),
        (None, Some(_)) => page_sql!(" AND client_id = $5"),
        (Some(_), Some(_)) => page_sql!(" AND user_id = $5 AND client_id = $6"),
    };
    let rows = c.rows(sql, values).await?.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(super::page(rows, page, |row| row.id.to_string()))
}

fn filtered(filter: &GrantFilter) -> impl Iterator<Item = Value> {
    let user = filter.user_id.map(|id| Value::from(id.to_string()));
    let client = filter.client_id.as_ref().map(|id| Value::from(id.as_str()));
    user.into_iter().chain(client)
}

/// `None` where it was revoked before, or there is none.
pub(super) async fn revoke(
    c: &mut Connection,
    (id, reason, now): &(GrantId, RevokeReason, Timestamp),
) -> Result<Option<Revocation>, StoreError> {
    const SQL: &str = "UPDATE grants SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 \
        AND revoked_at IS NULL RETURNING user_id, client_id";
    let values = values![id.to_string(), *now, word(*reason)];
    let Some(row) = c.row(SQL, values).await? else { return Ok(None) };
    if let (RevokeReason::Administrator, Some(user)) = (reason, row.maybe_text("user_id")?) {
        consent::forget(c, (&user, &row.text("client_id")?)).await?;
    }
    let revocation = revocation::of_grant(*id, *now);
    revocation::write(c, std::slice::from_ref(&revocation)).await?;
    Ok(Some(revocation))
}

macro_rules! revoke_sql {
    ($filter:literal) => {
        concat!(
            "UPDATE grants SET revoked_at = $1, revoke_reason = $2 ",
            "WHERE revoked_at IS NULL AND expires_at > $1",
            $filter,
            " RETURNING id"
        )
    };
}

/// All live ones that match; `ended` means nothing here. The last statements of their transaction.
pub(super) async fn revoke_all(
    c: &mut Connection,
    (filter, reason, now): &(GrantFilter, RevokeReason, Timestamp),
) -> Result<Vec<Revocation>, StoreError> {
    let mut values = values![*now, word(*reason)];
    values.extend(filtered(filter));
    let sql = match (filter.user_id, &filter.client_id) {
        (None, None) => revoke_sql!(""),
        (Some(_), None) => revoke_sql!(" AND user_id = $3"),
        (None, Some(_)) => revoke_sql!(" AND client_id = $3"),
        (Some(_), Some(_)) => revoke_sql!(" AND user_id = $3 AND client_id = $4"),
    };
    let rows = c.rows(sql, values).await?;
    write_down(c, &rows, *now).await
}

/// All live ones of some of an identity provider's people. The last statements of their transaction.
pub(super) async fn revoke_of_part(
    c: &mut Connection,
    part: &Part,
    (reason, now): (RevokeReason, Timestamp),
) -> Result<Vec<Revocation>, StoreError> {
    const SQL: &str = revoke_sql!(
        " AND user_id IN (SELECT user_id FROM identities WHERE issuer = $3 AND subject > $4 AND subject <= $5)"
    );
    let Part { issuer, after, until } = part;
    let values = values![now, word(reason), issuer.as_str(), after.as_str(), until.as_str()];
    let rows = c.rows(SQL, values).await?;
    write_down(c, &rows, now).await
}

/// Those of these that are live. The last statements of their transaction.
pub(super) async fn revoke_each(
    c: &mut Connection,
    ids: &[GrantId],
    (reason, now): (RevokeReason, Timestamp),
) -> Result<Vec<Revocation>, StoreError> {
    let mut rows = Vec::new();
    for id in ids {
        let values = values![now, word(reason), id.to_string()];
        rows.extend(c.rows(revoke_sql!(" AND id = $3"), values).await?);
    }
    write_down(c, &rows, now).await
}

async fn write_down(
    c: &mut Connection,
    rows: &[Row],
    now: Timestamp,
) -> Result<Vec<Revocation>, StoreError> {
    let revoked =
        |row: &Row| -> Result<_, StoreError> { Ok(revocation::of_grant(row.parsed("id")?, now)) };
    let revocations = rows.iter().map(revoked).collect::<Result<Vec<_>, _>>()?;
    revocation::write(c, &revocations).await?;
    Ok(revocations)
}

pub(super) fn row(row: &Row) -> Result<GrantRow, StoreError> {
    Ok(GrantRow {
        id: row.parsed("id")?,
        user_id: row.maybe_parsed("user_id")?,
        client_id: row.parsed("client_id")?,
        scopes: row.parsed::<Scope>("scopes")?,
        resource: row.text("resource")?,
        redirect_origin: row.maybe_text("redirect_origin")?,
        client_digest: row.maybe_digest("client_digest")?,
        auth_time: row.maybe_time("auth_time")?,
        login: session::origin(row)?,
        extra: row.maybe_text("extra")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
        revoke_reason: row.maybe_text("revoke_reason")?.map(|text| reason(&text)).transpose()?,
    })
}

pub(super) const fn word(reason: RevokeReason) -> &'static str {
    match reason {
        RevokeReason::CodeReplay => "code_replay",
        RevokeReason::RefreshReuse => "refresh_reuse",
        RevokeReason::Client => "client",
        RevokeReason::Person => "person",
        RevokeReason::Administrator => "administrator",
        RevokeReason::Disabled => "disabled",
        RevokeReason::Password => "password",
        RevokeReason::LogOut => "log_out",
    }
}

pub(super) fn reason(text: &str) -> Result<RevokeReason, StoreError> {
    Ok(match text {
        "code_replay" => RevokeReason::CodeReplay,
        "refresh_reuse" => RevokeReason::RefreshReuse,
        "client" => RevokeReason::Client,
        "person" => RevokeReason::Person,
        "administrator" => RevokeReason::Administrator,
        "disabled" => RevokeReason::Disabled,
        "password" => RevokeReason::Password,
        "log_out" => RevokeReason::LogOut,
        _ => return Err(StoreError::Corrupt("revoke_reason")),
    })
}
