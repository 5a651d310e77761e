//! The log, on its way to the collector too: what standard error shows, and nothing else.

use std::fmt;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::steps::Steps;
use crate::time::{Clock as _, SystemClock};

use super::Outbox;
use super::record::Log;

/// Of this process, since its log is.
static OUTBOX: OnceLock<Outbox> = OnceLock::new();

/// From now on the log of this process goes to `outbox`, too. The first one stays.
pub fn send_logs_to(outbox: Outbox) {
    OUTBOX.set(outbox).ok();
}

/// The longest text of one field, in bytes.
const LONGEST: usize = 4096;
/// Of all fields of a line together: a whole batch of them is a few MiB.
const LINE: usize = 8192;

/// The layer; it does nothing until [`send_logs_to`].
#[derive(Debug)]
pub(in crate::telemetry) struct Logs;

impl<S: Subscriber> Layer<S> for Logs {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(outbox) = OUTBOX.get() else { return };
        let (severity, number) = match *event.metadata().level() {
            Level::ERROR => ("ERROR", 17),
            Level::WARN => ("WARN", 13),
            Level::INFO => ("INFO", 9),
            Level::DEBUG | Level::TRACE => ("DEBUG", 5),
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        outbox.log(Log {
            at: SystemClock.now(),
            severity,
            number,
            body: fields.message,
            target: event.metadata().target().to_owned(),
            attributes: fields.others,
            // With spans beside it in the collector, a line is found from a request and a request from a line.
            of: Steps::current().and_then(|steps| steps.request()),
        });
    }
}

#[derive(Debug, Default)]
struct Fields {
    /// The bytes of all texts so far.
    taken: usize,
    message: String,
    others: Vec<(String, String)>,
}

impl Fields {
    fn take(&mut self, field: &Field, mut text: String) {
        let room = LONGEST.min(LINE.saturating_sub(self.taken));
        let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        self.taken += text.len();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name().to_owned(), text));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut next = value.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        self.take(field, text);
    }
}

#[cfg(test)]
mod tests {
    use tracing::callsite::{DefaultCallsite, Identifier};
    use tracing::field::FieldSet;

    use super::*;

    static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
    static METADATA: tracing::Metadata<'static> = tracing::metadata! {
        name: "line",
        target: "test",
        level: Level::INFO,
        fields: &["message", "a", "b"],
        callsite: &CALLSITE,
        kind: tracing::metadata::Kind::EVENT
    };

    #[test]
    fn a_line_is_cut_to_a_few_kilobytes_whatever_its_fields_hold() {
        let set = FieldSet::new(&["message", "a", "b"], Identifier(&CALLSITE));
        let mut fields = Fields::default();
        for field in &set {
            fields.take(&field, "é".repeat(LINE));
        }
        let lengths: Vec<_> = fields.others.iter().map(|(_, text)| text.len()).collect();
        assert_eq!((fields.message.len(), &lengths[..]), (LONGEST, &[LONGEST, 0][..]));
    }
}
