//! [`RegistrationTokenStore`] on SQL.

use async_trait::async_trait;

use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::page::{Page, PageRequest};
use crate::store::registration_token::{RegistrationTokenRow, RegistrationTokenStore};
use crate::time::Timestamp;

use super::columns::columns;
use super::database::SqlDatabase;

#[async_trait]
impl RegistrationTokenStore for SqlDatabase {
    async fn add_registration_token(&self, row: &RegistrationTokenRow) -> Result<bool, StoreError> {
        self.named("add registration_tokens")
            .write(row.clone(), |c, row| Box::pin(add(c, row)))
            .await
    }

    async fn find_registration_token(
        &self,
        prefix: &str,
    ) -> Result<Option<RegistrationTokenRow>, StoreError> {
        let prefix = prefix.to_owned();
        self.named("find registration_tokens")
            .read(&prefix, |c, prefix| Box::pin(find(c, prefix)))
            .await
    }

    async fn list_registration_tokens(
        &self,
        page: &PageRequest,
    ) -> Result<Page<RegistrationTokenRow>, StoreError> {
        self.named("list registration_tokens").read(page, |c, page| Box::pin(list(c, page))).await
    }

    async fn use_registration_token(
        &self,
        prefix: &str,
        token: &Digest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (prefix.to_owned(), *token, now);
        self.named("spend registration_tokens")
            .write(which, |c, which| Box::pin(spend(c, which)))
            .await
    }

    async fn delete_registration_token(&self, prefix: &str) -> Result<bool, StoreError> {
        self.named("delete registration_tokens")
            .write(prefix.to_owned(), |c, prefix| Box::pin(delete(c, prefix)))
            .await
    }
}

async fn add(c: &mut Connection, row: &RegistrationTokenRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO registration_tokens (prefix, token_digest, name, uses, most_uses, created_at, \
        expires_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (prefix) DO NOTHING";
    let values = values![
        row.prefix.as_str(),
        row.token,
        &row.name,
        i64::from(row.uses),
        i64::from(row.most_uses),
        row.created_at,
        row.expires_at,
        row.last_used_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn find(
    c: &mut Connection,
    prefix: &String,
) -> Result<Option<RegistrationTokenRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(registration_tokens),
        " FROM registration_tokens WHERE prefix = $1"
    );
    c.row(SQL, values![prefix.as_str()]).await?.as_ref().map(row).transpose()
}

async fn list(
    c: &mut Connection,
    page: &PageRequest,
) -> Result<Page<RegistrationTokenRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(registration_tokens),
        " FROM registration_tokens WHERE prefix > $1 ORDER BY prefix LIMIT $2"
    );
    let after = page.after.clone().unwrap_or_default();
    let rows = c.rows(SQL, values![after, super::limit(page)]).await?;
    let rows = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(super::page(rows, page, |row| row.prefix.clone()))
}

/// Token and count in one statement: whoever waits for the row sees what the one before has left.
async fn spend(
    c: &mut Connection,
    (prefix, token, now): &(String, Digest, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE registration_tokens SET uses = uses + 1, last_used_at = $3 \
        WHERE prefix = $1 AND token_digest = $2 AND expires_at > $3 AND uses < most_uses";
    Ok(c.execute(SQL, values![prefix.as_str(), *token, *now]).await? == 1)
}

async fn delete(c: &mut Connection, prefix: &String) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM registration_tokens WHERE prefix = $1";
    Ok(c.execute(SQL, values![prefix.as_str()]).await? == 1)
}

fn row(row: &Row) -> Result<RegistrationTokenRow, StoreError> {
    let count = |column| Ok(u32::try_from(row.int(column)?).unwrap_or(u32::MAX));
    Ok(RegistrationTokenRow {
        prefix: row.text("prefix")?,
        token: row.digest("token_digest")?,
        name: row.maybe_text("name")?,
        uses: count("uses")?,
        most_uses: count("most_uses")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
    })
}
