//! The stream of one client at `/mcp`: what all servers tell, what the broker itself has to tell, and nothing of what the client may
//! not see.
//!
//! Nothing is queued. The stream knows what there was to see when it last told of it, and compares that with what there is now: so
//! however much happens at once, whatever is missed and whoever is away, a client is told once, and of a change that it sees.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::guard::{Own, Thing};
use crate::limits::Permits;
use crate::policy::InForce;
use crate::time::Clock;
use crate::upstream::era::Filter;
use crate::upstream::events::{KEEP_ALIVE, event};
use crate::upstream::reader::Of;

use super::Around;
use super::board::Board;
use super::follow::{Followed, Updates};
use super::heard::Lead;
use super::hub::Seat;
use super::visible::{Seen, View, Which, differ};

/// How long the beginning waits for servers that were not heard of yet.
const OPENS: Duration = Duration::from_secs(1);
/// How soon a client is told again.
const GAP: Duration = Duration::from_secs(1);
/// How often it is asked again whether the stream may stay open.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Of nothing to tell, until the client hears that the stream lives.
const SILENCE: Duration = Duration::from_secs(15);

/// Whose stream it is, and what it takes to tell.
pub(super) struct Client {
    pub(super) lead: Lead,
    /// Of its request, by which each message is tagged.
    pub(super) id: Box<RawValue>,
    pub(super) own: Arc<dyn Own>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) around: Around,
}

/// Of what it is told.
pub(super) struct Subject {
    pub(super) wanted: Filter,
    pub(super) followed: Vec<Followed>,
    pub(super) updates: Arc<Updates>,
    pub(super) boards: Boards,
    pub(super) expected: Expected,
}

/// What is there as long as the stream is.
pub(super) struct Held {
    pub(super) _seat: Option<Seat>,
    pub(super) _board: Arc<Board>,
    pub(super) _listening: JoinSet<()>,
    /// Cancelled when a server whose resources are followed is gone, or is reached another way.
    pub(super) gone: CancellationToken,
    /// Among the streams.
    pub(super) _place: Permits,
}

/// Of whom it is known at the beginning what there is to see.
pub(super) struct Expected {
    pub(super) shared: Vec<Arc<str>>,
    pub(super) of_its_own: Vec<Arc<str>>,
    /// Servers of which resources are followed.
    pub(super) following: usize,
}

/// What is known of servers that cannot tell callers apart, and of those that know this one.
type Boards = [watch::Receiver<Arc<Seen>>; 2];

pub(super) struct Merged {
    client: Client,
    wanted: Filter,
    followed: Vec<Followed>,
    updates: Arc<Updates>,
    /// Until it has begun.
    expected: Option<Expected>,
    rules: Arc<InForce>,
    seen: [Arc<Seen>; 2],
    replaced: watch::Receiver<()>,
    boards: Boards,
    waiting: VecDeque<Bytes>,
    over: bool,
    /// When it was looked for what there is to tell, if that is not long ago.
    looked_at: Option<Instant>,
    /// When it was sent anything; monotonic.
    heard_at: Duration,
    held: Held,
}

impl Merged {
    pub(super) fn new(client: Client, subject: Subject, held: Held) -> Self {
        let Subject { wanted, followed, updates, boards, expected } = subject;
        let policy = &client.around.policy;
        let heard_at = client.clock.monotonic();
        Self {
            rules: policy.current(),
            seen: boards.each_ref().map(|board| Arc::clone(&board.borrow())),
            replaced: policy.changes(),
            client,
            wanted,
            followed,
            updates,
            expected: Some(expected),
            boards,
            waiting: VecDeque::new(),
            over: false,
            looked_at: None,
            heard_at,
            held,
        }
    }

    /// Whose it is, for who looks whether somebody reads it.
    pub(super) fn of(&self) -> Of {
        Of {
            clock: Arc::clone(&self.client.clock),
            server: "mcp".into(),
            request_id: self.client.lead.caller.request_id(),
        }
    }

    /// Whether nothing comes after what came last.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.over && self.waiting.is_empty()
    }

    /// What the client gets next; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let next = self.message().await;
        self.heard_at = self.client.clock.monotonic();
        next
    }

    async fn message(&mut self) -> Option<Bytes> {
        if let Some(expected) = self.expected.take() {
            return Some(self.begin(&expected).await);
        }
        loop {
            if self.over {
                return None;
            }
            if self.is_over() {
                self.over = true;
                return Some(self.end());
            }
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            // What comes close together is told together, and decided about once.
            self.looked_at = self.looked_at.filter(|looked_at| looked_at.elapsed() < GAP);
            if self.looked_at.is_none() && self.look().await {
                self.looked_at = Some(Instant::now());
                continue;
            }
            let quiet = self.client.clock.monotonic().saturating_sub(self.heard_at);
            if quiet >= SILENCE {
                return Some(KEEP_ALIVE);
            }
            self.wait().await;
        }
    }

    /// Waits until there may be something to tell.
    async fn wait(&mut self) {
        let expires_at = self.client.lead.caller.principal().expires_at();
        let lasts = expires_at.since(self.client.clock.now()).min(ASK_AGAIN);
        let paused = self.looked_at.map(|looked_at| looked_at + GAP);
        let [shared, own] = &mut self.boards;
        tokio::select! {
            () = self.client.around.closing.cancelled() => {}
            () = self.held.gone.cancelled() => {}
            () = tokio::time::sleep(lasts) => {}
            () = tokio::time::sleep_until(paused.unwrap_or_else(Instant::now)), if paused.is_some() => {}
            Ok(()) = self.replaced.changed(), if paused.is_none() => {}
            Ok(()) = shared.changed(), if paused.is_none() => {}
            Ok(()) = own.changed(), if paused.is_none() => {}
            () = self.updates.told.notified(), if paused.is_none() => {}
        }
    }

    /// Whether it is over: with the broker, with its token, or with a server that it follows, as it would be there.
    fn is_over(&self) -> bool {
        let principal = self.client.lead.caller.principal();
        let lasts = principal.expires_at().since(self.client.clock.now());
        let closing = self.client.around.closing.is_cancelled() || self.held.gone.is_cancelled();
        closing || lasts.is_zero() || self.client.around.revocations.is_revoked(principal)
    }

    /// What comes first: of what the client is told. From here on it is told of what is other than now; a server that was not
    /// heard of by now had nothing.
    async fn begin(&mut self, expected: &Expected) -> Bytes {
        let (boards, updates) = (&mut self.boards, &self.updates);
        let known = async {
            let [shared, own] = boards;
            let all = |ids: &[Arc<str>], seen: &Seen| ids.iter().all(|id| seen.contains_key(id));
            drop(shared.wait_for(|seen| all(&expected.shared, seen)).await);
            drop(own.wait_for(|seen| all(&expected.of_its_own, seen)).await);
            let mut settled = updates.settled.subscribe();
            drop(settled.wait_for(|settled| *settled >= expected.following).await);
        };
        // Whoever is slow is told of later.
        tokio::time::timeout(OPENS, known).await.unwrap_or_default();
        self.rules = self.client.around.policy.current();
        self.seen = self.boards.each_ref().map(|board| Arc::clone(&board.borrow()));
        let followed = self.followed.iter().filter(|one| !self.updates.is_refused(&one.uri));
        self.wanted.resource_subscriptions = followed.map(|one| one.uri.clone()).collect();
        let wanted = serde_json::to_string(&self.wanted).unwrap_or_else(|_| "{}".to_owned());
        let with = format!(r#""notifications":{wanted},"#);
        self.notification("notifications/subscriptions/acknowledged", &with)
    }

    /// Finds what is to be told. Whether there was anything to decide about.
    async fn look(&mut self) -> bool {
        let rules = self.client.around.policy.current();
        let seen = self.boards.each_mut().map(|board| Arc::clone(&board.borrow_and_update()));
        let same = |(before, after): (&Arc<Seen>, &Arc<Seen>)| Arc::ptr_eq(before, after);
        let decided = !Arc::ptr_eq(&rules, &self.rules) || !self.seen.iter().zip(&seen).all(same);
        let caller = &self.client.lead.caller;
        let mut changed = Vec::new();
        for which in Which::ALL {
            if !which.is_wanted(&self.wanted) {
                continue;
            }
            let mut differs = which == Which::Tools
                && !Arc::ptr_eq(&rules, &self.rules)
                && self.client.own.seen(caller, &rules)
                    != self.client.own.seen(caller, &self.rules);
            for (before, after) in self.seen.iter().zip(&seen) {
                let before = View { rules: &self.rules, seen: before };
                let after = View { rules: &rules, seen: after };
                differs = differs || differ(which, caller, (before, after)).await;
            }
            changed.extend(differs.then_some(which));
        }
        (self.rules, self.seen) = (rules, seen);
        for which in changed {
            let message = self.notification(which.notification(), "");
            self.waiting.push_back(message);
        }
        for uri in self.updates.take() {
            if self.may_be_told_of(&uri) {
                let uri = serde_json::Value::from(uri);
                let with = format!(r#""uri":{uri},"#);
                let message = self.notification("notifications/resources/updated", &with);
                self.waiting.push_back(message);
            }
        }
        decided || !self.waiting.is_empty()
    }

    /// Of what becomes of a resource only those are told who may have it now, and were told that they would be.
    fn may_be_told_of(&self, uri: &str) -> bool {
        let promised = self.wanted.resource_subscriptions.iter().any(|wanted| wanted == uri);
        let followed = self.followed.iter().find(|followed| followed.uri == uri);
        promised
            && followed.is_some_and(|followed| {
                let deciding = followed.server.decider.now();
                deciding.about(&self.client.lead.caller, Thing::Resource(&followed.own)).is_allow()
            })
    }

    fn notification(&self, method: &str, with: &str) -> Bytes {
        let id = self.client.id.get();
        let message = format!(
            r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{with}"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
        );
        event(message.as_bytes())
    }

    /// The answer to the request, with which the stream ends.
    fn end(&self) -> Bytes {
        let (id, version) = (self.client.id.get(), env!("CARGO_PKG_VERSION"));
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"io.modelcontextprotocol/subscriptionId":{id},"io.modelcontextprotocol/serverInfo":{{"name":"mcp-auth-broker","version":"{version}"}}}}}}}}"#
        );
        event(message.as_bytes())
    }
}
