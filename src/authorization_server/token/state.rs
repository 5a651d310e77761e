//! What the token endpoint and its neighbours keep in memory. Nothing of it is needed after a restart.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use crate::authorization_server::error::OAuthError;
use crate::authorization_server::guesses::Guesses;
use crate::authorization_server::own_token::OwnTokens;
use crate::authorization_server::pace::{Pace, Rates};
use crate::id::{GrantId, UserId};
use crate::limits::{Meter, Rate};
use crate::time::Clock;

use super::doubt::Doubts;
use super::flight::Flights;

/// A grant may refresh this often at once, and then once a second: one that is in a loop must not keep the store from
/// the others.
const REFRESHES: Rate =
    Rate { count: NonZeroU32::new(60).unwrap(), period: Duration::from_mins(1) };

/// One subject token may be exchanged this often at once, and then ten times a second: whoever calls more often keeps
/// what it got.
const EXCHANGES: Rate =
    Rate { count: NonZeroU32::new(600).unwrap(), period: Duration::from_mins(1) };

/// One in each [`AuthorizationServer`](crate::authorization_server::AuthorizationServer).
#[derive(Debug)]
pub(in crate::authorization_server) struct TokenState {
    pub(super) flights: Flights,
    pub(super) doubts: Doubts,
    pub(in crate::authorization_server) guesses: Guesses,
    pub(in crate::authorization_server) pace: Pace,
    pub(in crate::authorization_server) own: OwnTokens,
    pub(in crate::authorization_server) usernames: Cache<UserId, Arc<str>>,
    refreshes: Meter,
    exchanges: Meter,
}

impl TokenState {
    pub(in crate::authorization_server) fn new(rates: Rates, clock: &Arc<dyn Clock>) -> Self {
        Self {
            flights: Flights::default(),
            doubts: Doubts::default(),
            guesses: Guesses::new(clock),
            pace: Pace::new(rates, clock),
            own: OwnTokens::default(),
            usernames: Cache::new(10_000),
            refreshes: Meter::new(REFRESHES, Arc::clone(clock)),
            exchanges: Meter::new(EXCHANGES, Arc::clone(clock)),
        }
    }

    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`]
    pub(super) fn admit_refresh(&self, grant_id: GrantId) -> Result<(), OAuthError> {
        let counted = self.refreshes.count(self.guesses.key(&grant_id));
        counted.map_err(|retry_after| OAuthError::TooManyRequests { retry_after })
    }

    /// Of a subject token by its `jti`, whichever client brings it.
    ///
    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`]
    pub(super) fn admit_exchange(&self, jti: &str) -> Result<(), OAuthError> {
        let counted = self.exchanges.count(self.guesses.key(&jti));
        counted.map_err(|retry_after| OAuthError::TooManyRequests { retry_after })
    }
}
