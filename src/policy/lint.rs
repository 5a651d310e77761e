//! Rules that are well formed and yet not what their author can have meant.

mod cover;
mod names;
mod request;
mod shadow;
mod when;
mod who;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::id::{Permission, RuleId};
use crate::scope::Scope;

use super::decide::Policy;
use super::decision::Effect;
use super::rule::{Principals, Rule};

pub use who::People;

use shadow::Shadows;

/// What rules are held against.
#[derive(Clone, Debug, Default)]
pub struct World<'a> {
    /// The tool that has operations.
    pub operation_tool: &'a str,
    /// The scopes there are; `None`: only likely misspellings are told.
    pub scopes: Option<Scope>,
    /// Scopes that the settings name.
    pub usual_scopes: Scope,
    /// The issuers that tokens are accepted from, our own included.
    pub issuers: BTreeSet<String>,
    /// Those of them that may name roles; `None`: nobody looked.
    pub issuers_with_roles: Option<BTreeSet<String>>,
    /// The ids of servers behind the broker. Which tools they have, only they know.
    pub servers: BTreeSet<String>,
    /// The groups there are; `None`: only likely misspellings are told.
    pub groups: Option<BTreeSet<String>>,
    /// Who there is; `None`: nobody looked.
    pub people: Option<People>,
    /// Nobody can log in here to approve a call.
    pub approvals_off: bool,
}

/// What an operation needs, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The catalogue does not have it, which says nothing.
    Unknown,
    /// There is no operation with such a path, or it is spelt otherwise.
    NoSuch { near: Option<String> },
    /// No application can do it.
    Impossible,
    /// One of these is enough.
    OneOf(Vec<Permission>),
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lint {
    pub kind: LintKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<RuleId>,
    /// `policy.toml:12:1`, where it is about a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Arc<str>>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LintKind {
    NeverMatches,
    Shadowed,
    MatchesNoTool,
    UnknownTool,
    UnknownScope,
    UnknownGroup,
    UnknownClient,
    UnknownSubject,
    NobodyApproves,
    MissingPermission,
    ForbiddenPermission,
    UnreachableTool,
    ChangeableClaim,
    AnyIssuer,
    OpenToEverybody,
    CannotBeAsked,
    UnknownIssuer,
    UnknownOperation,
    NoScopes,
    RolesOfNobody,
}

impl LintKind {
    pub const ALL: [Self; 20] = [
        Self::NeverMatches,
        Self::Shadowed,
        Self::MatchesNoTool,
        Self::UnknownTool,
        Self::UnknownScope,
        Self::UnknownGroup,
        Self::UnknownClient,
        Self::UnknownSubject,
        Self::NobodyApproves,
        Self::MissingPermission,
        Self::ForbiddenPermission,
        Self::UnreachableTool,
        Self::ChangeableClaim,
        Self::AnyIssuer,
        Self::OpenToEverybody,
        Self::CannotBeAsked,
        Self::UnknownIssuer,
        Self::UnknownOperation,
        Self::NoScopes,
        Self::RolesOfNobody,
    ];
}

/// Claims that people or their administrators of another organisation change (attack: an account is renamed to look
/// like another).
const CHANGEABLE: [&str; 8] = [
    "preferred_username",
    "email",
    "name",
    "upn",
    "unique_name",
    "given_name",
    "family_name",
    "nickname",
];

impl Policy {
    /// Everything that is odd about the rules. `needs` says what an operation (a method and a path template) needs.
    #[must_use]
    pub fn lint(&self, world: &World<'_>, needs: impl Fn(&str, &str) -> Needs) -> Vec<Lint> {
        let mut lints = Lints(Vec::new());
        let (spelt, shadows) = (self.spelt(world), Shadows::new(self, &world.servers));
        for (number, rule) in self.rules.iter().enumerate() {
            self.tools_of(rule, world, &mut lints);
            never_matches(rule, world, &mut lints);
            when::never_matches(rule, &mut lints);
            names::names_of(rule, world, (&spelt, &mut lints));
            self.permissions_of(rule, &needs, &mut lints);
            unknown_operations(rule, &needs, &mut lints);
            changeable(rule, &mut lints);
            request::of_no_request(rule, &mut lints);
            request::cannot_be_asked(rule, &mut lints);
            who::any_issuer(rule, world, &mut lints);
            who::unknown(rule, world, &mut lints);
            who::unknown_issuers(rule, world, &mut lints);
            who::roles_of_nobody(rule, world, &mut lints);
            who::nobody_approves(rule, world, &mut lints);
            shadows.tell((number, rule), &mut lints);
            without_scopes(rule, &mut lints);
        }
        self.unknown_trusted(world, &mut lints);
        self.unreachable(world, &mut lints);
        lints.0
    }

    fn permissions_of(&self, rule: &Rule, needs: &impl Fn(&str, &str) -> Needs, lints: &mut Lints) {
        let Some(graph) = rule.graph.as_ref().filter(|_| rule.effect != Effect::Deny) else {
            return;
        };
        let outside: Vec<&Permission> = match &self.facts.allowed_permissions {
            Some(allowed) => {
                graph.permissions.iter().filter(|wanted| !allowed.contains(wanted)).collect()
            }
            None => Vec::new(),
        };
        if !outside.is_empty() {
            let message =
                format!("needs {}, which graph.allowed_permissions does not have", join(&outside));
            lints.add(
                rule,
                LintKind::ForbiddenPermission,
                message,
                "the rule allows no call that does not name other permissions",
            );
        }
        for method in &graph.methods {
            for path in &graph.paths {
                let operation = format!("{method} {}", path.text());
                match needs(method, path.text()) {
                    Needs::Impossible => lints.add(
                        rule,
                        LintKind::MissingPermission,
                        format!("no application can do {operation}"),
                        "it needs a signed-in user",
                    ),
                    Needs::OneOf(sufficient)
                        if !graph.permissions.iter().any(|own| suffices(own, &sufficient)) =>
                    {
                        let some: Vec<&Permission> = sufficient.iter().take(3).collect();
                        lints.add(
                            rule,
                            LintKind::MissingPermission,
                            format!("its permissions cannot do {operation}"),
                            &format!("the least that can: {}", join(&some)),
                        );
                    }
                    Needs::Unknown | Needs::NoSuch { .. } | Needs::OneOf(_) => {}
                }
            }
        }
    }

    fn unreachable(&self, world: &World<'_>, lints: &mut Lints) {
        for tool in &self.facts.tools {
            let opens = |rule: &&Rule| {
                rule.effect != Effect::Deny
                    && rule.tools.is_match(tool)
                    && (rule.graph.is_some() || tool != world.operation_tool)
                    && !rule.principals.is_nobody()
            };
            let closed = self.rules.iter().any(|rule| {
                rule.effect == Effect::Deny && rule.tools.is_match(tool) && rule.is_unconditional()
            });
            if closed || !self.rules.iter().any(|rule| opens(&rule)) {
                lints.0.push(Lint {
                    kind: LintKind::UnreachableTool,
                    rule_id: None,
                    place: None,
                    message: format!("nobody can reach the tool `{tool}`"),
                    hint: Some(
                        if closed { "a rule denies it to everybody" } else { "no rule allows it" }
                            .to_owned(),
                    ),
                });
            }
        }
    }
}

struct Lints(Vec<Lint>);

impl Lints {
    fn add(&mut self, rule: &Rule, kind: LintKind, message: impl Into<String>, hint: &str) {
        self.0.push(Lint {
            kind,
            rule_id: Some(rule.id.clone()),
            place: Some(Arc::clone(&rule.place)),
            message: message.into(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        });
    }
}

/// Operations that there are not. Also of a rule that denies, which then denies nothing.
fn unknown_operations(rule: &Rule, needs: &impl Fn(&str, &str) -> Needs, lints: &mut Lints) {
    let Some(graph) = &rule.graph else { return };
    for path in &graph.paths {
        let needed = graph.methods.first().map(|method| needs(method, path.text()));
        if let Some(Needs::NoSuch { near }) = needed {
            let message = format!("the catalogue of Graph has no path like {path}");
            let hint = near.map(|near| format!("did you mean {near}?")).unwrap_or_default();
            lints.add(rule, LintKind::UnknownOperation, message, &hint);
        }
    }
}

/// What any token may use, whatever it was issued for.
fn without_scopes(rule: &Rule, lints: &mut Lints) {
    if rule.effect == Effect::Deny || !rule.scopes.is_empty() {
        return;
    }
    let everybody = rule.principals.is_everybody() && !rule.has_conditions();
    if everybody && rule.effect == Effect::Allow {
        let hint = "add scopes, principals or a condition";
        lints.add(rule, LintKind::OpenToEverybody, "allows everybody who has a token", hint);
    } else {
        let message = "needs no scope: every token of these callers will do, whatever it is for";
        let hint = "add scopes, so that people consent to it, or --allow no_scopes";
        lints.add(rule, LintKind::NoScopes, message, hint);
    }
}

fn never_matches(rule: &Rule, world: &World<'_>, lints: &mut Lints) {
    if rule.principals.is_nobody() {
        let hint = "leave the list out to mean everybody, or delete the rule";
        lints.add(
            rule,
            LintKind::NeverMatches,
            "a list of its principals is empty, so it is about nobody",
            hint,
        );
    }
    let has_operations = rule.tools.is_match(world.operation_tool);
    if rule.graph.is_some() && !has_operations {
        let hint = format!("name the tool {}, or leave graph out", world.operation_tool);
        lints.add(
            rule,
            LintKind::NeverMatches,
            "has a graph part, but is about no tool with operations",
            &hint,
        );
    }
    if rule.graph.is_none()
        && rule.effect != Effect::Deny
        && rule.tools.outright().all(|name| **name == *world.operation_tool)
        && rule.tools.outright().next().is_some()
        && rule.tools.names().is_some()
    {
        lints.add(
            rule,
            LintKind::NeverMatches,
            "has no graph part, so it opens no operation",
            "add graph = { … }",
        );
    }
    for path in rule.graph.iter().flat_map(|graph| &graph.paths) {
        if path.literals().next().flatten().is_some_and(|first| first.eq_ignore_ascii_case("me")) {
            let message = format!("{path} needs a signed-in user, and calls of it are refused");
            lints.add(rule, LintKind::NeverMatches, message, "write /v1.0/users/{id}");
        }
    }
}

fn changeable(rule: &Rule, lints: &mut Lints) {
    let Some(when) = &rule.when else { return };
    let named: BTreeSet<&str> = when.claims().filter(|claim| CHANGEABLE.contains(claim)).collect();
    for claim in named {
        let message = format!("trusts claims.{claim}, which people can change");
        lints.add(rule, LintKind::ChangeableClaim, message, "compare claims.oid or claims.sub");
    }
}

/// Whether a permission is one of these, or does more: what may write, may read.
fn suffices(own: &Permission, sufficient: &[Permission]) -> bool {
    let own = own.as_str();
    let reads = own.replace(".ReadWrite", ".Read");
    let basic = own.replace(".ReadWrite", ".ReadBasic").replace(".Read.", ".ReadBasic.");
    sufficient.iter().any(|wanted| [own, &reads, &basic].contains(&wanted.as_str()))
}

fn join(permissions: &[&Permission]) -> String {
    let texts: Vec<&str> = permissions.iter().map(|permission| permission.as_str()).collect();
    texts.join(", ")
}

impl Principals {
    pub(super) const fn is_everybody(&self) -> bool {
        self.clients.is_none()
            && self.subjects.is_none()
            && self.groups.is_none()
            && self.roles.is_none()
            && self.issuers.is_none()
            && self.assurance.is_none()
            && self.max_auth_age_seconds.is_none()
    }

    /// A list is empty.
    fn is_nobody(&self) -> bool {
        self.lists().into_iter().flatten().any(Vec::is_empty)
    }
}
