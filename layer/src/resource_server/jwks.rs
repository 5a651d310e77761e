//! The key set of another issuer: fetched when it is needed, kept while it is fresh, used a while longer in an outage.

mod fetch;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use tokio::task::JoinSet;
use url::Url;

use crate::outbound::Outbound;
use crate::time::Clock;

use super::algorithm::Algorithm;
use super::discovery::{Discovery, DiscoveryError};
use super::error::TokenError;
use super::jwt::UnverifiedJwt;
use super::key::{KeyOwner, KeySet};

pub(super) use fetch::is_json;

/// How long a remote key set is kept, and how often it may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct JwksTiming {
    /// The least time between two fetches, also when tokens name keys that nobody knows.
    pub cool_down: Duration,
    /// The same while there is no key set at all.
    pub first_retry: Duration,
    /// `max-age` is brought into these bounds.
    pub min_fresh: Duration,
    /// The longest that a key set is kept without asking again.
    pub max_fresh: Duration,
    /// How long after its last confirmation a key set serves in an outage.
    pub max_stale: Duration,
    /// Of one fetch; the search for the place of a key set has as much again.
    pub timeout: Duration,
}

impl Default for JwksTiming {
    fn default() -> Self {
        Self {
            cool_down: Duration::from_secs(30),
            first_retry: Duration::from_secs(5),
            min_fresh: Duration::from_mins(5),
            max_fresh: Duration::from_hours(24),
            max_stale: Duration::from_hours(24),
            timeout: Duration::from_secs(5),
        }
    }
}

/// How the keys of an issuer stand, or its introspection endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHealth {
    /// Nobody has needed them yet.
    Unused,
    /// The last fetch was good.
    Good,
    /// The last fetch failed; the keys of an earlier one still serve.
    Stale,
    /// Tokens of this issuer are answered with 503.
    Unavailable,
}

#[derive(Debug)]
pub(super) struct RemoteKeys {
    shared: Arc<Shared>,
    fetch: Fetching,
}

/// The fetch in flight. It is ours, not the request's that asked for it, so that a caller who hangs up cannot
/// keep us from learning of a rotation. Dropping the last aborts the fetch.
type Fetching = Arc<Mutex<JoinSet<()>>>;

/// What is known of one key set. Clones are the same: a fetch for one of them is for all.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownKeys {
    state: Arc<RwLock<State>>,
    /// Held while a fetch runs: whoever waits for it waits for the answer.
    flight: Arc<tokio::sync::Mutex<()>>,
    fetch: Fetching,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    algorithms: Vec<Algorithm>,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    timing: JwksTiming,
    state: Arc<RwLock<State>>,
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Snapshot>,
    last_attempt: Option<Duration>,
    failing: bool,
    found: Option<Found>,
}

/// Where a key set is.
#[derive(Debug)]
pub(super) enum Place {
    Known(Url),
    /// Where the issuer's metadata says; it is asked before each fetch.
    Discovered(Box<Discovery>),
}

/// What the metadata said, and when (monotonic).
#[derive(Clone, Debug)]
struct Found {
    url: Url,
    at: Duration,
}

#[derive(Clone, Debug)]
struct Snapshot {
    /// Where it was: an `ETag` means nothing elsewhere.
    url: Url,
    keys: Arc<KeySet>,
    etag: Option<HeaderValue>,
    confirmed_at: Duration,
    fresh_for: Duration,
}

impl Place {
    fn host(&self) -> &str {
        match self {
            Self::Known(url) => url.host_str().unwrap_or_default(),
            Self::Discovered(discovery) => discovery.host(),
        }
    }
}

impl RemoteKeys {
    pub(super) fn new(
        place: Place,
        algorithms: Vec<Algorithm>,
        outbound: Outbound,
        clock: Arc<dyn Clock>,
        timing: JwksTiming,
    ) -> Self {
        let asked = (place, algorithms);
        Self::going_on(KnownKeys::default(), asked, outbound, clock, timing)
    }

    /// The same with what is known already, of a set in the same place, read for the same algorithms, by the same clock.
    pub(super) fn going_on(
        known: KnownKeys,
        (place, algorithms): (Place, Vec<Algorithm>),
        outbound: Outbound,
        clock: Arc<dyn Clock>,
        timing: JwksTiming,
    ) -> Self {
        let KnownKeys { state, flight, fetch } = known;
        let shared = Shared { place, algorithms, outbound, clock, timing, state, flight };
        Self { shared: Arc::new(shared), fetch }
    }

    pub(super) fn known(&self) -> KnownKeys {
        let Shared { state, flight, .. } = self.shared.as_ref();
        let (state, flight) = (Arc::clone(state), Arc::clone(flight));
        KnownKeys { state, flight, fetch: Arc::clone(&self.fetch) }
    }

    /// Checks one signature. Fetches the keys where they are missing, old, do not know the token's `kid`, or do not fit
    /// a token that has none, but never within the cool-down after the last fetch.
    ///
    /// # Errors
    ///
    /// As [`KeySet::verify`], and [`TokenError::IssuerUnavailable`] where there are no keys to check with.
    pub(super) async fn verify(
        &self,
        jwt: &UnverifiedJwt<'_>,
        owner: KeyOwner<'_>,
    ) -> Result<(), TokenError> {
        self.verify_if(jwt, owner, &|| true).await
    }

    /// The same with somebody to ask before each fetch that is due. Where they say no, the keys stay as they are.
    ///
    /// # Errors
    ///
    /// As [`RemoteKeys::verify`]
    pub(super) async fn verify_if(
        &self,
        jwt: &UnverifiedJwt<'_>,
        owner: KeyOwner<'_>,
        may_fetch: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), TokenError> {
        self.look(|keys| keys.verify(jwt, owner), |error| may_be_older(jwt, error), may_fetch).await
    }

    /// Whether a certificate with this thumbprint is beside one of the keys.
    ///
    /// # Errors
    ///
    /// [`TokenError::UnknownKey`] where it is not, [`TokenError::IssuerUnavailable`] where there is no key set to look at.
    pub(super) async fn find_certificate(
        &self,
        thumbprint: &str,
        may_fetch: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), TokenError> {
        let unknown = |error| error == TokenError::UnknownKey;
        self.look(|keys| keys.find_certificate(thumbprint), unknown, may_fetch).await
    }

    /// Looks at the keys, and once more where they may be older than what is looked for and could be fetched anew.
    async fn look(
        &self,
        at: impl Fn(&KeySet) -> Result<(), TokenError>,
        may_be_older: impl Fn(TokenError) -> bool,
        may_fetch: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), TokenError> {
        if self.shared.fresh().is_none() {
            self.refresh(may_fetch).await;
        }
        let keys = self.shared.usable().ok_or(TokenError::IssuerUnavailable)?;
        match at(&keys) {
            Err(error) if may_be_older(error) => {}
            decided => return decided,
        }
        self.refresh(may_fetch).await;
        at(&*self.shared.usable().ok_or(TokenError::IssuerUnavailable)?)
    }

    /// Whether there are keys that can be used.
    pub(super) fn is_known(&self) -> bool {
        self.shared.usable().is_some()
    }

    pub(super) fn health(&self) -> KeyHealth {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let usable = self.shared.usable_in(&state).is_some();
        match (state.last_attempt, state.failing, usable) {
            (None, _, _) => KeyHealth::Unused,
            (Some(_), false, true) => KeyHealth::Good,
            (Some(_), true, true) => KeyHealth::Stale,
            // The very first fetch is still under way.
            (Some(_), false, false) if state.current.is_none() => KeyHealth::Unused,
            (Some(_), _, false) => KeyHealth::Unavailable,
        }
    }

    /// Starts a fetch where one is due and may be made, and waits for the one in flight.
    async fn refresh(&self, may_fetch: &(dyn Fn() -> bool + Send + Sync)) {
        while self.shared.is_due() {
            if let Ok(flight) = Arc::clone(&self.shared.flight).try_lock_owned() {
                if !may_fetch() {
                    return;
                }
                if self.shared.begin() {
                    self.fetch_with(flight);
                }
            }
            drop(self.shared.flight.lock().await);
        }
        drop(self.shared.flight.lock().await);
    }

    /// Nobody else is in flight until it is done.
    fn fetch_with(&self, flight: tokio::sync::OwnedMutexGuard<()>) {
        let shared = Arc::clone(&self.shared);
        let mut fetch = self.fetch.lock().unwrap_or_else(PoisonError::into_inner);
        while fetch.try_join_next().is_some() {}
        fetch.spawn(async move {
            shared.fetch().await;
            drop(flight);
        });
    }
}

/// Whether this refusal may mean that the issuer has another key by now. A `kid` says so by itself; of a token without one
/// (it is optional, RFC 7517 §4.5) the only key that fits is another than the one it was signed with.
fn may_be_older(jwt: &UnverifiedJwt<'_>, error: TokenError) -> bool {
    let of_another = matches!(error, TokenError::BadSignature | TokenError::AlgorithmNotAllowed);
    error == TokenError::UnknownKey || (of_another && jwt.kid.is_none())
}

impl Shared {
    fn fresh(&self) -> Option<()> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let current = state.current.as_ref()?;
        let age = self.clock.monotonic().saturating_sub(current.confirmed_at);
        (age < current.fresh_for).then_some(())
    }

    fn usable(&self) -> Option<Arc<KeySet>> {
        self.usable_in(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn usable_in(&self, state: &State) -> Option<Arc<KeySet>> {
        let current = state.current.as_ref()?;
        let age = self.clock.monotonic().saturating_sub(current.confirmed_at);
        let bound = current.fresh_for.max(self.timing.max_stale);
        (age < bound).then(|| Arc::clone(&current.keys))
    }

    fn is_due(&self) -> bool {
        self.due_in(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn due_in(&self, state: &State) -> bool {
        let pause = if self.usable_in(state).is_some() {
            self.timing.cool_down
        } else {
            self.timing.first_retry
        };
        let since = |last| self.clock.monotonic().saturating_sub(last);
        state.last_attempt.is_none_or(|last| since(last) >= pause)
    }

    /// Whether a fetch may start now; if so, counts it as started.
    fn begin(&self) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let due = self.due_in(&state);
        if due {
            state.last_attempt = Some(self.clock.monotonic());
        }
        due
    }

    async fn fetch(&self) {
        let current = self.state.read().unwrap_or_else(PoisonError::into_inner).current.clone();
        let outcome = match self.locate().await {
            Ok(url) => self.ask(url, current).await,
            Err(error) => Err(error.into()),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.failing = outcome.is_err();
        match outcome {
            Ok(snapshot) => state.current = Some(snapshot),
            Err(error) => {
                let host = self.place.host().to_owned();
                let hint = error.hint();
                tracing::warn!(jwks.host = host, error = %error, hint, "the key set was not fetched");
            }
        }
    }

    /// Where to fetch from now. While nobody answers for the metadata, its last word counts as long as a key set would.
    async fn locate(&self) -> Result<Url, DiscoveryError> {
        let discovery = match &self.place {
            Place::Known(url) => return Ok(url.clone()),
            Place::Discovered(discovery) => discovery,
        };
        let found = discovery.find(&self.outbound, self.timing.timeout).await;
        let at = self.clock.monotonic();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match (found, &state.found) {
            (Ok(url), _) => {
                state.found = Some(Found { url: url.clone(), at });
                Ok(url)
            }
            (Err(error), Some(last)) if at.saturating_sub(last.at) < self.timing.max_stale => {
                let hint = error.hint();
                tracing::warn!(error = %error, hint, "the metadata was not fetched; its last word is in use");
                Ok(last.url.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}
