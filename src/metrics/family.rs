//! Counters and times by label values, never more than a fixed number of them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::tally::BUCKETS;

/// Sets of label values that one family keeps apart; what comes then is counted under `other`.
pub const MAX_SERIES: usize = 1000;

/// A word of a closed set, or a name from the settings. Never what a caller wrote.
pub type Label = Cow<'static, str>;

type Labels<const N: usize> = [(&'static str, Label); N];

/// The labels of one family, and how many sets of values it has.
#[derive(Clone, Debug)]
struct Names<const N: usize>([&'static str; N], Arc<Mutex<usize>>);

impl<const N: usize> Names<N> {
    fn new(names: [&'static str; N]) -> Self {
        Self(names, Arc::default())
    }

    /// New ones while there is room for them. Two threads that bring the same new one at once may both count it: there is
    /// room for one less then, and never for more.
    fn admit(&self, labels: Labels<N>, known: impl Fn(&Labels<N>) -> bool) -> Labels<N> {
        let mut series = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if known(&labels) {
            return labels;
        }
        if *series >= MAX_SERIES {
            return self.other();
        }
        *series += 1;
        labels
    }

    fn with(&self, values: [Label; N]) -> Labels<N> {
        let mut values = values.into_iter();
        self.0.map(|name| (name, values.next().unwrap_or_default()))
    }

    fn other(&self) -> Labels<N> {
        self.0.map(|name| (name, Cow::Borrowed("other")))
    }
}

/// A counter for each set of label values. Clones are the same.
#[derive(Clone, Debug)]
pub struct Counters<const N: usize> {
    names: Names<N>,
    family: Family<Labels<N>, Counter>,
}

impl<const N: usize> Counters<N>
where
    Labels<N>: EncodeLabelSet,
{
    pub(super) fn new(names: [&'static str; N]) -> Self {
        Self { names: Names::new(names), family: Family::default() }
    }

    pub(super) fn register(&self, registry: &mut Registry, name: &'static str, help: &'static str) {
        registry.register(name, help, self.family.clone());
    }

    /// One more, in the order of the label names.
    pub fn add(&self, values: [Label; N]) {
        self.add_many(values, 1);
    }

    /// The same for `count` at once.
    pub fn add_many(&self, values: [Label; N], count: u64) {
        let labels = self.names.with(values);
        if let Some(known) = self.family.get(&labels) {
            known.inc_by(count);
            return;
        }
        let labels = self.names.admit(labels, |labels| self.family.get(labels).is_some());
        self.family.get_or_create(&labels).inc_by(count);
    }
}

/// Times for each set of label values. Clones are the same.
#[derive(Clone, Debug)]
pub struct Timings<const N: usize> {
    names: Names<N>,
    family: Family<Labels<N>, Histogram, fn() -> Histogram>,
}

impl<const N: usize> Timings<N>
where
    Labels<N>: EncodeLabelSet,
{
    pub(super) fn new(names: [&'static str; N]) -> Self {
        let made: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self { names: Names::new(names), family: Family::new_with_constructor(made) }
    }

    pub(super) fn register(&self, registry: &mut Registry, name: &'static str, help: &'static str) {
        registry.register(name, help, self.family.clone());
    }

    pub fn observe(&self, values: [Label; N], took: Duration) {
        let labels = self.names.with(values);
        if let Some(known) = self.family.get(&labels) {
            known.observe(took.as_secs_f64());
            return;
        }
        let labels = self.names.admit(labels, |labels| self.family.get(labels).is_some());
        self.family.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_family_never_grows_past_its_limit_and_loses_no_count() {
        let mut registry = Registry::default();
        let counters = Counters::new(["tool"]);
        counters.register(&mut registry, "calls", "Calls");
        for n in 0..MAX_SERIES + 500 {
            counters.add([n.to_string().into()]);
        }
        counters.add(["7".into()]);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("calls_total{tool=\"other\"} 500\n"), "{text}");
        assert_eq!(text.matches("calls_total{").count(), MAX_SERIES + 1);
        assert!(text.contains("calls_total{tool=\"7\"} 2\n"), "{text}");
    }
}
