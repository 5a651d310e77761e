//! Compiled rules: parsed once, so that deciding only compares.

use std::sync::Arc;

use regex::RegexSet;
use serde::Deserialize;

use crate::id::{Permission, ProfileName, RuleId};
use crate::scope::Scope;

use super::ask::{GraphAsk, Operation, Who};
use super::decision::Effect;
use super::template::Template;

/// OData system options (graph: OASIS OData 4.01 part 2 §5.1); Graph takes them with and without `$`, in any case.
const SYSTEM_QUERY: [&str; 11] = [
    "$select",
    "$filter",
    "$top",
    "$skip",
    "$skiptoken",
    "$deltatoken",
    "$orderby",
    "$search",
    "$count",
    "$expand",
    "$format",
];

/// One rule, ready to be compared with a call.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: RuleId,
    pub(super) effect: Effect,
    pub(super) tools: RegexSet,
    pub(super) scopes: Scope,
    pub(super) principals: Principals,
    pub(super) graph: Option<GraphRule>,
}

impl Rule {
    /// Whether the rule is about this caller and operation.
    ///
    /// Scopes are not looked at: whether they alone are missing tells a step-up from a refusal.
    pub(super) fn concerns(&self, who: &Who<'_>, operation: &Operation<'_>) -> bool {
        let about = match (&self.graph, operation) {
            (Some(rule), Operation::Graph(ask)) => rule.covers(ask),
            // The tool as such: a rule for some operations makes it visible, and forbids none of the others.
            (Some(_), Operation::Plain | Operation::AnyGraph) => self.effect != Effect::Deny,
            (None, Operation::Plain) => true,
            // A rule without a Graph part opens no operation, but may forbid them all.
            (None, Operation::AnyGraph | Operation::Graph(_)) => self.effect == Effect::Deny,
        };
        about && self.is_for(who)
    }

    /// Whether the caller is among the rule's principals.
    pub(super) fn is_for(&self, who: &Who<'_>) -> bool {
        self.principals.contain(who)
    }
}

/// Each list that is given must contain the caller; no list at all means everybody.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principals {
    pub clients: Option<Vec<String>>,
    pub subjects: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
    pub issuers: Option<Vec<String>>,
}

impl Principals {
    fn contain(&self, who: &Who<'_>) -> bool {
        let one = |list: &Option<Vec<String>>, value: Option<&str>| {
            list.as_ref()
                .is_none_or(|list| value.is_some_and(|value| list.iter().any(|item| item == value)))
        };
        let any = |list: &Option<Vec<String>>, values: &[Arc<str>]| {
            list.as_ref().is_none_or(|list| {
                values.iter().any(|value| list.iter().any(|item| **item == **value))
            })
        };
        one(&self.clients, who.client_id.map(crate::id::ClientId::as_str))
            && one(&self.subjects, who.subject.map(crate::id::Subject::as_str))
            && one(&self.issuers, Some(who.issuer.as_str()))
            && any(&self.groups, who.groups)
            && any(&self.roles, who.roles)
    }
}

/// The Graph part of a rule.
#[derive(Debug)]
pub(super) struct GraphRule {
    pub(super) profile: ProfileName,
    pub(super) methods: Vec<String>,
    pub(super) paths: Vec<Template>,
    pub(super) permissions: Vec<Permission>,
    pub(super) query: Query,
    pub(super) reveal_links: bool,
}

impl GraphRule {
    fn covers(&self, ask: &GraphAsk<'_>) -> bool {
        self.methods.iter().any(|method| method == ask.method)
            && self.path(ask).is_some()
            && self.query.covers(ask.query)
    }

    /// Whether the rule is about the path whatever the query is.
    pub(super) const fn query_is_any(&self) -> bool {
        matches!(self.query, Query::Any)
    }

    /// The first template that has the form of the path.
    pub(super) fn path(&self, ask: &GraphAsk<'_>) -> Option<&Template> {
        self.paths.iter().find(|template| template.matches(ask.version, ask.segments))
    }
}

/// Which query options a rule is about.
#[derive(Debug)]
pub(super) enum Query {
    /// The system options but `$expand`, which reads other resources under this path's rule.
    Usual,
    /// Nothing but these, for rules that allow. Spelled as [`query_option`] spells them.
    Only(Vec<String>),
    /// At least one of these, for rules that deny.
    Using(Vec<String>),
    /// Whatever the query is, for rules that deny.
    Any,
}

impl Query {
    fn covers(&self, query: &[(&str, &str)]) -> bool {
        let mut names = query.iter().map(|(name, _)| query_option(name));
        match self {
            Self::Usual => {
                names.all(|name| name != "$expand" && SYSTEM_QUERY.contains(&name.as_str()))
            }
            Self::Only(list) => names.all(|name| list.contains(&name)),
            Self::Using(list) => names.any(|name| list.contains(&name)),
            Self::Any => true,
        }
    }
}

/// The one spelling of a query option: `Expand`, `$EXPAND` and `expand` are `$expand` to Graph.
pub(super) fn query_option(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let system = format!("${}", lower.trim_start_matches('$'));
    if SYSTEM_QUERY.contains(&system.as_str()) { system } else { lower }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(query: &Query, name: &str) -> bool {
        query.covers(&[(name, "")])
    }

    #[test]
    fn expand_is_not_among_the_usual_options_in_any_spelling() {
        for name in ["$expand", "expand", "$Expand", "EXPAND", "$$expand"] {
            assert!(!covers(&Query::Usual, name), "{name}");
        }
        for name in ["$select", "select", "$Top"] {
            assert!(covers(&Query::Usual, name), "{name}");
        }
        assert!(!covers(&Query::Usual, "startDateTime"));
    }

    #[test]
    fn a_listed_option_is_let_through_and_its_neighbours_are_not() {
        let query = Query::Only(vec![query_option("$select"), query_option("startDateTime")]);
        assert!(covers(&query, "select") && covers(&query, "startdatetime"));
        assert!(!covers(&query, "$top"));
    }

    #[test]
    fn a_rule_that_denies_an_option_is_about_every_query_that_uses_it() {
        let query = Query::Using(vec!["$filter".to_owned()]);
        let sent = [("$top", "1"), ("Filter", "x")];
        assert!(query.covers(&sent));
        assert!(!query.covers(&sent[..1]));
    }
}
