//! Where it is written down what servers have, for all who are told of changes.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::hub::Ears;
use super::one::One;
use super::visible::{Has, Seen};

/// Servers that are asked for lists at the same time.
const AT_ONCE: usize = 32;

/// What is known of servers. It is replaced whole, so that whoever compares keeps the one before at no cost.
#[derive(Debug)]
pub(super) struct Board {
    seen: watch::Sender<Arc<Seen>>,
    /// Places for those who ask their server for lists, which may be large.
    pub(super) asking: Arc<Semaphore>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { seen: watch::Sender::default(), asking: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Another one, of what one client is told alone. The places are the same: who asks for lists is bounded for all together.
    pub(super) fn beside(&self) -> Self {
        Self { seen: watch::Sender::default(), asking: Arc::clone(&self.asking) }
    }

    pub(super) fn changes(&self) -> watch::Receiver<Arc<Seen>> {
        self.seen.subscribe()
    }

    /// Whether this is what it had already.
    pub(super) fn knows(&self, id: &str, has: &Has) -> bool {
        let seen = self.seen.borrow();
        let known = seen.get(id).and_then(Option::as_ref);
        known.is_some_and(|known| known.is_as(has))
    }

    /// What is as it was is not put up again: each client would decide anew about all of it.
    pub(super) fn put(&self, id: &str, has: Has) {
        if self.knows(id, &has) {
            return;
        }
        self.change(|seen| drop(seen.insert(id.into(), Some(Arc::new(has)))));
    }

    /// It did not answer: what it had before stands.
    pub(super) fn note_away(&self, id: &str) {
        if !self.seen.borrow().contains_key(id) {
            self.change(|seen| drop(seen.insert(id.into(), None)));
        }
    }

    /// It is a server of ours no more.
    pub(super) fn remove(&self, id: &str) {
        if self.seen.borrow().contains_key(id) {
            self.change(|seen| drop(seen.remove(id)));
        }
    }

    /// From now on these are the servers: those who listen to others listen no more, and what is gone has nothing.
    pub(super) fn keep_alone(&self, ears: &mut Ears, servers: &[Arc<One>]) {
        let servers: HashMap<&str, &Arc<One>> =
            servers.iter().map(|one| (&*one.server.id, one)).collect();
        let stays = |one: &Arc<One>| {
            servers.get(&*one.server.id).is_some_and(|known| Arc::ptr_eq(known, one))
        };
        for (id, _) in ears.extract_if(|_, listening| !stays(&listening.one)) {
            if !servers.contains_key(&*id) {
                self.remove(&id);
            }
        }
    }

    /// Nobody looks at it any more.
    pub(super) fn clear(&self) {
        self.seen.send_replace(Arc::default());
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(|seen| change(Arc::make_mut(seen)));
    }
}

#[cfg(test)]
mod tests {
    use crate::upstream::fold::visible::{Which, tests::having};

    use super::*;

    #[test]
    fn what_a_server_had_already_is_no_change() {
        let board = Board::new();
        let mut changes = board.changes();
        let mut put = |has| {
            board.put("weather", has);
            let is_news = changes.has_changed().unwrap();
            changes.mark_unchanged();
            is_news
        };
        assert!(put(having(0, Which::Tools, &["a", "b"])));
        assert!(!put(having(0, Which::Tools, &["a", "b"])));
        assert!(put(having(0, Which::Tools, &["b", "a"])), "in another order");
        assert!(put(having(0, Which::Resources, &["b", "a"])), "of another kind");
        assert!(put(having(1, Which::Resources, &["b", "a"])), "it was away");
        assert!(!put(having(1, Which::Resources, &["b", "a"])));
    }

    /// However many clients there are.
    #[test]
    fn who_asks_for_lists_is_bounded_for_all_together() {
        let (all, ones) = (Board::new(), Board::new().beside());
        let beside = all.beside();
        let _places = all.asking.try_acquire_many(u32::try_from(AT_ONCE).unwrap()).unwrap();
        assert!(beside.asking.try_acquire().is_err());
        assert!(ones.asking.try_acquire().is_ok(), "those of another endpoint are others");
        beside.put("weather", having(0, Which::Tools, &["a"]));
        assert!(all.changes().borrow().is_empty(), "what is seen is each client's own");
    }
}
