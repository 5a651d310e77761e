//! What a child writes to its standard error: for the log at debug, bounded, and never as it is.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::secret_text::SecretText;
use crate::time::Clock;

/// Of one line, in characters.
const SHOWN: usize = 1_000;
/// Kept of one line, in bytes: more than is shown, so that a secret is known where it is cut.
const KEPT: usize = 16 * 1024;
/// Lines of one window; what is more is counted.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// The log of one child's standard error.
pub(super) struct Complaints<'a> {
    pub(super) server: &'a str,
    /// What the child was given and nobody may read.
    pub(super) secrets: &'a [SecretText],
    pub(super) clock: &'a dyn Clock,
}

/// How much is said in a while.
#[derive(Debug, Default)]
struct Allowance {
    since: Option<Duration>,
    said: u32,
    unsaid: u64,
}

impl Complaints<'_> {
    /// Reads to the end, whatever comes: a child that cannot get rid of it would hang.
    pub(super) async fn listen(&self, mut from: impl AsyncRead + Unpin) {
        let (mut line, mut allowance) = (Vec::new(), Allowance::default());
        let mut buffer = vec![0; 4 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            for byte in buffer.iter().take(length) {
                match byte {
                    b'\n' => self.say(&std::mem::take(&mut line), &mut allowance),
                    _ if line.len() < KEPT => line.push(*byte),
                    _ => {}
                }
            }
        }
    }

    fn say(&self, line: &[u8], allowance: &mut Allowance) {
        if !tracing::enabled!(tracing::Level::DEBUG) || line.is_empty() {
            return;
        }
        let Some(unsaid) = allowance.take(self.clock.monotonic()) else { return };
        let (server, line) = (self.server, shown(line, self.secrets));
        tracing::debug!(server, line, unsaid, "upstream.child_said");
    }
}

impl Allowance {
    /// How many lines were not said before this one. `None`: nor is this one.
    fn take(&mut self, now: Duration) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_sub(since) >= WINDOW) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said >= LINES {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// A line as it may stand in a log: no control characters, none of the child's secrets.
fn shown(line: &[u8], secrets: &[SecretText]) -> String {
    let mut text = String::from_utf8_lossy(line).into_owned();
    for secret in secrets.iter().filter(|secret| !secret.expose().is_empty()) {
        text = text.replace(secret.expose(), "[redacted]");
    }
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_neither_control_characters_nor_secrets() {
        let secrets = ["hunter2", ""].map(|text| SecretText::new(text.to_owned()));
        let line = "\u{1b}[31mkey=hunter2\u{202e}\r\0é".as_bytes();
        assert_eq!(shown(line, &secrets), "\\u{1b}[31mkey=[redacted]\\u{202e}\\r\\0é");
        assert!(shown(&[0xff; 9_000], &[]).chars().count() == SHOWN);
    }

    #[test]
    fn of_a_flood_a_few_lines_are_said_and_the_others_counted() {
        let mut allowance = Allowance::default();
        let said = (0..1_000).filter(|_| allowance.take(Duration::ZERO).is_some()).count();
        assert_eq!(said, LINES as usize);
        assert_eq!(allowance.take(WINDOW), Some(1_000 - u64::from(LINES)));
        assert_eq!(allowance.take(WINDOW), Some(0));
    }
}
