//! Calls at old servers that wait for what their caller was asked: in this process, within bounds, each for one retry.
//!
//! The open stream of such a call is the process's own, so no other replica can go on with it. What a client carries away is a name,
//! bound to its caller by a code ([`Sessions::bind_state`](super::session::Sessions::bind_state)); what the name stands for is here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::random::Random;

use super::era::Parked;

/// For a person to answer. Then the call is cancelled at the server.
const LONGEST: Duration = Duration::from_mins(10);
/// Calls that wait at the same time, of all callers and of one.
const MOST: usize = 1_000;
const MOST_OF_ONE: usize = 16;
/// Bytes of their streams that were read already, of all callers and of one.
const MOST_BYTES: usize = 16 << 20;
const MOST_BYTES_OF_ONE: usize = 1 << 20;

/// All of them, of all servers. Clones are the same.
#[derive(Clone, Debug)]
pub struct Waiting(Calls<Parked>);

/// What waits, and what it is called.
pub(super) struct Calls<T>(Arc<All<T>>);

struct All<T> {
    /// Tells this process from the other replicas, and from itself before a restart.
    process: String,
    random: Arc<dyn Random>,
    longest: Duration,
    calls: Mutex<HashMap<String, Entry<T>>>,
    timers: Mutex<JoinSet<()>>,
}

struct Entry<T> {
    owner: Vec<u8>,
    bytes: usize,
    /// `None`: the place is taken, and what waits is still to come.
    held: Option<Held<T>>,
}

struct Held<T> {
    kept: T,
    /// What is asked of the server: a retry must ask the same.
    call: [u8; 32],
    /// Ends its timer.
    _timer: DropGuard,
}

/// Room for one more call. Dropped before something is kept in it, it is free again.
pub(super) struct Place<T> {
    name: String,
    all: Calls<T>,
    is_used: bool,
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    Here(T),
    /// Another process gave the name out.
    Elsewhere,
    /// It was taken before, or waited for too long.
    Gone,
    /// It waits, and goes on waiting: this is another call.
    OtherCall,
}

impl Waiting {
    /// None yet.
    #[must_use]
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self(Calls::new(random, LONGEST))
    }

    pub(super) const fn calls(&self) -> &Calls<Parked> {
        &self.0
    }
}

impl<T: Send + 'static> Calls<T> {
    fn new(random: Arc<dyn Random>, longest: Duration) -> Self {
        let (process, calls, timers) = (digits::<8>(&*random), Mutex::default(), Mutex::default());
        Self(Arc::new(All { process, random, longest, calls, timers }))
    }

    /// Room for a call of `owner` with so many bytes. `None`: there is none.
    pub(super) fn place(&self, owner: Vec<u8>, bytes: usize) -> Option<Place<T>> {
        let name = format!("{}-{}", self.0.process, digits::<16>(&*self.0.random));
        let mut calls = self.0.calls();
        let (mut all, mut own, mut own_calls) = (bytes, bytes, 0);
        for entry in calls.values() {
            all = all.saturating_add(entry.bytes);
            if entry.owner == owner {
                own = own.saturating_add(entry.bytes);
                own_calls += 1;
            }
        }
        let has_room = calls.len() < MOST
            && own_calls < MOST_OF_ONE
            && all <= MOST_BYTES
            && own <= MOST_BYTES_OF_ONE;
        if !has_room {
            return None;
        }
        calls.insert(name.clone(), Entry { owner, bytes, held: None });
        drop(calls);
        Some(Place { name, all: self.clone(), is_used: false })
    }

    /// Takes what waits under `name` out, once, for the call that it waits for.
    pub(super) fn take(&self, name: &str, call: &[u8; 32]) -> Taken<T> {
        if name.split_once('-').is_none_or(|(process, _)| process != self.0.process) {
            return Taken::Elsewhere;
        }
        let mut calls = self.0.calls();
        match calls.get(name).map(|entry| &entry.held) {
            Some(Some(held)) if held.call != *call => return Taken::OtherCall,
            Some(Some(_)) => {}
            Some(None) | None => return Taken::Gone,
        }
        let held = calls.remove(name).and_then(|entry| entry.held);
        drop(calls);
        held.map_or(Taken::Gone, |held| Taken::Here(held.kept))
    }
}

impl<T> All<T> {
    fn calls(&self) -> MutexGuard<'_, HashMap<String, Entry<T>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dropped when the lock is free: what it does then is its own affair.
    fn remove(&self, name: &str) {
        let removed = self.calls().remove(name);
        drop(removed);
    }
}

impl<T: Send + 'static> Place<T> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Keeps what waits until it is taken, for as long as a person may take, and no longer than until `closing`.
    pub(super) fn keep(mut self, (kept, call): (T, [u8; 32]), closing: CancellationToken) {
        self.is_used = true;
        let taken = CancellationToken::new();
        let held = Held { kept, call, _timer: taken.clone().drop_guard() };
        if let Some(entry) = self.all.0.calls().get_mut(&self.name) {
            entry.held = Some(held);
        }
        let (all, name) = (Arc::downgrade(&self.all.0), self.name.clone());
        let longest = self.all.0.longest;
        let mut timers = self.all.0.timers.lock().unwrap_or_else(PoisonError::into_inner);
        while timers.try_join_next().is_some() {}
        timers.spawn(async move {
            tokio::select! {
                () = taken.cancelled() => return,
                () = closing.cancelled() => {}
                () = tokio::time::sleep(longest) => {}
            }
            if let Some(all) = Weak::upgrade(&all) {
                all.remove(&name);
            }
        });
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        if !self.is_used {
            self.all.0.remove(&self.name);
        }
    }
}

impl<T> Clone for Calls<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Calls<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("waiting", &self.0.calls().len()).finish()
    }
}

fn digits<const BYTES: usize>(random: &dyn Random) -> String {
    let mut bytes = [0; BYTES];
    random.fill(&mut bytes);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use crate::random::SystemRandom;

    use super::*;

    const CALL: [u8; 32] = [7; 32];

    fn calls() -> Calls<&'static str> {
        Calls::new(Arc::new(SystemRandom::new()), LONGEST)
    }

    async fn timers_end(calls: &Calls<&'static str>) {
        let timers = std::mem::take(&mut *calls.0.timers.lock().unwrap());
        timers.join_all().await;
    }

    fn keep(calls: &Calls<&'static str>, owner: &str) -> String {
        let place = calls.place(owner.as_bytes().to_vec(), 10).unwrap();
        let name = place.name().to_owned();
        place.keep(("call", CALL), CancellationToken::new());
        name
    }

    #[tokio::test]
    async fn what_waits_is_taken_once_and_by_its_own_call_alone() {
        let calls = calls();
        let name = keep(&calls, "ada");
        assert_eq!(calls.take(&name, &[8; 32]), Taken::OtherCall);
        assert_eq!(calls.take(&name, &CALL), Taken::Here("call"));
        assert_eq!(calls.take(&name, &CALL), Taken::Gone);
        assert_eq!(calls.take("0011223344556677-00", &CALL), Taken::Elsewhere);
        assert_eq!(calls.take("nothing", &CALL), Taken::Elsewhere);
    }

    #[tokio::test]
    async fn nobody_waits_longer_than_a_person_may_take_or_than_the_broker() {
        let hasty = Calls::new(Arc::new(SystemRandom::new()), Duration::ZERO);
        let late = keep(&hasty, "ada");
        timers_end(&hasty).await;
        assert_eq!(hasty.take(&late, &CALL), Taken::Gone);
        let calls = calls();
        let (place, closing) = (calls.place(vec![], 1).unwrap(), CancellationToken::new());
        let name = place.name().to_owned();
        place.keep(("call", CALL), closing.clone());
        let taken = keep(&calls, "ada");
        assert_eq!(calls.take(&taken, &CALL), Taken::Here("call"), "its timer ends with it");
        closing.cancel();
        timers_end(&calls).await;
        assert_eq!(calls.take(&name, &CALL), Taken::Gone);
    }

    #[tokio::test]
    async fn one_caller_has_so_many_places_and_leaves_the_others_theirs() {
        let calls = calls();
        for _ in 0..MOST_OF_ONE {
            keep(&calls, "ada");
        }
        assert!(calls.place(b"ada".to_vec(), 1).is_none());
        let name = keep(&calls, "eve");
        assert_eq!(calls.take(&name, &CALL), Taken::Here("call"));
        let mut others = (0..).map(|number: usize| calls.place(number.to_be_bytes().to_vec(), 0));
        let held: Vec<_> = others.by_ref().map_while(|place| place).collect();
        assert_eq!(held.len(), MOST - MOST_OF_ONE, "all together");
        drop(held);
        assert!(calls.place(b"eve".to_vec(), 1).is_some(), "a place that is not used is free");
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let calls = calls();
        assert!(calls.place(b"ada".to_vec(), MOST_BYTES_OF_ONE + 1).is_none());
        let owners = (0..MOST_BYTES / MOST_BYTES_OF_ONE).map(usize::to_be_bytes);
        let held: Vec<_> =
            owners.map(|owner| calls.place(owner.to_vec(), MOST_BYTES_OF_ONE)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(calls.place(b"eve".to_vec(), 1).is_none());
    }
}
