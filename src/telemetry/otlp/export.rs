//! The one task that sends what waits. Whatever the collector does, only this task notices.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::metrics::Tally;
use crate::outbound::{Call, Limits, Outbound};

use super::record::{Log, Span};
use super::{BATCH, Inbox, Item, Outbox, encode};

/// What came goes within this time.
const EVERY: Duration = Duration::from_secs(2);
const LIMITS: Limits = Limits { timeout: Duration::from_secs(5), max_bytes: 64 * 1024 };
/// What one span or line of the log takes as a rule, in bytes.
const WRITTEN: usize = 1536;
/// For what waits when the broker ends.
const LAST: Duration = Duration::from_secs(2);

/// Who sends (OpenTelemetry's resource).
#[derive(Clone, Debug)]
pub struct Resource {
    pub service: Arc<str>,
    /// One of several replicas.
    pub instance: String,
    pub environment: &'static str,
}

/// Sends batches to `<endpoint>/v1/traces` and `<endpoint>/v1/logs`.
#[derive(Debug)]
pub struct Exporter {
    outbound: Outbound,
    traces: Url,
    logs: Url,
    resource: Resource,
    inbox: Inbox,
    forgotten: Arc<Tally>,
    /// Whether the last message was taken; what changes is logged, and nothing in between.
    answers: bool,
}

impl Exporter {
    /// `endpoint` as in `OTEL_EXPORTER_OTLP_ENDPOINT`: a base, which may have a path.
    #[must_use]
    pub fn new(
        outbound: Outbound,
        endpoint: &Url,
        resource: Resource,
        (outbox, inbox): (&Outbox, Inbox),
    ) -> Self {
        let below = |path: &str| {
            let mut url = endpoint.clone();
            url.set_path(&format!("{}{path}", endpoint.path().trim_end_matches('/')));
            url
        };
        let (traces, logs) = (below("/v1/traces"), below("/v1/logs"));
        let forgotten = outbox.forgotten_tally();
        Self { outbound, traces, logs, resource, inbox, forgotten, answers: true }
    }

    /// Sends until `stop`, and then what waits, for two seconds at most.
    pub async fn run(mut self, stop: CancellationToken) {
        // A collector that hangs holds up neither the end nor, the queue being what it is, anybody else.
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            () = self.work(&stop) => {}
            () = late => {}
        }
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.collect(&mut batch, stop).await {
            self.send(&mut batch).await;
        }
        while self.fill(&mut batch) {
            self.send(&mut batch).await;
        }
    }

    /// Takes what waits, as far as it goes in one message. `false`: there is nothing.
    fn fill(&mut self, batch: &mut Vec<Item>) -> bool {
        while batch.len() < BATCH {
            let Ok(item) = self.inbox.queue.try_recv() else { break };
            batch.push(item);
        }
        !batch.is_empty()
    }

    /// Waits for a whole batch, or for what came in a while. `false`: it is to end.
    async fn collect(&mut self, batch: &mut Vec<Item>, stop: &CancellationToken) -> bool {
        tokio::select! {
            first = self.inbox.queue.recv() => match first {
                Some(first) => batch.push(first),
                None => return false,
            },
            () = stop.cancelled() => return false,
        }
        tokio::select! {
            () = self.inbox.full.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return false,
        }
        self.fill(batch)
    }

    async fn send(&mut self, batch: &mut Vec<Item>) {
        let (mut spans, mut logs) = (Vec::<Span>::with_capacity(batch.len()), Vec::<Log>::new());
        for item in batch.drain(..) {
            match item {
                Item::Span(span) => spans.push(span),
                Item::Log(log) => logs.push(log),
            }
        }
        if !spans.is_empty() {
            let message = written(&encode::traces(&self.resource, &spans), spans.len());
            self.post(self.traces.clone(), message, spans.len()).await;
        }
        if !logs.is_empty() {
            let message = written(&encode::logs(&self.resource, &logs), logs.len());
            self.post(self.logs.clone(), message, logs.len()).await;
        }
    }

    /// What is not taken is forgotten: later it would be in the way of what is new.
    async fn post(&mut self, url: Url, message: Bytes, count: usize) {
        let mut call = Call::get(url);
        call.method = Method::POST;
        call.body = message;
        let json = HeaderValue::from_static("application/json");
        let sent = self.outbound.send(call.header(header::CONTENT_TYPE, json), LIMITS).await;
        let taken = matches!(&sent, Ok(answer) if answer.status.is_success());
        if !taken {
            (0..count).for_each(|_| self.forgotten.add());
        }
        match (self.answers, &sent) {
            (true, Err(error)) => {
                tracing::warn!(error = error as &dyn std::error::Error, "telemetry.collector_away");
            }
            (true, Ok(answer)) if !taken => {
                tracing::warn!(status = answer.status.as_u16(), "telemetry.collector_refuses");
            }
            (false, _) if taken => tracing::info!("telemetry.collector_answers"),
            _ => {}
        }
        self.answers = taken;
    }
}

fn written(message: &impl Serialize, count: usize) -> Bytes {
    let mut text = Vec::with_capacity(count.saturating_mul(WRITTEN));
    // What it is made of can always be written: its keys are texts.
    serde_json::to_writer(&mut text, message).unwrap_or_default();
    text.into()
}
