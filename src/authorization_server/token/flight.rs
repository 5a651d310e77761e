//! One refresh at a time for one token in this process: whoever asks the same meanwhile gets the same answer, and the
//! store is asked once (100 processes of one client wake up at the same moment).

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
    /// Runs `refresh`, or waits for the same one. When who runs it goes away, another one does.
    ///
    /// # Errors
    ///
    /// Those of `refresh`, to everybody who waited.
    pub(super) async fn join(
        &self,
        exchange: &Exchange<'_>,
        presented: &str,
        refresh: impl Future<Output = Result<Refreshed, Refused>>,
    ) -> Result<Arc<Refreshed>, Refused> {
        let key = key(exchange, presented);
        let outcome = self.0.get_with(key, async { Arc::new(refresh.await.map(Arc::new)) }).await;
        self.0.invalidate(&key).await;
        match Arc::try_unwrap(outcome) {
            Ok(outcome) => outcome,
            Err(shared) => match &*shared {
                Ok(refreshed) => Ok(Arc::clone(refreshed)),
                Err(refused) => Err(again(refused)),
            },
        }
    }
}

/// The client is authenticated: nobody waits for the answer of another one.
fn key(exchange: &Exchange<'_>, presented: &str) -> Digest {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(512));
    let asked = [exchange.client.id().as_str(), presented];
    let scope = exchange.form.get("scope");
    for part in asked.into_iter().chain(scope).chain(exchange.form.all("resource")) {
        text.push_str(part);
        text.push('\n'); // none of them has one but a `resource` that is refused
    }
    text.push(if scope.is_some() { 's' } else { '-' });
    Digest::of(&text)
}

/// Errors of the store cannot be copied; what is told about them is the same.
fn again(refused: &Refused) -> Refused {
    let error = match &refused.error {
        OAuthError::InvalidRequest(text) => OAuthError::InvalidRequest(text),
        OAuthError::InvalidGrant(text) => OAuthError::InvalidGrant(text),
        OAuthError::InvalidScope(text) => OAuthError::InvalidScope(text),
        OAuthError::InvalidTarget(text) => OAuthError::InvalidTarget(text),
        OAuthError::UnauthorizedClient(text) => OAuthError::UnauthorizedClient(text),
        OAuthError::TooManyRequests { retry_after } => {
            OAuthError::TooManyRequests { retry_after: *retry_after }
        }
        other => OAuthError::Unavailable(other.description()),
    };
    Refused { error, reused: refused.reused }
}
