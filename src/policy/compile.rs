//! From rules as they are written to rules that can be compared: every fault of every rule in one run.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use regex::RegexSet;

use crate::id::{Permission, ProfileName, RuleId, TenantId};
use crate::scope::{Scope, ScopeToken};

use super::decision::Effect;
use super::file::{GraphSpec, RuleSpec};
use super::rule::{GraphRule, Query, Rule, query_option};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What rules are checked against: the parts of the configuration that a decision needs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Graph credential profiles and the tenant each acts in.
    pub profiles: Vec<(ProfileName, TenantId)>,
    /// The resource of the configured cloud: used where a call names none.
    pub resource: String,
    /// The resources a call may name.
    pub allowed_resources: Vec<String>,
    /// The permissions any rule may use; `None`: those that the rules name.
    pub allowed_permissions: Option<Vec<Permission>>,
    /// Names of the tools there are, so that deciding about them needs no pattern matching.
    pub tools: Vec<String>,
}

/// One fault of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `policy.toml:12:1`, or the name of the source.
    pub place: String,
    /// The rule it is in, where it has a readable id.
    pub rule: String,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: rule `{}`: {}", self.place, self.rule, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Every fault that was found; the policy is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PolicyError(pub Vec<Fault>);

/// Compiles rules from one place after the other; their order is the order in which they are looked at.
pub(super) struct Compiler<'a> {
    facts: &'a Facts,
    rules: Vec<Rule>,
    ids: HashSet<String>,
    faults: Vec<Fault>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Self { facts, rules: Vec::new(), ids: HashSet::new(), faults: Vec::new() }
    }

    pub(super) fn add(&mut self, place: String, spec: &RuleSpec) {
        let mut report = Report { place, rule: spec.id.clone(), faults: &mut self.faults };
        let before = report.faults.len();
        if !self.ids.insert(spec.id.clone()) {
            report.fault(
                "its id is taken by an earlier rule",
                Some("give each rule an id of its own"),
            );
        }
        let rule = compile(spec, self.facts, &mut report);
        if let (Some(rule), true) = (rule, report.faults.len() == before) {
            self.rules.push(rule);
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Rule>, PolicyError> {
        if self.faults.is_empty() { Ok(self.rules) } else { Err(PolicyError(self.faults)) }
    }
}

/// Where a rule's faults go.
struct Report<'a> {
    place: String,
    rule: String,
    faults: &'a mut Vec<Fault>,
}

impl Report<'_> {
    fn fault(&mut self, message: impl Into<String>, hint: Option<&str>) {
        self.faults.push(Fault {
            place: self.place.clone(),
            rule: self.rule.clone(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        });
    }

    /// Parses each text; what does not parse is reported under the name of its key.
    fn parse<T: FromStr>(&mut self, key: &str, texts: &[String]) -> Vec<T>
    where
        T::Err: fmt::Display,
    {
        let mut parsed = Vec::with_capacity(texts.len());
        for text in texts {
            match text.parse() {
                Ok(value) => parsed.push(value),
                Err(error) => self.fault(format!("{key}: `{text}`: {error}"), None),
            }
        }
        parsed
    }
}

fn compile(spec: &RuleSpec, facts: &Facts, report: &mut Report<'_>) -> Option<Rule> {
    if spec.when.is_some() {
        report.fault(
            "when: this version evaluates no conditions",
            Some("express it with principals, scopes, methods and paths, or leave the rule out"),
        );
    }
    let id = match spec.id.parse::<RuleId>() {
        Ok(id) => Some(id),
        Err(error) => {
            report.fault(format!("id {error}"), Some("use letters, digits, `.`, `_` and `-`"));
            None
        }
    };
    let scopes: Scope = report.parse::<ScopeToken>("scopes", &spec.scopes).into_iter().collect();
    let tools = tools(spec, report);
    let graph = match &spec.graph {
        Some(graph) => Some(graph_rule(graph, spec.effect, facts, report)?),
        None => None,
    };
    Some(Rule {
        id: id?,
        effect: spec.effect,
        tools: tools?,
        scopes,
        principals: spec.principals.clone(),
        graph,
    })
}

fn tools(spec: &RuleSpec, report: &mut Report<'_>) -> Option<RegexSet> {
    if spec.tools.is_empty() {
        report.fault(
            "tools is empty, so the rule is about nothing",
            Some("tools = [\".*\"] means every tool"),
        );
        return None;
    }
    // Anchored, so that `delete` never matches `delete_all`; the group keeps `a|b` together.
    let anchored = spec.tools.iter().map(|pattern| format!("^(?:{pattern})$"));
    let set = RegexSet::new(anchored).ok();
    if set.is_none() {
        report.fault(
            "tools holds something that is not a regular expression",
            Some("in TOML a backslash is written twice: \"auth\\\\.graph\\\\..*\""),
        );
    }
    set
}

fn graph_rule(
    spec: &GraphSpec,
    effect: Effect,
    facts: &Facts,
    report: &mut Report<'_>,
) -> Option<GraphRule> {
    let unknown = spec.methods.iter().filter(|method| !METHODS.contains(&method.as_str()));
    for method in unknown.collect::<Vec<_>>() {
        report
            .fault(format!("graph.methods: `{method}` is not one of {}", METHODS.join(", ")), None);
    }
    if spec.methods.is_empty() || spec.paths.is_empty() {
        report.fault("graph needs at least one of methods and one of paths", None);
    }
    let paths = report.parse("graph.paths", &spec.paths);
    let permissions: Vec<Permission> = report.parse("graph.permissions", &spec.permissions);
    let listed =
        spec.query.as_ref().map(|names| names.iter().map(|name| query_option(name)).collect());
    let query = match (effect, listed) {
        (Effect::Deny, Some(list)) => Query::Using(list),
        (Effect::Deny, None) => Query::Any,
        (Effect::Allow | Effect::Ask, Some(list)) => Query::Only(list),
        (Effect::Allow | Effect::Ask, None) => Query::Usual,
    };
    let profile = profile(spec, facts, report)?;
    let (methods, reveal_links) = (spec.methods.clone(), spec.reveal_links);
    Some(GraphRule { profile, methods, paths, permissions, query, reveal_links })
}

/// The profile a rule acts with: the one it names, else the only one there is.
fn profile(spec: &GraphSpec, facts: &Facts, report: &mut Report<'_>) -> Option<ProfileName> {
    let known: Vec<&str> = facts.profiles.iter().map(|(name, _)| name.as_str()).collect();
    let found = match (&spec.profile, facts.profiles.as_slice()) {
        (Some(wanted), profiles) => profiles.iter().find(|(name, _)| name.as_str() == wanted),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    if found.is_none() {
        let wanted = spec.profile.as_deref().unwrap_or("(not named)");
        let hint = format!(
            "configured profiles: {}",
            if known.is_empty() { "none".into() } else { known.join(", ") }
        );
        report.fault(
            format!("graph.profile: `{wanted}` is not a configured [[graph.profile]]"),
            Some(&hint),
        );
    }
    found.map(|(name, _)| name.clone())
}
