//! [`PasskeyStore`] on SQL.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::passkey::{
    PasskeyAdded, PasskeyRemoved, PasskeyRow, PasskeySetUp, PasskeyStore, PasskeyUse,
};

use super::columns::columns;
use super::database::SqlDatabase;
use super::ending::Ended;
use super::{authenticator, link, user};

struct New {
    row: PasskeyRow,
    most: usize,
    recovery_codes: Vec<Digest>,
    guard: Option<String>,
    second: bool,
}

#[async_trait]
impl PasskeyStore for SqlDatabase {
    async fn list_passkeys(&self, user_id: UserId) -> Result<Vec<PasskeyRow>, StoreError> {
        self.named("list passkeys").read(&user_id, |c, id| Box::pin(list(c, id))).await
    }

    async fn find_passkey(&self, credential_id: &str) -> Result<Option<PasskeyRow>, StoreError> {
        let id = credential_id.to_owned();
        self.named("find passkeys").read(&id, |c, id| Box::pin(find(c, id))).await
    }

    async fn add_passkey(
        &self,
        row: &PasskeyRow,
        most: usize,
        recovery_codes: &[Digest],
        (guard, second): (Option<&str>, bool),
    ) -> Result<PasskeyAdded, StoreError> {
        let new = New {
            row: row.clone(),
            most,
            recovery_codes: recovery_codes.to_vec(),
            guard: guard.map(str::to_owned),
            second,
        };
        self.named("add passkeys").write(new, |c, new| Box::pin(add(c, new))).await
    }

    async fn use_passkey(&self, used: &PasskeyUse) -> Result<bool, StoreError> {
        self.named("use passkeys").write(used.clone(), |c, used| Box::pin(note(c, used))).await
    }

    async fn set_up_passkey(&self, new: &PasskeySetUp) -> Result<PasskeyAdded, StoreError> {
        let (added, ended) = self
            .named("set_up passkeys")
            .write(new.clone(), |c, new| Box::pin(set_up(c, new)))
            .await?;
        self.finish(ended).await;
        Ok(added)
    }

    async fn remove_passkey(
        &self,
        user_id: UserId,
        credential_id: &str,
    ) -> Result<PasskeyRemoved, StoreError> {
        let which = (user_id, credential_id.to_owned());
        self.named("remove passkeys").write(which, |c, which| Box::pin(remove(c, which))).await
    }
}

async fn list(c: &mut Connection, id: &UserId) -> Result<Vec<PasskeyRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(passkeys),
        " FROM passkeys WHERE user_id = $1 ORDER BY created_at, credential_id"
    );
    c.rows(SQL, values![id.to_string()]).await?.iter().map(row).collect()
}

async fn find(c: &mut Connection, id: &String) -> Result<Option<PasskeyRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(passkeys), " FROM passkeys WHERE credential_id = $1");
    c.row(SQL, values![id.as_str()]).await?.as_ref().map(row).transpose()
}

async fn set_up(
    c: &mut Connection,
    new: &PasskeySetUp,
) -> Result<(PasskeyAdded, Ended), StoreError> {
    const ALONE: &str = "UPDATE passkeys SET alone = 1 WHERE user_id = $1 AND credential_id = $2";
    let PasskeySetUp { row, most, recovery_codes, second, link, mark, at } = new;
    let (id, user) = (row.user_id, row.user_id.to_string());
    // First: of two who use one link at once, one waits, and finds it used.
    lock(c, &user).await?;
    let came_by = link::find(c, &(*link, *at)).await?;
    if came_by.is_none_or(|link| link.user_id != id) {
        return Ok((PasskeyAdded::Refused, Ended::default()));
    }
    let (most, recovery_codes, guard) = (*most, recovery_codes.clone(), None);
    let new = New { row: row.clone(), most, recovery_codes, guard, second: *second };
    let added = add(c, &new).await?;
    if added == PasskeyAdded::Refused {
        return Ok((added, Ended::default()));
    }
    user::set_passkey_login(c, (&user, mark)).await?;
    let ended = user::end_what_was_opened(c, (id, *at)).await?;
    c.execute(ALONE, values![user, row.credential_id.as_str()]).await?;
    Ok((added, ended))
}

async fn add(c: &mut Connection, new: &New) -> Result<PasskeyAdded, StoreError> {
    const SQL: &str = "INSERT INTO passkeys (credential_id, user_id, user_handle, credential, sign_count, backed_up, \
        name, created_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let New { row, most, recovery_codes, guard, second } = new;
    let user = row.user_id.to_string();
    let before = lock(c, &user).await?;
    if !user::holds(c, row.user_id, guard.as_deref()).await? {
        return Ok(PasskeyAdded::Refused);
    }
    if usize::try_from(before).unwrap_or(usize::MAX) >= *most {
        return Ok(PasskeyAdded::Refused);
    }
    let first = before == 0 && !authenticator::exists(c, &user).await?;
    // They had none when this began: whoever began it may know nothing but the password.
    if !first && !second {
        return Ok(PasskeyAdded::Refused);
    }
    let values = values![
        row.credential_id.as_str(),
        user.as_str(),
        row.user_handle.as_str(),
        row.credential.as_str(),
        i64::from(row.sign_count),
        i64::from(row.backed_up),
        row.name.as_str(),
        row.created_at,
        row.last_used_at,
    ];
    if c.execute(SQL, values).await? != 1 {
        return Ok(PasskeyAdded::Refused);
    }
    if !first {
        return Ok(PasskeyAdded::Another);
    }
    authenticator::put_codes(c, &user, recovery_codes).await?;
    Ok(PasskeyAdded::First)
}

async fn note(c: &mut Connection, used: &PasskeyUse) -> Result<bool, StoreError> {
    const SESSION: &str = "SELECT user_id FROM sessions WHERE session = $1";
    const SQL: &str = "UPDATE passkeys SET sign_count = $2, backed_up = $3, last_used_at = $4, \
        alone = CASE WHEN user_id = CAST($5 AS TEXT) THEN 1 ELSE alone END \
        WHERE credential_id = $1 AND alone >= $6 AND (sign_count < $2 OR (sign_count = 0 AND $2 = 0))";
    let (mut shown_beside, mut by_itself) = (None, used.beside.is_none());
    if let Some(session) = used.beside {
        // Whoever sets another password ends their sessions in the same transaction, and is waited for here.
        let owner = find(c, &used.credential_id).await?.map(|row| row.user_id);
        if let Some(owner) = owner
            && user::holds(c, owner, None).await?
            && let Some(row) = c.row(SESSION, values![session]).await?
        {
            shown_beside = row.maybe_text("user_id")?;
            // Who has no password has shown nothing else in their session: whoever had one before may have added it.
            let owner = user::find(c, &owner).await?;
            by_itself = owner.is_none_or(|owner| owner.own_login.password_hash().is_none());
        }
    }
    let values = values![
        used.credential_id.as_str(),
        i64::from(used.sign_count),
        i64::from(used.backed_up),
        used.at,
        &shown_beside,
        i64::from(by_itself),
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn remove(
    c: &mut Connection,
    (id, which): &(UserId, String),
) -> Result<PasskeyRemoved, StoreError> {
    const LAST: &str = "SELECT 1 FROM users WHERE id = $1 AND password_hash IS NULL \
        AND passkey_login IS NOT NULL AND NOT EXISTS (SELECT 1 FROM passkeys \
        WHERE user_id = $1 AND credential_id <> $2 AND alone = 1)";
    const SQL: &str = "DELETE FROM passkeys WHERE user_id = $1 AND credential_id = $2";
    let user = id.to_string();
    let before = lock(c, &user).await?;
    if c.row(LAST, values![user.as_str(), which.as_str()]).await?.is_some() {
        return Ok(PasskeyRemoved::Last);
    }
    if c.execute(SQL, values![user.as_str(), which.as_str()]).await? != 1 {
        return Ok(PasskeyRemoved::Unknown);
    }
    if before == 1 && !authenticator::exists(c, &user).await? {
        authenticator::remove_codes(c, &user).await?;
    }
    Ok(PasskeyRemoved::Done)
}

/// Changes nothing, but lets nobody else add, use or remove one of this person's meanwhile. How many they have.
///
/// The person's own row as well: who has none yet has none to be locked. To be called before anything else is locked, or two
/// would wait for each other.
pub(super) async fn lock(c: &mut Connection, user: &str) -> Result<u64, StoreError> {
    const SQL: &str = "UPDATE passkeys SET name = name WHERE user_id = $1";
    user::lock(c, user).await?;
    c.execute(SQL, values![user]).await
}

fn row(row: &Row) -> Result<PasskeyRow, StoreError> {
    Ok(PasskeyRow {
        credential_id: row.text("credential_id")?,
        user_id: row.parsed("user_id")?,
        user_handle: row.text("user_handle")?,
        credential: row.text("credential")?,
        sign_count: u32::try_from(row.int("sign_count")?)
            .map_err(|_| StoreError::Corrupt("sign_count"))?,
        backed_up: row.int("backed_up")? != 0,
        alone: row.int("alone")? != 0,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
    })
}
