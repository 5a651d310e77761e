//! How often a server's list is asked for because of a tool that is about to be called.

use std::collections::HashMap;
use std::time::Duration;

/// How soon a list is asked for again because of a pinned tool that is in none.
const AGAIN: Duration = Duration::from_secs(5);
/// Those that were asked for long ago are forgotten then. There are no more than tools that are pinned.
const MOST: usize = 1_000;

/// For which tool a list was asked for last, in monotonic time. By tool: of a list only what its caller is shown is looked at,
/// and the next one may be shown another tool.
#[derive(Debug, Default)]
pub(super) struct Looked {
    by_tool: HashMap<Box<str>, Duration>,
    /// When the server did not answer, whoever asked.
    in_vain: Option<Duration>,
}

impl Looked {
    /// Whether it was, not long ago.
    pub(super) fn lately(&self, tool: &str, now: Duration) -> bool {
        let looked = self.by_tool.get(tool).into_iter().chain(&self.in_vain);
        looked.max().is_some_and(|looked| now.saturating_sub(*looked) < AGAIN)
    }

    pub(super) fn note(&mut self, tool: &str, now: Duration) {
        if self.by_tool.len() >= MOST {
            self.by_tool.retain(|_, looked| now.saturating_sub(*looked) < AGAIN);
        }
        self.by_tool.insert(tool.into(), now);
    }

    /// No list came, and none would have for another tool.
    pub(super) const fn note_in_vain(&mut self, now: Duration) {
        self.in_vain = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever looks for another tool is shown another part of the list.
    #[test]
    fn a_list_is_asked_for_again_for_another_tool() {
        let (mut looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note("one", soon);
        assert!(looked.lately("one", soon));
        assert!(!looked.lately("other", soon));
        assert!(!looked.lately("one", soon + AGAIN));
        let late = soon + AGAIN;
        for number in 0..=MOST {
            looked.note(&number.to_string(), late);
        }
        assert!(!looked.by_tool.contains_key("one"), "it is long over");
    }

    /// Else each pinned tool would have its own turn to wait for a server that does not answer.
    #[test]
    fn a_server_that_gives_no_list_is_asked_for_no_other_tool_either() {
        let (mut looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note_in_vain(soon);
        assert!(looked.lately("other", soon));
        assert!(!looked.lately("other", soon + AGAIN));
    }
}
