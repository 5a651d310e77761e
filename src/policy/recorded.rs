//! A question as the audit log keeps it: enough to decide it again under other rules, and nothing that the rules
//! do not look at.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{Issuer, Permission, TenantId};
use crate::scope::Scope;

use super::ask::{Ask, GraphAsk, Operation};
use super::beside::{About, BesideAsk, beside};
use super::login::Login;
use super::names::Names;

/// The longest text of a claim that is kept.
const LONGEST_CLAIM: usize = 128;
/// Claims that are about the person (`OpenID` Connect Core §5.1) and no identifiers: never kept, also where a rule names them.
const PERSONAL: [&str; 20] = [
    "name",
    "given_name",
    "family_name",
    "middle_name",
    "nickname",
    "preferred_username",
    "profile",
    "picture",
    "website",
    "email",
    "email_verified",
    "gender",
    "birthdate",
    "zoneinfo",
    "locale",
    "phone_number",
    "phone_number_verified",
    "address",
    "updated_at",
    "upn",
];

/// Who asked for what. The subject, the client and the time are in the envelope of the event.
///
/// Of groups, roles and claims only those that the rules name. Never the arguments of a call, nor values of its query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub tool: Box<str>,
    pub issuer: Issuer,
    pub scopes: Scope,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub groups_incomplete: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub roles_incomplete: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Value>,
    /// Claims that the rules name and that are there, but are not kept: personal, long, or no plain value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
    /// Whether somebody could log in again, where the rules look at log-ins: of the claims that say so most are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// By how much the wall clock was stepped since the broker trusted it: what looks at the time was held against both times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_step_ms: Option<i64>,
    /// `None`: a tool that is no Graph operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<RecordedOperation>,
    /// Where a proxy beside a server asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<RecordedServer>,
}

/// The server that a proxy asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedServer {
    pub id: Box<str>,
    /// Those it was registered with then.
    pub scopes: Scope,
    pub about: About,
}

impl RecordedServer {
    pub(super) fn ask(&self) -> BesideAsk<'_> {
        BesideAsk { server: &self.id, scopes: &self.scopes, about: self.about }
    }
}

/// The Graph operation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOperation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Box<str>>,
    pub method: Box<str>,
    /// `v1.0` or `beta`.
    pub version: Box<str>,
    /// Decoded. What is in the brackets of a function, or after a colon, is `…`: it may be what somebody searches for.
    pub segments: Vec<String>,
    /// The names of its query options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<Permission>,
}

impl Recorded {
    /// Keeps what rules with these names look at.
    #[must_use]
    pub fn new(ask: &Ask<'_>, names: &Names) -> Self {
        let who = &ask.who;
        let known = |all: &[Arc<str>], names: &BTreeSet<String>| {
            all.iter().filter(|one| names.contains(&***one)).cloned().collect()
        };
        let looks_at_login = ["acr", "auth_time"].iter().any(|name| names.claims.contains(*name));
        let (mut claims, mut withheld) = (BTreeMap::new(), Vec::new());
        for name in &names.claims {
            match who.claims.and_then(|all| all.get(name)) {
                Some(value) if is_plain(name, value) => {
                    claims.insert(name.clone(), value.clone());
                }
                Some(_) => withheld.push(name.clone()),
                None => {}
            }
        }
        Self {
            tool: ask.tool.into(),
            issuer: who.issuer.clone(),
            scopes: who.scopes.clone(),
            groups: known(who.groups, &names.groups),
            groups_incomplete: who.groups_incomplete,
            roles: known(who.roles, &names.roles),
            roles_incomplete: who.roles_incomplete,
            claims,
            withheld,
            login: looks_at_login.then(|| Login::of(who)),
            clock_step_ms: ask.now.step_ms(),
            operation: match &ask.operation {
                Operation::Graph(graph) => Some(operation(graph)),
                Operation::Plain | Operation::AnyGraph | Operation::Beside(_) => None,
            },
            server: beside(&ask.operation).map(|beside| RecordedServer {
                id: beside.server.into(),
                scopes: beside.scopes.clone(),
                about: beside.about,
            }),
        }
    }

    /// What the record would name of a caller that was recorded under rules with `names`.
    #[must_use]
    pub fn told<'n>(&self, names: &'n Names) -> Cow<'n, Names> {
        if self.withheld.is_empty() {
            return Cow::Borrowed(names);
        }
        let mut told = names.clone();
        told.claims.retain(|claim| !self.withheld.contains(claim));
        Cow::Owned(told)
    }
}

/// Texts, numbers and truth values that identify rather than describe.
fn is_plain(name: &str, value: &Value) -> bool {
    let small = match value {
        Value::String(text) => text.len() <= LONGEST_CLAIM,
        Value::Bool(_) | Value::Number(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    small && !PERSONAL.contains(&name)
}

fn operation(ask: &GraphAsk<'_>) -> RecordedOperation {
    RecordedOperation {
        tenant: ask.tenant.cloned(),
        resource: ask.resource.map(Into::into),
        method: ask.method.into(),
        version: ask.version.into(),
        segments: ask.segments.iter().map(|segment| without_values(segment)).collect(),
        query: ask.query.iter().map(|(name, _)| plain_name(name)).collect(),
        permissions: ask.permissions.to_vec(),
    }
}

/// `search(q='salary')` becomes `search(…)`, `root:` stays, `root:/a` never is one segment. No placeholder of a rule
/// stands for either, so that rules see no difference.
fn without_values(segment: &str) -> String {
    match segment.find(['(', ':']) {
        Some(at) if at + 1 < segment.len() && segment.get(at..) != Some("()") => {
            format!("{}…", segment.get(..=at).unwrap_or_default())
        }
        _ => segment.to_owned(),
    }
}

/// Names of options are Graph's; what is none may be anything.
fn plain_name(name: &str) -> Box<str> {
    let plain = name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'$' || b == b'_');
    if plain { name.into() } else { "…".into() }
}
