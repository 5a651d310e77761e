//! Why a request was refused: what is on record of it, put together for who administers us.
//!
//! Everything comes from the audit log, which holds no secret, no code, no token and no value of a call's arguments. The
//! decision is looked at again under the rules as they are now, so that what would change it is right today.

mod clients;
mod decision;
mod outcome;
mod record;
mod setting;
mod view;
mod who;

use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::{Auditor, Found, lookup};
use crate::id::{ClientId, Issuer, RequestId};
use crate::policy::{Live, Policy};
use crate::store::{Database, StoreError};

pub use clients::{Family, Situation, next_step};
pub use view::{
    Asked, AttemptView, ComparedView, DecisionView, EventView, Explained, OutcomeView, RuleView,
    SentView,
};

use record::{Attempt, attempts};

/// So many of one id are told: callers choose the ids of their requests, and may choose one for all of them.
const MOST_ATTEMPTS: usize = 8;

/// Where what happened is looked up.
#[derive(Clone, Debug)]
pub enum Records {
    /// What this process has recorded.
    Of(Auditor),
    /// A log that another process writes.
    File(PathBuf),
}

/// Which rules are asked again.
#[derive(Clone, Debug)]
pub enum Rules {
    Live(Live),
    Loaded(Arc<Policy>),
}

/// Puts explanations together. Cheap to clone; one for the process, for it reads one log at a time.
#[derive(Clone, Debug)]
pub struct Explainer {
    pub records: Records,
    pub rules: Rules,
    /// Names of people and clients. `None`: they are told by their ids alone.
    pub store: Option<Arc<dyn Database>>,
    /// Of our own tokens.
    pub issuer: Issuer,
    /// Clients of the settings file.
    pub configured: Arc<[ClientId]>,
    /// Whoever asks again and again makes nobody read several logs at once.
    pub turn: Arc<tokio::sync::Mutex<()>>,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error("the audit log cannot be read")]
    Log(#[from] std::io::Error),
    #[error("the store did not answer")]
    Store(#[from] StoreError),
}

impl Explainer {
    /// What is on record of a request, or of the request of the event with this id.
    ///
    /// An id that nobody ever had is told as one of which nothing is on record: the two cannot be told apart. Whether the
    /// asker may know is for the caller to see to, before this.
    ///
    /// # Errors
    ///
    /// [`ExplainError`]
    pub async fn explain(&self, id: RequestId) -> Result<Explained, ExplainError> {
        let found = self.found(id).await?;
        let (mut all, unreadable) = attempts(&found.lines);
        let others = all.len().saturating_sub(MOST_ATTEMPTS);
        all.drain(..others);
        let mut views = Vec::with_capacity(all.len());
        for attempt in &all {
            views.push(self.view(attempt).await?);
        }
        Ok(Explained {
            request_id: id.to_string(),
            attempts: views,
            other_attempts: others,
            in_files: found.in_files,
            whole: found.whole && unreadable == 0,
        })
    }

    async fn found(&self, id: RequestId) -> Result<Found, ExplainError> {
        let _turn = self.turn.lock().await;
        let records = self.records.clone();
        let looking = tokio::task::spawn_blocking(move || match records {
            Records::Of(auditor) => auditor.find(id),
            Records::File(path) => lookup(&path, id),
        });
        Ok(looking.await.map_err(std::io::Error::other)??)
    }

    async fn view(&self, attempt: &Attempt) -> Result<AttemptView, ExplainError> {
        let outcome = outcome::of(attempt);
        let client = who::client(self, attempt).await?;
        let person = who::person(self, attempt).await?;
        let decision = match &self.rules {
            Rules::Live(live) => decision::of(attempt, live.current().policy()),
            Rules::Loaded(policy) => decision::of(attempt, policy),
        };
        let mut changes = outcome.changes;
        if let Some(decision) = &decision {
            changes.extend(decision.changes.iter().cloned());
        }
        let family = client.as_ref().and_then(|client| client.family);
        let next = outcome.situation.map(|situation| next_step(family, situation));
        Ok(AttemptView {
            occurred_at: attempt.began().to_owned(),
            endpoint: outcome.endpoint,
            client: client.map(|client| client.asked),
            person,
            address: attempt.text("client_address").map(str::to_owned),
            sent: outcome.sent,
            outcome: outcome.told,
            decision,
            changes,
            next,
            trace_id: attempt.trace_id().to_owned(),
            events: attempt.events().collect(),
        })
    }
}
