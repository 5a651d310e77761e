//! The broker's own sessions: what an old client subscribed to before a server that keeps no sessions, how much it wants of a
//! log, and what it listens on.
//!
//! They are kept in this process, within bounds. One that is not here, because another process has it, because the broker was
//! restarted or because its person opened many others since, is over: its client is told so where that matters, and starts
//! a new one. Calls need none of this.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::guard::MOST_RESOURCES;

use super::Filter;
use super::message::Members;
use super::stream::Stream;

/// Sessions that are kept, of all and of one person; the first to go is one on which nobody listens, the one that was idle longest.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 256;
/// Bytes of the URIs that are subscribed to, of all and of one person.
const MOST_BYTES: usize = 16 << 20;
const MOST_BYTES_OF_ONE: usize = 1 << 20;

/// After so many milliseconds without a request, and with nobody who listens, a session is over.
const IDLE: u64 = 60 * 60 * 1000;

/// From which severity on a client is told where it said nothing: the server may decide that (MCP 2025-11-25
/// utilities/logging), and a server of the new era says nothing unasked.
const LEVEL: &str = "info";

/// What a server says that it tells of.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "five offers of a server, each for itself")]
pub(super) struct Offers {
    tools: bool,
    prompts: bool,
    resources: bool,
    pub(super) subscribe: bool,
    pub(super) logging: bool,
}

impl Offers {
    pub(super) fn of(capabilities: &Members) -> Self {
        let can = |name: &str, what: &str| capabilities.members(name).get(what) == Some(true);
        Self {
            tools: can("tools", "listChanged"),
            prompts: can("prompts", "listChanged"),
            resources: can("resources", "listChanged"),
            subscribe: can("resources", "subscribe"),
            logging: capabilities.has("logging"),
        }
    }

    /// Whether there is anything to listen to.
    pub(super) const fn tells(self) -> bool {
        self.tools || self.prompts || self.resources || self.subscribe
    }
}

/// All of one server, by their id.
#[derive(Debug, Default)]
pub(super) struct Ours(Mutex<HashMap<Box<str>, Arc<Session>>>);

#[derive(Debug)]
pub(super) struct Session {
    owner: Vec<u8>,
    pub(super) offers: Offers,
    /// One changes what the server is asked for, the others wait.
    pub(super) changing: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
    /// Monotonic, in milliseconds.
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    level: Option<&'static str>,
    resources: BTreeSet<String>,
    /// What its client listens on.
    stream: Weak<Stream>,
}

impl Ours {
    /// `owner` is who takes the room.
    pub(super) fn begin(&self, id: &str, (owner, offers): (Vec<u8>, Offers), now: u64) {
        let mut all = self.all();
        all.retain(|_, session| !session.is_over(now));
        let own = all.values().filter(|session| session.owner == owner).count();
        let full = all.len() >= MOST;
        if own >= MOST_OF_ONE || full {
            // One's own makes room for one's own.
            let goes = |session: &Session| own < MOST_OF_ONE || session.owner == owner;
            let idle = all.iter().filter(|(_, session)| goes(session));
            let idle = idle.min_by_key(|(_, session)| session.is_used());
            if let Some(idle) = idle.map(|(id, _)| id.clone()) {
                all.remove(&idle);
            }
        }
        let session = Session {
            owner,
            offers,
            changing: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
            used: AtomicU64::new(now),
        };
        all.insert(id.into(), Arc::new(session));
    }

    pub(super) fn of(&self, id: &str, now: u64) -> Option<Arc<Session>> {
        let session = Arc::clone(self.all().get(id)?);
        if session.is_over(now) {
            self.end(id);
            return None;
        }
        session.is_used_at(now);
        Some(session)
    }

    /// Its client has no more use for it.
    pub(super) fn end(&self, id: &str) {
        let ended = self.all().remove(id);
        drop(ended);
    }

    /// Why a session may not subscribe to one more.
    pub(super) fn is_full(&self, session: &Session, uri: &str) -> Option<&'static str> {
        let (mut all_bytes, mut own_bytes) = (uri.len(), uri.len());
        for other in self.all().values() {
            let bytes = other.kept().resources.iter().map(String::len).sum::<usize>();
            all_bytes = all_bytes.saturating_add(bytes);
            if other.owner == session.owner {
                own_bytes = own_bytes.saturating_add(bytes);
            }
        }
        if session.kept().resources.len() >= MOST_RESOURCES {
            return Some("too many resources are subscribed to: 100 in one session at most");
        }
        if own_bytes > MOST_BYTES_OF_ONE {
            return Some(
                "the URIs that are subscribed to are too long: 1 MiB in all sessions of one person at most",
            );
        }
        (all_bytes > MOST_BYTES).then_some(
            "the URIs that are subscribed to are too long: there is room for 16 MiB in the sessions of all",
        )
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// From which severity on its client wants to be told. `None`: the server has no log.
    pub(super) fn level(&self) -> Option<&'static str> {
        self.offers.logging.then(|| self.kept().level.unwrap_or(LEVEL))
    }

    pub(super) fn wants(&self, level: &'static str) {
        self.kept().level = Some(level);
    }

    /// Whether its client is told of this.
    pub(super) fn hears(&self, method: &str, uri: Option<&str>) -> bool {
        match method {
            "notifications/tools/list_changed" => self.offers.tools,
            "notifications/prompts/list_changed" => self.offers.prompts,
            "notifications/resources/list_changed" => self.offers.resources,
            "notifications/resources/updated" => uri.is_some_and(|uri| self.has(uri)),
            _ => false,
        }
    }

    pub(super) fn has(&self, uri: &str) -> bool {
        self.kept().resources.contains(uri)
    }

    pub(super) fn add(&self, uri: &str) {
        self.kept().resources.insert(uri.to_owned());
    }

    /// Whether it was there.
    pub(super) fn remove(&self, uri: &str) -> bool {
        self.kept().resources.remove(uri)
    }

    /// Leaves the resources that its client may still have.
    pub(super) fn keep(&self, may: impl FnMut(&String) -> bool) {
        self.kept().resources.retain(may);
    }

    /// What the server is to tell of.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            tools_list_changed: self.offers.tools,
            prompts_list_changed: self.offers.prompts,
            resources_list_changed: self.offers.resources,
            resource_subscriptions: self.kept().resources.iter().cloned().collect(),
        }
    }

    /// Whether its client listens, and when it said something last.
    fn is_used(&self) -> (bool, u64) {
        (self.stream().is_some(), self.used.load(Ordering::Relaxed))
    }

    /// Its client did something, be it that it went away.
    pub(super) fn is_used_at(&self, now: u64) {
        self.used.fetch_max(now, Ordering::Relaxed);
    }

    /// Whether it was idle for too long, be it that nobody has tidied up since.
    fn is_over(&self, now: u64) -> bool {
        let (listens, used) = self.is_used();
        !listens && now.saturating_sub(used) >= IDLE
    }

    /// What its client listens on now.
    pub(super) fn stream(&self) -> Option<Arc<Stream>> {
        self.kept().stream.upgrade()
    }

    /// From now on its client listens on this, and on no other: each message is told once (MCP 2025-11-25 transports).
    pub(super) fn listens_on(&self, stream: &Arc<Stream>) {
        let before = std::mem::replace(&mut self.kept().stream, Arc::downgrade(stream));
        if let Some(before) = before.upgrade() {
            before.end();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that is over has no stream.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some(stream) = self.stream() {
            stream.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::guard::millis;
    use crate::time::{Clock as _, FixedClock, Timestamp};

    use super::*;

    fn begin(ours: &Ours, id: &str, owner: &str, now: u64) {
        ours.begin(id, (owner.as_bytes().to_vec(), Offers::default()), now);
    }

    #[test]
    fn who_opens_many_sessions_ends_their_own_oldest_and_nobody_elses() {
        let ours = Ours::default();
        begin(&ours, "eve", "eve", 0);
        for number in 0..MOST_OF_ONE {
            begin(&ours, &number.to_string(), "ada", 1);
        }
        assert!(ours.of("0", 2).is_some(), "it is used");
        begin(&ours, "next", "ada", 3);
        let gone = (0..MOST_OF_ONE).filter(|number| ours.of(&number.to_string(), 3).is_none());
        assert_eq!(gone.count(), 1);
        assert!(ours.of("0", 3).is_some() && ours.of("eve", 3).is_some());
    }

    #[test]
    fn a_session_that_nobody_uses_is_over_after_an_hour() {
        let ours = Ours::default();
        begin(&ours, "gone", "ada", 0);
        begin(&ours, "used", "ada", 0);
        ours.of("used", 1).unwrap();
        assert!(ours.of("gone", IDLE - 1).is_some(), "the hour is not over");
        assert!(ours.of("gone", 2 * IDLE - 1).is_none(), "though nobody begins another");
        assert!(ours.of("gone", 2 * IDLE - 1).is_none() && !ours.all().contains_key("gone"));
        begin(&ours, "next", "eve", IDLE + 1);
        assert!(!ours.all().contains_key("used"), "nobody asked for it");
    }

    #[test]
    fn a_session_on_which_somebody_listens_is_not_over() {
        let ours = Ours::default();
        begin(&ours, "listens", "ada", 0);
        let (stream, read) = Stream::new();
        ours.of("listens", 0).unwrap().listens_on(&stream);
        assert!(ours.of("listens", 2 * IDLE).is_some());
        drop((stream, read));
        assert!(ours.of("listens", 4 * IDLE).is_none());
    }

    /// Its hour begins when nobody listens any more: who comes back after an interruption goes on.
    #[test]
    fn a_session_is_over_an_hour_after_its_client_stopped_to_listen() {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(0)));
        let now = || millis(clock.monotonic());
        let ours = Ours::default();
        begin(&ours, "listens", "ada", now());
        let (stream, mut read) = Stream::new();
        let session = ours.of("listens", now()).unwrap();
        session.listens_on(&stream);
        read.is_for(&session, Arc::clone(&clock) as _);
        drop((stream, session));
        clock.advance(Duration::from_millis(3 * IDLE));
        drop(read);
        clock.advance(Duration::from_millis(IDLE - 1));
        assert!(!ours.all()["listens"].is_over(now()));
        clock.advance(Duration::from_millis(1));
        assert!(ours.of("listens", now()).is_none());
    }

    #[test]
    fn a_session_on_which_somebody_listens_is_the_last_to_go() {
        let ours = Ours::default();
        begin(&ours, "listens", "ada", 0);
        let (stream, _read) = Stream::new();
        ours.of("listens", 0).unwrap().listens_on(&stream);
        for number in 0..MOST_OF_ONE {
            begin(&ours, &number.to_string(), "ada", 1);
        }
        assert!(ours.of("listens", 1).is_some() && ours.all().len() == MOST_OF_ONE);
    }

    #[test]
    fn all_sessions_together_are_bounded() {
        let ours = Ours::default();
        for number in 0..MOST {
            let session = Session {
                owner: number.to_be_bytes().to_vec(),
                offers: Offers::default(),
                changing: tokio::sync::Mutex::default(),
                kept: Mutex::default(),
                used: AtomicU64::new(u64::try_from(number).unwrap()),
            };
            ours.all().insert(number.to_string().into(), Arc::new(session));
        }
        begin(&ours, "next", "ada", 0);
        assert_eq!(ours.all().len(), MOST);
        assert!(ours.of("0", 0).is_none(), "the one that was idle longest");
        assert!(ours.of("next", 0).is_some());
    }

    #[test]
    fn what_is_subscribed_to_is_bounded_for_a_session_and_for_a_person() {
        let ours = Ours::default();
        for id in ["a", "b"] {
            begin(&ours, id, "ada", 0);
        }
        let (one, other) = (ours.of("a", 0).unwrap(), ours.of("b", 0).unwrap());
        for number in 0..MOST_RESOURCES {
            assert_eq!(ours.is_full(&one, "city:next"), None, "{number}");
            one.add(&format!("city:{number}"));
        }
        assert!(ours.is_full(&one, "city:next").unwrap().contains("100 in one session"));
        assert_eq!(ours.is_full(&other, "city:next"), None, "each session has its own");
        one.add(&"x".repeat(MOST_BYTES_OF_ONE));
        let full = ours.is_full(&other, "city:next").unwrap();
        assert!(full.contains("1 MiB in all sessions of one person"), "the bytes are the person's");
        begin(&ours, "eve", "eve", 0);
        let eve = ours.of("eve", 0).unwrap();
        assert_eq!(ours.is_full(&eve, "city:next"), None);
        other.add(&"x".repeat(MOST_BYTES - MOST_BYTES_OF_ONE));
        assert!(ours.is_full(&eve, "city:next").unwrap().contains("16 MiB"));
    }

    #[test]
    fn a_session_tells_what_the_server_offers() {
        let offered = r#"{"tools":{"listChanged":true},"resources":{"subscribe":true}}"#;
        let offered = serde_json::value::RawValue::from_string(offered.to_owned()).unwrap();
        let offers = Offers::of(&Members::of(&offered));
        let ours = Ours::default();
        ours.begin("a", (Vec::new(), offers), 0);
        let session = ours.of("a", 0).unwrap();
        session.add("city:paris");
        let filter = serde_json::to_string(&session.filter()).unwrap();
        assert_eq!(filter, r#"{"toolsListChanged":true,"resourceSubscriptions":["city:paris"]}"#);
        assert!(offers.tells() && session.level().is_none(), "it has no log");
        assert!(!Offers::default().tells());
    }
}
