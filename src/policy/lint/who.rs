//! People, clients and groups that there are not, and calls that nobody could approve.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::condition::Condition;
use crate::policy::decide::Policy;
use crate::policy::decision::Effect;
use crate::policy::rule::{Principals, Rule};

use super::names::near;
use super::{Lint, LintKind, Lints, World};

/// Who there is, by the store.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Ids of users, which are the subjects of their tokens, each with its username.
    pub users: BTreeMap<String, String>,
    /// Groups that a user is in who may log in.
    pub groups: BTreeSet<String>,
    /// Whether a user who may log in is an administrator.
    pub administrator: bool,
    /// Clients of the store and of the settings.
    pub clients: BTreeSet<String>,
    /// What the ids of clients begin with that need not be in the store.
    pub unlisted_clients: Vec<&'static str>,
    /// Whether there are others, whom the store learns of when they log in.
    pub elsewhere: bool,
}

/// Names mean something within their issuer only (RFC 9068 §5: another issuer may give the same to somebody else).
pub(super) fn any_issuer(rule: &Rule, world: &World<'_>, lints: &mut Lints) {
    if world.issuers.len() < 2 || rule.effect == Effect::Deny || rule.principals.issuers.is_some() {
        return;
    }
    let mut named: Vec<String> = rule.principals.named().map(str::to_owned).collect();
    let looked_at = rule.when.iter().flat_map(Condition::names).collect::<BTreeSet<_>>();
    if !looked_at.iter().any(|name| ISSUERS.contains(&name.as_str())) {
        named.extend(looked_at.into_iter().filter(|name| OF_AN_ISSUER.contains(&name.as_str())));
    }
    if named.is_empty() {
        return;
    }
    let message = format!(
        "names {} of any issuer, and tokens of {} issuers are accepted",
        named.join(" and "),
        world.issuers.len()
    );
    lints.add(rule, LintKind::AnyIssuer, message, "add issuers = [\"…\"] to its principals");
}

/// What an issuer gave out, as conditions name it.
const OF_AN_ISSUER: [&str; 9] = [
    "caller.client_id",
    "caller.subject",
    "caller.groups",
    "caller.roles",
    "claims.sub",
    "claims.client_id",
    "claims.azp",
    "claims.groups",
    "claims.roles",
];
const ROLES: [&str; 2] = ["caller.roles", "claims.roles"];
const ISSUERS: [&str; 2] = ["caller.issuer", "claims.iss"];

/// Clients and subjects that the store does not have. Only where it has all there are.
pub(super) fn unknown(rule: &Rule, world: &World<'_>, lints: &mut Lints) {
    let Some(people) = world.people.as_ref().filter(|_| world.issuers.len() < 2) else { return };
    let known: Vec<&String> = people.clients.iter().collect();
    for client in rule.principals.clients.iter().flatten() {
        let mut unlisted = people.unlisted_clients.iter();
        if !unlisted.any(|start| client.starts_with(start)) && !people.clients.contains(client) {
            let message = format!("there is no client `{client}`");
            lints.add(rule, LintKind::UnknownClient, message, &near(client, &known));
        }
    }
    for subject in rule.principals.subjects.iter().flatten() {
        // A client that acts for itself is its own subject.
        if people.users.contains_key(subject) || people.clients.contains(subject) {
            continue;
        }
        let named = people.users.iter().find(|(_, username)| *username == subject);
        if let Some((id, _)) = named {
            let message = format!("`{subject}` is a username, and no subject");
            let hint = format!("tokens of this user have the subject {id}");
            lints.add(rule, LintKind::UnknownSubject, message, &hint);
        } else if !people.elsewhere {
            let message = format!("there is no user with the id `{subject}`");
            let hint = "`broker user list` has the ids of users";
            lints.add(rule, LintKind::UnknownSubject, message, hint);
        }
    }
}

/// Issuers that no token here can be of: what allows by one allows nobody, and what denies by one denies nobody.
pub(super) fn unknown_issuers(rule: &Rule, world: &World<'_>, lints: &mut Lints) {
    let listed = rule.principals.issuers.iter().flatten().cloned();
    let compared = rule.when.iter().flat_map(Condition::issuers);
    let named: BTreeSet<String> = listed.chain(compared).collect();
    for issuer in named.iter().filter(|issuer| !world.issuers.contains(*issuer)) {
        let message = format!("no token is accepted of the issuer `{issuer}`");
        lints.add(rule, LintKind::UnknownIssuer, message, &world.near_issuer(issuer));
    }
}

/// Roles that no issuer gives: what allows by them allows nobody, and what denies by them denies nobody.
pub(super) fn roles_of_nobody(rule: &Rule, world: &World<'_>, lints: &mut Lints) {
    let Some(able) = &world.issuers_with_roles else { return };
    let looked_at = rule.when.iter().flat_map(Condition::names);
    let compared = looked_at.into_iter().any(|name| ROLES.contains(&name.as_str()));
    if rule.principals.roles.is_none() && !compared {
        return;
    }
    let is_able = |issuer: &String| able.contains(issuer);
    let given = match &rule.principals.issuers {
        Some(listed) => listed.iter().any(is_able),
        None => world.issuers.iter().any(is_able),
    };
    if !given {
        let message = "names roles, and no issuer of its tokens gives any";
        let hint = "say with claims.roles of authorization_server.identity_provider where a provider names them, or name groups";
        lints.add(rule, LintKind::RolesOfNobody, message, hint);
    }
}

impl Policy {
    /// The same of the clients that may speak for others.
    pub(super) fn unknown_trusted(&self, world: &World<'_>, lints: &mut Lints) {
        for (client, issuer) in &self.may_assert_requester {
            if !world.issuers.contains(issuer) {
                let hint = world.near_issuer(issuer);
                lints.0.push(Lint {
                    kind: LintKind::UnknownIssuer,
                    rule_id: None,
                    place: None,
                    message: format!("may_assert_requester names `{client}` of the issuer `{issuer}`, of which no token is accepted"),
                    hint: Some(hint),
                });
            }
        }
    }
}

impl World<'_> {
    fn near_issuer(&self, issuer: &str) -> String {
        let known: Vec<&String> = self.issuers.iter().collect();
        match near(issuer, &known) {
            none if none.is_empty() && known.is_empty() => "no issuer is configured".to_owned(),
            none if none.is_empty() => {
                let all: Vec<&str> = known.into_iter().map(String::as_str).collect();
                format!("the issuers are {}", all.join(", "))
            }
            near => near,
        }
    }
}

/// A call that waits for a person where there is none.
pub(super) fn nobody_approves(rule: &Rule, world: &World<'_>, lints: &mut Lints) {
    let Some(approval) = rule.obligations.approval.as_ref().filter(|_| rule.effect == Effect::Ask)
    else {
        return;
    };
    if world.approvals_off {
        let message = "waits for a person, and nobody can log in to answer";
        let hint = "authorization_server.enabled = true, or answer with `broker approval`";
        lints.add(rule, LintKind::NobodyApproves, message, hint);
    }
    let Some(people) = &world.people else { return };
    if approval.approvers.is_empty() {
        if !people.administrator {
            let message = "waits for an administrator, and there is none";
            let hint = "name groups in approvers, or make somebody an administrator with `broker user add --admin`";
            lints.add(rule, LintKind::NobodyApproves, message, hint);
        }
        return;
    }
    let known = world.groups.as_ref();
    let there_is = |group: &String| {
        people.groups.contains(group) || known.is_some_and(|known| known.contains(group))
    };
    if !approval.approvers.iter().any(there_is) {
        let message = format!("nobody is in {}, who could approve", approval.approvers.join(", "));
        let hint = if people.elsewhere {
            "nobody of them has logged in yet: --group NAME if there is the group"
        } else {
            "put somebody into the group, or name another one"
        };
        lints.add(rule, LintKind::NobodyApproves, message, hint);
    }
}

impl Principals {
    /// The lists whose entries an issuer gave out.
    fn named(&self) -> impl Iterator<Item = &'static str> {
        let lists = [
            ("clients", &self.clients),
            ("subjects", &self.subjects),
            ("groups", &self.groups),
            ("roles", &self.roles),
        ];
        lists.into_iter().filter(|(_, list)| list.is_some()).map(|(name, _)| name)
    }
}
