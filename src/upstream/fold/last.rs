//! What callers were shown last of the lists of each server: whoever is slow holds up nobody who asks for the lists of all.
//!
//! A list is kept for who was shown it, as their token tells them from others, and what of it is shown again is decided anew. One
//! that may be another one by now is never shown: a client that was told of a change and asks gets what changed, however long it takes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use moka::sync::Cache;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::broker::Caller;
use crate::guard::List;
use crate::id::RequestId;
use crate::policy::InForce;
use crate::resource_server::Principal;
use crate::upstream::definition::sha256;
use crate::upstream::session;

use super::visible::Entry;
use super::{LIMIT, One, names};

/// How long a list counts as the last one.
const KEPT: Duration = Duration::from_mins(10);
/// Of all of them together, in bytes.
const BYTES: u64 = 32 << 20;
/// Callers of whom it is known when there was news for them.
const CALLERS: u64 = 20_000;
/// Lists that are asked for although nobody waits for them.
const BEHIND: usize = 256;
/// What tokens of one caller differ in that mean the same: how long they last.
const OF_EACH_TOKEN: [&str; 4] = ["exp", "iat", "jti", "nbf"];

/// One caller, as a server could tell them from others: by everything that their token says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    claims: [u8; 32],
    /// By whatever token: what is news for one of theirs is for all.
    caller: [u8; 32],
}

/// Of which server, which list, and whose.
pub(super) type Key = (Box<str>, List, Whose);

/// The server's list as one caller was shown it: each entry as the server wrote it.
pub(super) struct Last {
    one: Weak<One>,
    /// By which it was filtered.
    rules: Weak<InForce>,
    /// When it was asked for, in monotonic time.
    asked_at: Duration,
    entries: Vec<Box<RawValue>>,
}

/// What becomes of the question for a list. `None`: there is none.
pub(super) type Asked = BoxFuture<'static, Option<Arc<Last>>>;

/// Of all servers.
pub(super) struct Lasts {
    known: Cache<Key, Arc<Last>>,
    /// When a server last had news, in monotonic time; for one caller, or (`None`) for whoever asks.
    news: Cache<(Box<str>, Option<[u8; 32]>), Duration>,
    behind: Mutex<Behind>,
}

#[derive(Default)]
struct Behind {
    keys: HashSet<Key>,
    asking: JoinSet<()>,
}

/// That a list is asked for, for as long as this is there.
struct UnderWay(Weak<Lasts>, Key);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(lasts) = self.0.upgrade() {
            lasts.behind().keys.remove(&self.1);
        }
    }
}

impl Whose {
    /// `None`: their claims cannot be written, so nobody tells them from others.
    pub(super) fn of(principal: &Principal) -> Option<Self> {
        let claims = principal.claims().iter();
        let claims: BTreeMap<&String, &Value> =
            claims.filter(|(name, _)| !OF_EACH_TOKEN.contains(&name.as_str())).collect();
        let text = serde_json::to_vec(&(principal.issuer().as_str(), claims)).ok()?;
        Some(Self { claims: sha256(&text), caller: sha256(&session::whose(principal)) })
    }
}

impl Last {
    pub(super) fn new(
        one: &Arc<One>,
        (rules, asked_at): (&Arc<InForce>, Duration),
        entries: Vec<Box<RawValue>>,
    ) -> Self {
        Self { one: Arc::downgrade(one), rules: Arc::downgrade(rules), asked_at, entries }
    }

    /// As it was when it came: what its caller may not see was left out.
    pub(super) fn all(&self, server: &str, list: List) -> Vec<Box<RawValue>> {
        self.entries.iter().filter_map(|entry| names::prefixed(server, list, entry)).collect()
    }

    /// What of it `caller` may see now.
    pub(super) fn again(&self, one: &One, list: List, caller: &Caller) -> Vec<Box<RawValue>> {
        let server = &one.server;
        let deciding = server.decider.now();
        let entries = self.entries.iter().filter(|entry| {
            let known = Entry::of(server, list, entry);
            known.is_some_and(|known| deciding.shows(caller, known.thing()))
        });
        entries.filter_map(|entry| names::prefixed(&server.id, list, entry)).collect()
    }

    fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.get().len() + size_of::<Box<RawValue>>()).sum()
    }
}

impl Lasts {
    pub(super) fn new() -> Arc<Self> {
        let size = |(server, ..): &Key, last: &Arc<Last>| {
            u32::try_from(last.size() + server.len() + size_of::<(Key, Last)>()).unwrap_or(u32::MAX)
        };
        let known = Cache::builder().weigher(size).max_capacity(BYTES).time_to_live(KEPT).build();
        let news = Cache::builder().max_capacity(CALLERS).time_to_live(KEPT).build();
        Arc::new(Self { known, news, behind: Mutex::default() })
    }

    /// The last one, if it was asked for by the rules that are in force, and there was no news since.
    pub(super) fn of(&self, key: &Key, one: &Arc<One>, now: Duration) -> Option<Arc<Last>> {
        let last = self.known.get(key)?;
        let rules = Arc::downgrade(&one.server.decider.policy.current());
        let same =
            Weak::ptr_eq(&last.one, &Arc::downgrade(one)) && Weak::ptr_eq(&last.rules, &rules);
        let is_young = now.saturating_sub(last.asked_at) < KEPT;
        (same && is_young && !self.has_news(key, last.asked_at)).then_some(last)
    }

    fn has_news(&self, (server, _, whose): &Key, since: Duration) -> bool {
        [None, Some(whose.caller)].into_iter().any(|caller| {
            let news = self.news.get(&(server.clone(), caller));
            news.is_some_and(|news| news >= since)
        })
    }

    /// What was shown before may be another one now.
    pub(super) fn note_news(&self, server: &str, whose: Option<Whose>, now: Duration) {
        self.news.insert((server.into(), whose.map(|whose| whose.caller)), now);
    }

    pub(super) fn keep(&self, key: Key, last: &Arc<Last>) {
        self.known.insert(key, Arc::clone(last));
    }

    /// This caller is shown none.
    pub(super) fn forget(&self, key: &Key) {
        self.known.invalidate(key);
    }

    /// Whether it is asked for, and nobody waits.
    pub(super) fn is_asked(&self, key: &Key) -> bool {
        self.behind().keys.contains(key)
    }

    /// Asks on, although nobody waits any more. Too many are let go.
    pub(super) fn go_on(
        self: &Arc<Self>,
        key: Key,
        (asked, one): (Asked, Arc<One>),
        request_id: RequestId,
    ) {
        let mut behind = self.behind();
        while behind.asking.try_join_next().is_some() {}
        if behind.keys.len() >= BEHIND || !behind.keys.insert(key.clone()) {
            return;
        }
        let under_way = UnderWay(Arc::downgrade(self), key);
        behind.asking.spawn(async move {
            if tokio::time::timeout(LIMIT, asked).await.is_err() {
                one.rest(under_way.1.1, request_id);
            }
            drop(under_way);
        });
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lasts").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}
