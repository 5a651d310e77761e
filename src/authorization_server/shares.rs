//! What one site may use of what strangers use together, and how much of that there is (N90, N101, N108).
//!
//! A site is as wide as one organisation: one host of IPv6 goes through 256 networks and more. Of what there is in all a
//! part is kept for sites that have used next to nothing, so that a few loud ones keep no other out.
//!
//! Who is logged in is no stranger, and counted as that person. Behind a proxy that `server.trusted_proxies` does not name
//! all strangers are one site.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::id::UserId;
use crate::limits::{Meter, NetworkShare, Rate, Room, RoomSize};
use crate::time::Clock;

const SIXTY: Rate = Rate { count: NonZeroU32::new(60).unwrap(), period: Duration::from_mins(1) };
const TWICE: Rate = Rate { count: NonZeroU32::new(120).unwrap(), period: Duration::from_mins(1) };
/// Authorization requests of one person: each is a row in the store until it is answered or late.
const OF_ONE_PERSON: Rate = SIXTY;
const ALL_REQUESTS: RoomSize = RoomSize {
    all: NonZeroU32::new(6000).unwrap(),
    reserve: NonZeroU32::new(1500).unwrap(),
    each: NonZeroU32::new(3).unwrap(),
};
const ALL_REGISTRATIONS: RoomSize = RoomSize {
    all: NonZeroU32::new(300).unwrap(),
    reserve: NonZeroU32::new(300).unwrap(),
    each: NonZeroU32::new(3).unwrap(),
};
/// Sessions whose cookies no version with marks has made. Half a day after an upgrade there are none of them.
const UNMARKED_SESSIONS: Rate =
    Rate { count: NonZeroU32::new(600).unwrap(), period: Duration::from_mins(1) };
/// A sixth of all.
const DOCUMENTS: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Of the reserve of documents that nobody has read before.
const FIRST_DOCUMENTS: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// What one site may have. An operator whose people come from one address may need more.
#[derive(Clone, Copy, Debug)]
pub struct SiteShares {
    /// Authorization requests of who is not logged in.
    pub requests: Rate,
    /// Logins begun at identity providers.
    pub logins: Rate,
    /// A fifth of all. Not less: the people of a hosted client come from a few networks.
    pub registrations: Rate,
}

impl Default for SiteShares {
    fn default() -> Self {
        Self { requests: SIXTY, logins: TWICE, registrations: SIXTY }
    }
}

/// The room of all, with place for five sites that use up what each may have.
pub(super) fn room_for(share: Rate, size: RoomSize) -> RoomSize {
    let seconds = share.period.as_secs().max(1);
    let a_minute = u64::from(share.count.get()).saturating_mul(60).div_ceil(seconds);
    let five = u32::try_from(a_minute.saturating_mul(5)).unwrap_or(u32::MAX);
    let all = NonZeroU32::new(five).map_or(size.all, |five| five.max(size.all));
    RoomSize { all, ..size }
}

/// The shares of every site and person, and the room of all, a minute.
#[derive(Debug)]
pub(super) struct Shares {
    people: Meter,
    unmarked_sessions: Meter,
    requests: NetworkShare,
    all_requests: Room,
    registrations: NetworkShare,
    all_registrations: Room,
    pub(super) documents: NetworkShare,
    pub(super) first_documents: NetworkShare,
    /// Keyed at random, as the sites are.
    hasher: RandomState,
}

impl Shares {
    pub(super) fn new(of_site: SiteShares, clock: &Arc<dyn Clock>) -> Self {
        let SiteShares { requests, logins: _, registrations } = of_site;
        Self {
            people: Meter::new(OF_ONE_PERSON, Arc::clone(clock)),
            unmarked_sessions: Meter::new(UNMARKED_SESSIONS, Arc::clone(clock)),
            requests: NetworkShare::at(requests, clock),
            all_requests: Room::new(room_for(requests, ALL_REQUESTS), clock),
            registrations: NetworkShare::at(registrations, clock),
            all_registrations: Room::new(room_for(registrations, ALL_REGISTRATIONS), clock),
            documents: NetworkShare::new(DOCUMENTS, clock),
            first_documents: NetworkShare::new(FIRST_DOCUMENTS, clock),
            hasher: RandomState::new(),
        }
    }

    /// Counts one authorization request of somebody who is logged in, wherever they are: strangers at the same site use up
    /// nothing of it.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn request_of(&self, person: UserId) -> Result<(), Duration> {
        self.people.count(self.hasher.hash_one(person))
    }

    /// Counts one session cookie that is not marked as ours, with those of everybody: a person with a new one has nothing to do
    /// with that.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn unmarked_session(&self) -> Result<(), Duration> {
        self.unmarked_sessions.count(0)
    }

    /// Counts one authorization request of a stranger for its site, before anything of it is looked at.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn request(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        self.requests.take(address)
    }

    /// Counts one authorization request of a stranger that is to wait, for all.
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
        Shares::new(SiteShares::default(), &clock)
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

    #[test]
    fn a_site_that_may_have_more_finds_room_for_it() {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let registrations =
            Rate { count: NonZeroU32::new(10).unwrap(), period: Duration::from_secs(1) };
        let shares = Shares::new(SiteShares { registrations, ..SiteShares::default() }, &clock);
        let loud = (0..1000).filter(|_| shares.registration(address("192.0.2.1")).is_ok());
        assert_eq!(loud.count(), 10);
        assert_eq!(room_for(registrations, ALL_REGISTRATIONS).all.get(), 3000);
        assert_eq!(room_for(SIXTY, ALL_REGISTRATIONS).all.get(), 300);
    }
}
