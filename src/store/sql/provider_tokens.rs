//! [`ProviderTokenStore`] on SQL.

use async_trait::async_trait;

use crate::id::UserId;
use crate::store::connection::{Connection, Row, values};
use crate::store::error::StoreError;
use crate::store::logout::{LoggedOut, LogoutToken};
use crate::store::provider_tokens::{
    GivenTokens, ProviderAnswer, ProviderLogin, ProviderTokenStore, ProviderTokensRow, ProviderWord,
};
use crate::store::revoked::Revocation;
use crate::time::Timestamp;

use super::columns::columns;
use super::database::SqlDatabase;
use super::sealing::chosen;
use super::{identity_provider, logout, user};

#[async_trait]
impl ProviderTokenStore for SqlDatabase {
    async fn put_provider_login(&self, login: &ProviderLogin) -> Result<bool, StoreError> {
        self.named("put provider_tokens")
            .write(login.clone(), |c, login| Box::pin(put(c, login)))
            .await
    }

    async fn find_provider_word(
        &self,
        user_id: UserId,
        issuer: &str,
    ) -> Result<ProviderWord, StoreError> {
        let key = (user_id, issuer.to_owned());
        self.named("find provider_tokens").read(&key, |c, key| Box::pin(find(c, key))).await
    }

    async fn claim_provider_tokens(
        &self,
        row: &ProviderTokensRow,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let which = (row.clone(), now, until);
        self.named("claim provider_tokens").write(which, |c, which| Box::pin(claim(c, which))).await
    }

    async fn put_provider_answer(
        &self,
        row: &ProviderTokensRow,
        answer: &ProviderAnswer,
    ) -> Result<bool, StoreError> {
        let which = (row.clone(), answer.clone());
        self.named("renew provider_tokens").write(which, |c, which| Box::pin(renew(c, which))).await
    }

    async fn put_off_provider_tokens(
        &self,
        row: &ProviderTokensRow,
        ask_at: Timestamp,
    ) -> Result<(), StoreError> {
        let which = (row.clone(), ask_at);
        self.named("put_off provider_tokens")
            .write(which, |c, which| Box::pin(put_off(c, which)))
            .await
    }

    async fn end_provider_tokens(
        &self,
        row: &ProviderTokensRow,
        now: Timestamp,
    ) -> Result<Option<LoggedOut>, StoreError> {
        let ended = self
            .named("end provider_tokens")
            .write((row.clone(), now), |c, which| Box::pin(end(c, which)))
            .await?;
        let Some((sessions, revoked)) = ended else { return Ok(None) };
        self.shared.revoked.add(&revoked);
        let grants = u64::try_from(revoked.len()).unwrap_or(u64::MAX);
        Ok(Some(LoggedOut { sessions, grants }))
    }
}

/// The first version is the time, in milliseconds: nothing that was taken out before has had it.
async fn put(c: &mut Connection, login: &ProviderLogin) -> Result<bool, StoreError> {
    const LOGGED_IN: &str =
        "UPDATE identities SET logged_in_at = $3 WHERE user_id = $1 AND issuer = $2";
    const NEW: &str = "INSERT INTO provider_tokens \
        (user_id, issuer, sealed, version, claimed_until, ask_at, heard_at) VALUES ($1, $2, $3, $4, 0, 0, $4) \
        ON CONFLICT (user_id, issuer) DO UPDATE SET sealed = excluded.sealed, \
        version = provider_tokens.version + 1, claimed_until = 0, ask_at = 0, heard_at = excluded.heard_at";
    const HEARD: &str =
        "UPDATE provider_tokens SET heard_at = $3 WHERE user_id = $1 AND issuer = $2";
    let ProviderLogin { user_id, issuer, provider, tokens, now } = login;
    // Since they came back the provider took its time, in which they may have gone, or it.
    if let Some(provider) = provider
        && !identity_provider::holds(c, provider, Some(issuer)).await?
    {
        return Ok(false);
    }
    if !user::holds(c, *user_id, None).await? {
        return Ok(false);
    }
    let (user, issuer) = (user_id.to_string(), issuer.as_str());
    c.execute(LOGGED_IN, values![user.as_str(), issuer, *now]).await?;
    match tokens {
        GivenTokens::New(sealed) => {
            let sealed = chosen(c, sealed).await?;
            c.execute(NEW, values![user, issuer, sealed, *now]).await?;
        }
        GivenTokens::None => {
            c.execute(HEARD, values![user, issuer, *now]).await?;
        }
        GivenTokens::NotKept => forget(c, (&user, issuer)).await?,
    }
    Ok(true)
}

/// What somebody has of one provider.
pub(super) async fn forget(
    c: &mut Connection,
    (user, issuer): (&str, &str),
) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM provider_tokens WHERE user_id = $1 AND issuer = $2";
    c.execute(SQL, values![user, issuer]).await.map(drop)
}

/// What somebody has of any.
pub(super) async fn forget_all(c: &mut Connection, user: UserId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM provider_tokens WHERE user_id = $1";
    c.execute(SQL, values![user.to_string()]).await.map(drop)
}

async fn find(
    c: &mut Connection,
    (user, issuer): &(UserId, String),
) -> Result<ProviderWord, StoreError> {
    const LOGGED_IN: &str = "SELECT MAX(logged_in_at) AS logged_in_at FROM identities \
        WHERE user_id = $1 AND issuer = $2";
    const TOKENS: &str = concat!(
        "SELECT ",
        columns!(provider_tokens),
        " FROM provider_tokens WHERE user_id = $1 AND issuer = $2"
    );
    let user = user.to_string();
    let known = c.row(LOGGED_IN, values![user.as_str(), issuer.as_str()]).await?;
    let logged_in_at = known.map(|row| row.maybe_time("logged_in_at")).transpose()?.flatten();
    let tokens = c.row(TOKENS, values![user, issuer.as_str()]).await?;
    Ok(ProviderWord { logged_in_at, tokens: tokens.as_ref().map(row).transpose()? })
}

async fn claim(
    c: &mut Connection,
    (row, now, until): &(ProviderTokensRow, Timestamp, Timestamp),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE provider_tokens SET claimed_until = $5 \
        WHERE user_id = $1 AND issuer = $2 AND version = $3 AND claimed_until <= $4";
    let values = values![row.user_id.to_string(), row.issuer.as_str(), row.version, *now, *until];
    Ok(c.execute(SQL, values).await? == 1)
}

async fn renew(
    c: &mut Connection,
    (row, answer): &(ProviderTokensRow, ProviderAnswer),
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE provider_tokens SET sealed = $4, version = version + 1, claimed_until = 0, \
        ask_at = $5, heard_at = COALESCE($6, heard_at) WHERE user_id = $1 AND issuer = $2 AND version = $3";
    let sealed = chosen(c, &answer.sealed).await?;
    let heard_at = answer.said.as_ref().map(|_| answer.now);
    let key = (row.user_id.to_string(), row.issuer.as_str());
    let values = values![key.0, key.1, row.version, sealed, answer.ask_at, heard_at];
    if c.execute(SQL, values).await? != 1 {
        return Ok(false);
    }
    if let Some(said) = &answer.said {
        user::say_again(c, (row.user_id, said)).await?;
    }
    Ok(true)
}

async fn put_off(
    c: &mut Connection,
    (row, ask_at): &(ProviderTokensRow, Timestamp),
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE provider_tokens SET claimed_until = 0, ask_at = $4 \
        WHERE user_id = $1 AND issuer = $2 AND version = $3";
    let values = values![row.user_id.to_string(), row.issuer.as_str(), row.version, *ask_at];
    c.execute(SQL, values).await.map(drop)
}

/// Of two callers one deletes it, and ends the rest.
async fn end(
    c: &mut Connection,
    (row, now): &(ProviderTokensRow, Timestamp),
) -> Result<Option<(u64, Vec<Revocation>)>, StoreError> {
    const SQL: &str =
        "DELETE FROM provider_tokens WHERE user_id = $1 AND issuer = $2 AND version = $3";
    let values = values![row.user_id.to_string(), row.issuer.as_str(), row.version];
    if c.execute(SQL, values).await? != 1 {
        return Ok(None);
    }
    let token = LogoutToken {
        issuer: row.issuer.clone(),
        subject: None,
        sid: None,
        jti: String::new(),
        remember_until: *now,
    };
    logout::end_of(c, (&token, Some(row.user_id)), *now).await.map(Some)
}

fn row(row: &Row) -> Result<ProviderTokensRow, StoreError> {
    Ok(ProviderTokensRow {
        user_id: row.parsed("user_id")?,
        issuer: row.text("issuer")?,
        sealed: row.text("sealed")?,
        version: row.int("version")?,
        ask_at: row.time("ask_at")?,
        heard_at: row.time("heard_at")?,
    })
}
