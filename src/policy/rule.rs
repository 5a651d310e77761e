//! Compiled rules: parsed once, so that deciding only compares.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::id::{ClientId, Permission, ProfileName, RuleId, Subject};
use crate::scope::Scope;
use crate::time::Timestamp;

use super::ask::{GraphAsk, Moment, Operation, Who};
use super::condition::{Condition, Truth};
use super::decision::{Effect, Obligations};
use super::judge::{Aspect, Tally, Witness};
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
    /// Whether it looks at the arguments of a call.
    pub(super) fn looks_at_arguments(&self) -> bool {
        !self.arguments.is_empty() || self.when.as_ref().is_some_and(Condition::uses_arguments)
    }

    /// Whether it looks at the time.
    pub(super) fn looks_at_time(&self) -> bool {
        self.principals.max_auth_age_seconds.is_some()
            || self.when.as_ref().is_some_and(Condition::uses_time)
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
#[derive(Clone, Debug, Default, Hash)]
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
    /// Whether the caller is among them. Of a recorded caller only what the record would name is known.
    pub(super) fn compare<W: Witness>(
        &self,
        who: &Who<'_>,
        effect: Effect,
        now: Moment,
        tally: &mut Tally<'_, W>,
    ) {
        if let Some(list) = &self.clients {
            tally.check(Aspect::Clients, |_| one(list, who.client_id.map(ClientId::as_str)));
        }
        if let Some(list) = &self.subjects {
            tally.check(Aspect::Subjects, |_| one(list, who.subject.map(Subject::as_str)));
        }
        if let Some(list) = &self.issuers {
            tally.check(Aspect::Issuers, |_| one(list, Some(who.issuer.as_str())));
        }
        if let Some(list) = &self.roles {
            // Nobody escapes a rule because the issuer could not name all the roles.
            let caught = who.roles_incomplete && effect != Effect::Allow;
            let told = who.told.map(|told| &told.names.roles);
            let truth = |_: &mut W| if caught { Truth::True } else { any(list, who.roles, told) };
            tally.check(Aspect::Roles, truth);
        }
        if let Some(list) = &self.groups {
            // Nor because of the groups.
            let caught = who.groups_incomplete && effect != Effect::Allow;
            let told = who.told.map(|told| &told.names.groups);
            let truth = |_: &mut W| if caught { Truth::True } else { any(list, who.groups, told) };
            tally.check(Aspect::Groups, truth);
        }
        if let Some(list) = &self.assurance {
            tally.check(Aspect::Assurance, |_| {
                claim(who, "acr", |acr| one(list, acr.and_then(Value::as_str)))
            });
        }
        if let Some(limit) = self.max_auth_age_seconds {
            tally.check(Aspect::AuthAge, |_| {
                claim(who, "auth_time", |time| {
                    let time = time.and_then(Value::as_i64);
                    let (wall, steady) =
                        (is_fresh(time, limit, now.wall), is_fresh(time, limit, now.steady));
                    effect.at_both(wall.into(), steady.into())
                })
            });
        }
    }
}

/// Looks at a claim, where claims are known.
fn claim(who: &Who<'_>, name: &str, look: impl FnOnce(Option<&Value>) -> Truth) -> Truth {
    match who.claims {
        Some(claims) if who.told.is_none_or(|told| told.names.claims.contains(name)) => {
            look(claims.get(name))
        }
        Some(_) | None => Truth::Unknown,
    }
}

fn one(list: &[String], value: Option<&str>) -> Truth {
    value.is_some_and(|value| list.iter().any(|item| item == value)).into()
}

fn any(list: &[String], values: &[Arc<str>], told: Option<&BTreeSet<String>>) -> Truth {
    if values.iter().any(|value| list.iter().any(|item| **item == **value)) {
        return Truth::True;
    }
    match told {
        Some(told) if list.iter().any(|item| !told.contains(item)) => Truth::Unknown,
        Some(_) | None => Truth::False,
    }
}

/// Whether somebody logged in that recently. A login in the future is none.
fn is_fresh(logged_in: Option<i64>, limit: u32, now: Timestamp) -> bool {
    const SKEW_SECONDS: i64 = 60;
    let Some(logged_in) = logged_in else { return false };
    let now = now.unix_seconds();
    logged_in <= now.saturating_add(SKEW_SECONDS)
        && now.saturating_sub(logged_in) <= i64::from(limit)
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
