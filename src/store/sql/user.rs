//! Local users and those known by an identity elsewhere.

use crate::id::UserId;
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::RevokeReason;
use crate::store::page::{Page, PageRequest};
use crate::store::person::{ExternalIdentity, OwnLogin, UserProfile, UserRow};
use crate::store::revoked::Whose;
use crate::time::Timestamp;

use super::columns::columns;
use super::ending::{self, Ended};
use super::{consent, ended_account, provider_tokens};

pub(super) async fn add(c: &mut Connection, row: &UserRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO users (id, username, display_name, email, password_hash, passkey_login, \
        administrator, member_of, groups_incomplete, has_roles, roles_incomplete, created_at, last_login_at, \
        disabled_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING";
    let (password_hash, passkey_login) = match &row.own_login {
        OwnLogin::Nothing => (None, None),
        OwnLogin::Password(hash) => (Some(hash.clone()), None),
        OwnLogin::Passkeys(mark) => (None, Some(mark.clone())),
    };
    let values = values![
        row.id.to_string(),
        row.username.as_str(),
        &row.display_name,
        &row.email,
        password_hash,
        passkey_login,
        row.administrator,
        row.groups.as_slice(),
        row.groups_incomplete,
        row.roles.as_slice(),
        row.roles_incomplete,
        row.created_at,
        row.last_login_at,
        row.disabled_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn find(c: &mut Connection, id: &UserId) -> Result<Option<UserRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(users), " FROM users WHERE id = $1");
    c.row(SQL, values![id.to_string()]).await?.as_ref().map(row).transpose()
}

/// Whether they may log in, where `guard` is given as they did when it was found. Until this transaction is over they may:
/// whoever disables them or sets another password waits, and ends the session that begins here.
pub(super) async fn holds(
    c: &mut Connection,
    id: UserId,
    guard: Option<&str>,
) -> Result<bool, StoreError> {
    const SQL: &str =
        "SELECT password_hash, passkey_login FROM users WHERE id = $1 AND disabled_at IS NULL";
    const SHARED: &str = "SELECT password_hash, passkey_login FROM users \
        WHERE id = $1 AND disabled_at IS NULL FOR SHARE";
    // On `SQLite` one writes at a time.
    let sql = if c.is_postgres() { SHARED } else { SQL };
    let Some(row) = c.row(sql, values![id.to_string()]).await? else { return Ok(false) };
    let now = own_login(&row)?;
    Ok(guard.is_none_or(|guard| now.guard() == Some(guard)))
}

fn own_login(row: &Row) -> Result<OwnLogin, StoreError> {
    Ok(match (row.maybe_text("password_hash")?, row.maybe_text("passkey_login")?) {
        (Some(hash), _) => OwnLogin::Password(hash),
        (None, Some(mark)) => OwnLogin::Passkeys(mark),
        (None, None) => OwnLogin::Nothing,
    })
}

pub(super) async fn find_by_name(
    c: &mut Connection,
    name: &String,
) -> Result<Option<UserRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(users),
        " FROM users WHERE organisation = 'default' AND username = $1"
    );
    c.row(SQL, values![name.as_str()]).await?.as_ref().map(row).transpose()
}

pub(super) async fn list(
    c: &mut Connection,
    page: &PageRequest,
) -> Result<Page<UserRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(users), " FROM users WHERE id > $1 ORDER BY id LIMIT $2");
    let after = page.after.clone().unwrap_or_default();
    let rows = c.rows(SQL, values![after, super::limit(page)]).await?;
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(super::page(rows, page, |row| row.id.to_string()))
}

pub(super) async fn has_administrator(c: &mut Connection, (): &()) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM users WHERE administrator = 1 AND disabled_at IS NULL AND \
        (password_hash IS NOT NULL OR passkey_login IS NOT NULL OR EXISTS (SELECT 1 FROM identities WHERE identities.user_id = users.id)) LIMIT 1";
    Ok(c.row(SQL, values![]).await?.is_some())
}

/// User, hash, link, now. All or nothing: whether there was such a link, and what is revoked now.
pub(super) async fn set_password(
    c: &mut Connection,
    (id, hash, link, now): &(UserId, String, Option<Digest>, Timestamp),
) -> Result<(bool, Ended), StoreError> {
    const TAKE: &str = "DELETE FROM links WHERE link = $1 AND user_id = $2 AND expires_at > $3";
    const SET: &str = "UPDATE users SET password_hash = $2, passkey_login = NULL WHERE id = $1";
    let user = id.to_string();
    // First, as everybody does who changes how they log in: of two who use one link at once, one waits.
    lock(c, &user).await?;
    if let Some(link) = link
        && c.execute(TAKE, values![*link, user.as_str(), *now]).await? != 1
    {
        return Ok((false, Ended::default()));
    }
    if c.execute(SET, values![user.as_str(), hash.as_str()]).await? != 1 {
        return Ok((false, Ended::default()));
    }
    Ok((true, end_what_was_opened(c, (*id, *now)).await?))
}

/// Ends what the way in that somebody had until now has opened, whoever came by it. What is revoked now.
pub(super) async fn end_what_was_opened(
    c: &mut Connection,
    (id, now): (UserId, Timestamp),
) -> Result<Ended, StoreError> {
    let user = id.to_string();
    // Other links would still open the door to whoever has them.
    c.execute("DELETE FROM links WHERE user_id = $1", values![user.as_str()]).await?;
    c.execute("DELETE FROM sessions WHERE user_id = $1", values![user.as_str()]).await?;
    // Nor does a passkey of whoever knew the old password. The person's own stay beside the new one, or a link alone would
    // get past their second factor.
    c.execute("UPDATE passkeys SET alone = 0 WHERE user_id = $1", values![user.as_str()]).await?;
    // An app that they let in would have the next grant without a question.
    consent::forget_all(c, &user).await?;
    // What a thief of the old password let an app have, or let the broker use in this person's name.
    ended_account::end_all(c, (id, now)).await?;
    ending::end_all(c, Whose::User(id), (RevokeReason::Password, now)).await
}

/// Changes nothing, but lets nobody else change how this person logs in meanwhile.
pub(super) async fn lock(c: &mut Connection, user: &str) -> Result<(), StoreError> {
    const SQL: &str = "SELECT 1 FROM users WHERE id = $1 FOR UPDATE";
    // On `SQLite` one writes at a time.
    if c.is_postgres() {
        c.row(SQL, values![user]).await?;
    }
    Ok(())
}

/// User, hash, guard.
pub(super) async fn add_password(
    c: &mut Connection,
    (id, hash, guard): &(UserId, String, String),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE users SET password_hash = $2, passkey_login = NULL \
        WHERE id = $1 AND disabled_at IS NULL AND password_hash IS NULL AND passkey_login = $3";
    let values = values![id.to_string(), hash.as_str(), guard.as_str()];
    Ok(c.execute(SQL, values).await? == 1)
}

/// With passkeys and no password, from now on.
pub(super) async fn set_passkey_login(
    c: &mut Connection,
    (user, mark): (&str, &str),
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE users SET password_hash = NULL, passkey_login = $2 WHERE id = $1";
    c.execute(SQL, values![user, mark]).await.map(drop)
}

/// In one statement: of two changes at once neither is lost.
pub(super) async fn change(c: &mut Connection, new: &UserProfile) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE users SET \
        display_name = NULLIF(COALESCE(CAST($2 AS TEXT), display_name), ''), \
        email = NULLIF(COALESCE(CAST($3 AS TEXT), email), ''), \
        groups_incomplete = CASE WHEN CAST($4 AS TEXT) IS NULL THEN groups_incomplete ELSE 0 END, \
        member_of = COALESCE(CAST($4 AS TEXT), member_of) WHERE id = $1";
    let groups = new.groups.as_ref().map(|groups| serde_json::Value::from(groups.as_slice()));
    let values = values![
        new.id.to_string(),
        &new.display_name,
        &new.email,
        groups.map(|groups| groups.to_string()),
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

pub(super) async fn set_administrator(
    c: &mut Connection,
    (id, administrator): &(UserId, bool),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE users SET administrator = $2 WHERE id = $1";
    Ok(c.execute(SQL, values![id.to_string(), *administrator]).await? == 1)
}

/// Whether there is such a user, and what is revoked now.
pub(super) async fn disable(
    c: &mut Connection,
    (id, at): &(UserId, Option<Timestamp>),
) -> Result<(bool, Ended), StoreError> {
    const SQL: &str = "UPDATE users SET disabled_at = $2 WHERE id = $1";
    let user = id.to_string();
    let found = c.execute(SQL, values![user.as_str(), *at]).await? == 1;
    let (true, Some(now)) = (found, *at) else { return Ok((found, Ended::default())) };
    c.execute("DELETE FROM sessions WHERE user_id = $1", values![user.as_str()]).await?;
    c.execute("DELETE FROM links WHERE user_id = $1", values![user]).await?;
    ended_account::end_all(c, (*id, now)).await?;
    provider_tokens::forget_all(c, *id).await?;
    let why = (RevokeReason::Disabled, now);
    Ok((true, ending::end_all(c, Whose::User(*id), why).await?))
}

pub(super) async fn logged_in(
    c: &mut Connection,
    (id, at): &(UserId, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE users SET last_login_at = $2 WHERE id = $1";
    c.execute(SQL, values![id.to_string(), *at]).await.map(drop)
}

const OF_IDENTITY: &str = concat!(
    "SELECT ",
    columns!(users "users."),
    " FROM identities JOIN users ON users.id = identities.user_id \
    WHERE identities.issuer = $1 AND identities.subject = $2"
);

pub(super) async fn find_by_identity(
    c: &mut Connection,
    (issuer, subject): &(String, String),
) -> Result<Option<UserRow>, StoreError> {
    let found = c.row(OF_IDENTITY, values![issuer.as_str(), subject.as_str()]).await?;
    found.as_ref().map(row).transpose()
}

/// Identity, id for a new user, now.
pub(super) async fn of_identity(
    c: &mut Connection,
    (identity, new_id, now): &(ExternalIdentity, UserId, Timestamp),
) -> Result<UserRow, StoreError> {
    const LINK: &str = "INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3) \
        ON CONFLICT DO NOTHING";
    let (issuer, subject) = (identity.issuer.as_str(), identity.subject.as_str());
    if let Some(known) = c.row(OF_IDENTITY, values![issuer, subject]).await? {
        return refresh(c, row(&known)?, identity).await;
    }
    // The identity is claimed first: of two who come at once, one waits here and then finds the other's user.
    if c.execute(LINK, values![issuer, subject, new_id.to_string()]).await? == 0 {
        let known = c.row(OF_IDENTITY, values![issuer, subject]).await?;
        return known.as_ref().map_or(Err(StoreError::Corrupt("identities.user_id")), row);
    }
    let mut user = UserRow {
        id: *new_id,
        username: identity.username.clone(),
        display_name: identity.display_name.clone(),
        email: identity.email.clone(),
        own_login: OwnLogin::Nothing,
        administrator: false,
        groups: identity.groups.clone(),
        groups_incomplete: identity.groups_incomplete,
        roles: identity.roles.clone(),
        roles_incomplete: identity.roles_incomplete,
        created_at: *now,
        last_login_at: None,
        disabled_at: None,
    };
    for suffix in 2..1000_u32 {
        if add(c, &user).await? {
            return Ok(user);
        }
        user.username = format!("{}-{suffix}", identity.username);
    }
    Err(StoreError::Corrupt("a thousand users share one name"))
}

/// What a provider that was asked again says of somebody; nothing where that identity is not theirs by now.
pub(super) async fn say_again(
    c: &mut Connection,
    (id, identity): (UserId, &ExternalIdentity),
) -> Result<(), StoreError> {
    let values = values![identity.issuer.as_str(), identity.subject.as_str()];
    let known = c.row(OF_IDENTITY, values).await?.as_ref().map(row).transpose()?;
    match known.filter(|known| known.id == id) {
        Some(known) => refresh(c, known, identity).await.map(drop),
        None => Ok(()),
    }
}

/// What the provider says of them now: who has left a group there, or lost a role, has so here.
async fn refresh(
    c: &mut Connection,
    known: UserRow,
    identity: &ExternalIdentity,
) -> Result<UserRow, StoreError> {
    const SQL: &str = "UPDATE users SET display_name = $2, email = $3, member_of = $4, groups_incomplete = $5, \
        has_roles = $6, roles_incomplete = $7 WHERE id = $1";
    let user = UserRow {
        display_name: identity.display_name.clone(),
        email: identity.email.clone(),
        groups: identity.groups.clone(),
        groups_incomplete: identity.groups_incomplete,
        roles: identity.roles.clone(),
        roles_incomplete: identity.roles_incomplete,
        ..known
    };
    let values = values![
        user.id.to_string(),
        &user.display_name,
        &user.email,
        user.groups.as_slice(),
        user.groups_incomplete,
        user.roles.as_slice(),
        user.roles_incomplete,
    ];
    c.execute(SQL, values).await?;
    Ok(user)
}

fn row(row: &Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: row.parsed("id")?,
        username: row.text("username")?,
        display_name: row.maybe_text("display_name")?,
        email: row.maybe_text("email")?,
        own_login: own_login(row)?,
        administrator: row.int("administrator")? == 1,
        groups: row.list("member_of")?,
        groups_incomplete: row.int("groups_incomplete")? == 1,
        roles: row.list("has_roles")?,
        roles_incomplete: row.int("roles_incomplete")? == 1,
        created_at: row.time("created_at")?,
        last_login_at: row.maybe_time("last_login_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
    })
}

pub(super) async fn identities(
    c: &mut Connection,
    user: &UserId,
) -> Result<Vec<(String, String)>, StoreError> {
    const SQL: &str = "SELECT issuer, subject FROM identities WHERE user_id = $1 \
        ORDER BY issuer, subject LIMIT 1000";
    let rows = c.rows(SQL, values![user.to_string()]).await?;
    rows.iter().map(|row| Ok((row.text("issuer")?, row.text("subject")?))).collect()
}
