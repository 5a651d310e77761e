//! What is wrong with a server and with what is no tool of it, and when that was told last: a server writes what it likes into each list.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::FlawedThing;

use super::definition::sha256;
use super::watch::News;

/// Things that are remembered.
const MOST: usize = 20_000;

/// How long what is wrong with something is not told again: a server can write another text into each list.
pub(super) const TELL_AGAIN: Duration = Duration::from_hours(1);

/// Times are monotonic.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    /// What the server says of itself. Beside the others: no number of them keeps it from being told.
    itself: Option<Duration>,
    /// By a digest: a name is as long as the server makes it.
    things: HashMap<[u8; 32], Duration>,
    /// When some of a full map can be forgotten.
    full_until: Option<Duration>,
    /// Found where nobody's answer is looked at.
    waiting: Option<News>,
    /// Changes that this replica is to tell of.
    changes: Vec<News>,
}

impl Told {
    /// Whether it is to be told now; if so, it is noted as told. Once more things are remembered than there is room for, no
    /// new one is told until the first of them was told an hour ago.
    pub(super) fn tells(&self, (thing, name): (FlawedThing, &str), now: Duration) -> bool {
        let mut all = self.all();
        if thing == FlawedThing::Server {
            let tells = !all.itself.is_some_and(|told| is_late(told, now));
            if tells {
                all.itself = Some(now);
            }
            return tells;
        }
        let key = sha256(format!("{thing:?} {name}").as_bytes());
        if all.things.get(&key).is_some_and(|told| is_late(*told, now)) {
            return false;
        }
        if !all.things.contains_key(&key) && !all.has_room(now) {
            return false;
        }
        all.things.insert(key, now);
        true
    }

    /// Keeps it for the next who records something about this server.
    pub(super) fn keep(&self, news: News) {
        self.all().waiting = Some(news);
    }

    /// The same of changes that nobody else tells of.
    pub(super) fn keep_changes(&self, news: Vec<News>) {
        self.all().changes.extend(news);
    }

    /// What was kept, once.
    pub(super) fn kept(&self) -> Vec<News> {
        let mut all = self.all();
        let changes = std::mem::take(&mut all.changes);
        all.waiting.take().into_iter().chain(changes).collect()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_late(told: Duration, now: Duration) -> bool {
    now.saturating_sub(told) < TELL_AGAIN
}

impl All {
    fn has_room(&mut self, now: Duration) -> bool {
        if self.things.len() < MOST {
            return true;
        }
        // Looked through only when one is old enough: who fills it must not have it looked through for each name.
        if self.full_until.is_some_and(|until| now < until) {
            return false;
        }
        self.things.retain(|_, told| is_late(*told, now));
        self.full_until = self.things.values().min().map(|first| first.saturating_add(TELL_AGAIN));
        let has_room = self.things.len() < MOST;
        if !has_room {
            tracing::warn!(most = MOST, "upstream.too_many_flaws");
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = TELL_AGAIN;

    fn resource(told: &Told, name: &str, now: Duration) -> bool {
        told.tells((FlawedThing::Resource, name), now)
    }

    #[test]
    fn each_thing_is_told_once_an_hour() {
        let told = Told::default();
        assert!(resource(&told, "a", Duration::ZERO));
        assert!(told.tells((FlawedThing::Prompt, "a"), Duration::ZERO), "another thing");
        assert!(told.tells((FlawedThing::Server, ""), Duration::ZERO));
        for thing in [FlawedThing::Resource, FlawedThing::Prompt] {
            assert!(!told.tells((thing, "a"), HOUR / 2));
        }
        assert!(!told.tells((FlawedThing::Server, ""), HOUR / 2));
        assert!(resource(&told, "a", HOUR) && told.tells((FlawedThing::Server, ""), HOUR));
    }

    #[test]
    fn a_server_that_makes_up_names_is_not_mute_for_longer_than_an_hour() {
        let told = Told::default();
        for number in 0..MOST {
            assert!(resource(&told, &number.to_string(), HOUR / 2));
        }
        assert!(!resource(&told, "new", HOUR));
        assert!(told.tells((FlawedThing::Server, ""), HOUR), "what it says of itself has a place");
        assert!(resource(&told, "new", HOUR * 3 / 2));
        assert_eq!(told.all().things.len(), 1, "the others are forgotten");
    }

    #[test]
    fn what_is_kept_is_handed_over_once() {
        let told = Told::default();
        let (tool, flaw) = (String::new(), crate::audit::ToolFlaw::HiddenText);
        let thing = Some(FlawedThing::Server);
        told.keep(News { thing, tool, flaw, digest: None, hidden: true });
        assert!(told.kept().len() == 1 && told.kept().is_empty());
    }
}
