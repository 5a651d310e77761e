//! What is remembered about each reference: its value, its failure, and who is asking right now.
//!
//! No I/O and no clock: `now` is monotonic time, passed in. References come from the settings alone,
//! so the number of entries is bounded by them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

use super::Secret;
use super::error::{Detail, Fault, SecretError};
use super::provider::Backend;

/// How long a failure is remembered that cannot have cost anything, because nothing was asked or nothing is counted.
const AWAY: Duration = Duration::from_secs(5);
/// How long any other failure is remembered, at first; doubled each time, up to [`LONGEST`].
const FIRST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_mins(15);

pub(super) type Outcome = Result<Secret, SecretError>;
/// Where those who wait see the outcome.
pub(super) type Flight = watch::Receiver<Option<Outcome>>;

/// The cache of the front. Values are zeroed when they leave it.
#[derive(Debug)]
pub(super) struct Cache {
    keep: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<SecretRef, Entry>,
    /// Until when a backend whose quota is used up is left alone, whatever is asked of it.
    gates: HashMap<Backend, Duration>,
}

#[derive(Debug, Default)]
struct Entry {
    value: Option<(Secret, Duration)>,
    failure: Option<(SecretError, Duration)>,
    /// Failures in a row that the backend may have counted.
    failures: u32,
    /// Before this, a refused value is not looked up again.
    reread_after: Duration,
    /// How often in a row looking a refused value up gave the same value.
    unchanged: u32,
    flight: Option<Flight>,
}

/// What to do about a read.
#[derive(Debug)]
pub(super) enum Plan {
    Answer(Outcome),
    Wait(Flight),
    /// The caller asks the backend and hands the ticket to [`Cache::settle`].
    Fetch(Ticket, Flight),
}

/// The duty to ask the backend once. Dropped unsettled, those who wait are told, and the next one asks.
#[derive(Debug)]
pub(super) struct Ticket {
    reference: SecretRef,
    refused: Option<SecretText>,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Cache {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, state: Mutex::default() }
    }

    /// Decides who asks the backend: nobody while the answer is known, one for all who wait otherwise.
    ///
    /// `refused` is a value that its recipient no longer accepts. It is looked up again, but at most
    /// once a minute, and ever less often while it does not change.
    pub(super) fn plan(
        &self,
        reference: &SecretRef,
        refused: Option<&Secret>,
        now: Duration,
    ) -> Plan {
        let mut state = self.lock();
        state.forget_what_expired(now);
        let gate = state.gates.get(&Backend::of(reference)).copied();
        let entry = state.entries.entry(reference.clone()).or_default();
        // A sender that is gone was aborted or panicked: its flight counts no more.
        if let Some(flight) = entry.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return Plan::Wait(flight.clone());
        }
        if let Some(outcome) = entry.known(refused, now) {
            return Plan::Answer(outcome);
        }
        if let Some(wait) = gate.and_then(|until| left(until, now)) {
            return Plan::Answer(Err(
                Fault::Unavailable(Detail::RateLimited, Some(wait)).at(reference)
            ));
        }
        let (outcome, flight) = watch::channel(None);
        entry.flight = Some(flight.clone());
        let refused = refused.map(|secret| secret.text().clone());
        Plan::Fetch(Ticket { reference: reference.clone(), refused, outcome }, flight)
    }

    /// Remembers what the backend said and tells those who wait.
    pub(super) fn settle(
        &self,
        ticket: Ticket,
        found: Result<SecretText, SecretError>,
        now: Duration,
    ) {
        let Ticket { reference, refused, outcome } = ticket;
        let found = found.map(|text| Secret { text, reference: reference.clone() });
        let mut state = self.lock();
        if let Err(error) = &found
            && error.detail() == Some(Detail::RateLimited)
        {
            let until = now.saturating_add(rate_limit(error));
            state.gates.insert(Backend::of(&reference), until);
        }
        let entry = state.entries.entry(reference).or_default();
        entry.flight = None;
        match &found {
            Ok(secret) => entry.keep(secret, refused.as_ref(), self.keep, now),
            Err(error) => entry.remember(error, refused.is_some(), now),
        }
        drop(state);
        outcome.send_replace(Some(found));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_what_expired(&mut self, now: Duration) {
        for entry in self.entries.values_mut() {
            entry.value.take_if(|(_, until)| *until <= now);
        }
        self.gates.retain(|_, until| *until > now);
    }
}

impl Entry {
    fn known(&self, refused: Option<&Secret>, now: Duration) -> Option<Outcome> {
        match (&self.value, refused) {
            (Some((secret, _)), None) => return Some(Ok(secret.clone())),
            // Somebody looked it up since.
            (Some((secret, _)), Some(refused)) if !secret.same_value(refused) => {
                return Some(Ok(secret.clone()));
            }
            (_, Some(refused)) if now < self.reread_after => return Some(Ok(refused.clone())),
            _ => {}
        }
        let (error, until) = self.failure.as_ref()?;
        left(*until, now).map(|wait| Err(remembered(error, wait)))
    }

    fn keep(
        &mut self,
        secret: &Secret,
        refused: Option<&SecretText>,
        keep: Duration,
        now: Duration,
    ) {
        self.failure = None;
        self.failures = 0;
        if let Some(refused) = refused {
            let unchanged = refused == secret.text();
            self.unchanged = if unchanged { self.unchanged.saturating_add(1) } else { 0 };
            self.reread_after = now.saturating_add(backoff(self.unchanged.saturating_sub(1)));
        }
        self.value = Some((secret.clone(), now.saturating_add(keep)));
    }

    fn remember(&mut self, error: &SecretError, rereading: bool, now: Duration) {
        let wait = if costs_nothing(error) {
            AWAY
        } else {
            self.failures = self.failures.saturating_add(1);
            rate_limit(error).max(backoff(self.failures.saturating_sub(1)))
        };
        if rereading {
            self.reread_after = now.saturating_add(wait);
        }
        self.failure = Some((error.clone(), now.saturating_add(wait)));
    }
}

/// Whether the backend cannot have counted the request: it was not reached, did not get as far as reading it, or was not
/// asked. Everything else is asked about ever less often, because backends count failures against small quotas; a
/// timeout says nothing of whether the request came through.
const fn costs_nothing(error: &SecretError) -> bool {
    match error {
        SecretError::NotFound { .. }
        | SecretError::AccessDenied { .. }
        | SecretError::Timeout { .. } => false,
        SecretError::Unavailable { detail, .. } => matches!(
            detail,
            Some(Detail::Unreachable | Detail::Sealed | Detail::Tls | Detail::Credential)
        ),
    }
}

/// What a used-up quota asks us to wait: at least the first step, whatever the backend hopes.
fn rate_limit(error: &SecretError) -> Duration {
    error.retry_after().unwrap_or_default().clamp(FIRST, Duration::from_hours(24))
}

fn backoff(steps: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(steps).unwrap_or(u32::MAX).max(1)).min(LONGEST)
}

fn left(until: Duration, now: Duration) -> Option<Duration> {
    until.checked_sub(now).filter(|wait| !wait.is_zero())
}

/// The same failure, marked as remembered where no detail says more, and with the time that is left.
fn remembered(error: &SecretError, wait: Duration) -> SecretError {
    let mut error = error.clone();
    match &mut error {
        SecretError::NotFound { detail, .. } | SecretError::AccessDenied { detail, .. } => {
            *detail = detail.or(Some(Detail::Cached));
        }
        SecretError::Unavailable { detail, retry_after, .. } => {
            *detail = detail.or(Some(Detail::Cached));
            *retry_after = Some(wait);
        }
        SecretError::Timeout { .. } => {}
    }
    error
}
