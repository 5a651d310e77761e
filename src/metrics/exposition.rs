//! The page that Prometheus reads, made at most once a second.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::time::Clock;

use super::meters::Meters;
use super::process::Process;
use super::readings::{Collected, Reading, Readings};

/// For so long everybody who asks gets the same page: a storm of scrapes costs one.
const KEPT: Duration = Duration::from_secs(1);

/// Everything that is counted and read, as text (`OpenMetrics` 1.0). Clones are the same.
#[derive(Clone)]
pub struct Exposition(Arc<Inner>);

struct Inner {
    registry: Registry,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<(Duration, Bytes)>>,
    readings: Arc<OnceLock<Box<dyn Readings>>>,
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposition")
    }
}

impl Exposition {
    /// What `meters` count, under the prefix `broker_`, and the process itself.
    #[must_use]
    pub fn new(meters: &Meters, clock: Arc<dyn Clock>) -> Self {
        let mut registry = Registry::default();
        let started = u64::try_from(clock.now().unix_millis()).unwrap_or_default();
        let process = Process { started: Duration::from_millis(started) };
        registry.register_collector(Box::new(Collected(process)));
        let ours = registry.sub_registry_with_prefix("broker");
        meters.register(ours);
        let readings = Arc::default();
        ours.register_collector(Box::new(Collected(Later(Arc::clone(&readings)))));
        Self(Arc::new(Inner { registry, clock, kept: Mutex::default(), readings }))
    }

    /// Shows what `readings` say, too. The first ones stay.
    pub fn show(&self, readings: Box<dyn Readings>) {
        self.0.readings.set(readings).ok();
    }

    /// The page. Those who ask while it is made wait for it, and get the same one.
    #[must_use]
    pub fn text(&self) -> Bytes {
        let now = self.0.clock.monotonic();
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, text)) = &*kept
            && now.saturating_sub(*made) < KEPT
        {
            return text.clone();
        }
        let mut text = String::with_capacity(kept.as_ref().map_or(1 << 16, |(_, text)| text.len()));
        if encode(&mut text, &self.0.registry).is_err() {
            tracing::error!("metrics.not_encoded"); // writing into memory does not fail
        }
        let text = Bytes::from(text);
        *kept = Some((now, text.clone()));
        text
    }
}

/// Readings of parts that are made after the page.
#[derive(Debug)]
struct Later(Arc<OnceLock<Box<dyn Readings>>>);

impl Readings for Later {
    fn read(&self) -> Vec<Reading> {
        self.0.get().map(|readings| readings.read()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::metrics::Value;
    use crate::time::{FixedClock, Timestamp};

    use super::*;

    #[derive(Debug, Default)]
    struct Asked(Arc<AtomicU64>);

    impl Readings for Asked {
        fn read(&self) -> Vec<Reading> {
            let times = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let labels = vec![("name", "a \"quoted\"\nname".to_owned())];
            vec![Reading { name: "asked", help: "Asked", labels, value: Value::Counter(times) }]
        }
    }

    #[test]
    fn a_storm_of_scrapes_costs_one_page_a_second() {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(1_000)));
        let (asked, meters) = (Asked::default(), Meters::new(clock.clone()));
        let times = Arc::clone(&asked.0);
        let page = Exposition::new(&meters, clock.clone());
        page.show(Box::new(asked));
        for _ in 0..1000 {
            drop(page.text());
        }
        assert_eq!(times.load(Ordering::Relaxed), 1);
        clock.advance(Duration::from_secs(1));
        let text = page.text();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(
            text.contains("broker_asked_total{name=\"a \\\"quoted\\\"\\nname\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("process_start_time_seconds 1000"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
