//! Random callers of an identity provider, and what rules can say of them.

use mcp_auth_broker::id::{ClientId, Issuer, Subject};
use mcp_auth_broker::policy::Who;
use mcp_auth_broker::scope::Scope;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::support::tokens::{ISSUER, SigningKey};

const SECRET: &str = "a secret that the broker and the identity provider share";

/// The table of the issuer in the settings.
pub(super) fn settings() -> String {
    format!(
        "[[resource_server.issuer]]\nissuer = \"{ISSUER}\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\n"
    )
}

#[derive(Clone, Debug)]
pub(super) struct Caller {
    subject: &'static str,
    groups: Vec<&'static str>,
    roles: Vec<&'static str>,
    pub(super) scopes: Vec<String>,
}

pub(super) fn callers() -> impl Strategy<Value = Caller> {
    let who = (
        select(&["ada", "eve"][..]),
        subsequence(&["board", "helpdesk"][..], 0..=2),
        subsequence(&["admin", "guest"][..], 0..=2),
        subsequence(&["a", "b", "c:*", "c:x"][..], 0..=3),
    );
    who.prop_map(|(subject, groups, roles, scopes)| {
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        Caller { subject, groups, roles, scopes }
    })
}

/// The principals of a rule.
pub(super) fn principals() -> impl Strategy<Value = String> {
    let list = |name: &'static str, of: &'static [&'static str]| {
        let list = proptest::option::weighted(0.25, subsequence(of, 1..=of.len()));
        list.prop_map(move |list| list.map(|list| format!("{name} = {list:?}")))
    };
    let all = (
        list("subjects", &["ada", "eve"]),
        list("groups", &["board", "helpdesk"]),
        list("roles", &["admin", "guest"]),
    );
    all.prop_map(|(subjects, groups, roles)| {
        let given: Vec<_> = [subjects, groups, roles].into_iter().flatten().collect();
        format!("principals = {{ {} }}\n", given.join(", "))
    })
}

impl Caller {
    /// The same with more scopes.
    pub(super) fn with<'a>(&self, more: impl Iterator<Item = &'a String>) -> Self {
        let mut caller = self.clone();
        caller.scopes.extend(more.cloned());
        caller
    }

    fn claims(&self, audience: &str) -> Value {
        let now = SystemClock.now().unix_seconds();
        json!({
            "iss": ISSUER, "aud": audience, "sub": self.subject, "client_id": "c1", "jti": "token-1",
            "iat": now, "exp": now + 600, "scope": self.scopes.join(" "),
            "groups": self.groups, "roles": self.roles,
        })
    }

    pub(super) fn token(&self, audience: &str) -> String {
        SigningKey::Secret(SECRET.into()).token("k1", self.claims(audience))
    }

    /// As policy sees it.
    pub(super) fn ask<T>(&self, audience: &str, ask: impl FnOnce(Who<'_>) -> T) -> T {
        let issuer: Issuer = ISSUER.parse().unwrap();
        let (subject, client): (Subject, ClientId) =
            (self.subject.parse().unwrap(), "c1".parse().unwrap());
        let scopes: Scope = self.scopes.join(" ").parse().unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<_>>();
        let claims = self.claims(audience);
        ask(Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: Some(&client),
            scopes: &scopes,
            groups: &names(&self.groups),
            groups_incomplete: false,
            roles: &names(&self.roles),
            roles_incomplete: false,
            claims: claims.as_object(),
            told: None,
        })
    }
}
