//! Names of tools, scopes and groups that there are not.

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

    pub(super) fn names_of(&self, rule: &Rule, world: &World<'_>, lints: &mut Lints) {
        let others: Vec<String> = self.all_scopes(world).iter().map(ToString::to_string).collect();
        for scope in rule.scopes.iter() {
            match &world.scopes {
                Some(known) if !implied(known, scope) => {
                    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                    let message = format!("there is no scope `{scope}`");
                    lints.add(rule, LintKind::UnknownScope, message, &near(scope.as_str(), &known));
                }
                Some(_) => {}
                None => {
                    if let Some(other) = misspelt(scope.as_str(), &others) {
                        let message = format!("scope `{scope}` is one letter apart from `{other}`");
                        let hint = "spell both alike, or name the scopes there are with --scope";
                        lints.add(rule, LintKind::UnknownScope, message, hint);
                    }
                }
            }
        }
        let all: Vec<String> = self.names.groups.iter().cloned().collect();
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
                    if let Some(other) = misspelt(group, &all) {
                        let message = format!("group `{group}` is one letter apart from `{other}`");
                        let hint = "spell both alike, or name the groups there are with --group";
                        lints.add(rule, LintKind::UnknownGroup, message, hint);
                    }
                }
            }
        }
    }

    /// The scopes that rules or the settings name.
    fn all_scopes(&self, world: &World<'_>) -> Scope {
        self.rules.iter().fold(world.usual_scopes.clone(), |all, rule| all.union(&rule.scopes))
    }
}

/// One letter apart from another name, and not by a number: `it-helpdesk` and `it-helpdsk`.
fn misspelt<'a>(name: &str, others: &'a [String]) -> Option<&'a String> {
    let numbered = name.ends_with(|c: char| c.is_ascii_digit());
    let likely = |other: &&String| {
        *other != name && strsim::damerau_levenshtein(other, name) == 1 && name.len() > 4
    };
    others.iter().find(likely).filter(|_| !numbered)
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
