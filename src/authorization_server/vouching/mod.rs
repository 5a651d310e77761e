//! Whether identity providers still stand by people who logged in there: asked again, with what they gave with the log-in, while
//! clients of those people refresh.
//!
//! A refresh token counts once at most providers: one asks at a time over all replicas, in a task that nobody who goes away
//! ends. What a provider says now is written as at a log-in; where it stands by somebody no more, what comes from their log-ins
//! there ends, once.

mod id_token;
mod kept;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::audit::{AuditEvent, Auditor, Context};
use crate::id::{RequestId, Subject, TraceId, UserId};
use crate::random::Random;
use crate::steps::Steps;
use crate::store::{
    self, Database, ExternalIdentity, LoggedOut, ProviderAnswer, ProviderLogin, ProviderTokensRow,
    StoreError,
};
use crate::time::{Clock, Timestamp};

use super::identity_provider::{GivenTokens, IdentityProviders, Provider, Renewed, UpstreamError};
use super::seal::KeyEncryptionKey;
use kept::Kept;

pub use id_token::NoIdToken;
pub use kept::provider_tokens_context;

/// How long one who asks has, before another may: longer than an answer, our secret and the provider's keys can take together.
const CLAIM: Duration = Duration::from_mins(2);
/// How long one waits for another one's answer.
const WAIT: Duration = Duration::from_mins(1);
/// How often who waits for another one's answer looks whether it is there.
const LOOK: Duration = Duration::from_millis(100);
/// A provider that did not answer, or not with all that was wanted, is not asked about the same person before that is over.
const PAUSE: Duration = Duration::from_mins(1);
/// How often, and how long apart, an answer is put into a store that does not answer: within what the one who asks has.
const PUTS: u32 = 8;
const BETWEEN_PUTS: Duration = Duration::from_secs(1);
/// For the answers under way when the broker ends.
const LAST: Duration = Duration::from_secs(10);

/// What providers last said of people. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Vouching(Arc<Parts>);

/// What it is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) providers: IdentityProviders,
    pub(super) store: Arc<dyn Database>,
    pub(super) key: KeyEncryptionKey,
    pub(super) auditor: Auditor,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// Clients may be to be told that a log-in is over.
    pub(super) logged_out: Arc<Notify>,
    pub(super) asking: TaskTracker,
}

/// Whether a provider stands by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    Yes,
    /// It does no more, or they have not logged in there for too long: only a log-in there helps.
    No,
    /// It has been away for too long.
    Unknown,
}

impl Vouching {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Somebody has just logged in there, with what it gave.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn logged_in(
        &self,
        provider: &Provider,
        (user_id, subject): (UserId, &str),
        given: GivenTokens,
    ) -> Result<(), StoreError> {
        let parts = &self.0;
        let tokens = match given.refresh_token {
            _ if !provider.standing().keep_tokens => store::GivenTokens::NotKept,
            None => {
                tracing::warn!(idp.id = provider.id(), "identity_provider.no_refresh_token");
                store::GivenTokens::None
            }
            Some(refresh_token) => {
                let who = (subject, provider.client_id());
                let kept = Kept::new(who, (refresh_token, given.id_token));
                let sealed = kept.seal(&parts.key, user_id, provider.issuer());
                sealed.map_or(store::GivenTokens::None, store::GivenTokens::New)
            }
        };
        let login = ProviderLogin {
            user_id,
            issuer: provider.issuer().to_owned(),
            provider: provider.stored().map(str::to_owned),
            tokens,
            now: parts.clock.now(),
        };
        // Who is gone meanwhile, or whose provider is, gets no session either.
        parts.store.put_provider_login(&login).await.map(drop)
    }

    /// Whether the provider with this issuer stands by somebody who, as far as is known, logged in there by `since`. Asks it
    /// where its last word is too old.
    ///
    /// # Errors
    ///
    /// [`StoreError`]
    pub(super) async fn of(
        &self,
        (user_id, issuer): (UserId, &str),
        since: Timestamp,
    ) -> Result<Stands, StoreError> {
        // Of one that is in no settings any more nobody knows what it should say.
        let Some(provider) = self.0.providers.of_issuer(issuer) else { return Ok(Stands::Yes) };
        let standing = provider.standing();
        if standing.max_login_age().is_none() && !standing.keep_tokens {
            return Ok(Stands::Yes);
        }
        let word = self.0.store.find_provider_word(user_id, issuer).await?;
        let (now, logged_in_at) = (self.0.clock.now(), word.logged_in_at.unwrap_or(since));
        let age = now.since(logged_in_at);
        if standing.max_login_age().is_some_and(|most| age >= most) {
            return Ok(Stands::No);
        }
        match word.tokens {
            _ if !standing.keep_tokens => Ok(Stands::Yes),
            Some(row) if now.since(row.heard_at) < standing.ask_again() => Ok(Stands::Yes),
            Some(row) => self.asked(provider, row).await,
            // There is nothing to ask it with: the log-in was its last word.
            None if age < standing.unanswered() => Ok(Stands::Yes),
            None => Ok(Stands::No),
        }
    }

    /// Waits for the answers under way, whose callers may be gone.
    pub(super) async fn settle(&self) {
        self.0.asking.close();
        if tokio::time::timeout(LAST, self.0.asking.wait()).await.is_err() {
            tracing::warn!("identity_provider.answers_given_up");
        }
    }

    /// In a task of its own, whoever goes away meanwhile: its answer is the only one that there will be.
    async fn asked(
        &self,
        provider: Arc<Provider>,
        row: ProviderTokensRow,
    ) -> Result<Stands, StoreError> {
        let vouching = self.clone();
        let asking = async move { vouching.ask(&provider, row).await };
        let asking = self.0.asking.spawn(Steps::within(Steps::current(), asking));
        asking.await.unwrap_or(Ok(Stands::Unknown))
    }

    /// Asks, or waits for who does.
    async fn ask(
        &self,
        provider: &Provider,
        mut row: ProviderTokensRow,
    ) -> Result<Stands, StoreError> {
        let parts = &self.0;
        let started = parts.clock.monotonic();
        let before = (row.version, row.heard_at);
        loop {
            let now = parts.clock.now();
            if row.ask_at > now {
                return Ok(self.unanswered(provider, &row));
            }
            let Some(_turn) = provider.turn() else { return Ok(self.unanswered(provider, &row)) };
            if parts.store.claim_provider_tokens(&row, now, now.plus(CLAIM)).await? {
                return self.ask_alone(provider, &row).await;
            }
            let word = parts.store.find_provider_word(row.user_id, &row.issuer).await?;
            let Some(found) = word.tokens else { return Ok(Stands::No) };
            let is_news = (found.version, found.heard_at) != before;
            if is_news && now.since(found.heard_at) < provider.standing().ask_again() {
                return Ok(Stands::Yes);
            }
            if parts.clock.monotonic().saturating_sub(started) > WAIT {
                return Ok(self.unanswered(provider, &found));
            }
            if found.version == row.version && found.ask_at <= now {
                tokio::time::sleep(LOOK).await;
            }
            row = found;
        }
    }

    async fn ask_alone(
        &self,
        provider: &Provider,
        row: &ProviderTokensRow,
    ) -> Result<Stands, StoreError> {
        let Some(kept) = Kept::open(&self.0.key, row) else {
            tracing::warn!(idp.id = provider.id(), "identity_provider.tokens_unopened");
            return self.put_off(provider, row).await;
        };
        if !kept.is_of(provider.client_id()) {
            tracing::warn!(idp.id = provider.id(), "identity_provider.tokens_of_another_client");
            return self.put_off(provider, row).await;
        }
        match provider.renew(&kept.refresh_token).await {
            Ok(renewed) => self.answered(provider, (row, kept), renewed).await,
            Err(UpstreamError::Ended) => self.end(provider, row).await,
            Err(error) => {
                unheard(provider, &error);
                if !kept.is_silent() {
                    return self.put_off(provider, row).await;
                }
                let (kept, now) = (kept.silent_if(false), self.0.clock.now());
                self.put(provider, (row, kept), (None, now)).await?;
                self.look_again(provider, row).await
            }
        }
    }

    /// It took the token. What it gave instead is kept in any case, for the one before may be good for nothing now.
    async fn answered(
        &self,
        provider: &Provider,
        (row, kept): (&ProviderTokensRow, Kept),
        Renewed { given, said }: Renewed,
    ) -> Result<Stands, StoreError> {
        let mut away = false;
        let said = match said.and_then(|said| kept.about(said)) {
            // They would not be let in any more.
            Err(UpstreamError::NotRequired) => return self.end(provider, row).await,
            Err(error) => {
                unheard(provider, &error);
                away = is_away(&error);
                None
            }
            Ok(said) => Some(said),
        };
        let (heard, now) = (said.is_some(), self.0.clock.now());
        let kept = kept.renewed(given, heard).silent_if(!heard && !away);
        let put = self.put(provider, (row, kept), (said, now)).await?;
        if put && heard { Ok(Stands::Yes) } else { self.look_again(provider, row).await }
    }

    /// `false` where something else is there by now, or nothing.
    async fn put(
        &self,
        provider: &Provider,
        (row, kept): (&ProviderTokensRow, Kept),
        (said, now): (Option<ExternalIdentity>, Timestamp),
    ) -> Result<bool, StoreError> {
        let sealed = kept.seal(&self.0.key, row.user_id, provider.issuer());
        let sealed = sealed.ok_or(StoreError::OtherKey)?;
        // Where it gave no ID token that lasts, each call that needs one would ask it again.
        let ended = kept.id_token.is_some() && !kept.lasts(now);
        let ask_at = if said.is_some() && !ended { now } else { now.plus(PAUSE) };
        let answer = ProviderAnswer { sealed, said, now, ask_at };
        // The token before may be good for nothing now: without the new one the next answer would be that the person is gone.
        for _ in 0..PUTS {
            match self.0.store.put_provider_answer(row, &answer).await {
                Err(StoreError::Unavailable(_) | StoreError::Full(_)) => {
                    tokio::time::sleep(BETWEEN_PUTS).await;
                }
                done => return done,
            }
        }
        self.0.store.put_provider_answer(row, &answer).await
    }

    async fn put_off(
        &self,
        provider: &Provider,
        row: &ProviderTokensRow,
    ) -> Result<Stands, StoreError> {
        let ask_at = self.0.clock.now().plus(PAUSE);
        self.0.store.put_off_provider_tokens(row, ask_at).await?;
        Ok(self.unanswered(provider, row))
    }

    /// Its last word holds for a while. After that to come again helps where it is away, and nothing but a log-in where it is
    /// not: whoever asks is told the same, for it is the row that says so.
    fn unanswered(&self, provider: &Provider, row: &ProviderTokensRow) -> Stands {
        let age = self.0.clock.now().since(row.heard_at);
        if age < provider.standing().unanswered() {
            return Stands::Yes;
        }
        let kept = Kept::open(&self.0.key, row);
        let away = kept.is_some_and(|kept| kept.is_of(provider.client_id()) && !kept.is_silent());
        if away { Stands::Unknown } else { Stands::No }
    }

    /// Something else is there now: what came of the question, or of a log-in meanwhile. Or what there was has ended.
    async fn look_again(
        &self,
        provider: &Provider,
        row: &ProviderTokensRow,
    ) -> Result<Stands, StoreError> {
        let word = self.0.store.find_provider_word(row.user_id, &row.issuer).await?;
        let found = word.tokens;
        Ok(found.map_or(Stands::No, |found| self.unanswered(provider, &found)))
    }

    async fn end(
        &self,
        provider: &Provider,
        row: &ProviderTokensRow,
    ) -> Result<Stands, StoreError> {
        let ended = self.0.store.end_provider_tokens(row, self.0.clock.now()).await?;
        let Some(LoggedOut { sessions, grants }) = ended else {
            return self.look_again(provider, row).await;
        };
        self.0.logged_out.notify_one();
        let event =
            AuditEvent::DisownElsewhere { provider: provider.id().into(), sessions, grants };
        if let Err(error) = self.0.auditor.record(&self.context(row.user_id), event).await {
            // It is done, and nobody would look further.
            let error: &dyn std::error::Error = &error;
            let (provider, user) = (provider.id(), row.user_id);
            tracing::error!(error, idp.id = provider, %user, sessions, grants, "logout.unrecorded");
        }
        Ok(Stands::No)
    }

    /// Whoever's request it is, it is about this person.
    fn context(&self, user_id: UserId) -> Context {
        let (clock, random) = (&*self.0.clock, &*self.0.random);
        Context {
            request_id: RequestId::generate(clock, random),
            trace_id: TraceId::generate(random),
            requester_id: Some(Subject::from(user_id)),
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        }
    }
}

/// Whether the same question may have another answer later: nothing came, or something of the provider's own is out of order.
const fn is_away(error: &UpstreamError) -> bool {
    let of_its_own = matches!(
        error,
        UpstreamError::Signature(_) | UpstreamError::Status { status: 429 | 500.., .. }
    );
    of_its_own || error.is_silence()
}

/// For the operator. Nothing in it is text of the provider.
fn unheard(provider: &Provider, error: &UpstreamError) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(idp.id = provider.id(), error, "identity_provider.not_heard");
}
