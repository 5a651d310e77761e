//! [`UpstreamAccountStore`] on SQL.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::upstream_account::{EndedAccount, UpstreamAccountRow, UpstreamAccountStore};
use crate::time::Timestamp;

use super::columns::columns;
use super::database::SqlDatabase;
use super::sealing::chosen;
use super::{ended_account, user};

#[async_trait]
impl UpstreamAccountStore for SqlDatabase {
    async fn find_upstream_account(
        &self,
        user_id: UserId,
        server: &str,
    ) -> Result<Option<UpstreamAccountRow>, StoreError> {
        let key = (user_id, server.to_owned());
        self.named("find upstream_accounts").read(&key, |c, key| Box::pin(find(c, key))).await
    }

    async fn list_upstream_accounts(
        &self,
        user_id: UserId,
    ) -> Result<Vec<UpstreamAccountRow>, StoreError> {
        self.named("list upstream_accounts").read(&user_id, |c, user| Box::pin(list(c, user))).await
    }

    async fn put_upstream_account(&self, row: &UpstreamAccountRow) -> Result<bool, StoreError> {
        self.named("put upstream_accounts").write(row.clone(), |c, row| Box::pin(put(c, row))).await
    }

    async fn claim_upstream_account(
        &self,
        row: &UpstreamAccountRow,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (row.clone(), now, until);
        self.named("claim upstream_accounts")
            .write(which, |c, which| Box::pin(claim(c, which)))
            .await
    }

    async fn renew_upstream_account(
        &self,
        row: &UpstreamAccountRow,
        sealed: &str,
    ) -> Result<bool, StoreError> {
        let which = (row.clone(), sealed.to_owned());
        self.named("renew upstream_accounts")
            .write(which, |c, which| Box::pin(renew(c, which)))
            .await
    }

    async fn disconnect_upstream_account(
        &self,
        user_id: UserId,
        server: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (user_id, server.to_owned(), now);
        self.named("disconnect upstream_accounts")
            .write(which, |c, which| Box::pin(ended_account::end_one(c, which)))
            .await
    }

    async fn end_upstream_account(
        &self,
        user_id: UserId,
        server: &str,
        version: i64,
    ) -> Result<Option<UpstreamAccountRow>, StoreError> {
        let which = (user_id, server.to_owned(), version);
        self.named("end upstream_accounts").write(which, |c, which| Box::pin(end(c, which))).await
    }

    async fn end_accounts_without_grant(&self, now: Timestamp) -> Result<u64, StoreError> {
        let named = self.named("end_without_grant upstream_accounts");
        if !named.read(&now, |c, now| Box::pin(ended_account::is_any_without_grant(c, now))).await?
        {
            return Ok(0);
        }
        named.write(now, |c, now| Box::pin(ended_account::end_without_grant(c, now))).await
    }

    async fn claim_ended_account(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<EndedAccount>, StoreError> {
        let named = self.named("claim ended_accounts");
        if !named.read(&now, |c, now| Box::pin(ended_account::is_due(c, now))).await? {
            return Ok(None);
        }
        named.write((now, until), |c, which| Box::pin(ended_account::claim(c, which))).await
    }

    async fn put_off_ended_account(
        &self,
        account: &UpstreamAccountRow,
        next_at: Timestamp,
    ) -> Result<(), StoreError> {
        let which = (account.clone(), next_at);
        self.named("put_off ended_accounts")
            .write(which, |c, which| Box::pin(ended_account::put_off(c, which)))
            .await
    }

    async fn forget_ended_account(&self, account: &UpstreamAccountRow) -> Result<(), StoreError> {
        self.named("forget ended_accounts")
            .write(account.clone(), |c, account| Box::pin(ended_account::forget(c, account)))
            .await
    }

    async fn find_upstream_client(&self, server: &str) -> Result<Option<String>, StoreError> {
        let server = server.to_owned();
        self.named("find_client upstream_clients")
            .read(&server, |c, server| Box::pin(find_client(c, server)))
            .await
    }

    async fn put_upstream_client(
        &self,
        server: &str,
        sealed: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let which = (server.to_owned(), sealed.to_owned(), now);
        self.named("put_client upstream_clients")
            .write(which, |c, which| Box::pin(put_client(c, which)))
            .await
    }
}

async fn find(
    c: &mut Connection,
    (user, server): &(UserId, String),
) -> Result<Option<UpstreamAccountRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(upstream_accounts),
        " FROM upstream_accounts WHERE user_id = $1 AND server = $2"
    );
    let values = values![user.to_string(), server.as_str()];
    c.row(SQL, values).await?.as_ref().map(row).transpose()
}

async fn list(c: &mut Connection, user: &UserId) -> Result<Vec<UpstreamAccountRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(upstream_accounts),
        " FROM upstream_accounts WHERE user_id = $1 ORDER BY server LIMIT 200"
    );
    c.rows(SQL, values![user.to_string()]).await?.iter().map(row).collect()
}

/// The first version is when it was connected, in milliseconds: no account that was ended before has had it.
async fn put(c: &mut Connection, row: &UpstreamAccountRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO upstream_accounts \
        (user_id, server, sealed, version, claimed_until, connected_at) VALUES ($1, $2, $3, $4, 0, $4) \
        ON CONFLICT (user_id, server) DO UPDATE SET sealed = excluded.sealed, \
        version = upstream_accounts.version + 1, claimed_until = 0, connected_at = excluded.connected_at";
    // Since they came back the upstream took its time, in which they may have gone.
    if !user::holds(c, row.user_id, None).await? {
        return Ok(false);
    }
    let sealed = chosen(c, &row.sealed).await?;
    let values = values![row.user_id.to_string(), row.server.as_str(), sealed, row.connected_at];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn claim(
    c: &mut Connection,
    (row, now, until): &(UpstreamAccountRow, Timestamp, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE upstream_accounts SET claimed_until = $5 \
        WHERE user_id = $1 AND server = $2 AND version = $3 AND claimed_until <= $4";
    let values = values![row.user_id.to_string(), row.server.as_str(), row.version, *now, *until];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn renew(
    c: &mut Connection,
    (row, sealed): &(UpstreamAccountRow, String),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE upstream_accounts SET sealed = $4, version = version + 1, claimed_until = 0 \
        WHERE user_id = $1 AND server = $2 AND version = $3";
    let sealed = chosen(c, sealed).await?;
    let values = values![row.user_id.to_string(), row.server.as_str(), row.version, sealed];
    Ok(c.execute(SQL, values).await? == 1)
}

/// Read and deleted in one transaction; of two callers one deletes it, and has it.
async fn end(
    c: &mut Connection,
    (user, server, version): &(UserId, String, i64),
) -> Result<Option<UpstreamAccountRow>, StoreError> {
    const SQL: &str =
        "DELETE FROM upstream_accounts WHERE user_id = $1 AND server = $2 AND version = $3";
    let Some(found) = find(c, &(*user, server.clone())).await? else { return Ok(None) };
    let values = values![user.to_string(), server.as_str(), *version];
    Ok((c.execute(SQL, values).await? == 1).then_some(found))
}

async fn find_client(c: &mut Connection, server: &String) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT sealed FROM upstream_clients WHERE server = $1";
    c.row(SQL, values![server.as_str()]).await?.map(|row| row.text("sealed")).transpose()
}

async fn put_client(
    c: &mut Connection,
    (server, sealed, now): &(String, String, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO upstream_clients (server, sealed, created_at) VALUES ($1, $2, $3) \
        ON CONFLICT (server) DO UPDATE SET sealed = excluded.sealed, created_at = excluded.created_at";
    let sealed = chosen(c, sealed).await?;
    c.execute(SQL, values![server.as_str(), sealed, *now]).await.map(drop)
}

pub(super) fn row(row: &Row) -> Result<UpstreamAccountRow, StoreError> {
    Ok(UpstreamAccountRow {
        user_id: row.parsed("user_id")?,
        server: row.text("server")?,
        sealed: row.text("sealed")?,
        version: row.int("version")?,
        connected_at: row.time("connected_at")?,
    })
}
