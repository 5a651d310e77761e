//! Recorded questions, decided again by other rules.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::id::{ClientId, RuleId, Subject};
use crate::scope::Scope;
use crate::time::Timestamp;

use super::ask::{Arguments, Ask, GraphAsk, Moment, Operation, Who};
use super::beside::About;
use super::decide::Policy;
use super::decision::{Decision, LoginNeeded, Outcome, Step};
use super::explain::{Explanation, RuleExplanation};
use super::names::{Names, Told};
use super::recorded::{Recorded, RecordedOperation};

/// One recorded question with what the envelope of its event says.
#[derive(Clone, Debug)]
pub struct Replay {
    pub subject: Option<Subject>,
    pub client_id: Option<ClientId>,
    pub asserted_requester: Option<Subject>,
    pub at: Timestamp,
    pub question: Recorded,
}

/// What was decided, as the payload of its event says it.
#[derive(Clone, Debug, Deserialize)]
pub struct Made {
    reason: String,
    /// What became of each rule that was looked at: the arguments of the call, on which that may depend, are in no record.
    #[serde(default)]
    evaluated: Vec<Step>,
    /// Of a challenge for scopes.
    missing_scopes: Option<Scope>,
    /// Of a challenge for another log-in.
    assurance: Option<Vec<String>>,
    max_age_seconds: Option<u32>,
}

impl Made {
    pub(super) fn outcome_of(&self, rule: &RuleId) -> Option<Outcome> {
        let step = self.evaluated.iter().find(|step| step.rule_id == *rule);
        step.map(|step| step.outcome)
    }

    pub(super) fn login(&self) -> Option<LoginNeeded> {
        let assurance = self.assurance.clone()?;
        Some(LoginNeeded { assurance, max_age_seconds: self.max_age_seconds })
    }

    /// Whether it is this decision.
    fn is(&self, decision: &Decision) -> bool {
        let missing = self.missing_scopes.as_ref();
        decision.reason.to_string() == self.reason
            && decision.login == self.login()
            && missing.unwrap_or(&Scope::empty()) == &decision.missing_scopes
    }
}

/// A recorded question under the rules as they are now, with what each of them saw.
#[derive(Clone, Debug)]
pub struct Again {
    /// `None`: the answer depends on something that is not recorded, and what would change it does, too.
    pub decision: Option<Decision>,
    /// What would make it an allow, the nearest way first.
    pub changes: Vec<String>,
    pub rules: Vec<RuleExplanation>,
}

impl Replay {
    /// Decides again, as [`Replay::decide`], and says why. `version` is that of the rules under which it was recorded, and
    /// `made` what they came to: by the very same rules it is the same decision, whatever the record has not the values for.
    #[must_use]
    pub fn explain(
        &self,
        policy: &Policy,
        (version, made): (&str, Option<&Made>),
        tool_has_operations: bool,
    ) -> Again {
        let names = self.told_by(version, policy);
        let made = made.filter(|_| policy.made(version));
        if let Some(again) = made.and_then(|made| self.as_made(policy, made, tool_has_operations)) {
            return again;
        }
        let certain = self.decide(policy, &names, tool_has_operations).is_some();
        let explained = self.ask(&names, tool_has_operations, |ask| policy.explain(ask));
        let Explanation { decision, changes, mut rules } = explained;
        if certain {
            return Again { decision: Some(decision), changes, rules };
        }
        for rule in &mut rules {
            rule.decides = false;
        }
        Again { decision: None, changes: Vec::new(), rules }
    }

    /// `None`: the record does not say enough.
    fn as_made(&self, policy: &Policy, made: &Made, tool_has_operations: bool) -> Option<Again> {
        // By what is left of a name no rule is found; and an older record does not say what became of the rules.
        if self.names_no_whole_thing() || made.evaluated.is_empty() {
            return None;
        }
        let told = (policy.names(), Some(made));
        let explained = self.ask_told(told, tool_has_operations, |ask| policy.explain(ask));
        let Explanation { decision, changes, rules } = explained;
        made.is(&decision).then_some(Again { decision: Some(decision), changes, rules })
    }

    /// Decides again. `names` are those of the rules under which it was recorded; `tool_has_operations` tells the tool
    /// as such from a plain one. `None`: the answer depends on something that is not recorded.
    #[must_use]
    pub fn decide(
        &self,
        policy: &Policy,
        names: &Names,
        tool_has_operations: bool,
    ) -> Option<Decision> {
        if self.is_cut() {
            return None;
        }
        self.ask(names, tool_has_operations, |ask| policy.decide_surely(ask))
    }

    /// What the record would name of its caller: all that `rules` look for, where the decision was made by them, whatever
    /// their label was. Where it was made by others, what it does name.
    #[must_use]
    pub fn told_by<'p>(&self, version: &str, rules: &'p Policy) -> Cow<'p, Names> {
        if rules.made(version) { Cow::Borrowed(rules.names()) } else { Cow::Owned(self.named()) }
    }

    fn named(&self) -> Names {
        let question = &self.question;
        let texts = |all: &[std::sync::Arc<str>]| all.iter().map(ToString::to_string).collect();
        Names {
            groups: texts(&question.groups),
            roles: texts(&question.roles),
            claims: question.claims.keys().cloned().collect(),
        }
    }

    /// Hands the question over as policy sees it.
    pub fn ask<T>(
        &self,
        names: &Names,
        tool_has_operations: bool,
        answer: impl FnOnce(&Ask<'_>) -> T,
    ) -> T {
        self.ask_told((names, None), tool_has_operations, answer)
    }

    fn ask_told<T>(
        &self,
        (names, made): (&Names, Option<&Made>),
        tool_has_operations: bool,
        answer: impl FnOnce(&Ask<'_>) -> T,
    ) -> T {
        let question = &self.question;
        let told = question.told(names);
        let claims: Map<String, Value> = question.claims.clone().into_iter().collect();
        let who = Who {
            issuer: &question.issuer,
            subject: self.subject.as_ref(),
            client_id: self.client_id.as_ref(),
            scopes: &question.scopes,
            groups: &question.groups,
            groups_incomplete: question.groups_incomplete,
            roles: &question.roles,
            roles_incomplete: question.roles_incomplete,
            claims: Some(&claims),
            told: Some(Told { names: &told, login: question.login, made }),
        };
        let options: Vec<(&str, &str)> = match &question.operation {
            Some(operation) => operation.query.iter().map(|name| (&**name, "")).collect(),
            None => Vec::new(),
        };
        let operation = match (&question.operation, &question.server) {
            (Some(operation), _) => Operation::Graph(self.graph(operation, &options)),
            (None, Some(server)) => Operation::Beside(server.ask()),
            (None, None) if tool_has_operations => Operation::AnyGraph,
            (None, None) => Operation::Plain,
        };
        let step = question.clock_step_ms.unwrap_or_default();
        let steady = Timestamp::from_unix_millis(self.at.unix_millis().saturating_sub(step));
        let (arguments, now) = (Arguments::Unknown, Moment { wall: self.at, steady });
        answer(&Ask { who, tool: &question.tool, operation, arguments, now })
    }

    fn graph<'a>(
        &'a self,
        operation: &'a RecordedOperation,
        query: &'a [(&'a str, &'a str)],
    ) -> GraphAsk<'a> {
        GraphAsk {
            tenant: operation.tenant.as_ref(),
            resource: operation.resource.as_deref(),
            method: &operation.method,
            version: &operation.version,
            segments: &operation.segments,
            query,
            permissions: &operation.permissions,
            asserted_requester: self.asserted_requester.as_ref(),
        }
    }

    /// Whether the end of a resource's URI was left out of the record: what is asked about is not known.
    #[must_use]
    pub fn names_no_whole_thing(&self) -> bool {
        self.question.tool.ends_with('…')
    }

    /// Whether it is about a server as such, which is in no list.
    #[must_use]
    pub fn is_about_a_server(&self) -> bool {
        self.question.server.as_ref().is_some_and(|server| server.about != About::Thing)
    }

    /// Whether a part of the name, of the path or of the query was left out of the record.
    fn is_cut(&self) -> bool {
        let of_the_operation = self.question.operation.as_ref().is_some_and(|operation| {
            operation.segments.iter().any(|segment| segment.ends_with('…'))
                || operation.query.iter().any(|name| **name == *"…")
        });
        of_the_operation || self.names_no_whole_thing()
    }
}

impl Policy {
    /// Whether a decision of this version was made by these rules. The label may be another; the digest tells rules apart.
    #[must_use]
    pub fn made(&self, version: &str) -> bool {
        version.rsplit('+').next() == self.version().rsplit('+').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::generated::policy;
    use crate::policy::{Effect, Recorded};

    const ALLOW: &str = "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"t\"]\n";

    fn rule(effect: &str, principals: &str) -> String {
        format!(
            "[[rule]]\nid = \"n\"\neffect = \"{effect}\"\ntools = [\"t\"]\nprincipals = {{ {principals} }}\n"
        )
    }

    /// A call of `t` by ada, as the rules `old` record it.
    fn recorded(old: &Policy) -> Replay {
        let (issuer, scopes) = ("https://i.example".parse().unwrap(), "".parse().unwrap());
        let subject: Subject = "ada".parse().unwrap();
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: None,
            scopes: &scopes,
            groups: &["ops".into(), "unnamed".into()],
            groups_incomplete: false,
            roles: &["chief".into()],
            roles_incomplete: false,
            claims: None,
            told: None,
        };
        let (operation, arguments, now) = (Operation::Plain, Arguments::Unknown, Moment::default());
        let ask = Ask { who, tool: "t", operation, arguments, now };
        let question = Recorded::new(&ask, old.names());
        let (client_id, asserted_requester) = (None, None);
        Replay {
            subject: Some(subject),
            client_id,
            asserted_requester,
            at: Timestamp::default(),
            question,
        }
    }

    /// What NEW says about a call that was recorded under OLD.
    fn told(old: &str, new: &str) -> Option<Effect> {
        let (old, new) = (policy(old, &["t"]), policy(new, &["t"]));
        recorded(&old).decide(&new, old.names(), false).map(|decision| decision.effect)
    }

    #[test]
    fn a_rule_for_roles_or_groups_that_the_old_rules_did_not_name_cannot_be_told() {
        assert_eq!(told(ALLOW, ALLOW), Some(Effect::Allow));
        for principals in ["roles = [\"chief\"]", "roles = [\"other\"]", "groups = [\"unnamed\"]"] {
            let denying = ALLOW.to_owned() + &rule("deny", principals);
            assert_eq!(told(ALLOW, &denying), None, "{principals}");
            assert_eq!(told(ALLOW, &rule("allow", principals)), None, "{principals}");
        }
        // Nothing that is not known changes this.
        let both = ALLOW.to_owned() + &rule("allow", "roles = [\"chief\"]");
        assert_eq!(told(ALLOW, &both), Some(Effect::Allow));
        let named = ALLOW.to_owned() + &rule("deny", "groups = [\"ops\"]");
        let other = ALLOW.to_owned() + &rule("deny", "groups = [\"ops\", \"ops\"]");
        assert_eq!(told(&named, &other), Some(Effect::Deny));
    }

    #[test]
    fn of_a_uri_whose_query_was_left_out_nothing_is_told() {
        let rules = policy("[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\".*\"]\n", &[]);
        let told = |tool: &str| {
            let mut replay = recorded(&rules);
            replay.question.tool = tool.into();
            replay.decide(&rules, rules.names(), false).map(|decision| decision.effect)
        };
        assert_eq!(told("w/resources/x:a"), Some(Effect::Allow));
        assert_eq!(told("w/resources/x:a?…"), None);
    }

    #[test]
    fn who_sees_a_tool_is_not_guessed_either() {
        let (old, with_roles) = (policy(ALLOW, &["t"]), rule("deny", "roles = [\"chief\"]"));
        let seen = |new: &str| {
            let new = policy(new, &["t"]);
            let replay = recorded(&old);
            replay.ask(old.names(), false, |ask| new.lists_surely(ask).map(|said| said.effect))
        };
        assert_eq!(seen(&(ALLOW.to_owned() + &with_roles)), None);
        let by_arguments = ALLOW.to_owned() + "arguments = { a = [1] }\n";
        assert_eq!(
            seen(&by_arguments),
            Some(Effect::Allow),
            "what only a call would say hides nothing"
        );
    }
}
