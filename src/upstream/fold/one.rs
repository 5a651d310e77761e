//! One server in the list of all: what it shows to a caller, and when it is not asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::broker::Caller;
use crate::guard::{List, Presented};
use crate::id::RequestId;
use crate::upstream::server::Server;

use super::LIMIT;
use super::gather::{Asks, NoList, pages};
use super::heard::Lead;
use super::last::{Key, Last, Lasts, Whose};

/// How long a server that did not list its things is not asked again.
const REST: Duration = Duration::from_secs(10);
/// Of those who ask servers for lists to know what they have, at one server.
const ASKED_AT_ONCE: usize = 4;

#[derive(Debug)]
pub(super) struct One {
    pub(super) server: Arc<Server>,
    /// What it has shown, with what all others have.
    lasts: Arc<Lasts>,
    /// Places for those who ask it for lists to know what it has.
    pub(super) asking: Semaphore,
    /// Its lists that it did not give, and until when it is not asked for them; in monotonic time.
    rests_until: Mutex<Vec<(List, Duration)>>,
}

/// Who asks for the lists of all servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) caller: &'a Caller,
    pub(super) presented: Option<&'a Presented>,
    pub(super) whose: Option<Whose>,
    /// Until when a server is waited for whose last list is known.
    pub(super) soon: Instant,
}

impl One {
    pub(super) fn new(server: Server, lasts: &Arc<Lasts>) -> Arc<Self> {
        let (server, lasts) = (Arc::new(server), Arc::clone(lasts));
        let asking = Semaphore::new(ASKED_AT_ONCE);
        Arc::new(Self { server, lasts, asking, rests_until: Mutex::default() })
    }

    fn rests(&self, which: List, now: Duration) -> bool {
        let rests = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        rests.iter().any(|(list, until)| *list == which && now < *until)
    }

    /// It has just listed its things: who is told so and asks for them is not to find it resting.
    pub(super) fn is_well(&self) {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// It did not list them: for a while it is not asked.
    pub(super) fn rest(&self, which: List, request_id: RequestId) {
        let until = self.server.door.clock.monotonic().saturating_add(REST);
        let mut rests = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        rests.retain(|(list, _)| *list != which);
        rests.push((which, until));
        drop(rests);
        let (server, method) = (&self.server.id, which.method());
        tracing::warn!(%server, method, %request_id, "upstream.not_folded");
    }

    /// What it showed before may be another one now; for this caller, or for whoever asks.
    pub(super) fn has_news(&self, caller: Option<&Lead>) {
        let whose = match caller {
            None => None,
            Some(lead) => match Whose::of(lead.caller.principal()) {
                None => return, // nothing was kept for them
                known => known,
            },
        };
        self.lasts.note_news(&self.server.id, whose, self.server.door.clock.monotonic());
    }

    /// A server that is down or wrong has nothing here, and hides nothing of the others; one that is slow has what it showed this
    /// caller last.
    pub(super) async fn shown(
        self: Arc<Self>,
        which: List,
        asking: Asking<'_>,
    ) -> Vec<Box<RawValue>> {
        let now = self.server.door.clock.monotonic();
        let key = asking.whose.map(|whose| (self.server.id.clone(), which, whose));
        let last = key.as_ref().and_then(|key| self.lasts.of(key, &self, now));
        let again = |last: &Last| last.again(&self, which, asking.caller);
        if self.rests(which, now) {
            return last.as_deref().map(again).unwrap_or_default();
        }
        let known = key.clone().zip(last);
        if let Some((key, last)) = &known
            && self.lasts.is_asked(key)
        {
            return again(last);
        }
        let (caller, presented) = (asking.caller.part(), asking.presented.cloned());
        let lead = Lead { caller, presented };
        let mut answer = Arc::clone(&self).ask(which, lead, key).boxed();
        let limit = if known.is_some() { asking.soon } else { Instant::now() + LIMIT };
        match (tokio::time::timeout_at(limit, &mut answer).await, known) {
            (Ok(came), _) => came.map(|came| came.all(&self.server.id, which)).unwrap_or_default(),
            (Err(_), Some((key, last))) => {
                let asked_by = asking.caller.request_id();
                self.lasts.go_on(key, (answer, Arc::clone(&self)), asked_by);
                again(&last)
            }
            (Err(_), None) => {
                self.rest(which, asking.caller.request_id());
                Vec::new()
            }
        }
    }

    /// Asks it for a list, and keeps what this caller is shown of it.
    async fn ask(self: Arc<Self>, which: List, lead: Lead, key: Option<Key>) -> Option<Arc<Last>> {
        let Lead { caller, presented } = &lead;
        let asked_at = self.server.door.clock.monotonic();
        let rules = self.server.decider.policy.current();
        let whose = (caller, presented.as_ref());
        let kept = |entry: &RawValue| Some(entry.to_owned());
        match pages(&self.server, whose, (which, Asks::ForTheCaller), kept).await {
            Ok(entries) => {
                let last = Arc::new(Last::new(&self, (&rules, asked_at), entries));
                if let Some(key) = key {
                    self.lasts.keep(key, &last);
                }
                return Some(last);
            }
            // Others may have what this caller lacks.
            Err(NoList::OfTheCaller) => {
                if let Some(key) = &key {
                    self.lasts.forget(key);
                }
            }
            Err(NoList::OfTheServer) => {
                self.has_news(None);
                self.rest(which, caller.request_id());
            }
        }
        None
    }
}
