//! What may be said of an identity provider that is added while brokers run, and what is kept of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::id::ClientId;
use crate::login_provider::Standing;
use crate::store::IdentityProviderRow;

/// Claims that one provider may require, and values of one of them.
const REQUIRED: usize = 20;

/// An identity provider to add: an `OpenID` provider with a discovery document. A provider that is plain OAuth signs nothing
/// that would say whose accounts these are: it is for the settings file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIdentityProvider {
    /// Part of the callback's path: 1 to 64 letters, digits, - and _
    pub id: String,
    /// Byte for byte as its discovery document has it. Of two providers none has the same.
    pub issuer: String,
    /// What the names of its groups and of its roles begin with here, such as `partner:`. Of two providers none has the same,
    /// so that none claims the groups that rules name for another one.
    pub groups_prefix: String,
    /// Our client there.
    pub client_id: String,
    /// What people read on the button; absent: the id.
    #[serde(default)]
    pub name: Option<String>,
    /// The name of an `[[authorization_server.identity_provider_secret]]` of the settings file that is for the issuer. Absent:
    /// a public client. There is no other way to a secret.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Separated by spaces, `openid` among them; absent: `openid profile email`.
    #[serde(default)]
    pub scopes: Option<String>,
    #[serde(default)]
    pub claims: Option<ProviderClaimNames>,
    /// Claims that an account must have, each with the values that do.
    #[serde(default)]
    pub require: BTreeMap<String, Vec<String>>,
    /// For how long what it says of people is enough, when their clients refresh.
    #[serde(default)]
    pub standing: Standing,
    /// Adds it without a look at its discovery document and our secret.
    #[serde(default)]
    pub no_check: bool,
}

/// What is to be another about a provider. Id, issuer, prefix and the claim that names people stay: accounts and rules hang on
/// them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityProviderChange {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub client_id: Option<String>,
    /// Empty: a public client.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// All of them, separated by spaces.
    #[serde(default)]
    pub scopes: Option<String>,
    /// All of them.
    #[serde(default)]
    pub claims: Option<ProviderClaimNames>,
    /// All of them; `{}`: none.
    #[serde(default)]
    pub require: Option<BTreeMap<String, Vec<String>>>,
    /// All of it; `{}`: as where nothing is said.
    #[serde(default)]
    pub standing: Option<Standing>,
}

/// Which claim means what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderClaimNames {
    /// Who it is, for good: `sub`, or Entra's `oid`.
    pub subject: String,
    /// The user name that the account gets here.
    pub username: String,
    pub name: String,
    pub email: String,
    /// Empty: no groups are taken.
    pub groups: String,
    /// Absent or empty: no roles are taken.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub roles: String,
}

impl Default for ProviderClaimNames {
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            username: "preferred_username".to_owned(),
            name: "name".to_owned(),
            email: "email".to_owned(),
            groups: "groups".to_owned(),
            roles: String::new(),
        }
    }
}

/// What is kept of a provider beside what is its own alone. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    pub name: String,
    pub client_id: String,
    /// By its name in the settings file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    pub scopes: String,
    pub claims: ProviderClaimNames,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, Vec<String>>,
    /// Left out where nothing was said: a version that knows nothing of it reads the rest.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub standing: Standing,
}

fn says_nothing(standing: &Standing) -> bool {
    *standing == Standing::default()
}

/// A secret of the settings file, and to which providers it may be shown.
#[derive(Clone, Debug)]
pub struct ProviderSecret {
    pub name: String,
    pub issuers: Vec<String>,
}

impl ProviderSettings {
    /// As a row has them.
    ///
    /// # Errors
    ///
    /// They were written by a newer version, or by nobody that we know.
    pub fn of(row: &IdentityProviderRow) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&row.settings)
    }

    /// What stands for settings that cannot be read. Never served, and never kept.
    pub(super) fn unread(id: &str) -> Self {
        Self {
            name: id.to_owned(),
            client_id: String::new(),
            client_secret: None,
            scopes: String::new(),
            claims: ProviderClaimNames::default(),
            require: BTreeMap::new(),
            standing: Standing::default(),
        }
    }

    pub(super) fn text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    pub(super) fn new(new: &NewIdentityProvider) -> Self {
        Self {
            name: new.name.clone().unwrap_or_else(|| new.id.clone()),
            client_id: new.client_id.clone(),
            client_secret: new.client_secret.clone().filter(|name| !name.is_empty()),
            scopes: new.scopes.clone().unwrap_or_else(|| "openid profile email".to_owned()),
            claims: new.claims.clone().unwrap_or_default(),
            require: new.require.clone(),
            standing: new.standing,
        }
    }

    /// With what is to be another.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`] for another claim that names people
    pub(super) fn changed(self, change: IdentityProviderChange) -> Result<Self, AdminError> {
        let claims = change.claims.unwrap_or_else(|| self.claims.clone());
        if claims.subject != self.claims.subject {
            let problem = "cannot be another: accounts are known by it";
            let allowed = "the claim that it is; or take the provider out, and add it anew";
            return Err(AdminError::Invalid { field: "claims.subject", problem, allowed });
        }
        let client_secret = match change.client_secret {
            None => self.client_secret,
            Some(name) => Some(name).filter(|name| !name.is_empty()),
        };
        Ok(Self {
            name: change.name.unwrap_or(self.name),
            client_id: change.client_id.unwrap_or(self.client_id),
            client_secret,
            scopes: change.scopes.unwrap_or(self.scopes),
            claims,
            require: change.require.unwrap_or(self.require),
            standing: change.standing.unwrap_or(self.standing),
        })
    }

    /// The same, as it is kept; refuses what could not be served, and a secret that is not for this issuer.
    pub(super) fn checked(
        self,
        issuer: &str,
        secrets: &[ProviderSecret],
    ) -> Result<Self, AdminError> {
        let invalid =
            |field, problem, allowed| Err(AdminError::Invalid { field, problem, allowed });
        if self.client_id.parse::<ClientId>().is_err() {
            return invalid("client_id", "is no client id", "1 to 512 characters");
        }
        if self.client_secret.as_ref().is_some_and(|name| !is_for(name, issuer, secrets)) {
            return invalid(
                "client_secret",
                "is none that the settings file has for this issuer",
                "the name of an [[authorization_server.identity_provider_secret]] whose issuers have it",
            );
        }
        let scopes = input::scope(&self.scopes)?;
        if !scopes.iter().any(|token| token.as_str() == "openid") {
            return invalid("scopes", "lack openid", "openid, and what else is asked for");
        }
        let claims = &self.claims;
        if !["sub", "oid"].contains(&claims.subject.as_str()) {
            return invalid("claims.subject", "may be another person's one day", "sub or oid");
        }
        let named = [&claims.username, &claims.name, &claims.email];
        let lists = [&claims.groups, &claims.roles].into_iter().filter(|name| !name.is_empty());
        let named =
            named.into_iter().chain(lists).chain(self.require.keys()).all(|it| is_claim(it));
        if !named {
            let allowed = "1 to 128 characters without spaces; groups and roles may be empty";
            return invalid("claims", "have one that is no name", allowed);
        }
        let fits = |list: &Vec<String>| {
            let values = list.iter().all(|value| (1..=255).contains(&value.len()));
            (1..=REQUIRED).contains(&list.len()) && values
        };
        if self.require.len() > REQUIRED || !self.require.values().all(fits) {
            let allowed = "up to 20 claims, each with 1 to 20 values";
            return invalid("require", "has no value, or too many", allowed);
        }
        if let Some(fault) = self.standing.fault() {
            return invalid(fault.field, fault.problem, fault.allowed);
        }
        let name = input::label("name", &self.name)?;
        Ok(Self { name, scopes: scopes.to_string(), ..self })
    }
}

pub(super) fn is_for(name: &str, issuer: &str, secrets: &[ProviderSecret]) -> bool {
    let known = secrets.iter().find(|known| known.name == name);
    known.is_some_and(|known| known.issuers.iter().any(|known| known == issuer))
}

fn is_claim(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.partner.example";

    fn secrets() -> [ProviderSecret; 1] {
        [ProviderSecret { name: "partner".to_owned(), issuers: vec![ISSUER.to_owned()] }]
    }

    fn settings(change: impl FnOnce(&mut NewIdentityProvider)) -> ProviderSettings {
        let mut new = NewIdentityProvider {
            id: "partner".to_owned(),
            issuer: ISSUER.to_owned(),
            groups_prefix: "partner:".to_owned(),
            client_id: "broker".to_owned(),
            name: None,
            client_secret: Some("partner".to_owned()),
            scopes: None,
            claims: None,
            require: BTreeMap::new(),
            standing: Standing::default(),
            no_check: false,
        };
        change(&mut new);
        ProviderSettings::new(&new)
    }

    fn field(change: impl FnOnce(&mut NewIdentityProvider)) -> &'static str {
        match settings(change).checked(ISSUER, &secrets()) {
            Ok(_) => "",
            Err(AdminError::Invalid { field, .. }) => field,
            Err(error) => panic!("{error}"),
        }
    }

    // OWASP ASVS 5 — N116
    #[test]
    fn a_secret_is_for_the_issuers_that_the_settings_name_and_no_others() {
        let taken = |name: &str, issuer: &str| {
            let named = settings(|new| new.client_secret = Some(name.to_owned()));
            named.checked(issuer, &secrets()).is_ok()
        };
        assert!(taken("partner", ISSUER));
        for issuer in ["https://attacker.example", "https://login.partner.example/"] {
            assert!(!taken("partner", issuer), "{issuer}");
        }
        for reference in ["env:HOME", "file:/etc/passwd", "op://broker/idp/secret", "other"] {
            assert!(!taken(reference, ISSUER), "{reference}");
        }
    }

    #[test]
    fn what_could_not_be_served_is_refused_with_its_field() {
        assert_eq!(field(|_| {}), "");
        assert_eq!(field(|new| new.client_id = String::new()), "client_id");
        assert_eq!(field(|new| new.scopes = Some("profile".to_owned())), "scopes");
        assert_eq!(field(|new| new.scopes = Some("openid broker:admin".to_owned())), "scope");
        assert_eq!(field(|new| new.name = Some("=cmd()".to_owned())), "name");
        let require = |values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            BTreeMap::from([("hd".to_owned(), values)])
        };
        assert_eq!(field(|new| new.require = require(&["a"])), "");
        assert_eq!(field(|new| new.require = require(&[])), "require");
        assert_eq!(field(|new| new.require = require(&[""])), "require");
        let claims = |change: fn(&mut ProviderClaimNames)| {
            let mut claims = ProviderClaimNames::default();
            change(&mut claims);
            field(|new| new.claims = Some(claims))
        };
        assert_eq!(claims(|claims| claims.subject = "oid".to_owned()), "");
        assert_eq!(claims(|claims| claims.subject = "email".to_owned()), "claims.subject");
        assert_eq!(claims(|claims| claims.groups = String::new()), "");
        assert_eq!(claims(|claims| claims.roles = "/realm_access/roles".to_owned()), "");
        assert_eq!(claims(|claims| claims.roles = "my roles".to_owned()), "claims");
        assert_eq!(claims(|claims| claims.username = String::new()), "claims");
        assert_eq!(field(|new| new.standing.ask_again_seconds = 1), "ask_again_seconds");
    }

    #[test]
    fn what_a_change_leaves_out_stays_and_who_people_are_stays_in_any_case() {
        let before = settings(|_| {}).checked(ISSUER, &secrets()).unwrap();
        let change = IdentityProviderChange {
            name: Some("Partner".to_owned()),
            client_secret: Some(String::new()),
            ..IdentityProviderChange::default()
        };
        let after = before.clone().changed(change).unwrap();
        assert_eq!((after.name.as_str(), after.client_secret.as_deref()), ("Partner", None));
        assert_eq!((&after.scopes, &after.claims), (&before.scopes, &before.claims));
        assert!(!before.text().contains("standing"), "a version before can read it");
        let standing = Standing { keep_tokens: true, ..Standing::default() };
        let change = IdentityProviderChange { standing: Some(standing), ..Default::default() };
        assert_eq!(after.changed(change).unwrap().standing, standing);
        let claims = ProviderClaimNames { subject: "oid".to_owned(), ..Default::default() };
        let change = IdentityProviderChange { claims: Some(claims), ..Default::default() };
        assert!(before.clone().changed(change).is_err());
        let row = IdentityProviderRow {
            id: "partner".to_owned(),
            issuer: ISSUER.to_owned(),
            groups_prefix: "partner:".to_owned(),
            settings: before.text(),
            created_at: crate::time::Timestamp::default(),
            disabled_at: None,
        };
        assert_eq!(ProviderSettings::of(&row).unwrap(), before);
        assert!(!row.settings.contains("roles"), "as a broker reads it that knows of none");
    }
}
