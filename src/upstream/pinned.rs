//! To what the store holds a server's tools: for every replica, and after every start, the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::store::{MetTool, MetTools, StoreError, ToolPin, ToolPinStore};
use crate::time::{Clock, Timestamp};

/// Tools that the store is told of at once: it writes them in one transaction.
const AT_ONCE: usize = 500;
/// How long it is not told of yet another definition of one tool.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// What the store has of one server, as this process read it last.
#[derive(Debug)]
pub(super) struct Pinned {
    server: Box<str>,
    store: Arc<dyn ToolPinStore>,
    clock: Arc<dyn Clock>,
    /// What the store is told.
    pub(super) under_way: TaskTracker,
    read: RwLock<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// `false`: it was never read whole.
    whole: bool,
    version: Option<i64>,
    pins: HashMap<String, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    digest: String,
    /// Of another definition that waits to be approved.
    found: Option<String>,
    /// When the store was last told of it by this process.
    met: Option<Timestamp>,
}

impl Held {
    fn new(ToolPin { tool: _, digest, found }: ToolPin, met: Option<Timestamp>) -> Self {
        Self { digest, found, met }
    }

    fn is_as(&self, other: &Self) -> bool {
        (&self.digest, &self.found) == (&other.digest, &other.found)
    }
}

/// What is known of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Approved,
    /// It is another one, or another one was seen that still waits to be approved.
    Changed,
    /// The same, and the store was told of another one a moment ago: a server can write another one into each list.
    ChangedAgain,
    /// The store has not heard of it.
    Unmet,
}

impl Pinned {
    pub(super) fn new(server: &str, store: Arc<dyn ToolPinStore>, clock: Arc<dyn Clock>) -> Self {
        let (under_way, read) = (TaskTracker::new(), RwLock::default());
        Self { server: server.into(), store, clock, under_way, read }
    }

    pub(super) fn standing(&self, tool: &str, digest: &str) -> Standing {
        match self.read().pins.get(tool) {
            Some(held) if held.digest == digest && held.found.is_none() => Standing::Approved,
            Some(held) if held.digest == digest || held.found.as_deref() == Some(digest) => {
                Standing::Changed
            }
            Some(Held { found: Some(_), met: Some(met), .. })
                if met.plus(TELL_AGAIN) > self.clock.now() =>
            {
                Standing::ChangedAgain
            }
            None | Some(_) => Standing::Unmet,
        }
    }

    /// Whether there is a definition to which this tool is held; nobody knows before the store was read.
    pub(super) fn may_hold(&self, tool: &str) -> bool {
        let read = self.read();
        !read.whole || read.pins.contains_key(tool)
    }

    pub(super) fn has(&self, tool: &str) -> bool {
        self.read().pins.contains_key(tool)
    }

    /// Tells the store of tools, and remembers to what they are held. Whose change this process is to tell of.
    pub(super) async fn meet(&self, tools: Vec<MetTool>) -> Result<HashSet<String>, StoreError> {
        let mut told = HashSet::new();
        let mut rest = tools;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(AT_ONCE));
            let some = std::mem::replace(&mut rest, later);
            let now = self.clock.now();
            let met = self.store.meet_tools(&self.server, some, now).await?;
            let MetTools { versions: (before, after), pins, told: some } = met;
            told.extend(some);
            let mut read = self.write();
            read.pins
                .extend(pins.into_iter().map(|pin| (pin.tool.clone(), Held::new(pin, Some(now)))));
            // Where others changed something in between, it is read as a whole.
            if read.version == Some(before) {
                read.version = Some(after);
            }
        }
        Ok(told)
    }

    /// Reads what there is, unless it is of this version. The tools that are held to something else than before.
    pub(super) async fn follow(&self, version: Option<i64>) -> Result<HashSet<String>, StoreError> {
        {
            let read = self.read();
            if read.whole && read.version == version {
                return Ok(HashSet::new());
            }
        }
        let now = match version {
            Some(_) => self.store.tool_pins(&self.server).await?,
            None => crate::store::ToolPins::default(),
        };
        let pins = now.pins.into_iter().map(|pin| (pin.tool.clone(), Held::new(pin, None)));
        let pins: HashMap<_, _> = pins.collect();
        let mut read = self.write();
        let before =
            std::mem::replace(&mut *read, Read { whole: true, version: now.version, pins });
        let gone = before.pins.keys().filter(|tool| !read.pins.contains_key(*tool));
        let others = read.pins.iter().filter(|(tool, held)| {
            !before.pins.get(*tool).is_some_and(|before| before.is_as(held))
        });
        Ok(gone.chain(others.map(|(tool, _)| tool)).cloned().collect())
    }

    fn read(&self) -> RwLockReadGuard<'_, Read> {
        self.read.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Read> {
        self.read.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{StoreSettings, open};
    use crate::time::SystemClock;

    use super::*;

    fn met(tool: &str) -> Vec<MetTool> {
        vec![MetTool { tool: tool.to_owned(), digest: "1".to_owned(), definition: None }]
    }

    #[tokio::test]
    async fn a_replica_learns_of_what_another_met_before_it_met_something_itself() {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Sqlite(folder.path().join("broker.db"));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = open(&settings, Arc::clone(&clock)).await.unwrap();
        let replica = || Pinned::new("a", Arc::clone(&store) as _, Arc::clone(&clock));
        let (one, other) = (replica(), replica());
        for replica in [&one, &other] {
            assert!(replica.follow(None).await.unwrap().is_empty());
        }
        one.meet(met("t")).await.unwrap();
        other.meet(met("u")).await.unwrap();
        let version = store.tool_pin_versions().await.unwrap().pop().map(|(_, version)| version);
        for replica in [&one, &other] {
            replica.follow(version).await.unwrap();
            assert!(replica.has("t") && replica.has("u"), "{replica:?}");
        }
    }
}
