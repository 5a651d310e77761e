//! Rules that never decide, since another one says or overrules all that they say.
//!
//! Of each rule only those are compared with it that can cover it: they are filed under what it has to name for that. What is
//! filed is compared whole, so one that is found for nothing costs time and changes no finding.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};

use crate::policy::decide::Policy;
use crate::policy::decision::Effect;
use crate::policy::rule::Rule;
use crate::policy::tools::Pin;

use super::{LintKind, Lints};

/// A rule with more keys is filed as one that names nothing.
const MOST_KEYS: usize = 64;

/// What a rule is about.
#[derive(Clone, Hash)]
enum What<'r> {
    Anything,
    /// Method, version, number of segments, the first and the third of them; `None` for a placeholder.
    Path(&'r str, &'static str, usize, Option<String>, Option<String>),
    Name(&'r str),
    Pattern(&'r str),
    /// Any pattern that is not for everything.
    SomePattern,
}

/// The number of a list of its principals and a name in it; `None`: everybody.
type Whom<'r> = Option<(usize, &'r str)>;

/// The rules, filed.
pub(super) struct Shadows<'p> {
    rules: &'p [Rule],
    tools: &'p [String],
    servers: &'p BTreeSet<String>,
    hasher: RandomState,
    filed: HashMap<u64, Vec<usize>>,
}

impl<'p> Shadows<'p> {
    pub(super) fn new(policy: &'p Policy, servers: &'p BTreeSet<String>) -> Self {
        let (rules, tools) = (policy.rules.as_slice(), policy.facts.tools.as_slice());
        let (hasher, filed) = (RandomState::new(), HashMap::new());
        let mut shadows = Self { rules, tools, servers, hasher, filed };
        for (number, rule) in rules.iter().enumerate() {
            let (mut whats, mut whoms) = (shadows.about(rule), whoms(rule));
            if whats.len() * whoms.len() > MOST_KEYS {
                whoms = vec![None];
            }
            if whats.len() > MOST_KEYS {
                whats = vec![What::Anything];
            }
            for what in &whats {
                for whom in &whoms {
                    let key = shadows.hasher.hash_one((what, whom));
                    shadows.filed.entry(key).or_default().push(number);
                }
            }
        }
        shadows
    }

    pub(super) fn tell(&self, (number, rule): (usize, &Rule), lints: &mut Lints) {
        let Some(other) = self.over(number, rule) else { return };
        let what = if other.effect == rule.effect {
            "says all that it says"
        } else {
            "overrules all of it"
        };
        let message = format!("never decides: rule `{}` ({}) {what}", other.id, other.place);
        lints.add(rule, LintKind::Shadowed, message, "delete it, or narrow the other one");
    }

    /// The first rule that covers it, and goes before it.
    fn over(&self, number: usize, rule: &Rule) -> Option<&'p Rule> {
        if !rule.is_about_something(self.tools, self.servers) {
            return None;
        }
        let covers = |at: usize| {
            let other = self.rules.get(at)?;
            let outranks = outranks((at, other), (number, rule));
            (outranks && other.covers(rule, (self.tools, self.servers))).then_some(other)
        };
        match self.candidates(rule) {
            Some(candidates) => candidates.into_iter().find_map(covers),
            None => (0..self.rules.len()).find_map(covers),
        }
    }

    /// Those that can cover it, in their order. `None`: it has an empty list, which is in every other one.
    fn candidates(&self, rule: &Rule) -> Option<Vec<usize>> {
        let mut whoms: Vec<Whom<'_>> = vec![None];
        for (list, names) in rule.principals.lists().into_iter().enumerate() {
            if let Some(names) = names {
                whoms.push(Some((list, names.first()?)));
            }
        }
        let mut whats = vec![What::Anything];
        if let Some(graph) = &rule.graph {
            let (method, path) = (graph.methods.first()?, graph.paths.first()?);
            let literals: Vec<_> = path.literals().map(lower).collect();
            let [first, third] = [0, 2].map(|at| literals.get(at).cloned().flatten());
            for first in BTreeSet::from([None, first]) {
                for third in BTreeSet::from([None, third.clone()]) {
                    let length = literals.len();
                    whats.push(What::Path(method, path.version(), length, first.clone(), third));
                }
            }
        }
        match rule.tools.pin(self.tools, self.servers) {
            Some(Pin::Name(name)) => {
                whats.push(What::Name(name));
                if !self.tools.iter().any(|tool| tool == name) {
                    whats.push(What::SomePattern);
                }
            }
            Some(Pin::Pattern(text, name)) => {
                whats.push(What::Pattern(text));
                whats.extend(name.map(What::Name));
            }
            None => {}
        }
        let mut found = Vec::new();
        for what in &whats {
            for whom in &whoms {
                let key = self.hasher.hash_one((what, whom));
                found.extend(self.filed.get(&key).into_iter().flatten().copied());
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    /// What a rule has to be about for this one to cover it: one of these.
    fn about<'r>(&self, rule: &'r Rule) -> Vec<What<'r>>
    where
        'p: 'r,
    {
        if let Some(graph) = &rule.graph {
            let of_path = |method: &'r String| {
                graph.paths.iter().map(move |path| {
                    let literals: Vec<_> = path.literals().map(lower).collect();
                    let [first, third] = [0, 2].map(|at| literals.get(at).cloned().flatten());
                    What::Path(method, path.version(), literals.len(), first, third)
                })
            };
            return graph.methods.iter().flat_map(of_path).collect();
        }
        if rule.tools.has_any() {
            return vec![What::Anything];
        }
        let names = rule.tools.outright().map(|name| What::Name(name));
        let patterns = rule.tools.expressions().map(What::Pattern);
        let mut whats: Vec<_> = names.chain(patterns).collect();
        if rule.tools.expressions().next().is_some() {
            whats.push(What::SomePattern);
            let known = self.tools.iter().filter(|tool| rule.tools.is_match(tool));
            whats.extend(known.map(|tool| What::Name(tool)));
        }
        whats
    }
}

/// Whom a rule has to name for this one to cover it: one of these.
fn whoms(rule: &Rule) -> Vec<Whom<'_>> {
    let mut lists = rule.principals.lists().into_iter().enumerate();
    let given = lists.find_map(|(list, names)| Some((list, names.as_ref()?)));
    given.map_or_else(
        || vec![None],
        |(list, names)| names.iter().map(|name| Some((list, name.as_str()))).collect(),
    )
}

fn lower(literal: Option<&str>) -> Option<String> {
    literal.map(str::to_ascii_lowercase)
}

/// Whether the one goes before the other where both apply.
fn outranks((number, rule): (usize, &Rule), (other_number, other): (usize, &Rule)) -> bool {
    match (rule.effect, other.effect) {
        (Effect::Deny, Effect::Ask | Effect::Allow) | (Effect::Ask, Effect::Allow) => true,
        (one, two) => one == two && number < other_number,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::generated::{TOOLS, policy, rules};

    /// By a look at every rule.
    fn scan<'p>(shadows: &Shadows<'p>, number: usize, rule: &Rule) -> Option<&'p Rule> {
        let (tools, servers) = (shadows.tools, shadows.servers);
        let mut rules = shadows.rules.iter().enumerate();
        rules.find_map(|(at, other)| {
            let over = outranks((at, other), (number, rule))
                && rule.is_about_something(tools, servers)
                && other.covers(rule, (tools, servers));
            over.then_some(other)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_is_found_is_what_a_look_at_every_rule_finds(
            rules in rules(), tools in 0..=TOOLS.len(), server in any::<bool>(),
        ) {
            let policy = policy(&rules, TOOLS.get(..tools).unwrap());
            // One that the patterns may be about: `auth.execute` is then a tool of its.
            let servers = server.then(|| "auth".to_owned()).into_iter().collect();
            let shadows = Shadows::new(&policy, &servers);
            for (number, rule) in policy.rules.iter().enumerate() {
                let found = shadows.over(number, rule).map(|other| &other.id);
                prop_assert_eq!(found, scan(&shadows, number, rule).map(|other| &other.id));
            }
        }
    }
}
