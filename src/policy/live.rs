//! The policy in force, which a reload replaces whole, and the shadow policy beside it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::id::RuleId;
use crate::scope::Scope;
use crate::time::{Clock, Timestamp};

use super::ask::{Ask, Moment};
use super::decide::Policy;
use super::decision::{Decision, Effect, LoginNeeded, Obligations, Reason};
use super::differences::{Differences, FirstOfKind};
use super::names::Names;
use super::recorded::Recorded;

/// A handle on the policy in force. All clones show the same; a reader never sees a half.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_force: RwLock<Arc<InForce>>,
    clock: Arc<dyn Clock>,
    changed: watch::Sender<()>,
}

/// What is in force at one time: the policy, its shadow, and the clock's reading when they came into force.
#[derive(Debug)]
pub struct InForce {
    policy: Arc<Policy>,
    shadow: Option<Arc<Policy>>,
    /// What the rules and the shadow rules look for in a caller.
    names: Names,
    since: (Timestamp, Duration),
    clock: Arc<dyn Clock>,
    /// Between these very two: others begin anew.
    differences: Arc<Differences>,
}

/// What a shadow policy would have said, where it is not what was said. Safe to audit as it stands.
#[derive(Debug)]
pub struct Difference {
    pub effect: Effect,
    pub reason: Reason,
    pub matched_rule_id: Option<RuleId>,
    pub missing_scopes: Scope,
    /// The log-in that would open it.
    pub login: Option<LoginNeeded>,
    pub obligations: Obligations,
    pub policy_version: Arc<str>,
    first: Option<FirstOfKind>,
}

impl Difference {
    /// For who records it to say so, where it is the first of its kind.
    #[must_use]
    pub const fn take_first(&mut self) -> Option<FirstOfKind> {
        self.first.take()
    }
}

impl Live {
    #[must_use]
    pub fn new(policy: Policy, shadow: Option<Policy>, clock: Arc<dyn Clock>) -> Self {
        let in_force = InForce::new(Arc::new(policy), shadow.map(Arc::new), Arc::clone(&clock));
        let (in_force, changed) = (RwLock::new(Arc::new(in_force)), watch::Sender::default());
        Self(Arc::new(Shared { in_force, clock, changed }))
    }

    /// Tells whenever others are put in force.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// What is in force now. Decide all of one question with one of these.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        Arc::clone(&self.0.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another policy and shadow in force. The time is read anew and taken to be right, but where the clock was stepped
    /// before: new rules say nothing of the clock.
    pub fn replace(&self, policy: Policy, shadow: Option<Policy>) {
        let mut next =
            InForce::new(Arc::new(policy), shadow.map(Arc::new), Arc::clone(&self.0.clock));
        let before = self.current();
        if before.versions() == next.versions() {
            next.differences = Arc::clone(&before.differences);
        }
        if before.reading().is_torn() {
            next.since = before.since;
        }
        *self.0.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.0.changed.send_replace(());
    }

    /// Compares with the shadow policy, where there is one, and counts a difference.
    #[must_use]
    pub fn difference(
        &self,
        in_force: &InForce,
        ask: &Ask<'_>,
        said: &Decision,
    ) -> Option<Difference> {
        let would_say = in_force.shadow.as_ref()?.decide(ask);
        (!would_say.does_as(said)).then(|| self.note(in_force, (ask, said), would_say))
    }

    /// Compares what a list shows: whether the tool is in it. Counts a difference, and gives the first of its kind that is
    /// recorded: a list is asked for again and again. How the shadow would decide about calls is told by calls.
    #[must_use]
    pub fn difference_of_listing(
        &self,
        in_force: &InForce,
        ask: &Ask<'_>,
        said: &Decision,
    ) -> Option<Difference> {
        let would_say = in_force.shadow.as_ref()?.decide(ask);
        if would_say.shows_the_tool() == said.shows_the_tool() {
            return None;
        }
        let difference = self.note(in_force, (ask, said), would_say);
        difference.first.is_some().then_some(difference)
    }

    fn note(
        &self,
        in_force: &InForce,
        (ask, said): (&Ask<'_>, &Decision),
        would_say: Decision,
    ) -> Difference {
        let mut difference = Difference {
            effect: would_say.effect,
            reason: would_say.reason,
            matched_rule_id: would_say.matched_rule_id,
            missing_scopes: would_say.missing_scopes,
            login: would_say.login,
            obligations: would_say.obligations,
            policy_version: would_say.policy_version,
            first: None,
        };
        let now = self.0.clock.now();
        difference.first = in_force.differences.note((ask.tool, said), &difference, now);
        difference
    }
}

impl InForce {
    fn new(policy: Arc<Policy>, shadow: Option<Arc<Policy>>, clock: Arc<dyn Clock>) -> Self {
        let mut names = policy.names().clone();
        if let Some(shadow) = &shadow {
            names.extend(shadow.names());
        }
        let since = (clock.now(), clock.monotonic());
        Self { policy, shadow, names, since, clock, differences: Arc::default() }
    }

    fn versions(&self) -> (&str, Option<&str>) {
        (self.policy.version(), self.shadow().map(|shadow| &**shadow.version()))
    }

    /// Where the shadow policy would have decided otherwise, since the two are in force together.
    #[must_use]
    pub fn differences(&self) -> &Differences {
        &self.differences
    }

    /// The question as the audit log keeps it.
    #[must_use]
    pub fn record(&self, ask: &Ask<'_>) -> Box<Recorded> {
        Box::new(Recorded::new(ask, &self.names))
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    #[must_use]
    pub fn shadow(&self) -> Option<&Policy> {
        self.shadow.as_deref()
    }

    /// The time for [`Ask::now`]. Not read where no rule looks at it.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let needed = self.policy.looks_at_time()
            || self.shadow.as_ref().is_some_and(|shadow| shadow.looks_at_time());
        if needed { self.reading() } else { Moment::default() }
    }

    /// By how much the clock was stepped since it was trusted, in milliseconds, where that matters to a rule.
    #[must_use]
    pub fn clock_step_ms(&self) -> Option<i64> {
        self.moment().step_ms()
    }

    fn reading(&self) -> Moment {
        let (wall, monotonic) = self.since;
        let steady = wall.plus(self.clock.monotonic().saturating_sub(monotonic));
        Moment { wall: self.clock.now(), steady }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::policy::generated::policy;
    use crate::time::FixedClock;

    use super::*;

    /// The policy and its shadow, both with `number` rules.
    fn rules(number: usize) -> (Policy, Option<Policy>) {
        let rule =
            |number| format!("[[rule]]\nid = \"r{number}\"\neffect = \"allow\"\ntools = [\"t\"]\n");
        let text: String = (0..number).map(rule).collect();
        (policy(&text, &["t"]), Some(policy(&text, &["t"])))
    }

    /// While others are put in force, whoever reads has one pair whole: never the rules of one and the shadow of another.
    #[test]
    fn readers_during_reloads_never_see_a_half() {
        let (first, shadow) = rules(1);
        let live = Live::new(first, shadow, Arc::new(FixedClock::at(Timestamp::default())));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let read = || {
                let mut reads = 0_usize;
                while !done.load(Ordering::Relaxed) || reads == 0 {
                    let in_force = live.current();
                    let rules = in_force.policy().rule_ids().count();
                    let shadow = in_force.shadow().unwrap();
                    assert_eq!(
                        (shadow.rule_ids().count(), shadow.version()),
                        (rules, in_force.policy().version())
                    );
                    reads += 1;
                }
            };
            let readers: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
            for round in 0..60 {
                let (next, shadow) = rules(1 + round % 3);
                live.replace(next, shadow);
            }
            done.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }
}
