//! Names of tools, scopes and groups that there are not.

use std::collections::BTreeSet;

use crate::policy::decide::Policy;
use crate::policy::grantable::is_of;
use crate::policy::rule::Rule;
use crate::scope::{Scope, ScopeToken};

use super::{LintKind, Lints, World};

impl Policy {
    pub(super) fn tools_of(&self, rule: &Rule, world: &World<'_>, lints: &mut Lints) {
        let known = &self.facts.tools;
        let behind = |name: &str| world.servers.iter().any(|id| is_of(name, id));
        let any_behind = world.servers.iter().any(|id| {
            [".x", "/prompts/x", "/resources/x"]
                .iter()
                .any(|thing| rule.tools.is_match(&[id, *thing].concat()))
        });
        if any_behind
            || rule.tools.examples().any(behind)
            || known.iter().any(|tool| rule.tools.is_match(tool))
        {
            for name in rule.tools.outright() {
                if !behind(name) && !known.iter().any(|tool| **tool == **name) {
                    lints.add(
                        rule,
                        LintKind::UnknownTool,
                        format!("there is no tool `{name}`"),
                        &near(name, known),
                    );
                }
            }
            return;
        }
        let hint = match rule.tools.outright().next() {
            Some(name) => near(name, known),
            None if world.servers.is_empty() => format!("the tools are {}", known.join(", ")),
            None => {
                let servers: Vec<_> = world.servers.iter().map(String::as_str).collect();
                format!("the tools are {}, and those of {}", known.join(", "), servers.join(", "))
            }
        };
        lints.add(rule, LintKind::MatchesNoTool, "is about no tool there is", &hint);
    }

    /// What the names of one rule are held against, once for all of them.
    pub(super) fn spelt(&self, world: &World<'_>) -> Spelt {
        let mut scopes: BTreeSet<&ScopeToken> = world.usual_scopes.iter().collect();
        scopes.extend(self.rules.iter().flat_map(|rule| rule.scopes.iter()));
        Spelt {
            scopes: scopes.into_iter().map(ToString::to_string).collect(),
            groups: self.names.groups.iter().cloned().collect(),
        }
    }
}

/// Names that rules or the settings have.
pub(super) struct Spelt {
    scopes: Vec<String>,
    groups: Vec<String>,
}

pub(super) fn names_of(rule: &Rule, world: &World<'_>, (spelt, lints): (&Spelt, &mut Lints)) {
    for scope in rule.scopes.iter() {
        match &world.scopes {
            Some(known) if !implied(known, scope) => {
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                let message = format!("there is no scope `{scope}`");
                lints.add(rule, LintKind::UnknownScope, message, &near(scope.as_str(), &known));
            }
            Some(_) => {}
            None => {
                if let Some(other) = misspelt(scope.as_str(), &spelt.scopes) {
                    let message = format!("scope `{scope}` is one letter apart from `{other}`");
                    let hint = "spell both alike, or name the scopes there are with --scope";
                    lints.add(rule, LintKind::UnknownScope, message, hint);
                }
            }
        }
    }
    let seen = world.people.as_ref().map(|people| &people.groups);
    for group in rule.principals.groups.iter().flatten() {
        match &world.groups {
            None if seen.is_some_and(|seen| seen.contains(group)) => {}
            Some(known) if !known.contains(group) => {
                let known: Vec<String> = known.iter().cloned().collect();
                let message = format!("there is no group `{group}`");
                lints.add(rule, LintKind::UnknownGroup, message, &near(group, &known));
            }
            Some(_) => {}
            None if seen.is_some_and(|seen| !seen.is_empty()) => {
                let message = format!("nobody of the store is in a group `{group}`");
                let known: Vec<&String> = seen.into_iter().flatten().collect();
                let hint = match near(group, &known) {
                    none if none.is_empty() => "--group NAME if there is the group".to_owned(),
                    near => near,
                };
                lints.add(rule, LintKind::UnknownGroup, message, &hint);
            }
            // Not known what there is: one letter apart from another rule's is a likely misspelling.
            None => {
                if let Some(other) = misspelt(group, &spelt.groups) {
                    let message = format!("group `{group}` is one letter apart from `{other}`");
                    let hint = "spell both alike, or name the groups there are with --group";
                    lints.add(rule, LintKind::UnknownGroup, message, hint);
                }
            }
        }
    }
}

/// One letter apart from another name, and not by a number: `it-helpdesk` and `it-helpdsk`.
fn misspelt<'a>(name: &str, others: &'a [String]) -> Option<&'a String> {
    if name.len() < 5 || name.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    others.iter().find(|other| one_apart(other, name))
}

/// Whether one letter is too many, missing, another one, or exchanged with its neighbour. Every name is held against all others.
fn one_apart(one: &str, other: &str) -> bool {
    let alike = |(a, b): &(char, char)| a == b;
    let length = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
        pairs.take_while(alike).map(|(sign, _)| sign.len_utf8()).sum()
    };
    let start = length(&mut one.chars().zip(other.chars()));
    let [one, other] = [one, other].map(|text| text.get(start..).unwrap_or_default());
    let end = length(&mut one.chars().rev().zip(other.chars().rev()));
    let [one, other] =
        [one, other].map(|text| text.get(..text.len().saturating_sub(end)).unwrap_or_default());
    let three = |text: &str| -> Vec<char> { text.chars().take(3).collect() };
    match (three(one).as_slice(), three(other).as_slice()) {
        ([_], [] | [_]) | ([], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

fn implied(known: &Scope, scope: &ScopeToken) -> bool {
    let wanted: Scope = std::iter::once(scope.clone()).collect();
    wanted.is_subset(known)
}

pub(super) fn near<T: AsRef<str>>(name: &str, known: &[T]) -> String {
    let likeness =
        known.iter().map(|other| (strsim::jaro_winkler(name, other.as_ref()), other.as_ref()));
    match likeness.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((likeness, other)) if likeness > 0.8 && other != name => {
            format!("did you mean `{other}`?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_letter_apart_is_one_edit(one in "[abä]{0,6}", other in "[abä]{0,6}") {
            let edits = strsim::damerau_levenshtein(&one, &other);
            prop_assert_eq!(one_apart(&one, &other), edits == 1, "{} {}", one, other);
        }
    }
}
