//! How often a server's list is asked for because of a tool that is about to be called.

use std::collections::HashMap;
use std::time::Duration;

use super::who::By;

/// How soon a list is asked for again because of a pinned tool that is in none.
const AGAIN: Duration = Duration::from_secs(5);
/// Those that were asked for long ago are forgotten then. One is asked for after the other.
const MOST: usize = 1_000;

/// For which tool a list was asked for last, in monotonic time. By tool: of a list only what its caller is shown is looked at,
/// and the next one may be shown another tool. By caller, where the server knows them: one who is shown nothing, or whose list is
/// too long, keeps nobody else from having the tool looked at.
#[derive(Debug, Default)]
pub(super) struct Looked {
    by_tool: HashMap<(Box<str>, By), Duration>,
    /// When the server did not answer.
    in_vain: HashMap<By, Duration>,
}

impl Looked {
    /// Whether it was, not long ago.
    pub(super) fn lately(&self, tool: &str, by: By, now: Duration) -> bool {
        let of_it: (Box<str>, By) = (tool.into(), by);
        let looked = self.by_tool.get(&of_it).into_iter().chain(self.in_vain.get(&by));
        looked.max().is_some_and(|looked| is_lately(*looked, now))
    }

    pub(super) fn note(&mut self, tool: &str, by: By, now: Duration) {
        if self.by_tool.len() >= MOST {
            self.by_tool.retain(|_, looked| is_lately(*looked, now));
        }
        self.by_tool.insert((tool.into(), by), now);
    }

    /// No list came, and none would have for another tool.
    pub(super) fn note_in_vain(&mut self, by: By, now: Duration) {
        if self.in_vain.len() >= MOST {
            self.in_vain.retain(|_, looked| is_lately(*looked, now));
        }
        self.in_vain.insert(by, now);
    }
}

fn is_lately(looked: Duration, now: Duration) -> bool {
    now.saturating_sub(looked) < AGAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: By = Some([1; 32]);

    /// Whoever looks for another tool is shown another part of the list.
    #[test]
    fn a_list_is_asked_for_again_for_another_tool() {
        let (mut looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note("one", None, soon);
        assert!(looked.lately("one", None, soon));
        assert!(!looked.lately("other", None, soon));
        assert!(!looked.lately("one", None, soon + AGAIN));
        let late = soon + AGAIN;
        for number in 0..=MOST {
            looked.note(&number.to_string(), None, late);
        }
        assert!(looked.by_tool.keys().all(|(tool, _)| **tool != *"one"), "it is long over");
    }

    /// Else each pinned tool would have its own turn to wait for a server that does not answer.
    #[test]
    fn a_server_that_gives_no_list_is_asked_for_no_other_tool_either() {
        let (mut looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note_in_vain(None, soon);
        assert!(looked.lately("other", None, soon));
        assert!(!looked.lately("other", None, soon + AGAIN));
    }

    /// Else one caller, by calling again and again, would keep a pinned tool from all others after a restart.
    #[test]
    fn what_one_caller_is_not_shown_keeps_no_other_from_asking() {
        let (mut looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note("one", ADA, soon);
        assert!(looked.lately("one", ADA, soon) && !looked.lately("one", Some([2; 32]), soon));
        looked.note_in_vain(ADA, soon);
        assert!(looked.lately("other", ADA, soon) && !looked.lately("other", Some([2; 32]), soon));
        for number in 0..=MOST {
            let mut by = [3; 32];
            by[24..].copy_from_slice(&number.to_be_bytes());
            looked.note_in_vain(Some(by), soon + AGAIN);
        }
        assert!(!looked.in_vain.contains_key(&ADA), "it is long over");
    }
}
