//! Room that strangers use together, with a part of it for those who have hardly used any.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Clock;

use super::network::NetworkShare;
use super::rate::Meter;
use super::settings::Rate;

/// How much there is of it, a minute.
#[derive(Clone, Copy, Debug)]
pub struct RoomSize {
    /// First come, first served.
    pub all: NonZeroU32,
    /// Used only once `all` is used up.
    pub reserve: NonZeroU32,
    /// What each site may have of the reserve.
    pub each: NonZeroU32,
}

/// Whoever fills it from a few sites keeps nobody of another site out: to fill the reserve, too, takes
/// `reserve / each` sites.
#[derive(Debug)]
pub struct Room {
    all: Meter,
    reserve: Meter,
    each: NetworkShare,
    hasher: RandomState,
}

impl Room {
    #[must_use]
    pub fn new(size: RoomSize, clock: &Arc<dyn Clock>) -> Self {
        let meter =
            |count| Meter::new(Rate { count, period: Duration::from_mins(1) }, Arc::clone(clock));
        Self {
            all: meter(size.all),
            reserve: meter(size.reserve),
            each: NetworkShare::new(size.each, clock),
            hasher: RandomState::new(),
        }
    }

    /// Counts one request of this address, as trusted proxies tell it.
    ///
    /// # Errors
    ///
    /// How long from now until one might be let through.
    pub fn take(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let everybody = self.hasher.hash_one(());
        let Err(wait) = self.all.count(everybody) else { return Ok(()) };
        self.each.take(address).map_err(|_| wait)?;
        self.reserve.count(everybody)
    }
}

#[cfg(test)]
mod tests {
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    const fn of(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    fn room() -> Room {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        Room::new(RoomSize { all: of(100), reserve: of(20), each: of(2) }, &clock)
    }

    // N101, N108
    #[test]
    fn who_fills_the_room_from_a_few_sites_keeps_no_other_site_out() {
        let room = room();
        let take = |address: String| room.take(Some(address.parse().unwrap())).is_ok();
        let loud = (0..1000).filter(|n| take(format!("192.0.{}.1", n % 5))).count();
        assert_eq!(loud, 110, "all of it, and of the reserve what five sites may have");
        assert!(take("2001:db8:7::1".to_owned()) && take("2001:db8:7:9::1".to_owned()));
        assert!(!take("2001:db8:7:8::1".to_owned()), "one site, however many networks it has");
    }

    // N101
    #[test]
    fn the_reserve_is_bounded_too() {
        let room = room();
        let take =
            |n: u32| room.take(Some(format!("10.{}.{}.1", n / 200, n % 200).parse().unwrap()));
        assert_eq!((0..1000).filter(|n| take(*n).is_ok()).count(), 120);
        assert!(take(999).unwrap_err() <= Duration::from_mins(1));
    }
}
