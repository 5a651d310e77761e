//! Whether one rule applies to everything that another applies to. Says no where it cannot tell.

use std::collections::BTreeSet;

use crate::policy::rule::{GraphRule, Principals, Query, Rule};

impl Rule {
    /// Whether it looks further than at who calls what.
    pub(in crate::policy) const fn has_conditions(&self) -> bool {
        self.when.is_some() || !self.arguments.is_empty()
    }

    /// Whether it applies to every call of its tools.
    pub(super) fn is_unconditional(&self) -> bool {
        self.principals.is_everybody()
            && self.scopes.is_empty()
            && self.graph.is_none()
            && !self.has_conditions()
    }

    /// Whether it applies wherever `other`, which is about something, does. `tools` are those that there are, beside whatever
    /// the `servers` have. What costs least is looked at first: of many rules nearly all differ in that.
    pub(super) fn covers(
        &self,
        other: &Self,
        (tools, servers): (&[String], &BTreeSet<String>),
    ) -> bool {
        self.principals.cover(&other.principals)
            && self.scopes.is_subset(&other.scopes)
            && match (&self.graph, &other.graph) {
                (Some(one), Some(two)) => one.cover(two),
                // Without a graph part, what denies is about every operation; what opens, about none.
                (None, Some(_)) => self.effect == crate::policy::Effect::Deny,
                (None, None) => true,
                (Some(_), None) => false,
            }
            && (!self.has_conditions() || self.has_conditions_of(other))
            && self.tools.cover(&other.tools, tools, servers)
    }

    /// Whether it is about anything that there is, or that one of the servers may have.
    pub(super) fn is_about_something(&self, tools: &[String], servers: &BTreeSet<String>) -> bool {
        tools.iter().any(|tool| self.tools.is_match(tool)) || self.tools.may_name_of(servers)
    }

    fn has_conditions_of(&self, other: &Self) -> bool {
        let text = |rule: &Self| rule.when.as_ref().map(|when| when.text().clone());
        text(self) == text(other) && self.arguments == other.arguments
    }
}

impl Principals {
    pub(super) const fn lists(&self) -> [&Option<Vec<String>>; 6] {
        [&self.clients, &self.subjects, &self.groups, &self.roles, &self.issuers, &self.assurance]
    }

    fn cover(&self, other: &Self) -> bool {
        let wider =
            self.lists().into_iter().zip(other.lists()).all(|(one, two)| match (one, two) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(one), Some(two)) => two.iter().all(|name| one.contains(name)),
            });
        wider
            && match (self.max_auth_age_seconds, other.max_auth_age_seconds) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(one), Some(two)) => one >= two,
            }
    }
}

impl GraphRule {
    fn cover(&self, other: &Self) -> bool {
        other.methods.iter().all(|method| self.methods.contains(method))
            && other.paths.iter().all(|path| self.paths.iter().any(|own| own.covers(path)))
            && self.query.cover(&other.query)
            // One that acts with another credential, or may do more, is another rule.
            && (self.profile == other.profile || self.query_is_any())
            && (self.query_is_any()
                || other.permissions.iter().all(|wanted| self.permissions.contains(wanted)))
    }
}

impl Query {
    fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (Self::Usual, Self::Usual) => true,
            (Self::Only(one), Self::Only(two)) => two.iter().all(|name| one.contains(name)),
            (Self::Usual, Self::Only(list)) => {
                list.iter().all(|name| name.starts_with('$') && name != "$expand")
            }
            (Self::Using(one), Self::Using(two)) => two.iter().all(|name| one.contains(name)),
            _ => false,
        }
    }
}
