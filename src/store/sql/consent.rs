//! What people have said yes to.

use crate::id::{ClientId, UserId};
use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::grant::{Consent, ConsentKey, RevokeReason};
use crate::store::revoked::Whose;
use crate::time::Timestamp;

use super::columns::columns;
use super::ending::{self, Ended};

pub(super) async fn find(
    c: &mut Connection,
    (key, now): &(ConsentKey, Timestamp),
) -> Result<Option<Consent>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(consents),
        " FROM consents WHERE user_id = $1 AND client_id = $2 \
        AND redirect_class = $3 AND resource = $4 AND expires_at > $5"
    );
    let values = values![
        key.user_id.to_string(),
        key.client_id.as_str(),
        key.redirect_class.as_str(),
        key.resource.as_str(),
        *now,
    ];
    c.row(SQL, values).await?.as_ref().map(row).transpose()
}

pub(super) async fn put(c: &mut Connection, consent: &Consent) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO consents \
        (user_id, client_id, redirect_class, resource, scopes, granted_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, client_id, redirect_class, resource) \
        DO UPDATE SET scopes = excluded.scopes, granted_at = excluded.granted_at, expires_at = excluded.expires_at";
    let values = values![
        consent.key.user_id.to_string(),
        consent.key.client_id.as_str(),
        consent.key.redirect_class.as_str(),
        consent.key.resource.as_str(),
        consent.scopes.to_string(),
        consent.granted_at,
        consent.expires_at,
    ];
    c.execute(SQL, values).await.map(drop)
}

/// As [`put`], beside what was said yes to before: nothing of it is lost where two answers come at once.
pub(super) async fn remember(
    c: &mut Connection,
    given: &Consent,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut given = given.clone();
    if let Some(earlier) = find(c, &(given.key.clone(), now)).await? {
        given.scopes = earlier.scopes.union(&given.scopes);
    }
    put(c, &given).await
}

/// Whether it is there. It is until this transaction is over: whoever deletes it waits, and finds what is written here.
pub(super) async fn hold(
    c: &mut Connection,
    key: &ConsentKey,
    now: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM consents WHERE user_id = $1 AND client_id = $2 \
        AND redirect_class = $3 AND resource = $4 AND expires_at > $5";
    const SHARED: &str = "SELECT 1 FROM consents WHERE user_id = $1 AND client_id = $2 \
        AND redirect_class = $3 AND resource = $4 AND expires_at > $5 FOR SHARE";
    // On `SQLite` one writes at a time.
    let sql = if c.is_postgres() { SHARED } else { SQL };
    let values = values![
        key.user_id.to_string(),
        key.client_id.as_str(),
        key.redirect_class.as_str(),
        key.resource.as_str(),
        now,
    ];
    Ok(c.row(sql, values).await?.is_some())
}

/// All of a person. After their sessions: who was just saying yes in one of them has done so, or will not.
pub(super) async fn forget_all(c: &mut Connection, user: &str) -> Result<(), StoreError> {
    c.execute("DELETE FROM consents WHERE user_id = $1", values![user]).await.map(drop)
}

/// All of a person for a client.
pub(super) async fn forget(
    c: &mut Connection,
    (user, client): (&str, &str),
) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM consents WHERE user_id = $1 AND client_id = $2";
    c.execute(SQL, values![user, client]).await.map(drop)
}

pub(super) async fn list(c: &mut Connection, user: &UserId) -> Result<Vec<Consent>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(consents),
        " FROM consents WHERE user_id = $1 \
        ORDER BY client_id, redirect_class, resource LIMIT 1000"
    );
    c.rows(SQL, values![user.to_string()]).await?.iter().map(row).collect()
}

pub(super) async fn withdraw(
    c: &mut Connection,
    (user, client, now): &(UserId, ClientId, Timestamp),
) -> Result<Ended, StoreError> {
    forget(c, (&user.to_string(), client.as_str())).await?;
    let whose = Whose::UserAtClient(*user, client.clone());
    ending::end_all(c, whose, (RevokeReason::Person, *now)).await
}

fn row(row: &Row) -> Result<Consent, StoreError> {
    Ok(Consent {
        key: ConsentKey {
            user_id: row.parsed("user_id")?,
            client_id: row.parsed("client_id")?,
            redirect_class: row.text("redirect_class")?,
            resource: row.text("resource")?,
        },
        scopes: row.parsed("scopes")?,
        granted_at: row.time("granted_at")?,
        expires_at: row.time("expires_at")?,
    })
}
