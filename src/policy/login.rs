//! Which log-in would open what is refused (RFC 9470): the same person, known more surely or more recently.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ask::{Ask, Who};
use super::decide::Policy;
use super::decision::{Effect, LoginNeeded};
use super::judge::Nobody;
use super::names::Told;
use super::rule::Rule;

/// The claims that tell of a log-in.
const OF_A_LOGIN: [&str; 3] = ["acr", "amr", "auth_time"];

/// Whether there is somebody who could log in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// Somebody logged in, and the token says how or when.
    Told,
    /// The token says nothing of a log-in.
    Untold,
    /// A client acts for itself: there is nobody to ask.
    Nobody,
}

/// Which log-in would open what is refused.
pub(super) enum Needed {
    Login(LoginNeeded),
    /// None would.
    None,
    /// It depends on what a record does not hold.
    NotTold,
}

impl Login {
    pub(super) fn of(who: &Who<'_>) -> Self {
        if is_machine(who) {
            Self::Nobody
        } else if who.claims.is_none_or(tells_of_no_login) {
            Self::Untold
        } else {
            Self::Told
        }
    }
}

impl Rule {
    /// What it wants of the log-in.
    pub(super) fn login(&self) -> Option<LoginNeeded> {
        let assurance = self.principals.assurance.clone().unwrap_or_default();
        let max_age_seconds = self.principals.max_auth_age_seconds;
        let any = assurance.is_empty() && max_age_seconds.is_none();
        (!any).then_some(LoginNeeded { assurance, max_age_seconds })
    }
}

impl Policy {
    /// What the first rule asks for that would open it, if the log-in alone stands in the way, or scopes beside it: the
    /// whole question is asked again as after such a log-in.
    ///
    /// None also where nothing is known of the log-in, and for a client that acts for itself: there is nobody to ask. Of a
    /// recorded caller a rule that is not known to hold, and is `doubtful`, leaves it untold.
    pub(super) fn login_needed(&self, ask: &Ask<'_>, doubtful: &dyn Fn(&Rule) -> bool) -> Needed {
        let Some(claims) = ask.who.claims.filter(|_| self.looks_at_login) else {
            return Needed::None;
        };
        if let Some(made) = ask.who.told.and_then(|told| told.made) {
            return made.login().map_or(Needed::None, Needed::Login);
        }
        let known = match ask.who.told {
            None => Some(Login::of(&ask.who)),
            Some(told) => told.login,
        };
        match known {
            Some(Login::Nobody) => return Needed::None,
            // An application's token of another issuer, whose subject may be anything; or a person's of one that never says
            // how they logged in, so that another log-in would change nothing.
            Some(Login::Untold) if ask.who.issuer.as_str() != self.facts.issuer => {
                return Needed::None;
            }
            Some(Login::Told | Login::Untold) | None => {}
        }
        let about = |rule: &&Rule| rule.effect != Effect::Deny && rule.tools.is_match(ask.tool);
        for login in self.rules.iter().filter(about).filter_map(Rule::login) {
            match self.opens_after(ask, claims, (&login, doubtful)) {
                Some(false) => {}
                Some(true) if known.is_some() => return Needed::Login(login),
                Some(true) | None => return Needed::NotTold,
            }
        }
        Needed::None
    }

    /// `None`: what is not known of a recorded caller could change it.
    fn opens_after(
        &self,
        ask: &Ask<'_>,
        claims: &Map<String, Value>,
        (login, doubtful): (&LoginNeeded, &dyn Fn(&Rule) -> bool),
    ) -> Option<bool> {
        let mut claims = claims.clone();
        if let Some(acr) = login.assurance.first() {
            claims.insert("acr".to_owned(), acr.as_str().into());
        }
        // Another rule may look at the time, but nobody would be asked for it.
        if login.max_age_seconds.is_some() {
            claims.insert("auth_time".to_owned(), ask.now.wall.unix_seconds().into());
        }
        let who = Who { claims: Some(&claims), ..ask.who };
        let decision = match ask.who.told {
            None => {
                let ask = Ask { who, ..*ask };
                self.weigh(&ask, &self.look(&ask, &mut Nobody)).decision
            }
            // What the log-in brings is known, whatever the record names.
            Some(told) => {
                let mut names = told.names.clone();
                names.claims.extend(claims.keys().cloned());
                let who = Who { told: Some(Told { names: &names, ..told }), ..who };
                self.weigh_unless(&Ask { who, ..*ask }, doubtful)?.decision
            }
        };
        Some(decision.effect != Effect::Deny || decision.can_step_up())
    }
}

/// Such a token names its client as its subject (RFC 9068 §2.2); Keycloak's the client's service account.
fn is_machine(who: &Who<'_>) -> bool {
    let Some(client) = who.client_id.map(crate::id::ClientId::as_str) else { return false };
    let account = who.claims.and_then(|claims| claims.get("preferred_username")?.as_str());
    who.subject.is_some_and(|subject| subject.as_str() == client)
        || account.and_then(|account| account.strip_prefix("service-account-")) == Some(client)
}

fn tells_of_no_login(claims: &Map<String, Value>) -> bool {
    OF_A_LOGIN.iter().all(|name| claims.get(*name).is_none_or(Value::is_null))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::policy::{Arguments, Decision, Facts, Moment, Operation};
    use crate::scope::Scope;

    use super::*;

    const OURS: &str = "https://broker.example";
    const FOREIGN: &str = "https://login.example";

    fn load(rules: &str) -> Policy {
        let facts = Facts { issuer: OURS.to_owned(), ..Facts::default() };
        Policy::load("policy.toml", rules, None, &[], facts).unwrap()
    }

    fn rule(id: &str, principals: &str) -> String {
        format!(
            "[[rule]]\nid = \"{id}\"\neffect = \"allow\"\ntools = [\"t\"]\nprincipals = {{ {principals} }}\n"
        )
    }

    /// What a caller of `staff` with this token gets, whose client is `agent`.
    fn decide(policy: &Policy, (issuer, subject): (&str, &str), claims: &Value) -> Decision {
        let (issuer, subject) = (issuer.parse().unwrap(), subject.parse().unwrap());
        let (client, scopes) = ("agent".parse().unwrap(), Scope::empty());
        let groups: [Arc<str>; 1] = ["staff".into()];
        let who = Who {
            issuer: &issuer,
            subject: Some(&subject),
            client_id: Some(&client),
            scopes: &scopes,
            groups: &groups,
            groups_incomplete: false,
            roles: &[],
            roles_incomplete: false,
            claims: claims.as_object(),
            told: None,
        };
        let now = Moment::at(crate::time::Timestamp::from_unix_seconds(1_000_000));
        let (operation, arguments) = (Operation::Plain, Arguments::Unknown);
        policy.decide(&Ask { who, tool: "t", operation, arguments, now })
    }

    // RFC 9470 §3
    #[test]
    fn the_login_that_is_asked_for_is_that_of_the_rule_that_it_opens() {
        let strong = rule("a", "groups = [\"admins\"], assurance = [\"phr\"]");
        let recent = rule("b", "groups = [\"staff\"], max_auth_age_seconds = 300");
        let policy = load(&[strong.clone(), recent].concat());
        let hour_ago = json!({ "acr": "pwd", "auth_time": 1_000_000 - 3_600 });
        let wanted = LoginNeeded { assurance: Vec::new(), max_age_seconds: Some(300) };
        assert_eq!(decide(&policy, (OURS, "ada"), &hour_ago).login, Some(wanted));
        assert_eq!(decide(&load(&strong), (OURS, "ada"), &hour_ago).login, None);
    }

    // RFC 9470 §3
    #[test]
    fn an_application_of_any_issuer_is_asked_for_no_login() {
        let policy = load(&rule("a", "assurance = [\"mfa\"]"));
        let login = |who, claims| decide(&policy, who, &claims).login;
        for (who, claims) in [
            ((OURS, "agent"), json!({})),
            // Entra
            ((FOREIGN, "5b1c-oid"), json!({ "appid": "agent", "idtyp": "app", "roles": ["r"] })),
            // Auth0
            ((FOREIGN, "agent@clients"), json!({ "gty": "client-credentials" })),
            // Keycloak
            (
                (FOREIGN, "0b7e-uuid"),
                json!({ "acr": "1", "preferred_username": "service-account-agent" }),
            ),
        ] {
            assert_eq!(login(who, claims.clone()), None, "{claims}");
        }
        for (who, claims) in [
            ((OURS, "ada"), json!({})),
            ((FOREIGN, "ada"), json!({ "acr": "1", "preferred_username": "ada" })),
            ((FOREIGN, "ada"), json!({ "auth_time": 7 })),
        ] {
            assert!(login(who, claims.clone()).is_some(), "{claims}");
        }
    }
}
