//! What a rule compares, what it saw, and what would make it fit.

use std::fmt::Display;

use serde_json::Value;

use crate::policy::ask::{Arguments, Ask, GraphAsk, Operation};
use crate::policy::condition::Truth;
use crate::policy::decide::{Policy, needed};
use crate::policy::decision::Effect;
use crate::policy::judge::Aspect;
use crate::policy::rule::{GraphRule, Query, Rule, query_option};

use super::Compared;

/// Values of a list that are shown.
const MOST: usize = 20;

/// Puts one comparison into words.
pub(super) fn compared(
    policy: &Policy,
    rule: &Rule,
    ask: &Ask<'_>,
    aspect: Aspect,
    came_to: Truth,
) -> Compared {
    let (key, wants, saw) = match aspect {
        Aspect::Operation
        | Aspect::Methods
        | Aspect::Paths
        | Aspect::Query
        | Aspect::Tenant
        | Aspect::Permissions => operation(policy, rule, ask, aspect),
        Aspect::Argument(number) => argument(rule, ask, number),
        Aspect::Condition => {
            let text = rule.when.as_ref().map(|when| when.text().to_string()).unwrap_or_default();
            ("when".to_owned(), text, "see its parts".to_owned())
        }
        Aspect::Scopes => {
            ("scopes".to_owned(), rule.scopes.to_string(), ask.who.scopes.to_string())
        }
        Aspect::Clients
        | Aspect::Subjects
        | Aspect::Issuers
        | Aspect::Roles
        | Aspect::Groups
        | Aspect::Assurance
        | Aspect::AuthAge => principal(rule, ask, aspect),
    };
    let change = match came_to {
        Truth::True => None,
        Truth::False => Some(change(&key, &wants)),
        Truth::Error => Some(format!("{key} that can be evaluated: {wants}")),
        Truth::Unknown => Some(format!("{key}, which is not known here: {wants}")),
    };
    let saw = match came_to {
        _ if !saw.is_empty() => saw,
        Truth::Unknown => "nothing that is known here".to_owned(),
        Truth::True | Truth::False | Truth::Error => "nothing".to_owned(),
    };
    Compared { key, wants, saw, came_to, change }
}

/// Of what the record has no value for, by the very rules that decided.
pub(super) const fn not_on_record(came_to: Truth) -> &'static str {
    match came_to {
        Truth::True => "what is not on record, and fitted at the time",
        Truth::False => "what is not on record, and did not fit at the time",
        Truth::Error => "what is not on record, and could not be evaluated at the time",
        Truth::Unknown => "what is not on record",
    }
}

fn change(key: &str, wants: &str) -> String {
    match key {
        "scopes" => format!("the scopes {wants}"),
        "when" => format!("the condition true: {wants}"),
        "graph" => wants.to_owned(),
        _ => format!("{key}: {wants}"),
    }
}

fn operation(
    policy: &Policy,
    rule: &Rule,
    ask: &Ask<'_>,
    aspect: Aspect,
) -> (String, String, String) {
    let (Some(graph), Operation::Graph(wanted)) = (&rule.graph, &ask.operation) else {
        let wants = if rule.graph.is_some() {
            "one operation, not the tool as such".to_owned()
        } else {
            "a graph part in the rule: without one it opens no operation".to_owned()
        };
        return ("graph".to_owned(), wants, kind(&ask.operation).to_owned());
    };
    let (key, wants, saw) = match aspect {
        Aspect::Methods => ("methods", graph.methods.join(" or "), wanted.method.to_owned()),
        Aspect::Paths => ("paths", joined(&graph.paths, " or "), path(wanted)),
        Aspect::Query => ("query", query(&graph.query), options(wanted)),
        Aspect::Tenant => (
            "profile",
            policy.tenant_of(graph).map(|tenant| format!("tenant {tenant}")).unwrap_or_default(),
            wanted.tenant.map_or_else(|| "no tenant named".to_owned(), ToString::to_string),
        ),
        _ => ("permissions", permissions(policy, graph), joined(needed(graph, wanted), " ")),
    };
    (format!("graph.{key}"), wants, saw)
}

const fn kind(operation: &Operation<'_>) -> &'static str {
    match operation {
        Operation::Plain => "a tool without operations",
        Operation::AnyGraph => "the tool as such",
        Operation::Graph(_) => "one operation",
        Operation::Beside(_) => "something at a server",
    }
}

fn path(ask: &GraphAsk<'_>) -> String {
    format!("/{}/{}", ask.version, ask.segments.join("/"))
}

fn query(query: &Query) -> String {
    match query {
        Query::Usual => "the usual options, not $expand".to_owned(),
        Query::Only(list) if list.is_empty() => "no option".to_owned(),
        Query::Only(list) => format!("no option but {}", list.join(", ")),
        Query::Using(list) => format!("one of {}", list.join(", ")),
        Query::Any => "any".to_owned(),
    }
}

fn options(ask: &GraphAsk<'_>) -> String {
    let names: Vec<String> = ask.query.iter().map(|(name, _)| query_option(name)).collect();
    names.join(", ")
}

fn permissions(policy: &Policy, graph: &GraphRule) -> String {
    let own = joined(&graph.permissions, " ");
    match &policy.facts.allowed_permissions {
        Some(allowed) => {
            format!("{own}, within graph.allowed_permissions {}", joined(allowed, " "))
        }
        None => own,
    }
}

fn argument(rule: &Rule, ask: &Ask<'_>, number: usize) -> (String, String, String) {
    let Some((name, allowed)) = rule.arguments.get(number) else {
        return ("arguments".to_owned(), String::new(), String::new());
    };
    let saw = match ask.arguments {
        Arguments::Unknown => "not said yet".to_owned(),
        Arguments::Json(text) => serde_json::from_str::<Value>(text).map_or_else(
            |_| "not JSON, or too large".to_owned(),
            |all| {
                all.pointer(&format!("/{}", name.replace('.', "/"))).map_or_else(String::new, short)
            },
        ),
    };
    (format!("arguments.{name}"), joined(allowed, " or "), saw)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn principal(rule: &Rule, ask: &Ask<'_>, aspect: Aspect) -> (String, String, String) {
    let (who, principals) = (&ask.who, &rule.principals);
    let claim = |name: &str| who.claims.and_then(|claims| claims.get(name));
    let (key, wants, saw) = match aspect {
        Aspect::Clients => ("clients", list(principals.clients.as_ref()), shown(who.client_id)),
        Aspect::Subjects => ("subjects", list(principals.subjects.as_ref()), shown(who.subject)),
        Aspect::Issuers => ("issuers", list(principals.issuers.as_ref()), who.issuer.to_string()),
        Aspect::Roles => {
            let saw = all_of(who.roles, who.roles_incomplete);
            ("roles", list(principals.roles.as_ref()), saw)
        }
        Aspect::Groups => {
            let saw = all_of(who.groups, who.groups_incomplete);
            ("groups", list(principals.groups.as_ref()), saw)
        }
        Aspect::Assurance => (
            "assurance",
            list(principals.assurance.as_ref()),
            claim("acr").map_or_else(|| "no acr".to_owned(), short),
        ),
        _ => (
            "max_auth_age_seconds",
            age(rule.principals.max_auth_age_seconds, rule.effect),
            login(claim("auth_time").and_then(Value::as_i64), ask),
        ),
    };
    (format!("principals.{key}"), wants, saw)
}

fn all_of(names: &[std::sync::Arc<str>], incomplete: bool) -> String {
    let all = joined(names, ", ");
    if incomplete { format!("{all} (the issuer left some out)") } else { all }
}

fn age(limit: Option<u32>, effect: Effect) -> String {
    let whose = if effect == Effect::Deny { "a caller whose login is" } else { "a login" };
    format!("{whose} at most {} seconds old", limit.unwrap_or_default())
}

fn login(time: Option<i64>, ask: &Ask<'_>) -> String {
    let Some(time) = time else { return "no auth_time".to_owned() };
    let now = ask.now.wall.max(ask.now.steady).unix_seconds();
    format!("{} seconds", now.saturating_sub(time))
}

fn list(values: Option<&Vec<String>>) -> String {
    joined(values.map_or(&[][..], Vec::as_slice), " or ")
}

fn shown(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn joined<T: Display>(values: &[T], by: &str) -> String {
    let mut texts: Vec<String> = values.iter().take(MOST).map(ToString::to_string).collect();
    if values.len() > MOST {
        texts.push("…".to_owned());
    }
    texts.join(by)
}
