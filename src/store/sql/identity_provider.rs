//! [`IdentityProviderStore`] on SQL.

use async_trait::async_trait;

use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::grant::RevokeReason;
use crate::store::identity_provider::{IdentityProviderRow, IdentityProviderStore};
use crate::store::logout::LoggedOut;
use crate::store::revoked::Revocation;
use crate::time::Timestamp;

use super::columns::columns;
use super::database::SqlDatabase;
use super::{ended_account, grant, logout};

/// How many people are ended in one transaction: a provider may have more than one could take.
const AT_ONCE: i64 = 100;

/// Of an issuer, the subjects after this one and up to that one.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) issuer: String,
    pub(super) after: String,
    pub(super) until: String,
}

/// What becomes of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Disabled,
    Deleted,
}

impl SqlDatabase {
    /// Lets nobody in there any more, then ends what its people have, part by part: `None` where there is no such provider.
    async fn end(
        &self,
        id: &str,
        (end, now): (End, Timestamp),
    ) -> Result<Option<LoggedOut>, StoreError> {
        let issuer = self
            .named("disable identity_providers")
            .write((id.to_owned(), now), |c, which| Box::pin(disable(c, which)))
            .await?;
        let Some(issuer) = issuer else { return Ok(None) };
        let (mut ended, mut after) = (LoggedOut { sessions: 0, grants: 0 }, String::new());
        loop {
            let asked = (issuer.clone(), after);
            let until = self
                .named("list_part identities")
                .read(&asked, |c, asked| Box::pin(part(c, asked)))
                .await?;
            let (issuer, after_this) = asked;
            let Some(until) = until else { return Ok(Some(ended)) };
            let part = Part { issuer, after: after_this, until: until.clone() };
            let (sessions, revoked) = self
                .named("end_people identity_providers")
                .write((part, end, now), |c, which| Box::pin(end_people(c, which)))
                .await?;
            self.shared.revoked.add(&revoked);
            ended.sessions += sessions;
            ended.grants += u64::try_from(revoked.len()).unwrap_or(u64::MAX);
            after = until;
        }
    }
}

#[async_trait]
impl IdentityProviderStore for SqlDatabase {
    async fn add_identity_provider(&self, row: &IdentityProviderRow) -> Result<bool, StoreError> {
        self.named("add identity_providers")
            .write(row.clone(), |c, row| Box::pin(add(c, row)))
            .await
    }

    async fn find_identity_provider(
        &self,
        id: &str,
    ) -> Result<Option<IdentityProviderRow>, StoreError> {
        self.named("find identity_providers")
            .read(&id.to_owned(), |c, id| Box::pin(find(c, id)))
            .await
    }

    async fn list_identity_providers(&self) -> Result<Vec<IdentityProviderRow>, StoreError> {
        self.named("list identity_providers").read(&(), |c, ()| Box::pin(list(c))).await
    }

    async fn change_identity_provider(
        &self,
        known: &IdentityProviderRow,
        settings: &str,
    ) -> Result<bool, StoreError> {
        let which = (known.clone(), settings.to_owned());
        self.named("change identity_providers")
            .write(which, |c, which| Box::pin(change(c, which)))
            .await
    }

    async fn disable_identity_provider(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        self.end(id, (End::Disabled, now)).await
    }

    async fn enable_identity_provider(&self, id: &str) -> Result<bool, StoreError> {
        self.named("enable identity_providers")
            .write(id.to_owned(), |c, id| Box::pin(enable(c, id)))
            .await
    }

    async fn delete_identity_provider(
        &self,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        loop {
            let Some(ended) = self.end(id, (End::Deleted, now)).await? else { return Ok(None) };
            // Unless somebody has let people in again meanwhile.
            let deleted = self
                .named("delete identity_providers")
                .write(id.to_owned(), |c, id| Box::pin(delete(c, id)))
                .await?;
            if deleted {
                return Ok(Some(ended));
            }
        }
    }
}

async fn add(c: &mut Connection, row: &IdentityProviderRow) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO identity_providers (id, issuer, groups_prefix, settings, created_at, disabled_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let values = values![
        row.id.as_str(),
        row.issuer.as_str(),
        row.groups_prefix.as_str(),
        row.settings.as_str(),
        row.created_at,
        row.disabled_at,
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn find(c: &mut Connection, id: &String) -> Result<Option<IdentityProviderRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(identity_providers), " FROM identity_providers WHERE id = $1");
    c.row(SQL, values![id.as_str()]).await?.as_ref().map(row).transpose()
}

async fn list(c: &mut Connection) -> Result<Vec<IdentityProviderRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(identity_providers), " FROM identity_providers ORDER BY id");
    c.rows(SQL, values![]).await?.iter().map(row).collect()
}

async fn change(
    c: &mut Connection,
    (known, settings): &(IdentityProviderRow, String),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE identity_providers SET settings = $4 \
        WHERE id = $1 AND issuer = $2 AND settings = $3";
    let values = values![
        known.id.as_str(),
        known.issuer.as_str(),
        known.settings.as_str(),
        settings.as_str()
    ];
    Ok(c.execute(SQL, values).await? == 1)
}

/// Its issuer.
async fn disable(
    c: &mut Connection,
    (id, now): &(String, Timestamp),
) -> Result<Option<String>, StoreError> {
    const SQL: &str = "UPDATE identity_providers SET disabled_at = COALESCE(disabled_at, $2) \
        WHERE id = $1 RETURNING issuer";
    let row = c.row(SQL, values![id.as_str(), *now]).await?;
    row.map(|row| row.text("issuer")).transpose()
}

async fn enable(c: &mut Connection, id: &String) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE identity_providers SET disabled_at = NULL WHERE id = $1";
    Ok(c.execute(SQL, values![id.as_str()]).await? == 1)
}

async fn delete(c: &mut Connection, id: &String) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM identity_providers WHERE id = $1 AND disabled_at IS NOT NULL";
    Ok(c.execute(SQL, values![id.as_str()]).await? == 1)
}

/// Whether people may log in there. Until this transaction is over they may: whoever disables it or takes it out waits, and
/// ends the session that begins here.
pub(super) async fn holds(
    c: &mut Connection,
    id: &str,
    issuer: Option<&str>,
) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT issuer FROM identity_providers WHERE id = $1 AND disabled_at IS NULL";
    const SHARED: &str =
        "SELECT issuer FROM identity_providers WHERE id = $1 AND disabled_at IS NULL FOR SHARE";
    // On `SQLite` one writes at a time.
    let sql = if c.is_postgres() { SHARED } else { SQL };
    let Some(row) = c.row(sql, values![id]).await? else { return Ok(false) };
    Ok(Some(&*row.text("issuer")?) == issuer)
}

/// The last subject of the next part.
async fn part(
    c: &mut Connection,
    (issuer, after): &(String, String),
) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT subject FROM identities WHERE issuer = $1 AND subject > $2 \
        ORDER BY subject LIMIT $3";
    let rows = c.rows(SQL, values![issuer.as_str(), after.as_str(), AT_ONCE]).await?;
    rows.last().map(|row| row.text("subject")).transpose()
}

macro_rules! people {
    () => {
        "(SELECT user_id FROM identities WHERE issuer = $1 AND subject > $2 AND subject <= $3)"
    };
}

/// What is about people while they are let in, and goes before their grants.
const OF_PEOPLE: [&str; 4] = [
    // First: this waits for who is just allowing something in one of them.
    concat!("DELETE FROM sessions WHERE user_id IN ", people!()),
    concat!(
        "DELETE FROM codes WHERE used_at IS NULL AND grant_id IN (SELECT id FROM grants WHERE user_id IN ",
        people!(),
        ")"
    ),
    concat!("DELETE FROM links WHERE user_id IN ", people!()),
    concat!("DELETE FROM provider_tokens WHERE issuer = $1 AND user_id IN ", people!()),
];

/// Their tokens are given back, as at everybody's end.
const ACCOUNTS: &str = concat!(
    "DELETE FROM upstream_accounts WHERE user_id IN ",
    people!(),
    " RETURNING ",
    columns!(upstream_accounts)
);

/// Nobody says any more who is in a group of a provider that is gone, or has a role of it; another one may have its prefix.
const NAMES: [&str; 2] = [
    concat!(
        "UPDATE users SET member_of = '[]', groups_incomplete = 1 WHERE member_of <> '[]' AND id IN ",
        people!()
    ),
    concat!(
        "UPDATE users SET has_roles = '[]', roles_incomplete = 1 WHERE has_roles <> '[]' AND id IN ",
        people!()
    ),
];

/// Whatever they logged in with last: what does not say where it comes from may come from there. How many sessions, and what
/// is revoked now.
async fn end_people(
    c: &mut Connection,
    (part, end, now): &(Part, End, Timestamp),
) -> Result<(u64, Vec<Revocation>), StoreError> {
    let mut ended = Vec::new();
    let names = (*end == End::Deleted).then_some(NAMES);
    for sql in OF_PEOPLE.into_iter().chain(names.into_iter().flatten()) {
        let values = values![part.issuer.as_str(), part.after.as_str(), part.until.as_str()];
        ended.push(c.execute(sql, values).await?);
    }
    let values = values![part.issuer.as_str(), part.after.as_str(), part.until.as_str()];
    let gone = c.rows(ACCOUNTS, values).await?;
    ended_account::keep(c, &gone, *now).await?;
    let sessions = ended.first().copied().unwrap_or_default();
    logout::notify_of_part(c, part, *now).await?;
    let revoked = grant::revoke_of_part(c, part, (RevokeReason::Disabled, *now)).await?;
    Ok((sessions, revoked))
}

fn row(row: &Row) -> Result<IdentityProviderRow, StoreError> {
    Ok(IdentityProviderRow {
        id: row.text("id")?,
        issuer: row.text("issuer")?,
        groups_prefix: row.text("groups_prefix")?,
        settings: row.text("settings")?,
        created_at: row.time("created_at")?,
        disabled_at: row.maybe_time("disabled_at")?,
    })
}
