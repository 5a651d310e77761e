//! Compiled rules: parsed once, so that deciding only compares.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::id::{ClientId, Permission, ProfileName, RuleId, Subject};
use crate::scope::Scope;

use super::ask::{GraphAsk, Moment, Operation, Who};
use super::condition::{Condition, Known, Truth, Values};
use super::decision::{Effect, Obligations};
use super::template::Template;
use super::tools::ToolPatterns;

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
    pub(super) tools: ToolPatterns,
    pub(super) scopes: Scope,
    pub(super) principals: Principals,
    pub(super) graph: Option<GraphRule>,
    /// What the argument at a dotted path may be.
    pub(super) arguments: Vec<(String, Vec<Value>)>,
    pub(super) when: Option<Condition>,
    pub(super) obligations: Obligations,
    /// Where it is written, for people.
    pub(super) place: Arc<str>,
}

impl Rule {
    /// Whether the rule is about this caller and operation, its arguments and condition aside.
    ///
    /// Scopes are not looked at: whether they alone are missing tells a step-up from a refusal.
    pub(super) fn concerns(&self, who: &Who<'_>, operation: &Operation<'_>, now: Moment) -> Truth {
        if self.is_about(operation) { self.is_for(who, now) } else { Truth::False }
    }

    /// Whether the rule is about this operation.
    pub(super) fn is_about(&self, operation: &Operation<'_>) -> bool {
        match (&self.graph, operation) {
            (Some(rule), Operation::Graph(ask)) => rule.covers(ask),
            // The tool as such: a rule for some operations makes it visible, and forbids none of the others.
            (Some(_), Operation::Plain | Operation::AnyGraph) => self.effect != Effect::Deny,
            (None, Operation::Plain) => true,
            // A rule without a Graph part opens no operation, but may forbid them all.
            (None, Operation::AnyGraph | Operation::Graph(_)) => self.effect == Effect::Deny,
        }
    }

    /// Whether the caller is among the rule's principals.
    pub(super) fn is_for(&self, who: &Who<'_>, now: Moment) -> Truth {
        self.principals.contain(who, self.effect, now)
    }

    /// Whether it looks further than at who calls what.
    pub(super) const fn has_conditions(&self) -> bool {
        self.when.is_some() || !self.arguments.is_empty()
    }

    /// Whether it looks at the arguments of a call.
    pub(super) fn looks_at_arguments(&self) -> bool {
        !self.arguments.is_empty() || self.when.as_ref().is_some_and(Condition::uses_arguments)
    }

    /// Whether it looks at the time.
    pub(super) fn looks_at_time(&self) -> bool {
        self.principals.max_auth_age_seconds.is_some()
            || self.when.as_ref().is_some_and(Condition::uses_time)
    }

    /// Whether the arguments and the condition hold.
    ///
    /// Where the wall clock was stepped, a condition on the time opens only what it opens at both times,
    /// and forbids what it forbids at either.
    pub(super) fn holds(&self, known: &Known<'_>, operation: &Operation<'_>) -> Truth {
        let fits = self.arguments.iter().map(|(path, allowed)| known.argument(path, allowed));
        let Some(when) = &self.when else { return Truth::all(fits) };
        let template = self.template(operation);
        let at = |now| when.evaluate(&Values::new(known, template, self.graph.is_some(), now));
        let moment = known.moment();
        let wall = at(moment.wall);
        let condition = if when.uses_time() && moment.is_torn() {
            let steady = at(moment.steady);
            match self.effect {
                Effect::Allow => Truth::all([wall, steady].into_iter()),
                Effect::Deny => Truth::any([wall, steady].into_iter()),
                Effect::Ask if wall == steady => wall,
                Effect::Ask => Truth::Error,
            }
        } else {
            wall
        };
        Truth::all(fits.chain([condition]))
    }

    /// The template that the path of the operation has the form of.
    pub(super) fn template(&self, operation: &Operation<'_>) -> Option<&Template> {
        match (&self.graph, operation) {
            (Some(rule), Operation::Graph(ask)) => rule.path(ask),
            _ => None,
        }
    }
}

/// Each list that is given must contain the caller; no list at all means everybody.
#[derive(Clone, Debug, Default)]
pub struct Principals {
    pub clients: Option<Vec<String>>,
    pub subjects: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
    pub issuers: Option<Vec<String>>,
    /// How the person logged in: values of `acr` (`OpenID` Connect Core §2).
    pub assurance: Option<Vec<String>>,
    /// How long ago the person may have logged in, by `auth_time` (`OpenID` Connect Core §2).
    pub max_auth_age_seconds: Option<u32>,
}

impl Principals {
    fn contain(&self, who: &Who<'_>, effect: Effect, now: Moment) -> Truth {
        let named = one(self.clients.as_ref(), who.client_id.map(ClientId::as_str))
            && one(self.subjects.as_ref(), who.subject.map(Subject::as_str))
            && one(self.issuers.as_ref(), Some(who.issuer.as_str()))
            && any(self.roles.as_ref(), who.roles)
            && (any(self.groups.as_ref(), who.groups)
                // Nobody escapes a rule because the issuer could not name all the groups.
                || (who.groups_incomplete && effect != Effect::Allow));
        if !named || (self.assurance.is_none() && self.max_auth_age_seconds.is_none()) {
            return named.into();
        }
        let Some(claims) = who.claims else { return Truth::Unknown };
        let acr = claims.get("acr").and_then(Value::as_str);
        let assured = one(self.assurance.as_ref(), acr);
        let fresh = self.max_auth_age_seconds.is_none_or(|limit| is_fresh(claims, limit, now));
        (assured && fresh).into()
    }
}

fn one(list: Option<&Vec<String>>, value: Option<&str>) -> bool {
    list.is_none_or(|list| value.is_some_and(|value| list.iter().any(|item| item == value)))
}

fn any(list: Option<&Vec<String>>, values: &[Arc<str>]) -> bool {
    list.is_none_or(|list| values.iter().any(|value| list.iter().any(|item| **item == **value)))
}

/// By the later of both clocks, so that a clock that was set back makes no login young again; a login in the
/// future is none.
fn is_fresh(claims: &Map<String, Value>, limit: u32, now: Moment) -> bool {
    const SKEW_SECONDS: i64 = 60;
    let Some(logged_in) = claims.get("auth_time").and_then(Value::as_i64) else { return false };
    let latest = now.wall.max(now.steady).unix_seconds();
    logged_in <= latest.saturating_add(SKEW_SECONDS)
        && latest.saturating_sub(logged_in) <= i64::from(limit)
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
    pub(super) fn covers(&self, ask: &GraphAsk<'_>) -> bool {
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
    pub(super) fn covers(&self, query: &[(&str, &str)]) -> bool {
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
