//! A share for each site of what strangers use together, so that none uses it up for all.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Clock;

use super::rate::Meter;
use super::settings::Rate;

/// What one customer of a provider is likely to hold: /24 of IPv4, /64 of IPv6 (CVE-2026-45364).
#[must_use]
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// The most that one organisation is likely to hold: /24 of IPv4, /48 of IPv6. For what nobody may use up for others by
/// going through all their networks.
#[must_use]
pub fn site(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => network(address.into()),
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

/// So much for each [`site`], in memory of a fixed size.
#[derive(Debug)]
pub struct NetworkShare {
    meter: Meter,
    /// Keyed at random, so that nobody can choose sites that fall together.
    hasher: RandomState,
}

impl NetworkShare {
    /// The whole count at once, then one each minute / count.
    #[must_use]
    pub fn new(a_minute: NonZeroU32, clock: &Arc<dyn Clock>) -> Self {
        Self::at(Rate { count: a_minute, period: Duration::from_mins(1) }, clock)
    }

    /// Of another period than a minute.
    #[must_use]
    pub fn at(rate: Rate, clock: &Arc<dyn Clock>) -> Self {
        Self { meter: Meter::new(rate, Arc::clone(clock)), hasher: RandomState::new() }
    }

    /// Counts one request of this address with those of its site, as trusted proxies tell it: one
    /// host may go through all networks of an IPv6 site. Those without an address share one share.
    ///
    /// # Errors
    ///
    /// How long from now until one would be let through; nothing was counted.
    pub fn take(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        self.meter.count(self.hasher.hash_one(address.map(site)))
    }
}

#[cfg(test)]
mod tests {
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    // N108
    #[test]
    fn addresses_of_one_network_are_counted_together() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.250"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
    }

    // N108
    #[test]
    fn the_networks_of_one_site_are_one() {
        let of = |text: &str| site(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:2:2::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.250"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
    }

    // N101, N108
    #[test]
    fn a_host_that_goes_through_its_networks_has_one_share() {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let share = NetworkShare::new(NonZeroU32::new(60).unwrap(), &clock);
        let take = |n: u32| share.take(Some(format!("2001:db8:1:{n:x}::1").parse().unwrap()));
        assert_eq!((0..256).filter(|n| take(*n).is_ok()).count(), 60);
        assert!(share.take(Some("2001:db8:2::1".parse().unwrap())).is_ok());
    }

    // N101
    #[test]
    fn a_loud_network_uses_up_its_own_share_alone() {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let dyn_clock: Arc<dyn Clock> = clock.clone();
        let share = NetworkShare::new(NonZeroU32::new(60).unwrap(), &dyn_clock);
        let take = |address: &str| share.take(Some(address.parse().unwrap()));
        let taken = (0..250).filter(|n| take(&format!("192.0.2.{n}")).is_ok()).count();
        assert_eq!(taken, 60);
        assert!(take("198.51.100.1").is_ok() && share.take(None).is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(take("192.0.2.1").is_ok());
    }
}
