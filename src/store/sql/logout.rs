//! [`LogoutStore`] on SQL.

use async_trait::async_trait;

use crate::id::{GrantId, UserId};
use crate::store::connection::{Connection, Row, values};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::grant::{GrantRow, RevokeReason};
use crate::store::logout::{
    LogOut, LoggedOut, LogoutNotice, LogoutStore, LogoutToken, NoticeClaim, Revokes,
};
use crate::store::person::{LoginOrigin, SessionRow};
use crate::store::revoked::Revocation;
use crate::time::Timestamp;

use super::columns::columns;
use super::database::SqlDatabase;
use super::identity_provider::Part;
use super::{authorization_request, clean_up, grant, provider_tokens, session};

/// For how long a client is tried to be told.
const NOTICE_LIVES: i64 = 86_400;

#[async_trait]
impl LogoutStore for SqlDatabase {
    async fn log_out(
        &self,
        which: &LogOut,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        let which = (which.clone(), now);
        let done = self.backend().write(which, |c, which| Box::pin(log_out(c, which))).await?;
        let Some((sessions, revoked)) = done else { return Ok(None) };
        self.shared.revoked.add(&revoked);
        let grants = u64::try_from(revoked.len()).unwrap_or(u64::MAX);
        Ok(Some(LoggedOut { sessions, grants }))
    }

    async fn claim_logout_notices(
        &self,
        asked: &NoticeClaim,
    ) -> Result<Vec<LogoutNotice>, StoreError> {
        // Most of the time there are none, and looking takes no turn from those who write.
        if !self.backend().read(&asked.now, |c, now| Box::pin(is_due(c, *now))).await? {
            return Ok(Vec::new());
        }
        self.backend().write(asked.clone(), |c, asked| Box::pin(claim(c, asked))).await
    }

    async fn put_off_logout_notice(
        &self,
        notice: &LogoutNotice,
        next_at: Timestamp,
    ) -> Result<(), StoreError> {
        let which = (notice.clone(), next_at);
        self.backend().write(which, |c, which| Box::pin(put_off(c, which))).await
    }

    async fn end_logout_notice(&self, notice: &LogoutNotice) -> Result<(), StoreError> {
        self.backend().write(notice.clone(), |c, notice| Box::pin(end(c, notice))).await
    }
}

/// How many sessions, and what is revoked now; `None` for a logout token that was used before.
async fn log_out(
    c: &mut Connection,
    (which, now): &(LogOut, Timestamp),
) -> Result<Option<(u64, Vec<Revocation>)>, StoreError> {
    match which {
        LogOut::Session { session, sid, revokes, left } => {
            if let Some(handle) = left {
                authorization_request::let_go(c, handle, session).await?;
            }
            let ended = session::end(c, session).await?;
            let revoked = of_sid(c, sid.as_deref(), revokes, *now).await?;
            Ok(Some((u64::from(ended), revoked)))
        }
        LogOut::Everywhere(user) => {
            let sids: Vec<_> =
                sessions_of(c, *user).await?.into_iter().map(|row| row.login.sid).collect();
            let ended = session::end_all(c, user).await?;
            notify(c, &sids, *now).await?;
            Ok(Some((ended, Vec::new())))
        }
        LogOut::Elsewhere(token) => elsewhere(c, token, *now).await,
    }
}

/// What was allowed in one log-in of ours.
async fn of_sid(
    c: &mut Connection,
    sid: Option<&str>,
    revokes: &Revokes,
    now: Timestamp,
) -> Result<Vec<Revocation>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(grants), " FROM grants WHERE sid = $1");
    let Some(sid) = sid else { return Ok(Vec::new()) };
    notify(c, &[Some(sid.to_owned())], now).await?;
    let rows = c.rows(SQL, values![sid]).await?;
    let grants = rows.iter().map(grant::row).collect::<Result<Vec<_>, _>>()?;
    let meant = |grant: &&GrantRow| match revokes {
        Revokes::Nothing => false,
        Revokes::Client(client) => grant.client_id == *client,
        Revokes::Everything => true,
    };
    let ids: Vec<GrantId> = grants.iter().filter(meant).map(|grant| grant.id).collect();
    grant::revoke_each(c, &ids, (RevokeReason::LogOut, now)).await
}

async fn elsewhere(
    c: &mut Connection,
    token: &LogoutToken,
    now: Timestamp,
) -> Result<Option<(u64, Vec<Revocation>)>, StoreError> {
    let once = (format!("logout|{}", token.issuer), Digest::of(&token.jti), token.remember_until);
    if !clean_up::first_use(c, &once).await? {
        return Ok(None);
    }
    let user = match &token.subject {
        Some(subject) => match user_of(c, &token.issuer, subject).await? {
            Some(user) => Some(user),
            None => return Ok(Some((0, Vec::new()))),
        },
        None => None,
    };
    if let (Some(user), None) = (user, &token.sid) {
        // Nothing of any log-in there is left to ask about.
        provider_tokens::forget(c, (&user.to_string(), &token.issuer)).await?;
    }
    end_of(c, (token, user), now).await.map(Some)
}

/// What comes from the log-ins that are meant. How many sessions, and what is revoked now.
pub(super) async fn end_of(
    c: &mut Connection,
    (token, user): (&LogoutToken, Option<UserId>),
    now: Timestamp,
) -> Result<(u64, Vec<Revocation>), StoreError> {
    let sessions = sessions_meant(c, token, user).await?;
    let mut sids = Vec::new();
    let mut ended = 0;
    for row in sessions {
        let is_login = row.method.as_deref().is_some_and(|method| method.starts_with("idp:"));
        if is_login && is_meant(&row.login, token) {
            ended += u64::from(session::end(c, &row.session).await?);
            sids.push(row.login.sid);
        }
    }
    // After the sessions: who was just allowing something in one of them has done so, or will not.
    let grants = grants_meant(c, token, user).await?;
    let grants: Vec<_> = grants.into_iter().filter(|row| is_meant(&row.login, token)).collect();
    sids.extend(grants.iter().map(|row| row.login.sid.clone()));
    notify(c, &sids, now).await?;
    // Those that have ended are there for their `sid` alone.
    let live = grants.iter().filter(|row| row.revoked_at.is_none() && row.expires_at > now);
    let ids: Vec<GrantId> = live.map(|row| row.id).collect();
    let revoked = grant::revoke_each(c, &ids, (RevokeReason::LogOut, now)).await?;
    Ok((ended, revoked))
}

/// What says nothing of where it comes from may come from there: it is of this person, and ends. What an assertion gave has
/// no `sid` of ours, and says where it comes from.
fn is_meant(login: &LoginOrigin, token: &LogoutToken) -> bool {
    if login.sid.is_none() && login.issuer.is_none() {
        return true;
    }
    let same = login.issuer.as_deref() == Some(token.issuer.as_str());
    let sid = match (&token.sid, &login.issuer_sid) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => true,
    };
    same && sid
}

/// Everything of the person; where the token names none, what has its `sid`.
async fn sessions_meant(
    c: &mut Connection,
    token: &LogoutToken,
    user: Option<UserId>,
) -> Result<Vec<SessionRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(sessions),
        " FROM sessions WHERE issuer_sid = $1 AND issuer = $2"
    );
    if let Some(user) = user {
        return sessions_of(c, user).await;
    }
    let values = values![&token.sid, token.issuer.as_str()];
    read(&c.rows(SQL, values).await?, session::row)
}

/// The same of grants.
async fn grants_meant(
    c: &mut Connection,
    token: &LogoutToken,
    user: Option<UserId>,
) -> Result<Vec<GrantRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(grants), " FROM grants WHERE issuer_sid = $1 AND issuer = $2");
    const OF_USER: &str = concat!("SELECT ", columns!(grants), " FROM grants WHERE user_id = $1");
    let rows = match user {
        Some(user) => c.rows(OF_USER, values![user.to_string()]).await?,
        None => c.rows(SQL, values![&token.sid, token.issuer.as_str()]).await?,
    };
    read(&rows, grant::row)
}

async fn sessions_of(c: &mut Connection, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(sessions), " FROM sessions WHERE user_id = $1");
    read(&c.rows(SQL, values![user.to_string()]).await?, session::row)
}

fn read<T>(rows: &[Row], one: fn(&Row) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
    rows.iter().map(one).collect()
}

async fn user_of(
    c: &mut Connection,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, StoreError> {
    const SQL: &str = "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2";
    let row = c.row(SQL, values![issuer, subject]).await?;
    row.map(|row| row.parsed("user_id")).transpose()
}

/// One notice for each client that got something in these log-ins, whether or not that still lives: it may have a session
/// of its own.
pub(super) async fn notify(
    c: &mut Connection,
    sids: &[Option<String>],
    now: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO logout_notices (sid, client_id, user_id, attempts, next_at, expires_at) \
        SELECT DISTINCT sid, client_id, user_id, 0, CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM grants \
        WHERE sid = $1 AND user_id IS NOT NULL ON CONFLICT DO NOTHING";
    let mut sids: Vec<&String> = sids.iter().flatten().collect();
    sids.sort_unstable();
    sids.dedup();
    for sid in sids {
        let values = values![sid.as_str(), now, now.plus_seconds(NOTICE_LIVES)];
        c.execute(SQL, values).await?;
    }
    Ok(())
}

/// The same for every log-in of some of an identity provider's people.
pub(super) async fn notify_of_part(
    c: &mut Connection,
    part: &Part,
    now: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO logout_notices (sid, client_id, user_id, attempts, next_at, expires_at) \
        SELECT DISTINCT sid, client_id, user_id, 0, CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM grants \
        WHERE user_id IN (SELECT user_id FROM identities WHERE issuer = $1 AND subject > $2 AND subject <= $3) \
        AND sid IS NOT NULL ON CONFLICT DO NOTHING";
    let Part { issuer, after, until } = part;
    let end = now.plus_seconds(NOTICE_LIVES);
    let values = values![issuer.as_str(), after.as_str(), until.as_str(), now, end];
    c.execute(SQL, values).await.map(drop)
}

async fn is_due(c: &mut Connection, now: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM logout_notices WHERE next_at <= $1 LIMIT 1";
    Ok(c.row(SQL, values![now]).await?.is_some())
}

/// `$5`: the clients that are left out, each between line feeds, which no id has. Of the rest the first few hundred are
/// looked at: there may be as many as an identity provider has people.
async fn claim(
    c: &mut Connection,
    NoticeClaim { now, until, limit, each, but }: &NoticeClaim,
) -> Result<Vec<LogoutNotice>, StoreError> {
    const SQL: &str = concat!(
        "WITH due AS (SELECT sid, client_id, next_at FROM logout_notices WHERE next_at <= $1 \
        AND REPLACE(CAST($5 AS TEXT), '\n' || client_id || '\n', '') = CAST($5 AS TEXT) \
        ORDER BY next_at LIMIT 256), \
        placed AS (SELECT sid, client_id, next_at, \
        ROW_NUMBER() OVER (PARTITION BY client_id ORDER BY next_at, sid) AS place FROM due) \
        UPDATE logout_notices SET next_at = $2, attempts = attempts + 1 \
        WHERE next_at <= $1 AND (sid, client_id) IN (SELECT sid, client_id FROM placed \
        WHERE place <= $4 ORDER BY next_at LIMIT $3) RETURNING ",
        columns!(logout_notices)
    );
    let but: String = but.iter().flat_map(|id| ["\n", id.as_str(), "\n"]).collect();
    let (limit, each) = (i64::from(*limit), i64::from(*each));
    let rows = c.rows(SQL, values![*now, *until, limit, each, but.as_str()]).await?;
    let notice = |row: &Row| -> Result<_, StoreError> {
        Ok(LogoutNotice {
            sid: row.text("sid")?,
            client_id: row.parsed("client_id")?,
            user_id: row.parsed("user_id")?,
            attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        })
    };
    rows.iter().map(notice).collect()
}

async fn put_off(
    c: &mut Connection,
    (notice, next_at): &(LogoutNotice, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE logout_notices SET next_at = $3 WHERE sid = $1 AND client_id = $2";
    let values = values![notice.sid.as_str(), notice.client_id.as_str(), *next_at];
    c.execute(SQL, values).await.map(drop)
}

async fn end(c: &mut Connection, notice: &LogoutNotice) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM logout_notices WHERE sid = $1 AND client_id = $2";
    c.execute(SQL, values![notice.sid.as_str(), notice.client_id.as_str()]).await.map(drop)
}
