//! A server that is a child process of ours, and speaks MCP over its standard input and output.
//!
//! It is started when it is first needed, shared by all callers, and started anew after it ended, with a rest in between.
//! Callers meet it as they would meet a server behind HTTP that keeps no sessions. It is treated as if it were hostile: what it
//! gets is its arguments and an environment of its own, what it writes is bounded, and what it started ends with it.

mod complaints;
mod crowd;
mod desk;
mod fault;
mod greet;
mod life;
mod lines;
mod rest;
mod running;
mod too_long;
mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::resource_server::Principal;
use crate::time::Clock;

use self::desk::Owner;
use self::greet::Greeting;
use self::rest::Rest;
use self::running::Running;
use self::wire::Asked;
use super::session;
use crate::oauth_client::Held;

pub(super) use fault::ChildFault;
pub(super) use running::Spoken;

/// What a child is and may. There is nothing here that a caller, the admin API or a page could set (N117).
#[derive(Debug)]
pub struct ChildSettings {
    /// `upstream.server.id`
    pub id: Box<str>,
    /// Absolute, or a name that is looked for in [`crate::process::PATH`].
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Beside `PATH`, `HOME` and `LANG`, which these may replace. Read anew for each start.
    pub environment: Vec<(String, Held)>,
    pub directory: PathBuf,
    /// From its start to its answer to `initialize` or `server/discover`.
    pub start_timeout: Duration,
    /// One line that it writes.
    pub max_message_bytes: usize,
    /// Calls under way at the same time, and streams beside them.
    pub max_calls: usize,
    /// What each of its processes may take.
    pub limits: crate::process::Limits,
    /// Its processes at the same time, itself included.
    pub max_processes: usize,
}

/// A child process, running or not. Dropped, it ends with all that it started.
#[derive(Debug)]
pub struct Hosted {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    _ends_with_this: DropGuard,
}

/// What the task that runs the child needs.
#[derive(Debug)]
struct Shared {
    settings: ChildSettings,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    /// Whether it has to be initialized, as far as is known. It need not be asked again.
    legacy: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Until it has ended and everything that it started.
    current: Option<Arc<Running>>,
    rest: Rest,
    /// When the current one got ready, in monotonic time.
    ready_at: Option<Duration>,
    /// How the last one ended, until another gets ready.
    trouble: Option<ChildFault>,
}

/// What a message to a child leads to.
#[derive(Debug)]
pub(super) enum Opened {
    /// Nothing more is to be said.
    Nothing,
    /// The answer.
    Whole(Bytes),
    /// Other messages, and then the answer.
    Stream(Spoken),
}

impl Hosted {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(settings: ChildSettings, clock: Arc<dyn Clock>) -> Self {
        let stopping = CancellationToken::new();
        let ends = stopping.clone().drop_guard();
        let (legacy, state) = (AtomicBool::new(false), Mutex::default());
        let shared = Shared { settings, clock, stopping, legacy, state };
        Self { shared: Arc::new(shared), tasks: TaskTracker::new(), _ends_with_this: ends }
    }

    /// Ends the child: its input is closed, then it is asked to end, then it is killed, with all that it started.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What is wrong with it, for the operator. `None` also where it was not needed yet.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.map(|fault| format!("{}: {fault}", fault.code()))
    }

    /// Sends one message of a caller. `limit` is for the child to say something about it.
    ///
    /// # Errors
    ///
    /// [`ChildFault`]
    pub(super) async fn open(
        &self,
        principal: &Principal,
        body: &[u8],
        limit: Duration,
    ) -> Result<Opened, ChildFault> {
        let Some(asked) = Asked::read(body) else { return Err(ChildFault::Garbage) };
        let owner = Owner(session::whose(principal).into());
        let Some(id) = asked.id else {
            self.notified(&asked, &owner);
            return Ok(Opened::Nothing);
        };
        let running = self.running()?;
        let greeting = running.ready().await?;
        match (&*greeting, &*asked.method) {
            (Greeting::Legacy(said), "initialize") => {
                let result = greet::initialized(said, asked.params::<&RawValue>());
                let result = result.ok_or(ChildFault::NoHandshake)?;
                let answer = wire::answer(id, wire::Outcome::Result(&result), false);
                return answer.map(Opened::Whole).ok_or(ChildFault::Garbage);
            }
            // One caller's would be everybody's, or it is a method of the other revisions.
            (
                Greeting::Legacy(_),
                "logging/setLevel"
                | "resources/subscribe"
                | "resources/unsubscribe"
                | "server/discover"
                | "subscriptions/listen",
            )
            | (Greeting::Modern, "initialize") => {
                return Ok(Opened::Whole(refused(id, -32601, "Method not found")));
            }
            (Greeting::Legacy(_) | Greeting::Modern, _) => {}
        }
        let Some(mut spoken) = running.call(&asked, owner, limit).await? else {
            return Ok(Opened::Whole(refused(id, -32602, "params must be an object")));
        };
        if !spoken.begin(limit).await? {
            return Ok(Opened::Stream(spoken));
        }
        let answer = spoken.next(limit).await?;
        answer.map(Opened::Whole).ok_or(ChildFault::GivenUp)
    }

    /// A notification starts nothing, and all but one are between the caller and the broker.
    fn notified(&self, asked: &Asked<'_>, owner: &Owner) {
        #[derive(Deserialize)]
        struct Cancelled<'a> {
            #[serde(borrow, rename = "requestId")]
            id: &'a RawValue,
        }
        let running = self.shared.state().current.clone();
        if let (Some(running), "notifications/cancelled", Some(cancelled)) =
            (running, &*asked.method, asked.params::<Cancelled<'_>>())
        {
            running.cancel(owner, cancelled.id);
        }
    }

    /// The run that is under way, or a new one.
    fn running(&self) -> Result<Arc<Running>, ChildFault> {
        let mut state = self.shared.state();
        match &state.current {
            Some(running) if running.is_over() => return Err(ChildFault::Resting),
            Some(running) => return Ok(Arc::clone(running)),
            None => {}
        }
        if self.shared.stopping.is_cancelled() {
            return Err(ChildFault::Ended);
        }
        if state.rest.remains(self.shared.clock.monotonic()).is_some() {
            return Err(ChildFault::Resting);
        }
        let (running, lines) = Running::new(self.shared.settings.max_calls);
        let running = Arc::new(running);
        state.current = Some(Arc::clone(&running));
        let life = life::live(Arc::clone(&self.shared), Arc::clone(&running), lines);
        self.tasks.spawn(life);
        Ok(running)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// It answers.
    fn ready(&self, legacy: bool) {
        self.legacy.store(legacy, Ordering::Relaxed);
        let mut state = self.state();
        state.ready_at = Some(self.clock.monotonic());
        state.trouble = None;
        let server = &*self.settings.id;
        tracing::info!(server, legacy, "upstream.child_ready");
    }

    /// It is of no more use. `why` holds nothing that the child said.
    fn note(&self, running: &Running, fault: ChildFault, why: &str) {
        let now = self.clock.monotonic();
        {
            let mut state = self.state();
            let lived = state.ready_at.take().map(|since| now.saturating_sub(since));
            state.rest.after(lived.unwrap_or_default(), now);
            state.trouble = Some(fault);
        }
        running.end(fault);
        let server = &*self.settings.id;
        tracing::warn!(server, code = %fault.code(), why, "upstream.child_ended");
    }

    /// Nothing of it is left.
    fn ended(&self, running: &Arc<Running>) {
        running.end(ChildFault::Ended);
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, running)) {
            state.current = None;
        }
    }
}

fn refused(id: &RawValue, code: i32, message: &str) -> Bytes {
    let id = id.get();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
        .into()
}
