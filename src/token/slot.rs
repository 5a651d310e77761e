//! What is remembered for one cache key: the token in use, the last refusal, and who is minting.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;

use crate::secret_text::SecretText;

use super::error::TokenError;

/// How long a refusal that only an operator can mend is remembered.
const REFUSAL: Duration = Duration::from_mins(1);
/// How long after a failed early refresh the old token is used without trying again.
const REFRESH_PAUSE: Duration = Duration::from_secs(30);
/// How often a token may be dropped because Graph did not like it. More often, and a 401 loop would
/// become a token loop (AADSTS50196).
const DROP_INTERVAL: Duration = Duration::from_mins(5);

/// A token in use. All times are monotonic, so that a step of the wall clock never extends one.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) text: Arc<SecretText>,
    pub(super) authorization: HeaderValue,
    pub(super) proof: Option<Arc<SecretText>>,
    pub(super) refresh_at: Duration,
    pub(super) ends: Duration,
    pub(super) generation: u64,
}

/// The last failure, and until when it is the answer without asking again.
#[derive(Clone)]
struct Failed {
    until: Duration,
    error: TokenError,
    /// What was at hand to prove us, where a look at it costs nothing.
    proof: Option<SecretText>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failed>,
    failures: u64,
    last_drop: Option<Duration>,
    generation: u64,
}

/// One cache key's memory. The async lock is the single flight; the other is never held across an await.
#[derive(Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    pub(super) minting: tokio::sync::Mutex<()>,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token, if it may still be used at `now`.
    pub(super) fn current(&self, now: Duration) -> Option<Held> {
        self.state().held.clone().filter(|held| now < held.ends)
    }

    /// How many mints have failed: who waits for a mint notes it first.
    pub(super) fn failures(&self) -> u64 {
        self.state().failures
    }

    /// The failure to answer with instead of asking again: a refusal that still stands at `now`, or
    /// whatever befell the mint that the caller waited for. A refusal is of the `proof` that was at hand then: with
    /// another one, it says nothing.
    pub(super) fn refusal(
        &self,
        now: Duration,
        failures_before: u64,
        proof: Option<&SecretText>,
    ) -> Option<TokenError> {
        let state = self.state();
        let waited = state.failures != failures_before;
        let failed = state.failed.as_ref()?;
        let replaced = proof.is_some() && proof != failed.proof.as_ref();
        (waited || now < failed.until && !replaced).then(|| failed.error.clone())
    }

    /// Takes a new token into use and forgets the refusal. Returns its generation.
    pub(super) fn keep(&self, mut held: Held) -> Held {
        let mut state = self.state();
        state.generation = state.generation.saturating_add(1);
        state.failed = None;
        held.generation = state.generation;
        state.held = Some(held.clone());
        held
    }

    /// Only a refusal stands for a while: it is the same each time until an operator acts. `proof` was at hand before the
    /// mint: where it was replaced meanwhile, the next caller asks once more.
    pub(super) fn failed(&self, now: Duration, error: &TokenError, proof: Option<SecretText>) {
        let lasting = matches!(error, TokenError::Refused { .. });
        let until = if lasting { now.saturating_add(REFUSAL) } else { now };
        let mut state = self.state();
        state.failures = state.failures.wrapping_add(1);
        state.failed = Some(Failed { until, error: error.clone(), proof });
    }

    /// An early refresh failed: leave the endpoint alone for a while.
    pub(super) fn postpone_refresh(&self, now: Duration) {
        if let Some(held) = self.state().held.as_mut() {
            held.refresh_at = now.saturating_add(REFRESH_PAUSE);
        }
    }

    /// Forgets the token of `generation`. `false` if that was done too recently to do again.
    pub(super) fn forget(&self, generation: u64, now: Duration) -> bool {
        let mut state = self.state();
        if state.held.as_ref().is_some_and(|held| held.generation != generation) {
            return true; // somebody else has replaced it already
        }
        let recent = |last: Duration| now.saturating_sub(last) < DROP_INTERVAL;
        if state.last_drop.is_some_and(recent) {
            return false;
        }
        state.held = None;
        state.last_drop = Some(now);
        true
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
