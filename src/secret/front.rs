//! The front: every read of a secret goes through here, and nothing is read before it is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::metrics::Tally;
use crate::outbound::Outbound;
use crate::policy::Permit;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

use super::Secret;
use super::cache::{Cache, Flight, Outcome, Plan, Ticket};
use super::env::Environment;
use super::error::{Detail, Fault, SecretError};
use super::exec::Exec;
use super::file::Files;
use super::onepassword_cli::OnePasswordCli;
use super::onepassword_connect::Connect;
use super::provider::{Backend, SecretProvider};
use super::settings::{OnePassword, Settings, SettingsError};
use super::status::{BackendCounts, BackendStatus, StatusBoard};
use super::vault::Vault;

/// What backends said, values and failures. Clones are the same.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Cache>);

impl Memory {
    /// One of nothing yet.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self(Arc::new(Cache::new(settings.cache)))
    }
}

/// All backends behind one door. Dropping it stops every read that is under way.
#[derive(Debug)]
pub struct Secrets {
    shared: Arc<Shared>,
    /// Reads go on when their caller leaves, else callers that come and go would cost a request each.
    reads: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    providers: HashMap<Backend, Arc<dyn SecretProvider>>,
    cache: Arc<Cache>,
    status: StatusBoard,
    /// Answers out of memory.
    remembered: Tally,
    clock: Arc<dyn Clock>,
    attempt: Duration,
}

impl Secrets {
    /// Prepares the backends without asking any of them.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] when a path, URL or credential of a backend is not usable.
    pub fn new(
        settings: Settings,
        environment: &Environment,
        outbound: &Outbound,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SettingsError> {
        let memory = Memory::of(&settings);
        Self::going_on(settings, environment, outbound, (clock, memory))
    }

    /// The same that knows what an earlier one with the same settings learned, by a clock that counts on.
    ///
    /// # Errors
    ///
    /// As [`Secrets::new`].
    pub fn going_on(
        settings: Settings,
        environment: &Environment,
        outbound: &Outbound,
        (clock, memory): (Arc<dyn Clock>, Memory),
    ) -> Result<Self, SettingsError> {
        if settings.timeout.is_zero() {
            return Err(SettingsError::Timeout);
        }
        let mut providers: HashMap<Backend, Arc<dyn SecretProvider>> = HashMap::new();
        providers.insert(Backend::Env, Arc::new(environment.clone()));
        providers.insert(Backend::File, Arc::new(Files));
        providers.insert(Backend::Exec, Arc::new(Exec::new(settings.exec)?));
        match settings.one_password {
            OnePassword::None => {}
            OnePassword::Cli(cli) => {
                let provider = OnePasswordCli::new(cli, environment)?;
                providers.insert(Backend::OnePassword, Arc::new(provider));
            }
            OnePassword::Connect(connect) => {
                let provider = Connect::new(connect, environment, outbound)?;
                providers.insert(Backend::OnePassword, Arc::new(provider));
            }
        }
        if let Some(vault) = settings.vault {
            let provider = Vault::new(vault, environment, outbound, Arc::clone(&clock))?;
            providers.insert(Backend::Vault, Arc::new(provider));
        }
        Ok(Self::of(providers, memory, settings.timeout, clock))
    }

    pub(super) fn of(
        providers: HashMap<Backend, Arc<dyn SecretProvider>>,
        Memory(cache): Memory,
        attempt: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let status = StatusBoard::default();
        let remembered = Tally::default();
        let shared = Arc::new(Shared { providers, cache, status, remembered, clock, attempt });
        Self { shared, reads: Mutex::default() }
    }

    /// Reads a secret for an operation that policy allowed, from memory where it is known.
    ///
    /// # Errors
    ///
    /// [`SecretError`]; a failure that was seen a short while ago is answered from memory as well.
    /// [`SecretError::Timeout`] when `budget` ends first: the read itself goes on, within its own
    /// limit, for those who ask next.
    pub async fn read<Op>(
        &self,
        _permit: &Permit<Op>,
        reference: &SecretRef,
        budget: &Budget,
    ) -> Result<Secret, SecretError> {
        self.get(reference, None, budget).await
    }

    /// Looks up again a secret that its recipient refused (`AADSTS7000215` and the like): it may have
    /// been rotated.
    ///
    /// The answer may be the refused value: compare with [`Secret::same_value`], and do not try it
    /// again. The backend is asked at most once a minute for one reference, and every two, four, …
    /// fifteen minutes while the value stays the same, so a loop of refusals costs no quota.
    ///
    /// # Errors
    ///
    /// As [`Secrets::read`]. The value stays in memory then: the refusal may have been the error.
    pub async fn reread<Op>(
        &self,
        _permit: &Permit<Op>,
        refused: &Secret,
        budget: &Budget,
    ) -> Result<Secret, SecretError> {
        self.get(refused.reference(), Some(refused), budget).await
    }

    /// Reads a credential of the broker itself: at start, and for a server behind it, which every caller that may reach it
    /// shares. Only `app` and `upstream` call this: no permit names one caller then.
    ///
    /// # Errors
    ///
    /// As [`Secrets::read`].
    pub async fn read_own(
        &self,
        reference: &SecretRef,
        budget: &Budget,
    ) -> Result<Secret, SecretError> {
        self.get(reference, None, budget).await
    }

    /// What is there now, where a look asks no backend: in a file or a variable. `None` elsewhere, and where it cannot be read.
    pub async fn at_hand(&self, reference: &SecretRef, budget: &Budget) -> Option<Secret> {
        if Backend::of(reference).is_remembered() {
            return None;
        }
        self.get(reference, None, budget).await.ok()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// The same, past the cache: `refused` was not accepted.
    ///
    /// # Errors
    ///
    /// As [`Secrets::read`].
    pub async fn reread_own(
        &self,
        refused: &Secret,
        budget: &Budget,
    ) -> Result<Secret, SecretError> {
        self.get(refused.reference(), Some(refused), budget).await
    }

    /// The backends whose last answer was a failure. Asks nobody.
    #[must_use]
    pub fn status(&self) -> Vec<BackendStatus> {
        self.shared.status.list()
    }

    /// How often each backend was asked since the start.
    #[must_use]
    pub fn counts(&self) -> Vec<(Backend, BackendCounts)> {
        self.shared.status.counts()
    }

    /// How often a read was answered out of memory since the start.
    #[must_use]
    pub fn remembered(&self) -> u64 {
        self.shared.remembered.get()
    }

    async fn get(
        &self,
        reference: &SecretRef,
        refused: Option<&Secret>,
        budget: &Budget,
    ) -> Outcome {
        let backend = Backend::of(reference);
        if !self.shared.providers.contains_key(&backend) {
            return Err(Fault::Unavailable(Detail::NotConfigured, None).at(reference));
        }
        let limit = budget.cap(self.shared.attempt);
        if limit.is_zero() {
            return Err(Fault::Timeout(limit).at(reference));
        }
        if !backend.is_remembered() {
            let text = self.shared.ask(reference, limit).await?;
            return Ok(Secret { text, reference: reference.clone() });
        }
        match self.shared.cache.plan(reference, refused, self.shared.clock.monotonic()) {
            Plan::Answer(outcome) => {
                self.shared.remembered.add();
                outcome
            }
            Plan::Wait(flight) => wait(flight, reference, budget).await,
            Plan::Fetch(ticket, flight) => {
                self.start(ticket, reference.clone());
                wait(flight, reference, budget).await
            }
        }
    }

    fn start(&self, ticket: Ticket, reference: SecretRef) {
        let shared = Arc::clone(&self.shared);
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        while reads.try_join_next().is_some() {}
        reads.spawn(async move {
            let found = shared.ask(&reference, shared.attempt).await;
            shared.cache.settle(ticket, found, shared.clock.monotonic());
        });
    }
}

impl Shared {
    /// Asks the backend, and once more if the first request did not get through.
    async fn ask(&self, reference: &SecretRef, limit: Duration) -> Result<SecretText, SecretError> {
        let backend = Backend::of(reference);
        let started = self.clock.monotonic();
        let mut found = self.attempt(backend, reference, limit).await;
        let broke = |error: &SecretError| {
            matches!(error.detail(), Some(Detail::Unreachable | Detail::Broken))
        };
        if found.as_ref().is_err_and(broke) {
            found = self.attempt(backend, reference, limit).await;
        }
        self.status.note(backend, found.as_ref().err(), self.clock.now());
        if let Err(error) = &found {
            let duration = self.clock.monotonic().saturating_sub(started);
            tracing::warn!(
                secret.reference = %reference,
                error.code = %error.code(),
                error.detail = ?error.detail(),
                hint = error.hint(),
                duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                "secret.read_failed"
            );
        }
        found
    }

    async fn attempt(
        &self,
        backend: Backend,
        reference: &SecretRef,
        limit: Duration,
    ) -> Result<SecretText, SecretError> {
        let Some(provider) = self.providers.get(&backend) else {
            return Err(Fault::Unavailable(Detail::NotConfigured, None).at(reference));
        };
        match tokio::time::timeout(limit, provider.resolve(reference, limit)).await {
            Ok(found) => found,
            Err(_elapsed) => Err(Fault::Timeout(limit).at(reference)),
        }
    }
}

async fn wait(mut flight: Flight, reference: &SecretRef, budget: &Budget) -> Outcome {
    let left = budget.remaining();
    match tokio::time::timeout(left, flight.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => match &*outcome {
            Some(outcome) => outcome.clone(),
            None => Err(Fault::UNEXPECTED.at(reference)),
        },
        // The one who asked was stopped: we are shutting down.
        Ok(Err(_closed)) => Err(Fault::Unavailable(Detail::Faulty, None).at(reference)),
        Err(_elapsed) => Err(Fault::Timeout(left).at(reference)),
    }
}
