//! One rule against one question: the only place where they are compared.
//!
//! Who decides stops at the first thing that does not fit. Who explains looks on, as a [`Witness`], while the very
//! same comparison is made, and sees all of it.

use super::ask::{Ask, Moment, Operation, Who};
use super::condition::{Known, Looked, Truth, Values};
use super::decision::{Effect, Outcome, Step};
use super::rule::Rule;

/// How the names of the tools begin that are about operations, or list them.
const OF_GRAPH: &str = "auth.graph.";

/// What of a rule is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    /// Whether the rule is about operations, where the tool has some.
    Operation,
    Methods,
    Paths,
    Query,
    Tenant,
    Clients,
    Subjects,
    Issuers,
    Roles,
    Groups,
    Assurance,
    AuthAge,
    /// The argument of this number among those that the rule names.
    Argument(usize),
    Condition,
    Scopes,
    Permissions,
}

/// Sees what is compared.
pub(super) trait Witness {
    /// Whether all is compared, also after something did not fit.
    const SEES_ALL: bool;

    fn begin(&mut self, rule: &Rule);
    fn check(&mut self, aspect: Aspect, came_to: Truth);
    /// One part of the condition.
    fn part(&mut self, looked: impl FnOnce() -> Looked);
    /// The rule is about the caller and the operation, with this; or it is not.
    fn end(&mut self, seen: Option<&Seen<'_>>);
}

/// Nobody looks on.
pub(super) struct Nobody;

impl Witness for Nobody {
    const SEES_ALL: bool = false;

    fn begin(&mut self, _rule: &Rule) {}
    fn check(&mut self, _aspect: Aspect, _came_to: Truth) {}
    fn part(&mut self, _looked: impl FnOnce() -> Looked) {}
    fn end(&mut self, _seen: Option<&Seen<'_>>) {}
}

/// What several checks come to together.
pub(super) struct Tally<'w, W> {
    came_to: Truth,
    failed: bool,
    witness: &'w mut W,
}

impl<'w, W: Witness> Tally<'w, W> {
    pub(super) const fn new(witness: &'w mut W) -> Self {
        Self { came_to: Truth::True, failed: false, witness }
    }

    /// Compares, unless what was compared before decides and nobody looks on.
    pub(super) fn check(&mut self, aspect: Aspect, compare: impl FnOnce(&mut W) -> Truth) {
        if !W::SEES_ALL && self.came_to == Truth::False {
            return;
        }
        let truth = compare(self.witness);
        self.witness.check(aspect, truth);
        self.came_to = self.came_to.min(truth);
        self.failed |= truth == Truth::Error;
    }

    pub(super) const fn came_to(&self) -> Truth {
        self.came_to
    }
}

/// A rule about this caller and operation, and whether its conditions hold.
#[expect(clippy::struct_excessive_bools, reason = "four facts, none of which follows from another")]
pub(super) struct Seen<'p> {
    pub(super) rule: &'p Rule,
    pub(super) truth: Truth,
    /// Whether the caller has its scopes.
    pub(super) held: bool,
    /// Whether it has the permissions that the call wants.
    pub(super) fits: bool,
    /// Whether the rule is about some operations of the tool, and the tool as such is asked about.
    pub(super) in_part: bool,
    /// Whether something that it compares failed: whatever the rest comes to, it opens nothing.
    pub(super) failed: bool,
}

impl Seen<'_> {
    /// What the rule does to the caller if it has the rule's scopes.
    ///
    /// A condition that fails never opens anything: what denies or asks then denies, but a tool as such is not hidden by what
    /// is about some of its operations. One that is not decided yet hides nothing, so that whatever may be called is listed.
    pub(super) fn acts_as(&self) -> Option<Effect> {
        match (self.rule.effect, self.truth) {
            (_, Truth::False) | (Effect::Deny, Truth::Unknown) | (Effect::Allow, Truth::Error) => {
                None
            }
            (Effect::Ask, Truth::Error) if self.in_part => None,
            (Effect::Ask | Effect::Allow, Truth::Unknown) if self.failed => None,
            (Effect::Deny, Truth::True | Truth::Error) | (Effect::Ask, Truth::Error) => {
                Some(Effect::Deny)
            }
            (effect @ (Effect::Ask | Effect::Allow), Truth::True | Truth::Unknown) => Some(effect),
        }
    }

    pub(super) fn step(&self) -> Step {
        Step { rule_id: self.rule.id.clone(), effect: self.rule.effect, outcome: self.outcome() }
    }

    pub(super) const fn outcome(&self) -> Outcome {
        match self.truth {
            Truth::False => Outcome::ConditionFalse,
            Truth::Error => Outcome::ConditionFailed,
            Truth::Unknown | Truth::True if !self.held => Outcome::LackScope,
            Truth::Unknown | Truth::True if !self.fits => Outcome::LackPermission,
            Truth::Unknown => Outcome::Undecided,
            Truth::True => Outcome::Match,
        }
    }
}

impl Outcome {
    /// What a rule's comparisons came to together, where this became of it.
    pub(super) const fn truth(self) -> Truth {
        match self {
            Self::Match | Self::LackScope | Self::LackPermission => Truth::True,
            Self::ConditionFalse => Truth::False,
            Self::ConditionFailed => Truth::Error,
            Self::Undecided => Truth::Unknown,
        }
    }
}

impl Rule {
    /// Whether the rule is about this caller and operation, its arguments and condition aside.
    ///
    /// Scopes are not looked at: whether they alone are missing tells a step-up from a refusal.
    #[cfg(test)]
    pub(super) fn concerns(&self, who: &Who<'_>, operation: &Operation<'_>, now: Moment) -> Truth {
        let mut nobody = Nobody;
        let mut tally = Tally::new(&mut nobody);
        self.compare_operation(operation, &mut tally);
        self.principals.compare(who, self.effect, now, &mut tally);
        tally.came_to()
    }

    /// Whether the caller is among the rule's principals.
    pub(super) fn is_for(&self, who: &Who<'_>, now: Moment) -> Truth {
        let mut nobody = Nobody;
        let mut tally = Tally::new(&mut nobody);
        self.principals.compare(who, self.effect, now, &mut tally);
        tally.came_to()
    }

    /// Whether the rule is about this operation.
    pub(super) fn compare_operation<W: Witness>(
        &self,
        operation: &Operation<'_>,
        tally: &mut Tally<'_, W>,
    ) {
        match (&self.graph, operation) {
            (Some(rule), Operation::Graph(ask)) => {
                let method = |_: &mut W| rule.methods.iter().any(|own| own == ask.method).into();
                tally.check(Aspect::Methods, method);
                tally.check(Aspect::Paths, |_| rule.path(ask).is_some().into());
                tally.check(Aspect::Query, |_| rule.query.covers(ask.query).into());
            }
            // The tool as such: a rule for some operations makes it visible, and forbids none of the others.
            (Some(_), Operation::Plain | Operation::AnyGraph) => {
                tally.check(Aspect::Operation, |_| (self.effect != Effect::Deny).into());
            }
            // A server's things have no operations: what is visible there may be called.
            (Some(_), Operation::Beside(_)) => {
                tally.check(Aspect::Operation, |_| Truth::False);
            }
            (None, Operation::Plain | Operation::Beside(_)) => {}
            // A rule without a Graph part opens no operation, but may forbid them all.
            (None, Operation::AnyGraph | Operation::Graph(_)) => {
                tally.check(Aspect::Operation, |_| (self.effect == Effect::Deny).into());
            }
        }
    }

    /// Whether the arguments and the condition hold.
    pub(super) fn holds<W: Witness>(
        &self,
        known: &Known<'_>,
        operation: &Operation<'_>,
        witness: &mut W,
    ) -> Truth {
        let mut tally = Tally::new(witness);
        self.compare_conditions(known, operation, &mut tally);
        tally.came_to()
    }

    pub(super) fn compare_conditions<W: Witness>(
        &self,
        known: &Known<'_>,
        operation: &Operation<'_>,
        tally: &mut Tally<'_, W>,
    ) {
        for (number, (path, allowed)) in self.arguments.iter().enumerate() {
            tally.check(Aspect::Argument(number), |_| known.argument(path, allowed));
        }
        if self.when.is_some() {
            tally.check(Aspect::Condition, |witness| self.when_holds(known, operation, witness));
        }
    }

    /// Where the wall clock was stepped, a condition on the time opens only what it opens at both times,
    /// and forbids what it forbids at either.
    fn when_holds<W: Witness>(
        &self,
        known: &Known<'_>,
        operation: &Operation<'_>,
        witness: &mut W,
    ) -> Truth {
        let Some(when) = &self.when else { return Truth::True };
        let template = self.template(operation);
        let values = |now| Values::new(known, template, self.graph.is_some(), now);
        let moment = known.moment();
        let wall = when.evaluate(&values(moment.wall), witness);
        if !when.uses_time() || !moment.is_torn() {
            return wall;
        }
        let steady = when.evaluate(&values(moment.steady), &mut Nobody);
        self.effect.at_both(wall, steady)
    }
}

impl Effect {
    /// What something comes to at two times, where one of the clocks is wrong: what opens has to hold at both, what
    /// forbids at either, and what asks is in doubt where they differ.
    pub(super) fn at_both(self, wall: Truth, steady: Truth) -> Truth {
        match self {
            Self::Allow => Truth::all([wall, steady].into_iter()),
            Self::Deny => Truth::any([wall, steady].into_iter()),
            Self::Ask if wall == steady => wall,
            Self::Ask => Truth::Error,
        }
    }
}

impl super::decide::Policy {
    /// Compares one rule with one question. `None`: it is not about the caller, or not about the operation.
    pub(super) fn judge<'p, W: Witness>(
        &'p self,
        rule: &'p Rule,
        ask: &Ask<'_>,
        known: &Known<'_>,
        witness: &mut W,
    ) -> Option<Seen<'p>> {
        witness.begin(rule);
        let mut tally = Tally::new(witness);
        rule.compare_operation(&ask.operation, &mut tally);
        if rule.graph.is_some() {
            // Nothing asks about an operation after it.
            if matches!(ask.operation, Operation::Plain) && !ask.tool.starts_with(OF_GRAPH) {
                tally.check(Aspect::Operation, |_| Truth::False);
            }
            tally.check(Aspect::Tenant, |_| self.tenant_fits(rule, ask).into());
        }
        rule.principals.compare(&ask.who, rule.effect, ask.now, &mut tally);
        let mut concerned = tally.came_to() != Truth::False;
        if concerned || W::SEES_ALL {
            rule.compare_conditions(known, &ask.operation, &mut tally);
        }
        let (mut truth, failed) = (tally.came_to(), tally.failed);
        if let Some(made) = ask.who.told.and_then(|told| told.made) {
            match made.outcome_of(&rule.id) {
                Some(outcome) => (concerned, truth) = (true, outcome.truth()),
                // It had no part in the decision.
                None if truth == Truth::Unknown => (concerned, truth) = (false, Truth::False),
                None => {}
            }
        }
        let held = rule.scopes.is_subset(ask.who.scopes);
        let fits = self.permissions_fit(rule, ask);
        if !rule.scopes.is_empty() {
            witness.check(Aspect::Scopes, held.into());
        }
        if rule.graph.is_some() {
            witness.check(Aspect::Permissions, fits.into());
        }
        let in_part = rule.graph.is_some() && matches!(ask.operation, Operation::AnyGraph);
        let seen = concerned.then_some(Seen { rule, truth, held, fits, in_part, failed });
        witness.end(seen.as_ref());
        seen
    }
}
