//! The last refusals, kept in memory: where events go to standard output alone, nothing else of ours can say why
//! something was refused.
//!
//! Bounded in bytes. Refusals of strangers are kept apart, so that none of them can push out what became of a client
//! or a person.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::id::{EventId, RequestId};

/// Of each of the two kinds.
const MOST_BYTES: usize = 1 << 20;
/// A line that is longer is not kept.
const LONGEST: usize = 64 << 10;
/// What an entry takes beside its line, roughly.
const ENTRY: usize = 64;

/// Lines of refusals, newest last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    proven: Mutex<Ring>,
    strangers: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<(RequestId, EventId, Box<[u8]>)>,
    bytes: usize,
}

impl Recent {
    /// Keeps a line for a while. `proven`: who asked is known.
    pub(super) fn keep(&self, ids: (RequestId, EventId), line: &[u8], proven: bool) {
        if line.len() > LONGEST {
            return;
        }
        let ring = if proven { &self.proven } else { &self.strangers };
        let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.bytes += line.len() + ENTRY;
        ring.lines.push_back((ids.0, ids.1, line.into()));
        while ring.bytes > MOST_BYTES {
            let Some((.., gone)) = ring.lines.pop_front() else { return };
            ring.bytes -= gone.len() + ENTRY;
        }
    }

    /// The lines of a request, or of the event with this id, oldest first.
    pub(super) fn find(&self, id: RequestId) -> Vec<String> {
        let named = id.to_string();
        let mut found = Vec::new();
        for ring in [&self.proven, &self.strangers] {
            let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            let lines = ring.lines.iter();
            let of_it =
                lines.filter(|(request, event, _)| *request == id || event.to_string() == named);
            found.extend(
                of_it.map(|(.., line)| String::from_utf8_lossy(line).trim_end().to_owned()),
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use crate::time::{FixedClock, Timestamp};

    fn ids(seed: u64) -> (RequestId, EventId) {
        let (clock, random) = (FixedClock::at(Timestamp::default()), SeededRandom::new(seed));
        (RequestId::generate(&clock, &random), EventId::generate(&clock, &random))
    }

    #[test]
    fn strangers_push_out_each_other_and_nobody_else() {
        let recent = Recent::default();
        recent.keep(ids(1), b"ada\n", true);
        for seed in 2..40 {
            recent.keep(ids(seed), &vec![b'x'; LONGEST], false);
        }
        assert_eq!(recent.find(ids(1).0), ["ada"]);
        assert_eq!(recent.find(ids(2).0), [""; 0], "the first stranger is gone");
        assert_eq!(recent.find(ids(39).0).len(), 1);
        let held = recent.strangers.lock().unwrap();
        assert!(held.bytes <= MOST_BYTES && held.lines.len() < 20, "{}", held.bytes);
    }

    #[test]
    fn a_line_is_found_by_its_event_too_and_a_huge_one_is_not_kept() {
        let recent = Recent::default();
        let (request, event) = ids(1);
        recent.keep((request, event), b"a\n", true);
        recent.keep((request, event), &vec![b'x'; LONGEST + 1], true);
        assert_eq!(recent.find(event.to_string().parse().unwrap()), ["a"]);
    }
}
