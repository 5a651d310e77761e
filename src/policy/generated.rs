//! Random rules, callers and calls over a small world, so that they meet.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::scope::Scope;
use crate::time::Timestamp;

use super::{Arguments, Ask, Facts, GraphAsk, Moment, Operation, Policy, Who};

pub(super) const TOOLS: [&str; 5] = ["auth.execute", "auth.list", "delete", "drop", "get_all"];
const PATTERNS: [&str; 7] =
    [r"auth\.execute", "delete", ".*", r"auth\..*", "delete|drop", "get_.*", "drop"];
const TEMPLATES: [&str; 8] = [
    "/v1.0/users",
    "/v1.0/Users/{id}",
    "/beta/users/{id}",
    "/v1.0/{any}/{id}",
    "/v1.0/{any}/{id}/messages",
    "/v1.0/users/{id}/Messages",
    "/v1.0/users/ada/{any}",
    "/v1.0/users/{id}/messages/{message}",
];
const PATHS: [&str; 7] = [
    "v1.0/users",
    "v1.0/users/ada",
    "v1.0/USERS/ada/messages",
    "v1.0/users/ada/messages/1",
    "v1.0/groups/ada/messages",
    "beta/users/ada",
    "v1.0/me/ada",
];
const CONDITIONS: [&str; 8] = [
    "claims.level == 3",
    "claims.oid == 'ada' || claims.level > 1",
    "!(claims.level < 3)",
    "arguments.amount > 5",
    "caller.subject == 'ada'",
    "'board' in caller.groups",
    "now.getHours() < 12",
    "request.write && claims.level == 3",
];
const SCOPES: [&str; 3] = ["a", "b", "c:x"];

/// The policy of these rules. Of a tool that it does not know it looks at every rule.
pub(super) fn policy(rules: &str, tools: &[&str]) -> Policy {
    let facts = Facts {
        issuer: "https://broker.example".to_owned(),
        profiles: vec![("reader".parse().unwrap(), "contoso".parse().unwrap())],
        resource: "https://graph.microsoft.com".to_owned(),
        allowed_resources: vec!["https://graph.microsoft.com".to_owned()],
        allowed_permissions: None,
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        reading_tools: vec!["get_all".to_owned()],
    };
    Policy::load("policy.toml", rules, Some("t"), &[], facts).unwrap()
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(of, 1..=of.len())
}

fn principals() -> impl Strategy<Value = String> {
    let list = |name: &'static str, of: &'static [&'static str]| {
        let list = proptest::option::weighted(0.3, subsequence(of, 0..=of.len()));
        list.prop_map(move |list| list.map(|list| format!("{name} = {list:?}")))
    };
    let all = (
        list("clients", &["agent", "other"]),
        list("subjects", &["ada", "grace"]),
        list("groups", &["helpdesk", "board"]),
        list("roles", &["admin", "guest"]),
        list("assurance", &["mfa", "pwd"]),
        proptest::option::weighted(0.2, select(&["max_auth_age_seconds = 7200"][..])),
    );
    all.prop_map(|(clients, subjects, groups, roles, assurance, age)| {
        let age = age.map(str::to_owned);
        let given = [clients, subjects, groups, roles, assurance, age];
        let given: Vec<_> = given.into_iter().flatten().collect();
        format!("principals = {{ {} }}", given.join(", "))
    })
}

fn graph() -> impl Strategy<Value = String> {
    let permissions = subsequence(&["P.Read", "P.Write"][..], 0..=2);
    let graph = (some(&["GET", "DELETE"]), some(&TEMPLATES), permissions);
    let graph = graph.prop_map(|(methods, paths, permissions)| {
        format!(
            "graph = {{ methods = {methods:?}, paths = {paths:?}, permissions = {permissions:?} }}"
        )
    });
    proptest::option::of(graph).prop_map(Option::unwrap_or_default)
}

fn conditions() -> impl Strategy<Value = String> {
    let when = proptest::option::weighted(0.4, select(&CONDITIONS[..]));
    let arguments = proptest::option::weighted(0.2, select(&["eu", "us"][..]));
    (when, arguments).prop_map(|(when, region)| {
        let when = when.map(|when| format!("when = {when:?}\n")).unwrap_or_default();
        let region = region.map(|region| format!("arguments = {{ region = [{region:?}] }}\n"));
        when + &region.unwrap_or_default()
    })
}

pub(super) fn rules() -> impl Strategy<Value = String> {
    let rule = (
        select(&["allow", "allow", "deny", "ask"][..]),
        some(&PATTERNS),
        subsequence(&SCOPES[..], 0..=2),
        principals(),
        graph(),
        conditions(),
    );
    proptest::collection::vec(rule, 0..12).prop_map(|rules| {
        let text = |(number, (effect, tools, scopes, principals, graph, conditions))| {
            format!(
                "[[rule]]\nid = \"r{number}\"\neffect = \"{effect}\"\ntools = {tools:?}\n\
                 scopes = {scopes:?}\n{principals}\n{graph}\n{conditions}\n"
            )
        };
        rules.into_iter().enumerate().map(text).collect()
    })
}

/// Rules about one and the same operation, which differ in their effect and in what they need.
pub(super) fn alike() -> impl Strategy<Value = String> {
    let rule = (
        select(&["allow", "ask"][..]),
        subsequence(&SCOPES[..], 0..=1),
        subsequence(&["P.Read", "P.Other"][..], 0..=2),
    );
    proptest::collection::vec(rule, 1..5).prop_map(|rules| {
        let text = |(number, (effect, scopes, permissions))| {
            format!(
                "[[rule]]\nid = \"r{number}\"\neffect = \"{effect}\"\ntools = [\"auth\\\\.execute\"]\n\
                 scopes = {scopes:?}\ngraph = {{ methods = [\"GET\"], paths = [\"/v1.0/users\"], permissions = {permissions:?} }}\n"
            )
        };
        rules.into_iter().enumerate().map(text).collect()
    })
}

/// A question that owns what an [`Ask`] borrows.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) tool: &'static str,
    client: Option<&'static str>,
    subject: &'static str,
    groups: Vec<&'static str>,
    groups_incomplete: bool,
    roles: Vec<&'static str>,
    roles_incomplete: bool,
    pub(super) scopes: BTreeSet<&'static str>,
    method: &'static str,
    path: &'static str,
    claims: Map<String, Value>,
    arguments: &'static str,
    permissions: Vec<&'static str>,
    hour: i64,
}

pub(super) fn questions() -> impl Strategy<Value = Question> {
    let who = (
        select(&[None, Some("agent"), Some("other")][..]),
        select(&["ada", "grace"][..]),
        subsequence(&["helpdesk", "board"][..], 0..=2),
        any::<(bool, bool)>(),
        subsequence(&["admin", "guest"][..], 0..=2),
        subsequence(&["a", "b", "c:*", "c:x"][..], 0..=3),
        claims(),
    );
    let what = (
        select(&TOOLS[..]),
        select(&["GET", "DELETE", "POST"][..]),
        select(&PATHS[..]),
        select(&["{}", r#"{"amount":9,"region":"eu"}"#, r#"{"amount":"x","region":"us"}"#][..]),
        subsequence(&["P.Read", "P.Other"][..], 0..=1),
        0_i64..24,
    );
    (who, what).prop_map(|(who, (tool, method, path, arguments, permissions, hour))| {
        let (client, subject, groups, incomplete, roles, scopes, claims) = who;
        let (groups_incomplete, roles_incomplete) = incomplete;
        let scopes = scopes.into_iter().collect();
        Question {
            tool,
            client,
            subject,
            groups,
            groups_incomplete,
            roles,
            roles_incomplete,
            scopes,
            method,
            path,
            claims,
            arguments,
            permissions,
            hour,
        }
    })
}

fn claims() -> impl Strategy<Value = Map<String, Value>> {
    let acr = select(&[None, Some("mfa"), Some("pwd")][..]);
    (acr, 0_i64..5, any::<bool>(), 0_i64..24).prop_map(|(acr, level, has_oid, hour)| {
        let mut claims = Map::new();
        claims.insert("auth_time".to_owned(), json!(midnight() + hour * 3600));
        claims.extend(acr.map(|acr| ("acr".to_owned(), json!(acr))));
        claims.extend((level > 0).then(|| ("level".to_owned(), json!(level))));
        claims.extend(has_oid.then(|| ("oid".to_owned(), json!("ada"))));
        claims
    })
}

/// Which question about the same tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// This operation.
    Operation,
    /// The tool of operations as such.
    AnyOperation,
    /// A call of a tool that has none.
    Call,
    /// Such a tool as such.
    Tool,
}

pub(super) const FORMS: [Form; 4] = [Form::Operation, Form::AnyOperation, Form::Call, Form::Tool];

impl Question {
    /// The same caller's, about what [`alike`] rules are about.
    pub(super) fn of_alike(self) -> Self {
        Self { tool: "auth.execute", method: "GET", path: "v1.0/users", ..self }
    }

    pub(super) fn ask<T>(&self, form: Form, see: impl FnOnce(&Ask<'_>) -> T) -> T {
        let issuer = "https://broker.example".parse().unwrap();
        let client = self.client.map(|client| client.parse().unwrap());
        let subject = self.subject.parse().unwrap();
        let scopes: Scope =
            self.scopes.iter().copied().collect::<Vec<_>>().join(" ").parse().unwrap();
        let owned = |names: &[&'static str]| -> Vec<Arc<str>> {
            names.iter().copied().map(Arc::from).collect()
        };
        let (groups, roles) = (owned(&self.groups), owned(&self.roles));
        let (version, path) = self.path.split_once('/').unwrap();
        let segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let permissions: Vec<_> =
            self.permissions.iter().map(|name| name.parse().unwrap()).collect();
        let graph = GraphAsk {
            tenant: None,
            resource: None,
            method: self.method,
            version,
            segments: &segments,
            query: &[],
            permissions: &permissions,
            asserted_requester: None,
        };
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: client.as_ref(),
            scopes: &scopes,
            groups: &groups,
            groups_incomplete: self.groups_incomplete,
            roles: &roles,
            roles_incomplete: self.roles_incomplete,
            claims: Some(&self.claims),
            told: None,
        };
        let (operation, arguments) = match form {
            Form::Operation => (Operation::Graph(graph), Arguments::Json(self.arguments)),
            Form::AnyOperation => (Operation::AnyGraph, Arguments::Unknown),
            Form::Call => (Operation::Plain, Arguments::Json(self.arguments)),
            Form::Tool => (Operation::Plain, Arguments::Unknown),
        };
        see(&Ask { who, tool: self.tool, operation, arguments, now: self.now() })
    }

    fn now(&self) -> Moment {
        Moment::at(Timestamp::from_unix_seconds(midnight() + self.hour * 3600))
    }
}

const fn midnight() -> i64 {
    1_795_132_800
}
