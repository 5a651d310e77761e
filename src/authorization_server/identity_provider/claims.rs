//! From what a provider says about somebody to who that is here.

use serde_json::{Map, Value};

use crate::authorization_server::pages::clean;
use crate::store::{ExternalIdentity, LoginOrigin};

use super::UpstreamError;
use super::names::{HAS_GROUPS, HAS_ROLES, outermost, put_within, within};
use super::settings::IdentityProviderSettings;

/// What only the ID token can say, since it is about this very login.
const OF_THE_LOGIN: [&str; 12] =
    ["iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "auth_time", "acr", "amr", "sid"];

impl IdentityProviderSettings {
    /// Who this is. Name, user name and e-mail are for people to read: nothing is decided by them.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::NoClaim`] without a subject, [`UpstreamError::NotRequired`]
    pub(in crate::authorization_server) fn identity(
        &self,
        claims: &Map<String, Value>,
    ) -> Result<ExternalIdentity, UpstreamError> {
        let map = &self.claims;
        let subject = claims.get(&map.subject).and_then(scalar);
        let subject = subject.filter(|subject| is_name(subject));
        let subject = subject.ok_or_else(|| UpstreamError::NoClaim(map.subject.clone()))?;
        if !self.requirements_met(claims) {
            return Err(UpstreamError::NotRequired);
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(clean);
        let email = text(&map.email).filter(|email| email.contains('@'));
        let username = text(&map.username).or_else(|| email.clone());
        let username = username.filter(|name| !name.is_empty());
        let (groups, groups_incomplete) = self.groups().of(claims);
        let (roles, roles_incomplete) = self.roles().of(claims);
        Ok(ExternalIdentity {
            issuer: self.issuer.clone(),
            username: username.unwrap_or_else(|| self.id.clone()).to_lowercase(),
            subject,
            display_name: text(&map.name).filter(|name| !name.is_empty()),
            email,
            groups,
            groups_incomplete,
            roles,
            roles_incomplete,
        })
    }

    /// Whether something is said of groups, be it that some are missing. What does not is no word on who has left one.
    pub(in crate::authorization_server) fn speaks_of_groups(
        &self,
        claims: &Map<String, Value>,
    ) -> bool {
        self.groups().is_asked() && self.groups().is_spoken_of(claims)
    }

    /// The same of roles; where none are taken, that is a word: there are none.
    pub(in crate::authorization_server) fn speaks_of_roles(
        &self,
        claims: &Map<String, Value>,
    ) -> bool {
        !self.roles().is_asked() || self.roles().is_spoken_of(claims)
    }

    /// Whether userinfo may have something that is of use here and not among these claims.
    pub(super) fn lacks_any(&self, claims: &Map<String, Value>) -> bool {
        self.lacks_groups(claims) || self.lacks_roles(claims) || !self.lacks(claims).is_empty()
    }

    /// The same of who is asked about again: what is about the log-in alone need not be said again, and is no word that it is gone.
    ///
    /// # Errors
    ///
    /// As [`identity`](Self::identity); [`UpstreamError::NoClaim`] where it was not said again
    pub(super) fn identity_again(
        &self,
        claims: &Map<String, Value>,
    ) -> Result<ExternalIdentity, UpstreamError> {
        let unsaid =
            |name: &&String| OF_THE_LOGIN.contains(&name.as_str()) && !claims.contains_key(*name);
        match self.require.keys().find(unsaid) {
            Some(name) => Err(UpstreamError::NoClaim(name.clone())),
            None => self.identity(claims),
        }
    }

    /// Whether something is not among these claims on which it hangs what somebody may.
    pub(super) fn lacks_rights(&self, claims: &Map<String, Value>) -> bool {
        self.lacks_groups(claims)
            || self.lacks_roles(claims)
            || self.require.keys().any(|name| !claims.contains_key(name))
    }

    /// What that is, beside groups and roles: never who it is, which is the ID token's to say.
    fn lacks(&self, claims: &Map<String, Value>) -> Vec<&str> {
        let map = &self.claims;
        let mapped = [&map.username, &map.name, &map.email];
        let wanted = mapped.into_iter().chain(self.require.keys()).map(String::as_str);
        let wanted = wanted.filter(|name| self.may_be_elsewhere(name));
        let mut lacks: Vec<_> = wanted.filter(|name| !claims.contains_key(*name)).collect();
        // With groups and roles that are elsewhere, or too many, come words that say so.
        let (groups, roles) = (self.lacks_groups(claims), self.lacks_roles(claims));
        for (word, wanted) in
            [("_claim_names", groups || roles), (HAS_GROUPS, groups), (HAS_ROLES, roles)]
        {
            lacks.extend(Some(word).filter(|word| wanted && !claims.contains_key(*word)));
        }
        lacks
    }

    /// Whether the groups are not among these claims, and userinfo may have them. Of a claim with parts it is the part that
    /// counts: Keycloak has one `resource_access` for all clients.
    pub(super) fn lacks_groups(&self, claims: &Map<String, Value>) -> bool {
        self.lacks_list(claims, &self.claims.groups)
    }

    /// The same of roles. What is not said of them is not known in any case.
    fn lacks_roles(&self, claims: &Map<String, Value>) -> bool {
        self.lacks_list(claims, &self.claims.roles)
    }

    fn lacks_list(&self, claims: &Map<String, Value>, name: &str) -> bool {
        self.may_be_elsewhere(&outermost(name)) && within(claims, name).is_none()
    }

    fn may_be_elsewhere(&self, name: &str) -> bool {
        !name.is_empty() && name != self.claims.subject && !OF_THE_LOGIN.contains(&name)
    }

    /// Takes from userinfo what these claims lack, and nothing that they say.
    pub(super) fn complete(&self, claims: &mut Map<String, Value>, more: &Map<String, Value>) {
        let groups = within(more, &self.claims.groups).filter(|_| self.lacks_groups(claims));
        let roles = within(more, &self.claims.roles).filter(|_| self.lacks_roles(claims));
        let lacks = self.lacks(claims).into_iter();
        let found: Vec<_> = lacks.filter_map(|name| more.get_key_value(name)).collect();
        claims.extend(found.into_iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(groups) = groups
            && put_within(claims, &self.claims.groups, groups.clone()).is_none()
        {
            // The two contradict each other: which groups these are, nobody knows.
            claims.insert(HAS_GROUPS.to_owned(), Value::Bool(true));
        }
        if let Some(roles) = roles
            && put_within(claims, &self.claims.roles, roles.clone()).is_none()
        {
            claims.insert(HAS_ROLES.to_owned(), Value::Bool(true));
        }
    }

    /// Which log-in this is, and how it was done, as the claims of a verified ID token say. What is longer than anybody
    /// needs is as good as not said.
    pub(in crate::authorization_server) fn origin(
        &self,
        claims: &Map<String, Value>,
    ) -> LoginOrigin {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).and_then(word);
        let methods = claims.get("amr").and_then(Value::as_array);
        let methods: Option<Vec<String>> = methods
            .and_then(|methods| methods.iter().map(|one| one.as_str().and_then(word)).collect());
        let methods = methods.filter(|methods| (1..=16).contains(&methods.len()));
        LoginOrigin {
            sid: None,
            issuer: Some(self.issuer.clone()),
            issuer_sid: claims.get("sid").and_then(Value::as_str).and_then(session_id),
            acr: text("acr"),
            amr: methods.map(|methods| methods.join(" ")),
        }
    }

    /// One of the listed values for each claim; a claim that is a list has to hold one of them.
    fn requirements_met(&self, claims: &Map<String, Value>) -> bool {
        self.require.iter().all(|(name, accepted)| {
            let fits = |value: &Value| scalar(value).is_some_and(|value| accepted.contains(&value));
            match claims.get(name) {
                Some(Value::Array(values)) => values.iter().any(fits),
                Some(value) => fits(value),
                None => false,
            }
        })
    }
}

/// A text, or a number or truth value as text (GitHub's `id` is a number).
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A value without spaces, to be kept and told on.
fn word(text: &str) -> Option<String> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    (visible && (1..=128).contains(&text.len())).then(|| text.to_owned())
}

/// What a provider calls a log-in. Compared, and never shown.
pub(super) fn session_id(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

/// Of a length that can be kept, without the zero byte that PostgreSQL keeps in no text.
fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.contains('\0')
}

#[cfg(test)]
#[path = "claims_of_providers.rs"]
mod of_providers;

#[cfg(test)]
#[path = "claims_of_people.rs"]
mod of_people;
