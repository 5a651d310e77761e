//! How often one client may ask for tokens, and one resource server about them.
//!
//! Each process counts for itself. Who has proved to be a client is counted as that client, from wherever it asks. A
//! public client only says who it is, and anybody may say so: it is counted for each network, so that nobody elsewhere
//! can use up what its people need.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use crate::limits::{Meter, Rate, network};
use crate::time::Clock;

use super::client::Client;
use super::error::OAuthError;

/// `authorization_server.token_rate` and `authorization_server.introspection_rate`; `None`: no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub tokens: Option<Rate>,
    pub introspections: Option<Rate>,
}

/// Requests, counted.
#[derive(Debug)]
pub(super) struct Pace {
    tokens: Option<Meter>,
    introspections: Option<Meter>,
    /// Keyed at random, so that nobody can choose names that fall together.
    hasher: RandomState,
}

impl Pace {
    pub(super) fn new(rates: Rates, clock: &Arc<dyn Clock>) -> Self {
        let meter = |rate: Option<Rate>| rate.map(|rate| Meter::new(rate, Arc::clone(clock)));
        Self {
            tokens: meter(rates.tokens),
            introspections: meter(rates.introspections),
            hasher: RandomState::new(),
        }
    }

    /// Counts one request at `/token`. `client` has authenticated as it is registered, or is public.
    ///
    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`]: nothing was counted, and nothing of the request was used up.
    pub(super) fn admit_token(
        &self,
        client: &Client,
        address: Option<IpAddr>,
    ) -> Result<(), OAuthError> {
        let from = (!client.is_confidential()).then(|| address.map(network));
        self.count(self.tokens.as_ref(), &(client.id().as_str(), from))
    }

    /// Counts one question of a client that proved itself.
    ///
    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`]
    pub(super) fn admit_question_of_client(&self, client: &Client) -> Result<(), OAuthError> {
        self.count(self.introspections.as_ref(), &("client", client.id().as_str()))
    }

    /// Counts one question of a registered server, whichever of its keys it has.
    ///
    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`]
    pub(super) fn admit_question_of_server(&self, server: &str) -> Result<(), OAuthError> {
        self.count(self.introspections.as_ref(), &("server", server))
    }

    fn count(&self, meter: Option<&Meter>, who: &impl Hash) -> Result<(), OAuthError> {
        let Some(meter) = meter else { return Ok(()) };
        let counted = meter.count(self.hasher.hash_one(who));
        counted.map_err(|retry_after| OAuthError::TooManyRequests { retry_after })
    }
}
