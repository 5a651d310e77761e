//! Where it is written down what servers have, for all who are told of changes.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::visible::{Has, Seen};

/// Servers that are asked for lists at the same time.
const AT_ONCE: usize = 32;

/// What is known of servers. It is replaced whole, so that whoever compares keeps the one before at no cost.
#[derive(Debug)]
pub(super) struct Board {
    seen: watch::Sender<Arc<Seen>>,
    /// Places for those who ask their server for lists, which may be large.
    pub(super) asking: Semaphore,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { seen: watch::Sender::default(), asking: Semaphore::new(AT_ONCE) }
    }

    pub(super) fn changes(&self) -> watch::Receiver<Arc<Seen>> {
        self.seen.subscribe()
    }

    pub(super) fn put(&self, id: &str, has: Has) {
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

    /// Nobody looks at it any more.
    pub(super) fn clear(&self) {
        self.seen.send_replace(Arc::default());
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(|seen| change(Arc::make_mut(seen)));
    }
}
