//! Which log-in would open what is refused (RFC 9470): the same person, known more surely or more recently.

use serde_json::{Map, Value};

use super::ask::{Ask, Who};
use super::decide::Policy;
use super::decision::{Effect, LoginNeeded};
use super::judge::Nobody;
use super::rule::Rule;

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
    /// `None` also where nothing is known of the log-in, and for a client that acts for itself: there is nobody to ask.
    pub(super) fn login_needed(&self, ask: &Ask<'_>) -> Option<LoginNeeded> {
        if !self.looks_at_login || is_machine(&ask.who) || ask.who.told.is_some() {
            return None;
        }
        let claims = ask.who.claims?;
        let about = |rule: &&Rule| rule.effect != Effect::Deny && rule.tools.is_match(ask.tool);
        let mut wanted = self.rules.iter().filter(about).filter_map(Rule::login);
        wanted.find(|login| self.opens_after(ask, claims, login))
    }

    fn opens_after(&self, ask: &Ask<'_>, claims: &Map<String, Value>, login: &LoginNeeded) -> bool {
        let mut claims = claims.clone();
        if let Some(acr) = login.assurance.first() {
            claims.insert("acr".to_owned(), acr.as_str().into());
        }
        claims.insert("auth_time".to_owned(), ask.now.wall.unix_seconds().into());
        let ask = Ask { who: Who { claims: Some(&claims), ..ask.who }, ..*ask };
        let decision = self.weigh(&ask, &self.look(&ask, &mut Nobody)).decision;
        decision.effect != Effect::Deny || decision.can_step_up()
    }
}

/// Such a token names its client as its subject (RFC 9068 §2.2).
fn is_machine(who: &Who<'_>) -> bool {
    let client = who.client_id.map(crate::id::ClientId::as_str);
    client.is_some() && client == who.subject.map(crate::id::Subject::as_str)
}
