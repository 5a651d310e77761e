//! The groups, roles and claims that rules name: all of a caller that a record of a decision needs.

use std::collections::BTreeSet;

use super::ask::Who;
use super::condition::Condition;
use super::login::Login;
use super::replay::Made;
use super::rule::Rule;

/// Names that rules look for. What a caller has beside them changes no decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub groups: BTreeSet<String>,
    pub roles: BTreeSet<String>,
    pub claims: BTreeSet<String>,
}

/// What a record tells of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What it names where the caller has it.
    pub names: &'a Names,
    /// Whether somebody could log in again. `None`: it does not say.
    pub login: Option<Login>,
    /// What was decided, where the rules that are asked are the very ones that decided.
    pub made: Option<&'a Made>,
}

/// Whether all that a rule looks for in this caller is known of them.
pub(super) fn is_told(rule: &Rule, who: &Who<'_>) -> bool {
    who.told.is_none_or(|told| told.names.tell(rule))
}

impl Names {
    pub(super) fn extend(&mut self, other: &Self) {
        self.groups.extend(other.groups.iter().cloned());
        self.roles.extend(other.roles.iter().cloned());
        self.claims.extend(other.claims.iter().cloned());
    }

    /// Whether all that a rule looks for in a caller is among these.
    pub(super) fn tell(&self, rule: &Rule) -> bool {
        let wanted = Self::of(std::slice::from_ref(rule));
        wanted.groups.is_subset(&self.groups)
            && wanted.roles.is_subset(&self.roles)
            && wanted.claims.is_subset(&self.claims)
            && !rule.when.as_ref().is_some_and(Condition::uses_lists)
    }

    pub(super) fn of(rules: &[Rule]) -> Self {
        let mut names = Self::default();
        for rule in rules {
            let principals = &rule.principals;
            names.groups.extend(principals.groups.iter().flatten().cloned());
            names.roles.extend(principals.roles.iter().flatten().cloned());
            names.claims.extend(principals.assurance.is_some().then(|| "acr".to_owned()));
            let aged = principals.max_auth_age_seconds.is_some();
            names.claims.extend(aged.then(|| "auth_time".to_owned()));
            let conditions = rule.when.iter().flat_map(Condition::claims);
            names.claims.extend(conditions.map(str::to_owned));
        }
        names
    }
}
