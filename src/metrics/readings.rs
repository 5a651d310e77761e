//! What is asked at each scrape: how the parts are at that moment.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::tally::Times;

/// One series at this moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Without the prefix; a counter's without `_total`. Readings of one name stand together.
    pub name: &'static str,
    pub help: &'static str,
    /// Words of closed sets, or names from the settings.
    pub labels: Vec<(&'static str, String)>,
    pub value: Value,
}

/// What it says.
#[derive(Clone, Debug)]
pub enum Value {
    /// Goes up and down.
    Gauge(f64),
    /// Only ever goes up while the process lives.
    Counter(u64),
    Times(Times),
}

impl Value {
    /// A gauge that is 1 or 0.
    #[must_use]
    pub const fn whether(is: bool) -> Self {
        Self::Gauge(if is { 1.0 } else { 0.0 })
    }

    const fn kind(&self) -> MetricType {
        match self {
            Self::Gauge(_) => MetricType::Gauge,
            Self::Counter(_) => MetricType::Counter,
            Self::Times(_) => MetricType::Histogram,
        }
    }
}

/// Whoever knows how the parts are. Asked at most once a second, and never waits for anything.
pub trait Readings: Send + Sync + fmt::Debug {
    /// In any order of names, each name in one run.
    fn read(&self) -> Vec<Reading>;
}

/// As the registry asks for it.
#[derive(Debug)]
pub(super) struct Collected<R>(pub(super) R);

impl<R: Readings + 'static> Collector for Collected<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for run in self.0.read().chunk_by(|one, next| one.name == next.name) {
            let Some(first) = run.first() else { continue };
            let (name, help, kind) = (first.name, first.help, first.value.kind());
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            // One without labels stands alone, and has no empty braces.
            if first.labels.is_empty() {
                encode(&first.value, family)?;
                continue;
            }
            for reading in run {
                encode(&reading.value, family.encode_family(&reading.labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode(value: &Value, mut encoder: MetricEncoder<'_>) -> fmt::Result {
    match value {
        Value::Gauge(now) => encoder.encode_gauge(now),
        Value::Counter(count) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
        Value::Times(times) => times.0.encode(encoder),
    }
}
