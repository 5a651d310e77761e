//! [`AuthenticatorStore`] on SQL.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::authenticator::{AuthenticatorRow, AuthenticatorStore};
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::person::OneTimeLink;

use super::columns::columns;
use super::database::SqlDatabase;
use super::sealing::chosen;
use super::{consent, link, passkey, session, user};

#[async_trait]
impl AuthenticatorStore for SqlDatabase {
    async fn find_authenticator(
        &self,
        user_id: UserId,
    ) -> Result<Option<AuthenticatorRow>, StoreError> {
        self.named("find authenticators").read(&user_id, |c, id| Box::pin(find(c, id))).await
    }

    async fn add_authenticator(
        &self,
        row: &AuthenticatorRow,
        recovery_codes: &[Digest],
        guard: Option<&str>,
    ) -> Result<bool, StoreError> {
        let new = (row.clone(), recovery_codes.to_vec(), guard.map(str::to_owned));
        self.named("add authenticators").write(new, |c, new| Box::pin(add(c, new))).await
    }

    async fn use_step(&self, user_id: UserId, step: u64) -> Result<bool, StoreError> {
        let used = (user_id, number(step));
        self.named("use authenticators").write(used, |c, used| Box::pin(use_step(c, used))).await
    }

    async fn use_recovery_code(&self, user_id: UserId, code: &Digest) -> Result<bool, StoreError> {
        let used = (user_id, *code);
        self.named("use recovery_codes").write(used, |c, used| Box::pin(use_code(c, used))).await
    }

    async fn replace_recovery_codes(
        &self,
        user_id: UserId,
        codes: &[Digest],
    ) -> Result<bool, StoreError> {
        let new = (user_id, codes.to_vec());
        self.named("replace recovery_codes").write(new, |c, new| Box::pin(replace(c, new))).await
    }

    async fn count_recovery_codes(&self, user_id: UserId) -> Result<u64, StoreError> {
        self.named("count recovery_codes").read(&user_id, |c, id| Box::pin(count(c, id))).await
    }

    async fn remove_authenticator(&self, user_id: UserId) -> Result<bool, StoreError> {
        self.named("remove authenticators").write(user_id, |c, id| Box::pin(remove(c, id))).await
    }

    async fn start_over(&self, link: &OneTimeLink) -> Result<bool, StoreError> {
        self.named("start_over authenticators")
            .write(link.clone(), |c, link| Box::pin(start_over(c, link)))
            .await
    }
}

async fn find(c: &mut Connection, id: &UserId) -> Result<Option<AuthenticatorRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(authenticators), " FROM authenticators WHERE user_id = $1");
    c.row(SQL, values![id.to_string()]).await?.as_ref().map(row).transpose()
}

async fn add(
    c: &mut Connection,
    (row, codes, guard): &(AuthenticatorRow, Vec<Digest>, Option<String>),
) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO authenticators (user_id, sealed, last_step, confirmed_at) \
        VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    if !user::holds(c, row.user_id, guard.as_deref()).await? {
        return Ok(false);
    }
    let user = row.user_id.to_string();
    let sealed = chosen(c, &row.sealed).await?;
    let values = values![user.as_str(), sealed, number(row.last_step), row.confirmed_at];
    if c.execute(SQL, values).await? != 1 {
        return Ok(false);
    }
    put_codes(c, &user, codes).await?;
    Ok(true)
}

async fn use_step(c: &mut Connection, (id, step): &(UserId, i64)) -> Result<bool, StoreError> {
    const SQL: &str =
        "UPDATE authenticators SET last_step = $2 WHERE user_id = $1 AND last_step < $2";
    Ok(c.execute(SQL, values![id.to_string(), *step]).await? == 1)
}

async fn use_code(c: &mut Connection, (id, code): &(UserId, Digest)) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM recovery_codes WHERE code = $1 AND user_id = $2";
    Ok(c.execute(SQL, values![*code, id.to_string()]).await? == 1)
}

async fn replace(
    c: &mut Connection,
    (id, codes): &(UserId, Vec<Digest>),
) -> Result<bool, StoreError> {
    // Changes nothing, but locks the rows: of two who replace at once, one's codes are all that is left.
    const LOCK: &str = "UPDATE authenticators SET last_step = last_step WHERE user_id = $1";
    let user = id.to_string();
    let passkeys = passkey::lock(c, &user).await?;
    if passkeys + c.execute(LOCK, values![user.as_str()]).await? == 0 {
        return Ok(false);
    }
    put_codes(c, &user, codes).await?;
    Ok(true)
}

/// These, and no others.
pub(super) async fn put_codes(
    c: &mut Connection,
    user: &str,
    codes: &[Digest],
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO recovery_codes (code, user_id) VALUES ($1, $2)";
    c.execute("DELETE FROM recovery_codes WHERE user_id = $1", values![user]).await?;
    for code in codes {
        c.execute(SQL, values![*code, user]).await?;
    }
    Ok(())
}

async fn count(c: &mut Connection, id: &UserId) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT COUNT(*) AS n FROM recovery_codes WHERE user_id = $1";
    let row = c.row(SQL, values![id.to_string()]).await?;
    let count = row.map(|row| row.int("n")).transpose()?;
    Ok(count.unwrap_or_default().unsigned_abs())
}

async fn remove(c: &mut Connection, id: &UserId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM authenticators WHERE user_id = $1";
    let user = id.to_string();
    // The passkeys first: who adds or removes one at the same time waits for it.
    let others = passkey::lock(c, &user).await?;
    let removed = c.execute(SQL, values![user.as_str()]).await? == 1;
    if others == 0 {
        remove_codes(c, &user).await?;
    }
    Ok(removed)
}

pub(super) async fn remove_codes(c: &mut Connection, user: &str) -> Result<(), StoreError> {
    c.execute("DELETE FROM recovery_codes WHERE user_id = $1", values![user]).await.map(drop)
}

pub(super) async fn exists(c: &mut Connection, user: &str) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM authenticators WHERE user_id = $1";
    Ok(c.row(SQL, values![user]).await?.is_some())
}

async fn start_over(c: &mut Connection, new: &OneTimeLink) -> Result<bool, StoreError> {
    // First, as for a new password: who is logging in with the old one has a session already, or gets none.
    const SQL: &str = "UPDATE users SET password_hash = NULL, passkey_login = NULL \
        WHERE id = $1 AND disabled_at IS NULL AND (EXISTS (SELECT 1 FROM authenticators WHERE user_id = $1) \
        OR EXISTS (SELECT 1 FROM passkeys WHERE user_id = $1))";
    let user = new.user_id.to_string();
    if c.execute(SQL, values![user.as_str()]).await? != 1 {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM passkeys WHERE user_id = $1",
        "DELETE FROM authenticators WHERE user_id = $1",
        "DELETE FROM recovery_codes WHERE user_id = $1",
        "DELETE FROM links WHERE user_id = $1",
    ] {
        c.execute(sql, values![user.as_str()]).await?;
    }
    session::end_all(c, &new.user_id).await?;
    // What whoever has the password said yes to.
    consent::forget_all(c, &user).await?;
    link::add(c, new).await?;
    Ok(true)
}

/// Time steps are numbers of today's size; one that is none is later than all.
fn number(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

fn row(row: &Row) -> Result<AuthenticatorRow, StoreError> {
    Ok(AuthenticatorRow {
        user_id: row.parsed("user_id")?,
        sealed: row.text("sealed")?,
        last_step: u64::try_from(row.int("last_step")?)
            .map_err(|_| StoreError::Corrupt("last_step"))?,
        confirmed_at: row.time("confirmed_at")?,
    })
}
