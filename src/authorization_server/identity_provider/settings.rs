//! `[[authorization_server.identity_provider]]` as this module needs it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use url::Url;

use crate::id::ClientId;
use crate::login_provider::Standing;
use crate::scope::Scope;
use crate::secret::OwnSecret;

/// A provider at which people log in.
#[derive(Clone, Debug)]
pub struct IdentityProviderSettings {
    /// Part of the callback's path: letters, digits, `-` and `_`.
    pub id: String,
    /// What people read on the button.
    pub name: String,
    /// Byte for byte as the provider writes it. For plain OAuth: what its subjects are kept under.
    pub issuer: String,
    pub client_id: ClientId,
    /// `None`: a public client.
    pub client_secret: Option<OwnSecret>,
    pub scopes: Scope,
    pub endpoints: Endpoints,
    pub claims: ClaimMap,
    /// Claims that an account must have, each with the values that do. Empty: whoever logs in there.
    pub require: BTreeMap<String, Vec<String>>,
    /// Whether it is of the store, and may be disabled or taken out while somebody logs in there.
    pub stored: bool,
    /// For how long what it says of somebody is enough.
    pub standing: Standing,
}

/// Where the provider is.
#[derive(Clone, Debug)]
pub enum Endpoints {
    /// From its discovery document (OIDC Discovery §4).
    Discovered,
    /// A provider that is plain OAuth: no ID token, who it is comes from `userinfo`.
    Explicit(Box<ExplicitEndpoints>),
}

/// The three endpoints of a provider that is plain OAuth.
#[derive(Clone, Debug)]
pub struct ExplicitEndpoints {
    pub authorization: Url,
    pub token: Url,
    pub userinfo: Url,
}

/// Which claim means what.
#[derive(Clone, Debug)]
pub struct ClaimMap {
    pub subject: String,
    pub username: String,
    pub name: String,
    pub email: String,
    /// Empty: none are taken.
    pub groups: String,
    /// What the names of its groups begin with here.
    pub groups_prefix: String,
    /// Empty: none are taken. Where they are, and nothing is said of somebody's, theirs are not known.
    pub roles: String,
    /// What the names of its roles begin with here.
    pub roles_prefix: String,
    /// What those of any provider begin with: none of its groups and roles begins like another one's.
    pub prefixes: Prefixes,
}

/// What names begin with at every provider there is now. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    pub groups: NamePrefixes,
    pub roles: NamePrefixes,
}

/// Those of groups, or of roles. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct NamePrefixes(Arc<RwLock<Vec<String>>>);

impl NamePrefixes {
    /// These from now on. An empty one is none.
    pub fn replace(&self, prefixes: impl IntoIterator<Item = String>) {
        let prefixes = prefixes.into_iter().filter(|prefix| !prefix.is_empty()).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = prefixes;
    }

    /// Whether this name is another provider's than the one with the prefix `own`.
    pub(super) fn is_of_another(&self, own: &str, name: &str) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|prefix| prefix != own && name.starts_with(prefix))
    }
}

#[cfg(test)]
impl IdentityProviderSettings {
    /// A provider that is asked where it is, and for nothing but what all have.
    pub(super) fn of(issuer: &str) -> Self {
        Self {
            id: "idp".to_owned(),
            name: "Contoso".to_owned(),
            issuer: issuer.to_owned(),
            client_id: "broker".parse().unwrap(),
            client_secret: None,
            scopes: "openid".parse().unwrap(),
            endpoints: Endpoints::Discovered,
            claims: ClaimMap::default(),
            require: BTreeMap::new(),
            stored: false,
            standing: Standing::default(),
        }
    }
}

impl Default for ClaimMap {
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            username: "preferred_username".to_owned(),
            name: "name".to_owned(),
            email: "email".to_owned(),
            groups: "groups".to_owned(),
            groups_prefix: String::new(),
            roles: String::new(),
            roles_prefix: String::new(),
            prefixes: Prefixes::default(),
        }
    }
}
