//! Which rules can be about a question, found without looking at the others.
//!
//! A rule is filed once for each tool, under the narrowest thing that it names. What is filed is compared
//! whole afterwards, so a collision costs time and changes nothing.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use super::ask::{GraphAsk, Operation, Who};
use super::compile::Facts;
use super::decision::Effect;
use super::rule::Rule;
use super::template::Template;

/// The rules by tool.
#[derive(Debug)]
pub(super) struct Index {
    hasher: RandomState,
    by_tool: HashMap<String, ToolIndex>,
    /// Rules that name no tool outright: what a name outside the configuration can meet.
    open: Vec<u32>,
    /// Rules that name tools, by name.
    named: HashMap<String, Vec<u32>>,
}

/// The rules about one tool.
#[derive(Debug, Default)]
pub(super) struct ToolIndex {
    /// For one Graph operation.
    operation: Buckets,
    /// For the tool as such. Of rules that differ in their operations only, the first.
    tool: Buckets,
    pub(super) looks_at_arguments: bool,
}

#[derive(Debug, Default)]
struct Buckets {
    general: Vec<u32>,
    by_key: HashMap<u64, Vec<u32>>,
    /// Whether any rule is filed under this kind of key.
    groups: bool,
    roles: bool,
    paths: bool,
}

/// What a rule is filed under.
#[derive(Hash)]
enum Key<'a> {
    Client(&'a str),
    Subject(&'a str),
    Group(&'a str),
    Role(&'a str),
    /// Method, version, number of segments, first and third literal.
    Path(&'a str, &'a str, usize, u64, u64),
}

/// Stands for a placeholder, and for a segment that is not there.
const OPEN: u64 = 0;

impl Index {
    pub(super) fn new(rules: &[Rule], facts: &Facts) -> Self {
        let mut index = Self {
            hasher: RandomState::new(),
            by_tool: HashMap::new(),
            open: Vec::new(),
            named: HashMap::new(),
        };
        for (number, rule) in (0_u32..).zip(rules) {
            match rule.tools.names() {
                Some(names) => {
                    for name in names {
                        index.named.entry(name.to_string()).or_default().push(number);
                    }
                }
                None => index.open.push(number),
            }
        }
        for tool in &facts.tools {
            let about = index.of_name(rules, tool);
            let built = ToolIndex::new(&index.hasher, rules, &about);
            index.by_tool.insert(tool.clone(), built);
        }
        index
    }

    pub(super) fn of_tool(&self, tool: &str) -> Option<&ToolIndex> {
        self.by_tool.get(tool)
    }

    /// The rules about a question, in their order, and some that are not.
    pub(super) fn candidates(
        &self,
        rules: &[Rule],
        tool: &str,
        who: &Who<'_>,
        operation: &Operation<'_>,
        into: &mut Vec<u32>,
    ) {
        match (self.by_tool.get(tool), operation) {
            // Of a recorded caller not everything is known: a rule for a group that the record could not name may be about them.
            _ if who.told.is_some() => *into = self.of_name(rules, tool),
            (Some(known), Operation::Graph(ask)) => {
                known.operation.find(&self.hasher, who, Some(ask), into);
            }
            (Some(known), _) => known.tool.find(&self.hasher, who, None, into),
            (None, _) => *into = self.of_name(rules, tool),
        }
    }

    pub(super) fn of_name(&self, rules: &[Rule], tool: &str) -> Vec<u32> {
        let open = self.open.iter().copied();
        let open =
            open.filter(|number| at(rules, *number).is_some_and(|rule| rule.tools.is_match(tool)));
        let named = self.named.get(tool).into_iter().flatten().copied();
        let mut all: Vec<u32> = open.chain(named).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn at(rules: &[Rule], number: u32) -> Option<&Rule> {
    rules.get(usize::try_from(number).ok()?)
}

impl ToolIndex {
    fn new(hasher: &RandomState, rules: &[Rule], about: &[u32]) -> Self {
        let mut index = Self::default();
        let mut seen = HashSet::new();
        for number in about.iter().copied() {
            let Some(rule) = at(rules, number) else { continue };
            index.looks_at_arguments |= rule.looks_at_arguments();
            index.operation.file(hasher, rule, number, true);
            // Of rules for operations one of a kind is enough; of all others each is on record.
            let shows = match (&rule.graph, rule.effect) {
                (None, _) => true,
                (Some(_), Effect::Deny) => false,
                (Some(_), Effect::Allow | Effect::Ask) => seen.insert(same_gate(hasher, rule)),
            };
            if shows {
                index.tool.file(hasher, rule, number, false);
            }
        }
        index
    }
}

/// Equal for rules that differ only in their Graph operations, and so show the tool alike.
fn same_gate(hasher: &RandomState, rule: &Rule) -> (u64, u64) {
    // Values of JSON have no hash of their own; few rules have some.
    let arguments = (!rule.arguments.is_empty()).then(|| format!("{:?}", rule.arguments));
    let when = rule.when.as_ref().map(super::condition::Condition::text);
    let gate = (rule.effect, &rule.scopes, &rule.principals, arguments, when, rule.graph.is_some());
    // Two of them, so that no collision hides a rule.
    (hasher.hash_one(&gate), hasher.hash_one((&gate, 1_u8)))
}

impl Buckets {
    fn file(&mut self, hasher: &RandomState, rule: &Rule, number: u32, by_path: bool) {
        let principals = &rule.principals;
        // A caller whose groups or roles are not all known is compared with every rule that names some.
        let groups = principals.groups.as_ref().filter(|_| rule.effect == Effect::Allow);
        let roles = principals.roles.as_ref().filter(|_| rule.effect == Effect::Allow);
        let keys: Vec<u64> = if let Some(clients) = &principals.clients {
            clients.iter().map(|client| hasher.hash_one(Key::Client(client))).collect()
        } else if let Some(subjects) = &principals.subjects {
            subjects.iter().map(|subject| hasher.hash_one(Key::Subject(subject))).collect()
        } else if let Some(groups) = groups {
            self.groups = true;
            groups.iter().map(|group| hasher.hash_one(Key::Group(group))).collect()
        } else if let Some(roles) = roles {
            self.roles = true;
            roles.iter().map(|role| hasher.hash_one(Key::Role(role))).collect()
        } else if let (Some(graph), true) = (&rule.graph, by_path) {
            self.paths = true;
            let of = |method: &String| -> Vec<u64> {
                graph.paths.iter().map(|path| path_key(hasher, method, path)).collect()
            };
            graph.methods.iter().flat_map(of).collect()
        } else {
            return self.general.push(number);
        };
        for key in keys {
            self.by_key.entry(key).or_default().push(number);
        }
    }

    fn find(
        &self,
        hasher: &RandomState,
        who: &Who<'_>,
        ask: Option<&GraphAsk<'_>>,
        into: &mut Vec<u32>,
    ) {
        into.extend_from_slice(&self.general);
        if self.by_key.is_empty() {
            return;
        }
        let mut take = |key: Key<'_>| {
            if let Some(found) = self.by_key.get(&hasher.hash_one(key)) {
                into.extend_from_slice(found);
            }
        };
        if let Some(client) = who.client_id {
            take(Key::Client(client.as_str()));
        }
        if let Some(subject) = who.subject {
            take(Key::Subject(subject.as_str()));
        }
        if self.groups {
            who.groups.iter().for_each(|group| take(Key::Group(group)));
        }
        if self.roles {
            who.roles.iter().for_each(|role| take(Key::Role(role)));
        }
        if let (Some(ask), true) = (ask, self.paths) {
            let literal =
                |position| ask.segments.get(position).map_or(OPEN, |text: &String| lower(text));
            let (first, third) = (literal(0), literal(2));
            for (first, third) in [(first, third), (first, OPEN), (OPEN, third), (OPEN, OPEN)] {
                take(Key::Path(ask.method, ask.version, ask.segments.len(), first, third));
            }
        }
        into.sort_unstable();
        into.dedup();
    }
}

fn path_key(hasher: &RandomState, method: &str, path: &Template) -> u64 {
    let mut literals = path.literals();
    let length = literals.len();
    let first = literals.next().flatten().map_or(OPEN, lower);
    let third = literals.nth(1).flatten().map_or(OPEN, lower);
    hasher.hash_one(Key::Path(method, path.version(), length, first, third))
}

/// A digest of a segment without its case (FNV-1a). Only files: what is filed is compared afterwards.
fn lower(segment: &str) -> u64 {
    segment.bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::condition::Truth;
    use crate::policy::generated::{FORMS, Form, Question, TOOLS, policy, questions, rules};
    use crate::policy::{Ask, Policy};

    /// Every form of a question.
    fn each<T>(question: &Question, mut see: impl FnMut(&Ask<'_>) -> T) -> [T; 4] {
        FORMS.map(|form| question.ask(form, &mut see))
    }

    /// The rules about a question, by looking at each of them.
    fn scan(policy: &Policy, ask: &Ask<'_>) -> Vec<u32> {
        let about = |rule: &Rule| {
            rule.tools.is_match(ask.tool)
                && rule.concerns(&ask.who, &ask.operation, ask.now) != Truth::False
        };
        (0..).zip(&policy.rules).filter(|(_, rule)| about(rule)).map(|(number, _)| number).collect()
    }

    /// The rules about a question, by the index.
    fn find(policy: &Policy, ask: &Ask<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        policy.index.candidates(&policy.rules, ask.tool, &ask.who, &ask.operation, &mut found);
        found.retain(|number| {
            let rule = at(&policy.rules, *number).unwrap();
            rule.concerns(&ask.who, &ask.operation, ask.now) != Truth::False
        });
        found
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_finds(rules in rules(), question in questions()) {
            // `drop` and `get_all` are names that the configuration does not know.
            let policy = policy(&rules, &TOOLS[..3]);
            let (found, scanned) =
                question.ask(Form::Operation, |ask| (find(&policy, ask), scan(&policy, ask)));
            prop_assert_eq!(found, scanned);
        }

        #[test]
        fn what_the_index_leaves_out_of_a_tool_decides_nothing(
            rules in rules(),
            question in questions(),
        ) {
            let (indexed, scanning) = (policy(&rules, &TOOLS), policy(&rules, &[]));
            let decide = |policy: &Policy| each(&question, |ask| {
                let mut decision = policy.decide(ask);
                decision.evaluated.clear();
                // It tells the two apart by the tools that are configured.
                decision.policy_version = Arc::clone(indexed.version());
                decision
            });
            prop_assert_eq!(
                each(&question, |ask| find(&scanning, ask)),
                each(&question, |ask| scan(&scanning, ask))
            );
            prop_assert_eq!(decide(&indexed), decide(&scanning));
        }
    }
}
