//! Lists that a server did not give, and to whom: for a while it is not asked for them, and until it gives one again nobody waits
//! for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::guard::List;
use crate::upstream::who::By;

use super::LIMIT;

/// How long a server that did not list its things is not asked again.
const REST: Duration = Duration::from_secs(10);
/// Lists of callers, of one server. Whose failed the longest ago is forgotten first: they wait for it once more.
const MOST: usize = 10_000;

/// What is done about a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is asked for, and waited for.
    Here,
    /// It was not given the last time: whoever is told this asks for it, and does not wait.
    Away,
    /// It was not given just now, or somebody sees whether it is by now: it is not asked for.
    Rests,
}

/// In monotonic time.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Duration,
    /// Until when somebody may wait for an answer.
    is_asked_until: Duration,
}

/// Those of one server.
#[derive(Debug, Default)]
pub(super) struct Away(Mutex<HashMap<(List, By), Rest>>);

impl Away {
    /// [`Standing::Away`] is told to one at a time: else all who list would ask a server that is known not to answer.
    pub(super) fn standing(&self, which: List, by: By, now: Duration) -> Standing {
        match self.lists().get_mut(&(which, by)) {
            None => Standing::Here,
            Some(rest) if now < rest.until.max(rest.is_asked_until) => Standing::Rests,
            Some(rest) => {
                rest.is_asked_until = now.saturating_add(LIMIT);
                Standing::Away
            }
        }
    }

    /// It was not given. Whether that is worth a word: of one caller's list once.
    pub(super) fn note(&self, which: List, by: By, now: Duration) -> bool {
        let mut lists = self.lists();
        let until = now.saturating_add(REST);
        let before = lists.insert((which, by), Rest { until, is_asked_until: until });
        if lists.len() > MOST {
            let oldest = lists.iter().min_by_key(|(_, rest)| rest.until).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                lists.remove(&oldest);
            }
        }
        before.is_none_or(|rest| by.is_none() && rest.until <= now)
    }

    /// These were given.
    pub(super) fn forget(&self, lists: &[List], by: By) {
        let mut away = self.lists();
        for which in lists {
            away.remove(&(*which, by));
        }
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<(List, By), Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: By = Some([1; 32]);
    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn nobody_waits_for_a_list_until_it_is_given_again() {
        let away = Away::default();
        let standing = |now| away.standing(List::Tools, None, now);
        assert_eq!(standing(NOW), Standing::Here);
        assert!(away.note(List::Tools, None, NOW));
        assert_eq!(standing(NOW), Standing::Rests);
        assert_eq!(standing(NOW + REST), Standing::Away);
        assert_eq!(standing(NOW + REST), Standing::Rests, "somebody asks");
        assert_eq!(standing(NOW + REST + LIMIT), Standing::Away, "they got no answer");
        assert_eq!(standing(NOW + REST * 1_000), Standing::Away);
        assert_eq!(away.standing(List::Prompts, None, NOW), Standing::Here, "of another list");
        away.forget(&[List::Prompts], None);
        assert_eq!(standing(NOW), Standing::Rests, "another list was given");
        away.forget(&[List::Resources, List::Tools], None);
        assert_eq!(standing(NOW), Standing::Here);
    }

    #[test]
    fn what_one_is_not_given_says_nothing_of_others() {
        let away = Away::default();
        away.note(List::Tools, ADA, NOW);
        assert_eq!(away.standing(List::Tools, Some([2; 32]), NOW), Standing::Here);
        away.forget(&[List::Tools], Some([2; 32]));
        assert_eq!(away.standing(List::Tools, ADA, NOW), Standing::Rests);
    }

    /// Else whoever asks for many lists fills the log.
    #[test]
    fn the_log_is_told_once_for_all_who_wait_together_and_once_for_one_caller() {
        let away = Away::default();
        assert!(away.note(List::Tools, None, NOW));
        assert!(!away.note(List::Tools, None, NOW), "another one waited with them");
        assert!(away.note(List::Tools, None, NOW + REST));
        assert!(away.note(List::Tools, ADA, NOW));
        assert!(!away.note(List::Tools, ADA, NOW + REST));
    }

    #[test]
    fn the_oldest_is_forgotten_for_who_is_too_many() {
        let away = Away::default();
        away.note(List::Tools, ADA, NOW);
        for number in 0..MOST {
            let mut by = [0; 32];
            by[24..].copy_from_slice(&number.to_be_bytes());
            away.note(List::Tools, Some(by), NOW + REST);
        }
        assert_eq!(away.lists().len(), MOST);
        assert_eq!(away.standing(List::Tools, ADA, NOW), Standing::Here);
    }
}
