//! Who is told of changes at one endpoint, and what is listened to for all of them.
//!
//! A server that cannot tell callers apart is listened to once for all. Nobody is listened to where nobody is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::resource_server::Principal;
use crate::upstream::session::who_takes_room;

use super::One;
use super::board::Board;
use super::ear::{Ear, Leads};
use super::heard::Lead;

/// Streams toward servers that are one caller's, of all callers.
const OF_CALLERS: usize = 1_000;
/// Of these, one person's, by however many clients and streams.
const OF_ONE: usize = 64;

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) board: Arc<Board>,
    /// Places for streams that are one caller's.
    of_callers: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    leads: BTreeMap<u64, Lead>,
    last: u64,
    /// The places of each person who has any.
    of_each: HashMap<Vec<u8>, Weak<Semaphore>>,
    ears: Ears,
}

/// Who listens, by server.
pub(super) type Ears = HashMap<Box<str>, Listening>;

/// One server that is listened to. Dropped, its stream is closed.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) one: Arc<One>,
    _running: JoinSet<()>,
    /// Free at once when this is dropped, for who listens to the server anew.
    _place: Option<Place>,
}

impl Listening {
    pub(super) fn begin(ear: Ear, place: Option<Place>) -> Self {
        let (one, mut running) = (Arc::clone(&ear.one), JoinSet::new());
        running.spawn(ear.listen());
        Self { one, _running: running, _place: place }
    }
}

/// A place among those who are told. Dropped, it is free; and with the last of them nothing is listened to any more.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Arc<Hub>,
    number: u64,
}

/// For one stream toward a server that is one caller's. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Whose places are used up, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Those of one client's stream.
    Stream,
    Person(usize),
    All(usize),
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.hub.inner();
        inner.leads.remove(&self.number);
        if inner.leads.is_empty() {
            inner.ears.clear();
            self.hub.board.clear();
        }
    }
}

impl Hub {
    pub(super) fn new() -> Arc<Self> {
        let of_callers = Arc::new(Semaphore::new(OF_CALLERS));
        Arc::new(Self { board: Arc::new(Board::new()), of_callers, inner: Mutex::default() })
    }

    /// Takes a place, and begins to listen to those of `servers` to which nobody listens yet.
    pub(super) fn sit(self: &Arc<Self>, lead: Lead, servers: &[Arc<One>]) -> Seat {
        let mut inner = self.inner();
        inner.last += 1;
        let number = inner.last;
        inner.leads.insert(number, lead);
        self.listen(&mut inner, servers);
        drop(inner);
        Seat { hub: Arc::clone(self), number }
    }

    /// From now on these are the servers, and no others.
    pub(super) fn follow(self: &Arc<Self>, servers: &[Arc<One>]) {
        let mut inner = self.inner();
        if inner.leads.is_empty() {
            return;
        }
        // One that knows its callers by now stands on each client's own board.
        let shared: Vec<_> =
            servers.iter().filter(|one| one.server.knows_no_callers()).cloned().collect();
        self.board.keep_alone(&mut inner.ears, &shared);
        self.listen(&mut inner, servers);
    }

    fn listen(self: &Arc<Self>, inner: &mut Inner, servers: &[Arc<One>]) {
        for one in servers.iter().filter(|one| one.server.knows_no_callers()) {
            let id = &one.server.id;
            if inner.ears.contains_key(id) {
                continue;
            }
            let leads = Leads::Any(Arc::downgrade(self));
            let ear = Ear { one: Arc::clone(one), leads, board: Arc::clone(&self.board) };
            inner.ears.insert(id.clone(), Listening::begin(ear, None));
        }
    }

    /// A place, if there is one for this person.
    pub(super) fn place_for(&self, whose: &Principal) -> Result<Place, Full> {
        let mut inner = self.inner();
        inner.of_each.retain(|_, places| places.strong_count() > 0);
        let person = who_takes_room(whose);
        let theirs = inner.of_each.get(&person).and_then(Weak::upgrade);
        let theirs = theirs.unwrap_or_else(|| Arc::new(Semaphore::new(OF_ONE)));
        inner.of_each.insert(person, Arc::downgrade(&theirs)); // what is taken of them keeps them
        drop(inner);
        let own = theirs.try_acquire_owned().map_err(|_| Full::Person(OF_ONE))?;
        let of_all = Arc::clone(&self.of_callers).try_acquire_owned();
        let of_all = of_all.map_err(|_| Full::All(OF_CALLERS))?;
        Ok(Place { _own: own, _of_all: of_all })
    }

    /// The one whose token lasts longest: a stream ends with the token of who opened it.
    pub(super) fn lead(&self) -> Option<Lead> {
        let inner = self.inner();
        let lasts = |lead: &&Lead| lead.caller.principal().expires_at();
        inner.leads.values().max_by_key(lasts).cloned()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
