//! Where the shadow policy would have decided otherwise, kind by kind, for who looks whether it can be promoted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scope::Scope;
use crate::time::Timestamp;

use super::decision::{Decision, Effect, LoginNeeded, Obligations};
use super::live::Difference;

/// Kinds that are told apart; more are in the count alone. Each has a few hundred bytes.
const MOST_KINDS: usize = 200;

/// How often, and the kinds of it. Each one of a call is in the audit log, with who asked; of lists the first of its kind.
#[derive(Debug, Default)]
pub struct Differences {
    count: AtomicU64,
    kinds: Mutex<BTreeMap<Key, Seen>>,
}

/// Differences of one kind. Rules and codes only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferenceKind {
    /// Of a server's prompts and resources the server and `prompts` or `resources`: such as `weather/resources`.
    pub tool: String,
    pub decision: Effect,
    pub reason: String,
    pub shadow_decision: Effect,
    pub shadow_reason: String,
    pub shadow_missing_scopes: Scope,
    /// What comes with the one and with the other, in words, where that is not the same.
    pub obligations: String,
    pub shadow_obligations: String,
    pub count: u64,
    pub last_at: Timestamp,
}

/// Tool, the reason of what was said, of what would have been said, the scopes that it would want, and what comes with both.
type Key = (String, String, String, String, (String, String));

#[derive(Debug)]
struct Seen {
    decision: Effect,
    shadow_decision: Effect,
    shadow_missing_scopes: Scope,
    count: u64,
    last_at: Timestamp,
    /// Whether one is in the audit log, or on its way there.
    is_told: bool,
}

/// The first difference of a kind, on its way to the audit log. Dropped before it is there, the next one of the kind is the
/// first.
#[derive(Debug)]
pub struct FirstOfKind {
    differences: Arc<Differences>,
    /// `None`: it is there.
    kind: Option<Key>,
}

impl FirstOfKind {
    pub fn is_recorded(mut self) {
        self.kind = None;
    }
}

impl Drop for FirstOfKind {
    fn drop(&mut self) {
        let Some(kind) = self.kind.take() else { return };
        if let Some(seen) = self.differences.all().get_mut(&kind) {
            seen.is_told = false;
        }
    }
}

impl Differences {
    /// Counts one. `None`: another of its kind is in the audit log, or there are too many kinds.
    pub(super) fn note(
        self: &Arc<Self>,
        (tool, said): (&str, &Decision),
        other: &Difference,
        at: Timestamp,
    ) -> Option<FirstOfKind> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let missing = other.missing_scopes.to_string();
        let mut with = (
            words(&said.obligations, said.login.as_ref()),
            words(&other.obligations, other.login.as_ref()),
        );
        if with.0 == with.1 {
            with = (String::new(), String::new());
        }
        let reasons = (said.reason.to_string(), other.reason.to_string());
        let key = (without_name(tool).to_owned(), reasons.0, reasons.1, missing, with);
        let mut kinds = self.all();
        if kinds.len() >= MOST_KINDS && !kinds.contains_key(&key) {
            return None;
        }
        if !kinds.contains_key(&key) {
            let seen = Seen {
                decision: said.effect,
                shadow_decision: other.effect,
                shadow_missing_scopes: other.missing_scopes.clone(),
                count: 0,
                last_at: at,
                is_told: false,
            };
            kinds.insert(key.clone(), seen);
        }
        let seen = kinds.get_mut(&key)?;
        seen.count += 1;
        seen.last_at = at;
        let is_first = !std::mem::replace(&mut seen.is_told, true);
        is_first.then(|| FirstOfKind { differences: Arc::clone(self), kind: Some(key) })
    }

    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// At most 200 kinds, the most frequent first.
    #[must_use]
    pub fn kinds(&self) -> Vec<DifferenceKind> {
        let kinds = self.all();
        let mut all: Vec<_> = kinds
            .iter()
            .map(|((tool, reason, shadow_reason, _, with), seen)| DifferenceKind {
                tool: tool.clone(),
                decision: seen.decision,
                reason: reason.clone(),
                shadow_decision: seen.shadow_decision,
                shadow_reason: shadow_reason.clone(),
                shadow_missing_scopes: seen.shadow_missing_scopes.clone(),
                obligations: with.0.clone(),
                shadow_obligations: with.1.clone(),
                count: seen.count,
                last_at: seen.last_at,
            })
            .collect();
        all.sort_by_key(|kind| std::cmp::Reverse(kind.count));
        all
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes with a decision, and the log-in that would change it.
fn words(obligations: &Obligations, login: Option<&LoginNeeded>) -> String {
    let (rule, login) = (obligations.of_the_rule(), login.map(|login| format!("log-in {login}")));
    let parts = [Some(rule).filter(|rule| !rule.is_empty()), login];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// A server makes up names of prompts and resources: one list of it is not to use up all kinds.
fn without_name(tool: &str) -> &str {
    let end = tool.match_indices('/').nth(1).map(|(at, _)| at);
    end.and_then(|end| tool.get(..end)).unwrap_or(tool)
}

#[cfg(test)]
mod tests {
    use crate::policy::generated::policy;
    use crate::policy::{Arguments, Ask, InForce, Live, Moment, Operation, Policy, Who};
    use crate::time::FixedClock;

    use super::*;

    fn rules(effect: &str) -> Policy {
        policy(&format!("[[rule]]\nid = \"r\"\neffect = \"{effect}\"\ntools = [\".*\"]\n"), &[])
    }

    /// Asks about each tool.
    fn ask(live: &Live, tools: &[String]) {
        assert!(ask_with(live, tools, None).iter().all(Option::is_some));
    }

    type Claims = serde_json::Map<String, serde_json::Value>;
    type Compare = fn(&Live, &InForce, &Ask<'_>, &Decision) -> Option<Difference>;

    /// The same of a caller with these claims; gives what differs.
    fn ask_with(live: &Live, tools: &[String], claims: Option<&Claims>) -> Vec<Option<Difference>> {
        compared(live, tools, (claims, Live::difference))
    }

    fn compared(
        live: &Live,
        tools: &[String],
        (claims, compare): (Option<&Claims>, Compare),
    ) -> Vec<Option<Difference>> {
        let (issuer, subject) = ("https://i.example".parse().unwrap(), "ada".parse().unwrap());
        let scopes = Scope::empty();
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: None,
            scopes: &scopes,
            groups: &[],
            groups_incomplete: false,
            roles: &[],
            roles_incomplete: false,
            claims,
            told: None,
        };
        let in_force = live.current();
        let asked = tools.iter().map(|tool| {
            let (operation, arguments, now) =
                (Operation::Plain, Arguments::Unknown, Moment::default());
            let ask = Ask { who, tool, operation, arguments, now };
            let said = in_force.policy().decide(&ask);
            compare(live, &in_force, &ask, &said)
        });
        asked.collect()
    }

    fn live() -> Live {
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(9)));
        Live::new(rules("allow"), Some(rules("deny")), clock)
    }

    #[test]
    fn differences_are_listed_by_kind_the_most_frequent_first() {
        let live = live();
        ask(&live, &["a".into(), "b".into(), "b".into()]);
        let in_force = live.current();
        let kinds = in_force.differences().kinds();
        let shown: Vec<_> = kinds.iter().map(|kind| (kind.tool.as_str(), kind.count)).collect();
        assert_eq!((shown, in_force.differences().count()), (vec![("b", 2), ("a", 1)], 3));
        assert_eq!((kinds[0].decision, kinds[0].shadow_decision), (Effect::Allow, Effect::Deny));
        assert_eq!(kinds[0].shadow_reason, "policy.rule.deny.r");
    }

    #[test]
    fn who_would_approve_is_a_difference_too() {
        let ask_of = |group: &str| {
            let rule = "[[rule]]\nid = \"r\"\neffect = \"ask\"\ntools = [\".*\"]\n";
            policy(&format!("{rule}approvers = [\"{group}\"]\n"), &[])
        };
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(9)));
        let live = Live::new(ask_of("finance"), Some(ask_of("all")), clock);
        ask(&live, &["a".into()]);
        let kind = live.current().differences().kinds().remove(0);
        assert_eq!((kind.decision, kind.shadow_decision), (Effect::Ask, Effect::Ask));
        assert!(kind.obligations.starts_with("approval by finance, "), "{kind:?}");
        assert!(kind.shadow_obligations.starts_with("approval by all, "), "{kind:?}");
    }

    #[test]
    fn a_flood_of_kinds_takes_bounded_memory_and_each_is_counted() {
        let live = live();
        let tools: Vec<String> = (0..500).map(|number| format!("t{number}")).collect();
        ask(&live, &tools);
        let in_force = live.current();
        assert_eq!(in_force.differences().kinds().len(), MOST_KINDS);
        assert_eq!(in_force.differences().count(), 500);
    }

    #[test]
    fn a_list_of_resources_is_of_one_kind() {
        let live = live();
        let uris = (0..500).map(|number| format!("w/resources/file:///{number}"));
        let all: Vec<String> = uris.chain(["w/prompts/day".into(), "w.get".into()]).collect();
        ask(&live, &all);
        let kinds = live.current().differences().kinds();
        let shown: Vec<_> = kinds.iter().map(|kind| (kind.tool.as_str(), kind.count)).collect();
        assert_eq!(shown, [("w/resources", 500), ("w.get", 1), ("w/prompts", 1)]);
    }

    #[test]
    fn another_log_in_is_a_difference_that_is_told() {
        let strong = |acr: &str| {
            let rule = "[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"t\"]\n";
            policy(&format!("{rule}principals = {{ assurance = [\"{acr}\"] }}\n"), &[])
        };
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(9)));
        let live = Live::new(strong("mfa"), Some(strong("phr")), clock);
        let claims = serde_json::json!({ "acr": "pwd" }).as_object().cloned();
        let found = ask_with(&live, &["t".into()], claims.as_ref());
        let [Some(found)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(found.login.as_ref().unwrap().assurance, ["phr"]);
        let kind = live.current().differences().kinds().remove(0);
        let both = (kind.obligations.as_str(), kind.shadow_obligations.as_str());
        assert_eq!(both, ("log-in with acr mfa", "log-in with acr phr"));
    }

    #[test]
    fn other_rules_begin_anew_and_the_same_ones_go_on() {
        let live = live();
        ask(&live, &["a".into()]);
        live.replace(rules("allow"), Some(rules("deny")));
        assert_eq!(live.current().differences().count(), 1);
        live.replace(rules("allow"), Some(rules("ask")));
        assert_eq!(live.current().differences().count(), 0);
    }

    /// As where a list is cut off, or the audit log takes no more.
    #[test]
    fn the_first_of_a_kind_that_came_to_no_record_leaves_that_to_the_next() {
        let live = live();
        let listed = || {
            let mut all = compared(&live, &["a".into()], (None, Live::difference_of_listing));
            all.remove(0)
        };
        let first = listed();
        assert!(first.is_some() && listed().is_none(), "one is on its way");
        drop(first);
        let mut second = listed().unwrap();
        second.take_first().unwrap().is_recorded();
        drop(second);
        assert!(listed().is_none());
        assert_eq!(live.current().differences().count(), 4);
    }

    #[test]
    fn a_call_that_was_recorded_is_the_first_of_its_kind() {
        let live = live();
        for is_recorded in [false, true] {
            let mut called = compared(&live, &["a".into()], (None, Live::difference)).remove(0);
            let first = called.as_mut().and_then(Difference::take_first).unwrap();
            if is_recorded {
                first.is_recorded();
            }
        }
        let listed = compared(&live, &["a".into()], (None, Live::difference_of_listing)).remove(0);
        assert!(listed.is_none());
    }
}
