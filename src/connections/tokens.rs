//! A person's token for a call: as it is kept, or renewed, by one at a time over all replicas.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use url::Url;

use crate::id::UserId;
use crate::oauth_client::{Authorization, NoToken, Unusable};
use crate::secret_text::SecretText;
use crate::steps::Steps;
use crate::store::UpstreamAccountRow;

use super::kept::{Kept, joined};
use super::{ConnectionError, Connections};

/// How long one who renews has, before another may: longer than one exchange can take, and nothing else is done meanwhile.
const CLAIM: Duration = Duration::from_secs(20);
/// For the exchanges under way when the broker ends: as long as one can take.
const LAST: Duration = Duration::from_secs(10);
/// How often who waits for another replica looks whether it is done.
const LOOK: Duration = Duration::from_millis(100);
/// Answers are gone with the last of those who wait; this is for those that were all given up.
const AT_MOST: Duration = Duration::from_secs(1);

/// Bytes that are kept of what a server says is missing.
const MOST: usize = 4096;

/// Renewals under way in this process, by what is renewed.
pub(super) struct Renewing(Cache<(UserId, String, i64), Result<SecretText, NoToken>>);

impl Renewing {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(10_000).time_to_live(AT_MOST).build())
    }
}

impl Connections {
    /// A token of this person for this server, to be shown there and nowhere else.
    ///
    /// # Errors
    ///
    /// [`NoToken::NotConnected`] where the person has not connected an account, or its authorization server takes the
    /// refresh token no more; the others where it is away
    pub async fn token(
        &self,
        user_id: UserId,
        (server, url): (&str, &Url),
    ) -> Result<SecretText, NoToken> {
        let row = self.0.parts.store.find_upstream_account(user_id, server).await;
        let row =
            row.map_err(|error| failed(&error.into()))?.ok_or_else(|| self.not_connected())?;
        let kept = self.for_here(&row, url.as_str()).await?;
        if !kept.left(self.0.parts.clock.now()).is_zero() {
            return Ok(kept.access_token);
        }
        self.renewed(row, kept).await
    }

    /// What is kept, where the server still is where it was when its person connected the account. Elsewhere the account is
    /// ended: nobody allowed that place to see its tokens.
    ///
    /// `url` is where they are to be shown. That is another place for calls that were under way when a registered server moved:
    /// they get none, and the account stays.
    async fn for_here(&self, row: &UpstreamAccountRow, url: &str) -> Result<Kept, NoToken> {
        let kept = self.open(row).map_err(|error| failed(&error))?;
        let server = self.server(&row.server).map_err(|error| failed(&error))?;
        if kept.server_url == server.url.as_str() {
            return if kept.server_url == url { Ok(kept) } else { Err(self.not_connected()) };
        }
        tracing::warn!(server = server.id, "connections.server_moved");
        let (store, version) = (&self.0.parts.store, row.version);
        let ended = store.end_upstream_account(row.user_id, &row.server, version).await;
        ended.map_err(|error| failed(&error.into()))?;
        Err(self.not_connected())
    }

    /// The server did not accept this token. If it is the one that is kept, it is renewed before the next call, but not over
    /// and over.
    ///
    /// # Errors
    ///
    /// [`NoToken`]
    pub async fn refused(
        &self,
        (user_id, server): (UserId, &str),
        shown: &SecretText,
    ) -> Result<(), NoToken> {
        let row = self.0.parts.store.find_upstream_account(user_id, server).await;
        let row = row.map_err(|error| failed(&error.into()))?;
        let Some(row) = row else { return Ok(()) };
        let mut kept = self.open(&row).map_err(|error| failed(&error))?;
        let now = self.0.parts.clock.monotonic();
        if kept.access_token != *shown || !self.0.forced.may_be((user_id, server.to_owned()), now) {
            return Ok(());
        }
        kept.ends = crate::time::Timestamp::default();
        let sealed = self.seal((user_id, server), &kept).map_err(|error| failed(&error))?;
        let renewed = self.0.parts.store.renew_upstream_account(&row, &sealed).await;
        renewed.map(drop).map_err(|error| failed(&error.into()))
    }

    /// The server wants a token with more scopes than the person's has: they have to connect again, and are asked for these
    /// too, whichever replica they come to. Where to send them.
    ///
    /// # Errors
    ///
    /// [`NoToken`]
    pub async fn wants_more(
        &self,
        (user_id, server): (UserId, &str),
        scope: &str,
    ) -> Result<Arc<str>, NoToken> {
        let store = &self.0.parts.store;
        loop {
            let row = store.find_upstream_account(user_id, server).await;
            let row = row.map_err(|error| failed(&error.into()))?;
            let Some(row) = row else { break };
            let mut kept = self.open(&row).map_err(|error| failed(&error))?;
            let missing = joined(kept.missing.as_deref(), Some(scope));
            if missing == kept.missing || missing.as_ref().is_some_and(|all| all.len() > MOST) {
                break;
            }
            kept.missing = missing;
            let sealed = self.seal((user_id, server), &kept).map_err(|error| failed(&error))?;
            let noted = store.renew_upstream_account(&row, &sealed).await;
            // Else it was renewed meanwhile.
            if noted.map_err(|error| failed(&error.into()))? {
                break;
            }
        }
        Ok(Arc::clone(&self.0.parts.page))
    }

    fn not_connected(&self) -> NoToken {
        NoToken::NotConnected(Arc::clone(&self.0.parts.page))
    }

    /// Renews, or waits for who does in this process: in a task of its own, whoever goes away meanwhile. A refresh token that
    /// was sent counts once, and its answer is the only one that there will be (OAuth 2.1 §4.3.1).
    async fn renewed(&self, row: UpstreamAccountRow, kept: Kept) -> Result<SecretText, NoToken> {
        let connections = self.clone();
        let renewing = async move {
            let key = (row.user_id, row.server.clone(), row.version);
            let renewing = &connections.0.renewing.0;
            let outcome =
                renewing.get_with(key.clone(), Box::pin(connections.renew(row, kept))).await;
            renewing.invalidate(&key).await;
            outcome
        };
        let renewing = self.0.under_way.spawn(Steps::within(Steps::current(), renewing));
        renewing.await.unwrap_or(Err(NoToken::Away))
    }

    /// Waits for the renewals under way, whose callers may be gone.
    pub async fn settle(&self) {
        self.0.under_way.close();
        if tokio::time::timeout(LAST, self.0.under_way.wait()).await.is_err() {
            tracing::warn!("connections.renewals_given_up");
        }
    }

    /// Renews, or waits for the replica that does.
    async fn renew(&self, row: UpstreamAccountRow, kept: Kept) -> Result<SecretText, NoToken> {
        let parts = &self.0.parts;
        let Some(refresh_token) = kept.refresh_token.clone() else {
            // Over, and nothing to have another with: its person is to see that.
            let (user_id, version) = (row.user_id, row.version);
            let ended = parts.store.end_upstream_account(user_id, &row.server, version).await;
            ended.map_err(|error| failed(&error.into()))?;
            return Err(self.not_connected());
        };
        // All that has to be found out and read comes before the claim, which is over before long.
        let authorization = self.authorization(&row.server, &kept.issuer).await;
        let authorization = authorization.map_err(|error| failed(&error))?;
        let authorization = authorization.with_its_secret().await;
        let authorization = authorization.map_err(|error| failed(&error.into()))?;
        let (started, mut now) = (parts.clock.monotonic(), parts.clock.now());
        loop {
            let claimed = parts.store.claim_upstream_account(&row, now, now.plus(CLAIM)).await;
            if claimed.map_err(|error| failed(&error.into()))? {
                return self.ask(&row, &kept, (&authorization, &refresh_token)).await;
            }
            let found = parts.store.find_upstream_account(row.user_id, &row.server).await;
            let found = found.map_err(|error| failed(&error.into()))?;
            let found = found.ok_or_else(|| self.not_connected())?;
            if found.version != row.version {
                return Ok(self.for_here(&found, &kept.server_url).await?.access_token);
            }
            if parts.clock.monotonic().saturating_sub(started) > CLAIM {
                return Err(NoToken::Slow);
            }
            tokio::time::sleep(LOOK).await;
            now = parts.clock.now();
        }
    }

    async fn ask(
        &self,
        row: &UpstreamAccountRow,
        kept: &Kept,
        (authorization, refresh_token): (&Authorization, &SecretText),
    ) -> Result<SecretText, NoToken> {
        let parts = &self.0.parts;
        let asked_at = parts.clock.now();
        match authorization.refresh(refresh_token).await {
            Ok(granted) => {
                let new = kept.renewed(granted, asked_at);
                self.keep_renewed(row, new, refresh_token).await.map_err(|error| failed(&error))?
            }
            Err(Unusable::NoToken(NoToken::GrantEnded)) => {
                let (user_id, version) = (row.user_id, row.version);
                let ended = parts.store.end_upstream_account(user_id, &row.server, version).await;
                ended.map_err(|error| failed(&error.into()))?;
                Err(self.not_connected())
            }
            Err(error) => Err(failed(&error.into())),
        }
    }
}

impl Connections {
    /// Puts what was renewed in the place of what was sent. Where the account ended meanwhile it is given back instead: it is what
    /// counts at the authorization server, and nobody else has it (OAuth 2.1 §4.3.1).
    async fn keep_renewed(
        &self,
        row: &UpstreamAccountRow,
        mut new: Kept,
        sent: &SecretText,
    ) -> Result<Result<SecretText, NoToken>, ConnectionError> {
        let store = &self.0.parts.store;
        let mut sealed = self.seal((row.user_id, &row.server), &new)?;
        let mut row = row.clone();
        while !store.renew_upstream_account(&row, &sealed).await? {
            let found = store.find_upstream_account(row.user_id, &row.server).await?;
            let kept = found.as_ref().map(|found| self.open(found)).transpose()?;
            match (found, kept) {
                // It is the same account: the server took its token no more meanwhile, or wanted more, and somebody noted that.
                (Some(found), Some(kept))
                    if kept.refresh_token.as_ref() == Some(sent)
                        && (&kept.issuer, &kept.server_url) == (&new.issuer, &new.server_url) =>
                {
                    new.missing = kept.missing;
                    sealed = self.seal((row.user_id, &row.server), &new)?;
                    row = found;
                }
                // Connected anew. Some authorization servers end all that is between a person and a client with one token that is
                // given back, and that would be the new account, too.
                (Some(_), _) => return Ok(Err(self.not_connected())),
                (None, _) => {
                    self.try_give_back(&UpstreamAccountRow { sealed, ..row }).await;
                    return Ok(Err(self.not_connected()));
                }
            }
        }
        Ok(Ok(new.access_token))
    }
}

/// For the operator; the caller learns what kind of fault it is.
fn failed(error: &ConnectionError) -> NoToken {
    tracing::warn!(error = error as &dyn std::error::Error, "connections.no_token");
    match error {
        ConnectionError::Unusable(Unusable::NoToken(error)) => error.clone(),
        ConnectionError::Unusable(Unusable::Away) => NoToken::Away,
        ConnectionError::Store(_) | ConnectionError::Sealed => NoToken::NoSecret,
        ConnectionError::NoServer | ConnectionError::Unusable(_) => NoToken::Refused,
    }
}
