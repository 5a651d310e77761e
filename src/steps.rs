//! What a request waits for, kept until it ends: calls of the database, of other hosts, and of servers behind us.
//!
//! Only where traces are sent: elsewhere no request has a list, and nothing is kept. The list goes along with the task that
//! answers; a part that goes on in a task of its own takes it along with [`Steps::within`].

mod over;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;

use crate::id::{RequestId, TraceId};
use crate::time::Timestamp;

pub use over::Over;

use over::WhenAnswered;

tokio::task_local! {
    static CURRENT: Steps;
}

/// Of one request. What comes then is forgotten: a request that does more is no simpler to read with all of it.
const MOST: usize = 64;

/// Which traces are kept: those that a caller keeps, and of those that begin here a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Traces that begin here are kept from this [`TraceId::chance`] on.
    from: u64,
}

impl Sampler {
    /// One in so many; 0: none.
    #[must_use]
    pub fn one_in(number: u32) -> Self {
        const ALL: u64 = 1 << 56;
        Self { from: ALL - ALL.checked_div(u64::from(number)).unwrap_or(0) }
    }

    /// Whether spans of this trace are sent (OpenTelemetry, `parentbased_traceidratio`).
    #[must_use]
    pub const fn keeps(self, trace: &TraceId) -> bool {
        trace.is_sampled() && (trace.parent().is_some() || trace.chance() >= self.from)
    }
}

/// What was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A call of the store, which may be several statements.
    Database { system: &'static str, operation: &'static str, collection: &'static str },
    /// A call of another host. `host` and port only where they are from the settings.
    Http { method: Method, host: Option<(String, Option<u16>)>, status: Option<u16> },
    /// A message to a server behind us. `host`: `None` for a program.
    Server {
        id: Box<str>,
        method: &'static str,
        host: Option<(String, Option<u16>)>,
        status: Option<u16>,
    },
}

/// One step that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub what: What,
    pub ended: Timestamp,
    pub took: Duration,
    /// What went wrong, in a word of a closed set or as a status.
    pub failed: Option<Cow<'static, str>>,
}

/// The steps of one request. Clones are the same list.
#[derive(Clone, Debug)]
pub struct Steps(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sampler: Sampler,
    state: Mutex<State>,
}

impl Drop for Inner {
    /// Nobody answers any more, as where the client went away.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for waiting in std::mem::take(&mut state.waiting) {
            (waiting.0)(state.over.as_ref());
        }
    }
}

#[derive(Debug, Default)]
struct State {
    over: Option<Over>,
    waiting: Vec<WhenAnswered>,
    /// Known once the request was read.
    request: Option<(TraceId, RequestId)>,
    begun: u32,
    done: Vec<(u32, Step)>,
}

impl Steps {
    /// An empty list.
    #[must_use]
    pub fn new(sampler: Sampler) -> Self {
        Self(Arc::new(Inner { sampler, state: Mutex::default() }))
    }

    /// The same of a request that came over HTTP.
    #[must_use]
    pub fn of(sampler: Sampler, over: Over) -> Self {
        let state = State { over: Some(over), ..State::default() };
        Self(Arc::new(Inner { sampler, state: Mutex::new(state) }))
    }

    /// That of the request which this task answers.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Does `work` as a part of the request whose steps these are.
    pub async fn within<F: Future>(steps: Option<Self>, work: F) -> F::Output {
        match steps {
            Some(steps) => CURRENT.scope(steps, work).await,
            None => work.await,
        }
    }

    /// From now on it is known which request this is; steps of one that is not kept are not kept either.
    pub fn belong(&self, trace: TraceId, request: RequestId) {
        let mut state = self.state();
        if !self.0.sampler.keeps(&trace) {
            state.done = Vec::new();
        }
        state.request = Some((trace, request));
    }

    /// Which request it is. `None` before that is known.
    #[must_use]
    pub fn request(&self) -> Option<(TraceId, RequestId)> {
        self.state().request
    }

    /// Whether spans of this trace are sent.
    #[must_use]
    pub fn keeps(&self, trace: &TraceId) -> bool {
        self.0.sampler.keeps(trace)
    }

    /// The id of its JSON-RPC message as that has it.
    pub fn asks(&self, rpc_id: &str) {
        if let Some(over) = &mut self.state().over {
            over.rpc_id = rpc_id.parse().ok();
        }
    }

    /// The head of its answer is known.
    pub fn answered(&self, status: u16) {
        let (over, waiting) = {
            let mut state = self.state();
            if let Some(over) = &mut state.over {
                over.status = Some(status);
            }
            (state.over, std::mem::take(&mut state.waiting))
        };
        for finish in waiting {
            (finish.0)(over.as_ref());
        }
    }

    /// Does something with what is known of the request once its answer has begun, or will not; at once where it did not come
    /// over HTTP.
    pub fn when_answered(&self, finish: impl FnOnce(Option<&Over>) + Send + 'static) {
        let over = {
            let mut state = self.state();
            if state.over.is_some_and(|over| over.status.is_none()) {
                state.waiting.push(WhenAnswered(Box::new(finish)));
                return;
            }
            state.over
        };
        finish(over.as_ref());
    }

    /// All steps so far, with their numbers. They are given once.
    #[must_use]
    pub fn take(&self) -> Vec<(u32, Step)> {
        std::mem::take(&mut self.state().done)
    }

    fn are_wanted(&self) -> bool {
        let state = self.state();
        let kept = state.request.is_none_or(|(trace, _)| self.keeps(&trace));
        kept && state.done.len() < MOST
    }

    /// The next number.
    fn begin(&self) -> u32 {
        let mut state = self.state();
        state.begun = state.begun.saturating_add(1);
        state.begun
    }

    fn keep(&self, number: u32, step: Step) {
        let mut state = self.state();
        if state.done.len() < MOST {
            state.done.push((number, step));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this task answers a request whose steps somebody wants to see.
#[must_use]
pub fn wanted() -> bool {
    CURRENT.try_with(Steps::are_wanted).unwrap_or(false)
}

/// Keeps a step of the request that this task answers.
pub fn note(step: Step) {
    CURRENT.try_with(|steps| steps.keep(steps.begin(), step)).ok();
}

/// A step that has begun, and that the other side is told of.
#[derive(Debug)]
pub struct Begun {
    steps: Steps,
    number: u32,
    /// What the other side is sent (W3C Trace Context): the step as its parent. `None` while nobody knows which request
    /// this is.
    pub traceparent: Option<String>,
}

impl Begun {
    /// `None` where no traces are sent. Where this one is not, the other side is told so.
    #[must_use]
    pub fn new() -> Option<Self> {
        let steps = Steps::current()?;
        let number = steps.begin();
        let request = steps.state().request;
        let traceparent = request.map(|(trace, request)| {
            trace.traceparent_of(span(request, number), steps.keeps(&trace))
        });
        Some(Self { steps, number, traceparent })
    }

    /// It has ended.
    pub fn done(self, step: impl FnOnce() -> Step) {
        if self.steps.are_wanted() {
            self.steps.keep(self.number, step());
        }
    }
}

/// The span of a step of a request.
#[must_use]
pub fn span(request: RequestId, number: u32) -> u64 {
    spread(request.span(), u64::from(number))
}

/// The span of an attempt at a provider, which is told of as it ends.
#[must_use]
pub fn attempt_span(request: RequestId, attempt: u32) -> u64 {
    spread(request.span(), u64::from(attempt) | 1 << 32)
}

/// Another number for each, that is known to nobody who does not know the request (`SplitMix64`). Never zero.
const fn spread(request: u64, number: u64) -> u64 {
    let mut mixed = request.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    if mixed == 0 { 1 } else { mixed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn over() -> Over {
        Over {
            method: "POST",
            route: Some("/mcp"),
            path: Some("/mcp"),
            scheme: "https",
            version: "1.1",
            mcp_version: None,
            rpc_id: None,
            status: None,
        }
    }

    /// What is finished with what is known, in its order.
    fn finishes(steps: &Steps, seen: &Arc<Mutex<Vec<Option<Over>>>>) {
        let seen = Arc::clone(seen);
        steps.when_answered(move |over| seen.lock().unwrap().push(over.copied()));
    }

    #[test]
    fn what_is_told_of_a_request_waits_for_the_head_of_its_answer() {
        let (steps, seen) = (Steps::of(Sampler::one_in(1), over()), Arc::default());
        finishes(&steps, &seen);
        assert!(seen.lock().unwrap().is_empty());
        steps.asks("7");
        steps.answered(403);
        // A stream goes on after that, and ends in an event of its own.
        finishes(&steps, &seen);
        let known = Over { rpc_id: Some(7), status: Some(403), ..over() };
        assert_eq!(*seen.lock().unwrap(), [Some(known); 2]);
    }

    #[test]
    fn what_nobody_answers_any_more_is_told_without_a_status() {
        let (steps, seen) = (Steps::of(Sampler::one_in(1), over()), Arc::default());
        finishes(&steps, &seen);
        steps.asks("\"CANARY\"");
        drop(steps);
        let steps = Steps::new(Sampler::one_in(1));
        finishes(&steps, &seen);
        assert_eq!(*seen.lock().unwrap(), [Some(over()), None]);
    }

    fn step() -> Step {
        let what = What::Database { system: "sqlite", operation: "find", collection: "clients" };
        Step { what, ended: Timestamp::default(), took: Duration::ZERO, failed: None }
    }

    fn request() -> RequestId {
        "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b".parse().unwrap()
    }

    #[tokio::test]
    async fn steps_are_those_of_the_request_and_of_the_tasks_that_take_it_along() {
        assert!(!wanted() && Begun::new().is_none());
        note(step());
        let steps = Steps::new(Sampler::one_in(1));
        let work = async {
            note(step());
            let along = Steps::current();
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(async { note(step()) });
            tasks.spawn(Steps::within(along, async { note(step()) }));
            tasks.join_all().await;
        };
        Steps::within(Some(steps.clone()), work).await;
        let numbers: Vec<u32> = steps.take().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2], "that of the task which took nothing along is nobody's");
        assert!(steps.take().is_empty());
    }

    #[tokio::test]
    async fn a_request_keeps_so_many_steps_and_one_that_is_not_sent_none() {
        let steps = Steps::new(Sampler::one_in(1));
        let work = async { (0..2 * MOST).for_each(|_| note(step())) };
        Steps::within(Some(steps.clone()), work).await;
        assert_eq!(steps.take().len(), MOST);
        let work = async {
            note(step());
            let trace = TraceId::from_traceparent(&KEPT.replace("-01", "-00")).unwrap();
            steps.belong(trace, request());
            assert!(!wanted());
            let begun = Begun::new().unwrap();
            assert!(begun.traceparent.as_ref().unwrap().ends_with("-00"), "{begun:?}");
            begun.done(step);
        };
        Steps::within(Some(steps.clone()), work).await;
        assert!(steps.take().is_empty());
    }

    #[test]
    fn a_share_of_the_traces_that_begin_here_is_kept_and_all_that_a_caller_keeps() {
        let ours = |text: &str| text.parse::<TraceId>().unwrap();
        let (low, high) =
            (ours("ffffffffffffffffff00000000000000"), ours("00000000000000000180000000000000"));
        let kept = |number| [low, high].map(|trace| Sampler::one_in(number).keeps(&trace));
        assert_eq!(kept(1), [true, true]);
        assert_eq!(kept(2), [false, true]);
        assert_eq!(kept(0), [false, false]);
        assert!(Sampler::one_in(0).keeps(&TraceId::from_traceparent(KEPT).unwrap()));
    }

    #[test]
    fn every_step_is_a_span_of_its_own() {
        let steps = (0..1000).map(|number| span(request(), number));
        let attempts = (0..1000).map(|number| attempt_span(request(), number));
        let all: std::collections::HashSet<u64> =
            steps.chain(attempts).chain([request().span()]).collect();
        assert_eq!(all.len(), 2001);
    }
}
