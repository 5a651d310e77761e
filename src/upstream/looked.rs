//! How often a server's list is asked for because of a tool that is about to be called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::who::By;

/// How soon a list is asked for again because of a pinned tool that is in none.
const AGAIN: Duration = Duration::from_secs(5);
/// Those that were asked for long ago are forgotten then; all are where none is.
const MOST: usize = 1_000;

/// For which tool a list was asked for last, in monotonic time. By tool: of a list only what its caller is shown is looked at,
/// and the next one may be shown another tool. By caller, where the server knows them: one who is shown nothing, whose list is
/// too long, or who waits for it, keeps nobody else from having the tool looked at.
#[derive(Debug, Default)]
pub(super) struct Looked(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    by_tool: HashMap<(Box<str>, By), Duration>,
    /// When the server did not answer.
    in_vain: HashMap<By, Duration>,
    turns: HashMap<By, Weak<Turn>>,
}

/// To ask for a list: one does, the others of the same caller wait for what it sees.
pub(super) type Turn = tokio::sync::Mutex<()>;

impl Looked {
    pub(super) fn turn(&self, by: By) -> Arc<Turn> {
        let mut last = self.last();
        last.turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = last.turns.get(&by).and_then(Weak::upgrade).unwrap_or_default();
        last.turns.insert(by, Arc::downgrade(&turn));
        turn
    }

    /// Whether it was, not long ago.
    pub(super) fn lately(&self, tool: &str, by: By, now: Duration) -> bool {
        let (last, of_it): (_, (Box<str>, By)) = (self.last(), (tool.into(), by));
        let looked = last.by_tool.get(&of_it).into_iter().chain(last.in_vain.get(&by));
        looked.max().is_some_and(|looked| is_lately(*looked, now))
    }

    pub(super) fn note(&self, tool: &str, by: By, now: Duration) {
        let by_tool = &mut self.last().by_tool;
        make_room(by_tool, now);
        by_tool.insert((tool.into(), by), now);
    }

    /// No list came, and none would have for another tool.
    pub(super) fn note_in_vain(&self, by: By, now: Duration) {
        let in_vain = &mut self.last().in_vain;
        make_room(in_vain, now);
        in_vain.insert(by, now);
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room<K>(last: &mut HashMap<K, Duration>, now: Duration) {
    if last.len() >= MOST {
        last.retain(|_, looked| is_lately(*looked, now));
    }
    if last.len() >= MOST {
        // Each of them asks once more.
        last.clear();
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
        let (looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note("one", None, soon);
        assert!(looked.lately("one", None, soon));
        assert!(!looked.lately("other", None, soon));
        assert!(!looked.lately("one", None, soon + AGAIN));
        let late = soon + AGAIN;
        for number in 0..=MOST {
            looked.note(&number.to_string(), None, late);
        }
        let last = looked.last();
        assert!(last.by_tool.keys().all(|(tool, _)| **tool != *"one"), "it is long over");
        assert!(last.by_tool.len() <= MOST, "of those that are not over, too");
    }

    /// Else each pinned tool would have its own turn to wait for a server that does not answer.
    #[test]
    fn a_server_that_gives_no_list_is_asked_for_no_other_tool_either() {
        let (looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note_in_vain(None, soon);
        assert!(looked.lately("other", None, soon));
        assert!(!looked.lately("other", None, soon + AGAIN));
    }

    /// Else one caller, by calling again and again, would keep a pinned tool from all others after a restart.
    #[test]
    fn what_one_caller_is_not_shown_keeps_no_other_from_asking() {
        let (looked, soon) = (Looked::default(), Duration::from_secs(1));
        looked.note("one", ADA, soon);
        assert!(looked.lately("one", ADA, soon) && !looked.lately("one", Some([2; 32]), soon));
        looked.note_in_vain(ADA, soon);
        assert!(looked.lately("other", ADA, soon) && !looked.lately("other", Some([2; 32]), soon));
        for number in 0..=MOST {
            let mut by = [3; 32];
            by[24..].copy_from_slice(&number.to_be_bytes());
            looked.note_in_vain(Some(by), soon + AGAIN);
        }
        assert!(!looked.last().in_vain.contains_key(&ADA), "it is long over");
    }
    /// Else one for whom the server hangs would hold up all others.
    #[test]
    fn whoever_asks_keeps_only_their_own_waiting() {
        let looked = Looked::default();
        let asks = looked.turn(ADA).try_lock_owned().unwrap();
        assert!(looked.turn(ADA).try_lock().is_err());
        assert!(looked.turn(Some([2; 32])).try_lock().is_ok());
        drop(asks);
        assert!(looked.turn(ADA).try_lock().is_ok());
        assert_eq!(looked.last().turns.len(), 1, "of who asks no more nothing is kept");
    }
}
