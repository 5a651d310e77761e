//! What one site may use of what strangers use together, and how much of that there is (N90, N101, N108).
//!
//! A site is as wide as one organisation: one host of IPv6 goes through 256 networks and more. Of what there is in all a
//! part is kept for sites that have used next to nothing, so that a few loud ones keep no other out.
//!
//! Behind a proxy that `server.trusted_proxies` does not name all people are one site.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{NetworkShare, Room, RoomSize};
use crate::time::Clock;

/// Authorization requests: each is a row in the store until it is answered or late.
const REQUESTS: NonZeroU32 = NonZeroU32::new(60).unwrap();
const ALL_REQUESTS: RoomSize = RoomSize {
    all: NonZeroU32::new(6000).unwrap(),
    reserve: NonZeroU32::new(1500).unwrap(),
    each: NonZeroU32::new(3).unwrap(),
};
/// A fifth of all. Not less: the people of a hosted client come from a few networks.
const REGISTRATIONS: NonZeroU32 = NonZeroU32::new(60).unwrap();
const ALL_REGISTRATIONS: RoomSize = RoomSize {
    all: NonZeroU32::new(300).unwrap(),
    reserve: NonZeroU32::new(300).unwrap(),
    each: NonZeroU32::new(3).unwrap(),
};
/// A sixth of all.
const DOCUMENTS: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Of the reserve of documents that nobody has read before.
const FIRST_DOCUMENTS: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// The shares of every site, and the room of all, a minute.
#[derive(Debug)]
pub(super) struct Shares {
    requests: NetworkShare,
    all_requests: Room,
    registrations: NetworkShare,
    all_registrations: Room,
    pub(super) documents: NetworkShare,
    pub(super) first_documents: NetworkShare,
}

impl Shares {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            requests: NetworkShare::new(REQUESTS, clock),
            all_requests: Room::new(ALL_REQUESTS, clock),
            registrations: NetworkShare::new(REGISTRATIONS, clock),
            all_registrations: Room::new(ALL_REGISTRATIONS, clock),
            documents: NetworkShare::new(DOCUMENTS, clock),
            first_documents: NetworkShare::new(FIRST_DOCUMENTS, clock),
        }
    }

    /// Counts one authorization request for its site, before anything of it is looked at.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn request(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        self.requests.take(address)
    }

    /// Counts one authorization request that is to wait, for all.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn waiting_request(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        self.all_requests.take(address)
    }

    /// Counts one registration, for its site and for all.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn registration(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        self.registrations.take(address)?;
        self.all_registrations.take(address)
    }
}

#[cfg(test)]
mod tests {
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    fn shares() -> Shares {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        Shares::new(&clock)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the shares take it")]
    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    // RFC 7591 §5 — N90
    #[test]
    fn ten_sites_that_register_without_end_keep_no_other_out() {
        let shares = shares();
        let from = |n: u32| address(&format!("2001:db8:{:x}:{n:x}::1", n % 10));
        assert_eq!((0..2000).filter(|n| shares.registration(from(*n)).is_ok()).count(), 330);
        assert!(shares.registration(address("198.51.100.1")).is_ok());
    }

    // N101, N108
    #[test]
    fn two_hundred_sites_that_fill_the_room_of_requests_keep_no_other_out() {
        let shares = shares();
        let ask =
            |address| shares.request(address).is_ok() && shares.waiting_request(address).is_ok();
        for n in 0..20_000 {
            ask(address(&format!("2001:db8:{:x}::{n:x}", n % 200)));
        }
        assert!(ask(address("198.51.100.1")));
    }
}
