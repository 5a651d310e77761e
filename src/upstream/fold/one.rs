//! One server in the list of all: what it shows to a caller, and when it is not asked.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::broker::Caller;
use crate::guard::{List, Presented};
use crate::id::RequestId;
use crate::upstream::server::Server;
use crate::upstream::who::By;

use super::LIMIT;
use super::away::{Away, Standing};
use super::gather::{Asks, NoList, pages};
use super::heard::Lead;
use super::last::{Key, Last, Lasts, Whose};

/// Of those who ask servers for lists to know what they have, at one server.
const ASKED_AT_ONCE: usize = 4;

#[derive(Debug)]
pub(super) struct One {
    pub(super) server: Arc<Server>,
    /// What it has shown, with what all others have.
    lasts: Arc<Lasts>,
    /// Places for those who ask it for lists to know what it has.
    pub(super) asking: Semaphore,
    /// Its lists that it did not give.
    away: Away,
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
        Arc::new(Self { server, lasts, asking, away: Away::default() })
    }

    /// To whom it gives a list or does not, as far as it can tell them from others.
    fn by(&self, whose: Option<Whose>) -> By {
        whose.filter(|_| !self.server.knows_no_callers()).map(|whose| whose.caller)
    }

    /// It has just given these lists: who is told so and asks for them is not to find it resting, and waits for what changed.
    pub(super) fn is_well(&self, lists: &[List], caller: Option<&Lead>) {
        let whose = caller.and_then(|lead| Whose::of(lead.caller.principal()));
        self.away.forget(lists, self.by(whose));
    }

    /// It did not give this list: for a while it is not asked.
    pub(super) fn rest(&self, which: List, whose: Option<Whose>, request_id: RequestId) {
        let now = self.server.door.clock.monotonic();
        if self.away.note(which, self.by(whose), now) {
            let (server, method) = (&self.server.id, which.method());
            tracing::warn!(%server, method, %request_id, "upstream.not_folded");
        }
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
    /// caller last. Nobody waits for one that did not answer the last time.
    pub(super) async fn shown(
        self: Arc<Self>,
        which: List,
        asking: Asking<'_>,
    ) -> Vec<Box<RawValue>> {
        let now = self.server.door.clock.monotonic();
        let key = asking.whose.map(|whose| (self.server.id.clone(), which, whose));
        let last = key.as_ref().and_then(|key| self.lasts.of(key, &self, now));
        let standing = self.away.standing(which, self.by(asking.whose), now);
        let behind = key.clone().filter(|_| last.is_some() || standing == Standing::Away);
        let again = |last: &Last| last.again(&self, which, asking.caller);
        let has = || last.as_deref().map(again).unwrap_or_default();
        let is_asked = behind.as_ref().is_some_and(|key| self.lasts.is_asked(key));
        if is_asked || standing == Standing::Rests {
            return has();
        }
        let limit = match (&behind, standing) {
            (None, _) => Instant::now() + LIMIT,
            (Some(_), Standing::Away) => Instant::now(),
            (Some(_), _) => asking.soon,
        };
        let (caller, presented) = (asking.caller.part(), asking.presented.cloned());
        let lead = Lead { caller, presented };
        let mut answer = Arc::clone(&self).ask(which, lead, key).boxed();
        let asked_by = asking.caller.request_id();
        match (tokio::time::timeout_at(limit, &mut answer).await, behind) {
            (Ok(came), _) => came.map(|came| came.all(&self.server.id, which)).unwrap_or_default(),
            (Err(_), Some(key)) => {
                self.lasts.go_on(key, (answer, Arc::clone(&self)), asked_by);
                has()
            }
            (Err(_), None) => {
                self.rest(which, asking.whose, asked_by);
                Vec::new()
            }
        }
    }

    /// Asks it for a list, and keeps what this caller is shown of it.
    async fn ask(self: Arc<Self>, which: List, lead: Lead, key: Option<Key>) -> Option<Arc<Last>> {
        let Lead { caller, presented } = &lead;
        let asked_at = self.server.door.clock.monotonic();
        let rules = self.server.decider.policy.current();
        let whose = key.as_ref().map(|(.., whose)| *whose);
        let on_behalf = (caller, presented.as_ref());
        let kept = |entry: &RawValue| Some(entry.to_owned());
        match pages(&self.server, on_behalf, (which, Asks::ForTheCaller), kept).await {
            Ok(entries) => {
                self.away.forget(&[which], self.by(whose));
                let last = Arc::new(Last::new(&self, (&rules, asked_at), entries));
                if let Some(key) = key {
                    self.lasts.keep(key, &last);
                }
                return Some(last);
            }
            // Others may have what this caller lacks.
            Err(no_list) => {
                if let Some(key) = &key {
                    self.lasts.forget(key);
                }
                if no_list == NoList::OfTheServer {
                    if self.server.knows_no_callers() {
                        self.has_news(None);
                    }
                    self.rest(which, whose, caller.request_id());
                }
            }
        }
        None
    }
}
