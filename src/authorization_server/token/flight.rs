//! One refresh at a time for one token in this process: whoever asks the same meanwhile gets the same answer, and the
//! store is asked once (100 processes of one client wake up at the same moment).
//!
//! For one token and not for its whole family: of a family one token is alive, and who sends an older one, or asks for
//! something else with it, is to be told what the store decides.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::authorization_server::error::OAuthError;
use crate::store::Digest;

use super::exchange::{Exchange, Refused};
use super::refresh_token::Refreshed;

/// Answers are gone when the first of those who wait has its own; this is for those that were all given up.
const AT_MOST: Duration = Duration::from_secs(1);

type Outcome = Arc<Result<Arc<Refreshed>, Refused>>;

/// Refreshes under way, by everything that decides what their answer is.
#[derive(Debug)]
pub(super) struct Flights(Cache<Digest, Outcome>);

impl Default for Flights {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(10_000).time_to_live(AT_MOST).build())
    }
}

impl Flights {
    /// Runs `refresh`, or waits for the same one; says whether it was this one that ran. When who runs it goes away, another
    /// one does.
    ///
    /// # Errors
    ///
    /// Those of `refresh`, to everybody who waited.
    pub(super) async fn join(
        &self,
        exchange: &Exchange<'_>,
        presented: &str,
        refresh: impl Future<Output = Result<Refreshed, Refused>>,
    ) -> Result<(Arc<Refreshed>, bool), Refused> {
        let (outcome, ran) = self.once(key(exchange, presented), refresh).await;
        outcome.map(|refreshed| (refreshed, ran))
    }

    async fn once(
        &self,
        key: Digest,
        refresh: impl Future<Output = Result<Refreshed, Refused>>,
    ) -> (Result<Arc<Refreshed>, Refused>, bool) {
        let mut ran = false;
        let run = async {
            ran = true;
            Arc::new(refresh.await.map(Arc::new))
        };
        let outcome = self.0.get_with(key, run).await;
        self.0.invalidate(&key).await;
        let outcome = match Arc::try_unwrap(outcome) {
            Ok(outcome) => outcome,
            Err(shared) => match &*shared {
                Ok(refreshed) => Ok(Arc::clone(refreshed)),
                Err(refused) => Err(again(refused)),
            },
        };
        (outcome, ran)
    }
}

/// The client is authenticated: nobody waits for the answer of another one.
fn key(exchange: &Exchange<'_>, presented: &str) -> Digest {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(512));
    let asked = [exchange.client.id().as_str(), presented];
    let scope = exchange.form.get("scope");
    for part in
        asked.into_iter().chain(exchange.key).chain(scope).chain(exchange.form.all("resource"))
    {
        text.push_str(part);
        text.push('\n'); // none of them has one but a `resource` that is refused
    }
    text.push(if scope.is_some() { 's' } else { '-' });
    text.push(if exchange.key.is_some() { 'k' } else { '-' });
    Digest::of(&text)
}

/// Errors of the store cannot be copied; what is told about them is the same. A refusal stays the refusal that it is: a
/// client that is told to try again later would do so forever.
fn again(refused: &Refused) -> Refused {
    use OAuthError as E;
    let error = match &refused.error {
        E::InvalidRequest(text) => E::InvalidRequest(text),
        E::InvalidSubjectToken(text) => E::InvalidSubjectToken(text),
        E::TooLarge => E::TooLarge,
        E::InvalidClient(text) => E::InvalidClient(text),
        E::InvalidGrant(text) => E::InvalidGrant(text),
        E::InvalidAssertion(rule) => E::InvalidAssertion(rule),
        E::UnauthorizedClient(text) => E::UnauthorizedClient(text),
        E::UnsupportedGrantType => E::UnsupportedGrantType,
        E::Extension { code, description } => E::Extension { code, description },
        E::InvalidDpopProof(text) => E::InvalidDpopProof(text),
        E::UseDpopNonce(nonce) => E::UseDpopNonce(nonce.clone()),
        E::InvalidScope(text) => E::InvalidScope(text),
        E::InvalidTarget(text) => E::InvalidTarget(text),
        E::InvalidRedirectUri(text) => E::InvalidRedirectUri(text),
        E::InvalidClientMetadata(text) => E::InvalidClientMetadata(text),
        E::AccessDenied(text) => E::AccessDenied(text),
        E::InvalidToken(text) => E::InvalidToken(text),
        E::InsufficientScope(text) => E::InsufficientScope(text),
        E::TooManyRequests { retry_after } => E::TooManyRequests { retry_after: *retry_after },
        // Each is recorded for itself, and after this.
        E::Store(_) | E::Audit(_) | E::Mint(_) | E::Unavailable(_) | E::Recorded(..) => {
            E::Unavailable(refused.error.description())
        }
    };
    Refused { error, reused: refused.reused }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// How many of a hundred that ask at once with these keys run.
    async fn run(key: impl Fn(u32) -> Digest) -> (u32, usize) {
        let (flights, started) = (Flights::default(), AtomicU32::new(0));
        let refresh = || async {
            started.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(OAuthError::InvalidGrant("it is dead").into())
        };
        let all = join_all((0..100).map(|number| flights.once(key(number), refresh()))).await;
        assert!(all.iter().all(|(outcome, _)| outcome.is_err()));
        (started.into_inner(), all.iter().filter(|(_, ran)| *ran).count())
    }

    // RFC 9700 §4.14.2 — N47
    #[tokio::test]
    async fn of_those_who_ask_the_same_at_once_one_asks_the_store() {
        assert_eq!(run(|_| Digest::of("a token")).await, (1, 1));
        assert_eq!(run(|number| Digest::of(&number.to_string())).await, (100, 100));
    }

    #[tokio::test]
    async fn who_comes_later_asks_anew_and_who_goes_away_leaves_it_to_the_next() {
        let (flights, key) = (Flights::default(), Digest::of("a token"));
        let dead = || async { Err(OAuthError::InvalidGrant("it is dead").into()) };
        assert!(flights.once(key, dead()).await.1);
        assert!(flights.once(key, dead()).await.1);
        let gone = flights.once(key, std::future::pending());
        assert!(tokio::time::timeout(Duration::ZERO, gone).await.is_err());
        assert!(flights.once(key, dead()).await.1);
    }

    /// Whoever joined is refused as whoever ran: only what may be otherwise the next time is `503`.
    #[test]
    fn a_lasting_refusal_stays_one_for_all_who_waited() {
        for error in [
            OAuthError::InvalidDpopProof("x"),
            OAuthError::InvalidSubjectToken("x"),
            OAuthError::UnsupportedGrantType,
            OAuthError::Extension { code: "slow_down", description: "x" },
            OAuthError::UnauthorizedClient("x"),
        ] {
            let first = Refused::from(error);
            let second = again(&first).error;
            assert_eq!(second.to_string(), first.error.to_string());
        }
        let away = Refused::from(OAuthError::Unavailable("x"));
        assert_eq!(again(&away).error.code(), "temporarily_unavailable");
    }
}
