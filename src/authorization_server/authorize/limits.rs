//! How many authorization requests may wait: each is a row in the store until it is answered or late.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::authorization_server::client::Client;
use crate::authorization_server::error::OAuthError;
use crate::authorization_server::server::AuthorizationServer;
use crate::id::ClientId;

const WINDOW: Duration = Duration::from_mins(1);
/// Only for a client that has proved to be itself. The name of any other is free for all to use: a limit of its own would
/// let anybody shut its people out.
const OF_ONE_CLIENT: u32 = 600;

/// Counts requests in windows of a minute.
#[derive(Debug, Default)]
pub(in crate::authorization_server) struct RequestLimits(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: Duration,
    by_client: HashMap<ClientId, u32>,
}

impl RequestLimits {
    /// Counts one request. `false`: too many. `now` is monotonic.
    fn admit(&self, client_id: &ClientId, now: Duration) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(counts.begun) >= WINDOW {
            *counts = Counts { begun: now, ..Counts::default() };
        }
        let of_client = counts.by_client.get(client_id).copied().unwrap_or_default();
        if of_client >= OF_ONE_CLIENT {
            return false;
        }
        counts.by_client.insert(client_id.clone(), of_client.saturating_add(1));
        true
    }
}

impl AuthorizationServer {
    /// Counts one request that a client sends itself: each is a row in the store. A site has the share of its browsers,
    /// but where a client has proved to be itself: that of a hosted client is all its people's.
    ///
    /// # Errors
    ///
    /// [`OAuthError::TooManyRequests`]
    pub(in crate::authorization_server) fn admit_request_of(
        &self,
        client: &Client,
        address: Option<IpAddr>,
    ) -> Result<(), OAuthError> {
        let too_many = |retry_after| OAuthError::TooManyRequests { retry_after };
        if !client.is_confidential() {
            self.shares.request(address).map_err(too_many)?;
        } else if !self.authorization_requests.admit(client.id(), self.clock.monotonic()) {
            return Err(too_many(WINDOW));
        }
        self.shares.waiting_request(address).map_err(too_many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_use_up_the_room_of_all() {
        let (limits, now) = (RequestLimits::default(), Duration::from_secs(70));
        let client = |name: &str| name.parse::<ClientId>().unwrap();
        let taken = (0..1000).filter(|_| limits.admit(&client("loud"), now)).count();
        assert_eq!(taken, 600);
        assert!(limits.admit(&client("other"), now));
        assert!(limits.admit(&client("loud"), now + WINDOW));
    }
}
