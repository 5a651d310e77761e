//! The only door to the clock: wall time for what is compared with the world, monotonic time for what is measured.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// A point in time in whole milliseconds since the Unix epoch (UTC). Before 1970 is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, rounded down: the unit of JWT dates (RFC 7519 §2, `NumericDate`).
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Moves forward; what is too far ends at the last moment there is.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Moves by whole seconds, back if they are negative.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    /// How long from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-21T03:44:39.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the time comes from. Everything that expires takes one, so that tests can move it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall time. It may jump: compare it only with times that others stated (`exp`, `Date`).
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start. It never goes back: measure and expire our own things with it.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door the ban points to")]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::default().plus(since),
            Err(before) => Timestamp(
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::saturating_neg),
            ),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door the ban points to")]
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A clock whose wall time never falls behind the pace at which time has passed since it was made: where the clock below
/// is set back, time goes on. For deadlines that nobody may win back by a step of the clock.
///
/// Where the wall clock steps ahead it is believed at once, but counts as right only when it is read again a minute later and
/// still is ahead. Then it stays so; taken back before, the step is forgotten: one wrong reading is not to last for as long
/// as the process does.
#[derive(Clone, Debug)]
pub struct NeverBack {
    clock: Arc<dyn Clock>,
    read: Arc<Mutex<Reading>>,
}

/// How far the wall clock was, in wall and monotonic time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    furthest: (Timestamp, Duration),
    /// Since when it is ahead of that by a step.
    ahead_since: Option<Duration>,
}

/// What is more than this is a step, and no clock that is being adjusted.
const STEP: Duration = Duration::from_secs(1);
/// How long a step ahead has to last.
const BELIEVED_AFTER: Duration = Duration::from_mins(1);

impl NeverBack {
    /// Takes the time from `clock`, which is right now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let furthest = (clock.now(), clock.monotonic());
        Self { clock, read: Arc::new(Mutex::new(Reading { furthest, ahead_since: None })) }
    }
}

impl Clock for NeverBack {
    fn now(&self) -> Timestamp {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let (wall, at) = read.furthest;
        let steady = wall.plus(monotonic.saturating_sub(at));
        let since = (now > steady.plus(STEP)).then(|| read.ahead_since.unwrap_or(monotonic));
        let lasts = since.is_none_or(|since| monotonic.saturating_sub(since) >= BELIEVED_AFTER);
        read.ahead_since = since.filter(|_| !lasts);
        if lasts && now > steady {
            read.furthest = (now, monotonic);
        }
        now.max(steady)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// What is left of the time one call may take, retries and waits included.
#[derive(Clone, Debug)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    ends: Duration,
}

impl Budget {
    /// Starts now and ends after `limit`.
    #[must_use]
    pub fn start(clock: Arc<dyn Clock>, limit: Duration) -> Self {
        let ends = clock.monotonic().saturating_add(limit);
        Self { clock, ends }
    }

    /// Zero when it is used up.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.ends.saturating_sub(self.clock.monotonic())
    }

    /// What one step may take: its own limit or what is left, whichever is shorter.
    #[must_use]
    pub fn cap(&self, step: Duration) -> Duration {
        self.remaining().min(step)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.remaining().is_zero()
    }
}

/// A clock that stands still until it is moved. For tests and for `policy test`.
#[derive(Debug)]
pub struct FixedClock(Mutex<(Timestamp, Duration)>);

impl FixedClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Lets time pass: wall and monotonic time move together.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.0 = time.0.plus(by);
        time.1 = time.1.saturating_add(by);
    }

    /// Steps the wall clock alone, as a wrong NTP server would.
    pub fn step_wall(&self, to: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = to;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339_with_milliseconds() {
        let time = Timestamp::from_unix_millis(1_795_239_879_007);
        assert_eq!(time.to_string(), "2026-11-21T05:44:39.007Z");
    }

    #[test]
    fn a_clock_that_never_goes_back_follows_a_step_forward_alone() {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
        let steady = NeverBack::new(Arc::clone(&clock) as _);
        clock.advance(Duration::from_mins(1));
        clock.step_wall(Timestamp::from_unix_seconds(10));
        assert_eq!(steady.now().unix_seconds(), 1_060);
        clock.step_wall(Timestamp::from_unix_seconds(9_000));
        assert_eq!(steady.now().unix_seconds(), 9_000);
        clock.advance(Duration::from_mins(1));
        assert_eq!(steady.now().unix_seconds(), 9_060);
        // Put right, and then set back: it stays right.
        clock.step_wall(Timestamp::from_unix_seconds(10));
        assert_eq!(steady.now().unix_seconds(), 9_060);
    }

    #[test]
    fn a_clock_that_never_goes_back_forgets_a_step_that_is_taken_back_at_once() {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
        let steady = NeverBack::new(Arc::clone(&clock) as _);
        clock.step_wall(Timestamp::from_unix_seconds(90_000));
        assert_eq!(steady.now().unix_seconds(), 90_000);
        clock.step_wall(Timestamp::from_unix_seconds(1_000));
        assert_eq!(steady.now().unix_seconds(), 1_000);
        // Another step is another minute.
        clock.advance(Duration::from_mins(2));
        clock.step_wall(Timestamp::from_unix_seconds(90_000));
        assert_eq!(steady.now().unix_seconds(), 90_000);
        clock.step_wall(Timestamp::from_unix_seconds(10));
        assert_eq!(steady.now().unix_seconds(), 1_120);
    }

    /// Adjusted bit by bit it is followed.
    #[test]
    fn a_clock_that_never_goes_back_keeps_what_it_was_ahead_by_less_than_a_step() {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
        let steady = NeverBack::new(Arc::clone(&clock) as _);
        clock.step_wall(Timestamp::from_unix_seconds(1_001));
        assert_eq!(steady.now().unix_seconds(), 1_001);
        clock.step_wall(Timestamp::from_unix_seconds(990));
        assert_eq!(steady.now().unix_seconds(), 1_001);
    }

    #[test]
    fn a_step_of_the_wall_clock_does_not_move_monotonic_time() {
        let clock = FixedClock::at(Timestamp::from_unix_seconds(1_000));
        clock.step_wall(Timestamp::from_unix_seconds(9_000));
        assert_eq!(clock.now().unix_seconds(), 9_000);
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }
}
