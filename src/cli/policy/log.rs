//! The questions in an audit log, one after the other, in little memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::audit::segments;
use crate::code::Code;
use crate::id::{ClientId, EventId, Subject};
use crate::policy::{Made, Recorded, Replay};

use super::question::time;

/// A line longer than this is none of ours.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;
/// Where reading takes long enough to show how far it is.
const WORTH_SHOWING: u64 = 16 * 1024 * 1024;

/// The events that carry what policy was asked, and what it said.
const WITH_A_QUESTION: [&str; 4] =
    ["policy.decided", "result.emitted", "auth.scope.insufficient", "auth.login.insufficient"];

/// One recorded decision.
pub(super) struct Entry {
    pub(super) event_id: EventId,
    pub(super) request_id: String,
    pub(super) policy_version: String,
    pub(super) reason: String,
    /// Why the call went no further, whatever was decided.
    pub(super) limited_by: Option<&'static str>,
    pub(super) replay: Replay,
    payload: Box<RawValue>,
}

impl Entry {
    /// What was decided, with what became of each rule.
    pub(super) fn made(&self) -> Option<Made> {
        serde_json::from_str(self.payload.get()).ok()
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) lines: u64,
    /// Lines that are no JSON of ours.
    pub(super) unreadable: u64,
    /// Decisions without their question: recorded by an older version.
    pub(super) without_question: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    event_id: EventId,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Cow<'a, str>,
    requester_id: Option<Subject>,
    client_id: Option<ClientId>,
    asserted_requester_id: Option<Subject>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Payload {
    reason: Option<String>,
    policy_version: Option<String>,
    question: Option<Recorded>,
    error_code: Option<String>,
}

/// Hands every recorded decision to `see`, oldest first. `progress` is told, in percent, how far it is.
pub(super) fn read<'w>(
    path: &Path,
    progress: Option<&mut (dyn Write + 'w)>,
    mut see: impl FnMut(Entry),
) -> io::Result<Count> {
    let files = segments(path)?;
    if files.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let total = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    let to = progress.filter(|_| total > WORTH_SHOWING);
    let mut bar = Bar { to, total, read: 0, shown: 0 };
    let mut count = Count::default();
    for file in files {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            bar.advance(read);
            count.lines += 1;
            match entry(&line) {
                Ok(Some(entry)) => see(entry),
                Ok(None) => {}
                Err(Fault::Unreadable) => count.unreadable += 1,
                Err(Fault::WithoutQuestion) => count.without_question += 1,
            }
        }
    }
    bar.end();
    Ok(count)
}

/// The decision that is this event, and those of this request.
pub(super) fn decisions(
    path: &Path,
    (event, request_id): (EventId, &str),
) -> io::Result<(Option<Entry>, Vec<Entry>)> {
    let (mut found, mut of_request) = (None, Vec::new());
    read(path, None, |entry| {
        if entry.event_id == event {
            found = Some(entry);
        } else if entry.request_id == request_id {
            of_request.push(entry);
        }
    })?;
    Ok((found, of_request))
}

/// The request of an event, whatever it says.
pub(super) fn request_of(path: &Path, event: EventId) -> io::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Named {
        event_id: EventId,
        request_id: String,
    }
    let id = event.to_string();
    for file in segments(path)? {
        let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
        let mut line = Vec::new();
        while io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            if text.contains(&id)
                && let Ok(named) = serde_json::from_str::<Named>(&text)
                && named.event_id == event
            {
                return Ok(Some(named.request_id));
            }
            line.clear();
        }
    }
    Ok(None)
}

enum Fault {
    Unreadable,
    WithoutQuestion,
}

/// `None`: an event that carries no decision.
fn entry(line: &[u8]) -> Result<Option<Entry>, Fault> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|_| Fault::Unreadable)?;
    if !WITH_A_QUESTION.contains(&&*line.event_type) {
        return Ok(None);
    }
    let payload: Payload =
        serde_json::from_str(line.payload.get()).map_err(|_| Fault::Unreadable)?;
    let (Some(reason), Some(policy_version)) = (payload.reason, payload.policy_version) else {
        return Ok(None); // an event that says how a call ended, not what was decided
    };
    let question = payload.question.ok_or(Fault::WithoutQuestion)?;
    let at = time(&line.occurred_at).map_err(|_| Fault::Unreadable)?;
    let replay = Replay {
        subject: line.requester_id,
        client_id: line.client_id,
        asserted_requester: line.asserted_requester_id,
        at,
        question,
    };
    let (event_id, request_id) = (line.event_id, line.request_id.into_owned());
    let limits = [Code::PolicyRateLimited, Code::BrokerUnavailable].map(Code::as_str);
    let limited_by = limits.into_iter().find(|limit| payload.error_code.as_deref() == Some(limit));
    let payload = line.payload.to_owned();
    Ok(Some(Entry { event_id, request_id, policy_version, reason, limited_by, replay, payload }))
}

/// How far reading is.
struct Bar<'a, 'w> {
    to: Option<&'a mut (dyn Write + 'w)>,
    total: u64,
    read: u64,
    shown: u64,
}

impl Bar<'_, '_> {
    fn advance(&mut self, bytes: usize) {
        self.read += bytes as u64;
        let percent = self.read.saturating_mul(100) / self.total.max(1);
        if percent > self.shown
            && let Some(to) = &mut self.to
        {
            self.shown = percent;
            let done = usize::try_from(percent / 4).unwrap_or(0).min(25);
            write!(to, "\rreading the log [{:<25}] {percent:3} %", "#".repeat(done)).ok();
        }
    }

    fn end(&mut self) {
        if let Some(to) = &mut self.to {
            writeln!(to).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event_type: &str) -> String {
        format!(
            r#"{{"event_type":"{event_type}","event_id":"018f3c1e-7b0a-7cc2-9f00-000000000001","request_id":"r","occurred_at":"2026-11-22T09:00:00.000Z","payload":{{"reason":"policy.rule.deny.default","policy_version":"v","question":{{"tool":"t","issuer":"https://i.example","scopes":""}}}}}}"#
        )
    }

    #[test]
    fn the_bar_shows_each_percent_once_and_ends_its_line() {
        let mut shown = Vec::new();
        let mut bar = Bar { to: Some(&mut shown), total: 400, read: 0, shown: 0 };
        for _ in 0..200 {
            bar.advance(2);
        }
        bar.end();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown.matches('\r').count(), 100, "{shown}");
        let half = format!("\rreading the log [{}{}]  50 %\r", "#".repeat(12), " ".repeat(13));
        assert!(shown.contains(&half), "{shown}");
        assert!(shown.ends_with(&format!("[{}] 100 %\n", "#".repeat(25))), "{shown}");
    }

    /// Walks the set of events: a new one that carries a question is read, too.
    #[test]
    fn every_event_with_a_question_is_a_recorded_decision() {
        let events = include_str!("../../audit/event.rs");
        let mut walked = Vec::new();
        for variant in events.split("#[serde(rename = \"").skip(1) {
            let (event_type, fields) = variant.split_once('"').unwrap();
            if fields.contains("question: Box<Recorded>")
                || fields.contains("question: Option<Box<Recorded>>")
            {
                assert!(matches!(entry(line(event_type).as_bytes()), Ok(Some(_))), "{event_type}");
                walked.push(event_type);
            }
        }
        walked.sort_unstable();
        let mut known = WITH_A_QUESTION.to_vec();
        known.sort_unstable();
        assert_eq!(walked, known);
    }
}
