//! How the parts are when somebody scrapes. Asks what each part knows about itself, and waits for nothing.

use std::sync::Arc;

use crate::config::{Config, GraphMode};
use crate::http::Readiness as _;
use crate::metrics::{Reading, Readings, Value};
use crate::resource_server::KeyHealth;
use crate::telemetry::otlp::Outbox;

use super::readiness::Parts;

/// Reads what `/ready` reads, and what only numbers can say.
#[derive(Debug)]
pub(super) struct Scraped {
    pub(super) parts: Arc<Parts>,
    /// `broker_build_info`
    pub(super) build: Vec<(&'static str, String)>,
    /// Where something is sent to a collector.
    pub(super) outbox: Option<Outbox>,
}

impl Scraped {
    pub(super) fn new(parts: Arc<Parts>, config: &Config, outbox: Option<Outbox>) -> Self {
        let graph = match config.graph.mode {
            GraphMode::Simulated => "simulated",
            GraphMode::Live => "live",
        };
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("environment", config.deployment.as_str().to_owned()),
            ("graph", graph.to_owned()),
        ];
        Self { parts, build, outbox }
    }
}

impl Readings for Scraped {
    fn read(&self) -> Vec<Reading> {
        let build = gauge("build_info", "Always 1; what runs here", self.build.clone(), true);
        let version = self.parts.policy.current().policy().version().to_string();
        let policy = vec![("version", version)];
        let mut readings =
            vec![build, gauge("policy_info", "Always 1; the rules in force", policy, true)];
        readings.extend(self.health());
        readings.extend(self.audit());
        readings.extend(self.issuers());
        readings.extend(self.secrets());
        readings.extend(self.tokens());
        readings.extend(self.store());
        let forgotten = "Spans and lines of the log that no collector took";
        readings.extend(self.outbox.as_ref().map(|outbox| {
            counter("telemetry_forgotten", forgotten, Vec::new(), outbox.forgotten())
        }));
        readings
    }
}

impl Scraped {
    /// What `/ready` says, but for the drain, which no scraper sees for long.
    fn health(&self) -> Vec<Reading> {
        let failing = self.parts.failing();
        let ready = failing.is_empty();
        let mut readings =
            vec![gauge("ready", "Whether requests can be served", Vec::new(), ready)];
        let help = "Parts that make every request wrong";
        readings.extend(failing.into_iter().map(|(part, _)| named("failing", help, part)));
        let help = "Parts that make some requests wrong; /ready says why";
        let degraded = self.parts.degraded().into_iter();
        readings.extend(degraded.map(|(part, _)| named("degraded", help, part)));
        readings
    }

    fn audit(&self) -> [Reading; 3] {
        let status = self.parts.auditor.status();
        let waiting = "Events that wait to be written";
        let lost = "Events that could not be written before the end";
        let healthy = "0 while a sink cannot be written, or a write to it does not return";
        [
            gauge("audit_healthy", healthy, Vec::new(), status.healthy),
            number("audit_queue_events", waiting, status.waiting),
            number("audit_not_written_events", lost, status.not_written),
        ]
    }

    fn issuers(&self) -> Vec<Reading> {
        let state = |keys| match keys {
            KeyHealth::Unused => "unused",
            KeyHealth::Good => "good",
            KeyHealth::Stale => "stale",
            KeyHealth::Unavailable => "unavailable",
        };
        let help = "Always 1; how the key set of an issuer, or its introspection, is";
        let of = |health: crate::resource_server::IssuerHealth| {
            let state = state(health.keys).to_owned();
            gauge(
                "issuer_keys",
                help,
                vec![("issuer", health.issuer.to_string()), ("state", state)],
                true,
            )
        };
        self.parts.verifiers.health().into_iter().map(of).collect()
    }

    fn secrets(&self) -> Vec<Reading> {
        let secrets = self.parts.service.secrets();
        let counts = secrets.counts();
        let word = |backend| {
            serde_json::to_value(backend).ok().and_then(|value| value.as_str().map(str::to_owned))
        };
        let of = |name, help, count: fn(crate::secret::BackendCounts) -> u64| {
            let counts = counts.clone().into_iter();
            counts.map(move |(backend, counts)| {
                let labels = vec![("backend", word(backend).unwrap_or_default())];
                Reading { name, help, labels, value: Value::Counter(count(counts)) }
            })
        };
        let asked = of("secret_reads", "Secrets asked of a backend", |counts| counts.asked);
        let failed = of("secret_read_failures", "The same without success", |counts| counts.failed);
        let held = "Secrets that were answered out of memory";
        let held = counter("secret_cache_hits", held, Vec::new(), secrets.remembered());
        asked.chain(failed).chain([held]).collect()
    }

    fn tokens(&self) -> Vec<Reading> {
        let counts = self.parts.service.token_counts();
        let (name, help) = ("provider_tokens", "Tokens for Graph by how they were come by");
        let of =
            |source: &str, count| counter(name, help, vec![("source", source.to_owned())], count);
        vec![
            of("cache", counts.held.get()),
            of("minted", counts.minted.get()),
            of("failed", counts.failed.get()),
        ]
    }

    fn store(&self) -> Vec<Reading> {
        let load = self.parts.store.load();
        let kind = |kind: &str| vec![("kind", kind.to_owned())];
        let (took, failed) = ("store_operation_duration_seconds", "store_operation_failures");
        let times = |of, times: &crate::metrics::Times| {
            let (help, value) =
                ("Reads and commands, with their wait", Value::Times(times.clone()));
            Reading { name: took, help, labels: kind(of), value }
        };
        let failures = |of, count| counter(failed, "The same without success", kind(of), count);
        vec![
            gauge(
                "store_up",
                "Whether it answered a moment ago",
                Vec::new(),
                self.parts.store.answers(),
            ),
            times("read", &load.reads),
            times("write", &load.writes),
            failures("read", load.failed_reads.get()),
            failures("write", load.failed_writes.get()),
        ]
    }
}

type Labels = Vec<(&'static str, String)>;

fn gauge(name: &'static str, help: &'static str, labels: Labels, is: bool) -> Reading {
    Reading { name, help, labels, value: Value::whether(is) }
}

fn named(name: &'static str, help: &'static str, part: String) -> Reading {
    gauge(name, help, vec![("part", part)], true)
}

fn number(name: &'static str, help: &'static str, number: usize) -> Reading {
    let value = u32::try_from(number).unwrap_or(u32::MAX);
    Reading { name, help, labels: Vec::new(), value: Value::Gauge(value.into()) }
}

fn counter(name: &'static str, help: &'static str, labels: Labels, count: u64) -> Reading {
    Reading { name, help, labels, value: Value::Counter(count) }
}
