//! `[[authorization_server.identity_provider]]`: where people log in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::assertion::{AssertionIssuer, RawIdentityAssertions};
use super::authorization_server::{CLIENT_ID, parse_each, path_name};
use super::secret_source::{RawSecret, SecretSource};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::id::ClientId;
use crate::login_provider::{Standing, is_every_tenant, is_groups_prefix, is_open_to_all};
use crate::scope::Scope;

/// Where people log in.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    /// Part of the callback's path: letters, digits, `-` and `_`.
    pub id: String,
    /// What people read on the button.
    pub name: String,
    /// Byte for byte as it was written.
    pub issuer: String,
    pub client_id: ClientId,
    /// `None` for a public client.
    pub client_secret: Option<SecretSource>,
    pub scopes: Scope,
    /// `None`: from the discovery document.
    pub endpoints: Option<ProviderEndpoints>,
    pub claims: ProviderClaims,
    pub require: BTreeMap<String, Vec<String>>,
    pub standing: Standing,
    /// Whose ID-JAGs are taken. `None`: nobody's.
    pub identity_assertions: Option<AssertionIssuer>,
}

/// A provider that is plain OAuth: all three, or discovery.
#[derive(Clone, Debug)]
pub struct ProviderEndpoints {
    pub authorization: Url,
    pub token: Url,
    pub userinfo: Url,
}

/// An `OpenID` provider at which people log in, or one that is plain OAuth.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentityProvider {
    /// A short name, part of the callback's path: letters, digits, `-` and `_`. Register
    /// `<public_url>/login/callback/<id>` there.
    pub(super) id: String,
    /// What people read on the button. Unset: the id.
    pub(super) name: Option<String>,
    /// Its issuer, as its discovery document has it; for plain OAuth the URL that names it.
    pub(super) issuer: String,
    /// Our client there.
    pub(super) client_id: String,
    /// Our secret there. Unset: a public client.
    pub(super) client_secret: Option<RawSecret>,
    /// Scopes to ask for at login.
    #[serde(default = "login_scopes")]
    pub(super) scopes: Vec<String>,
    /// For a provider without discovery, with the other two. Who somebody is comes from `userinfo_endpoint` then.
    pub(super) authorization_endpoint: Option<String>,
    /// For a provider without discovery.
    pub(super) token_endpoint: Option<String>,
    /// For a provider without discovery.
    pub(super) userinfo_endpoint: Option<String>,
    /// Which claim means what.
    #[serde(default)]
    pub(super) claims: ProviderClaims,
    /// Claims that an account must have, each with the values that do: `{ hd = ["contoso.example"] }`. Unset:
    /// whoever can log in there may log in here; what they may do is for policy.
    #[serde(default)]
    pub(super) require: BTreeMap<String, Vec<String>>,
    /// For how long what it says of people is enough, when their clients refresh: `{ keep_tokens = true }` asks it again.
    #[serde(default)]
    pub(super) standing: Standing,
    /// Trusts this provider's ID-JAGs (MCP Enterprise-Managed Authorization). `{}` is enough; unset: they are refused.
    pub(super) identity_assertions: Option<RawIdentityAssertions>,
}

/// A secret of ours for identity providers that are added while the broker runs.
///
/// Whoever adds a provider says where it is, and could say a place of their own. So what is named there has a list of the
/// issuers that it is for, and only this file writes it.
#[derive(Clone, Debug)]
pub struct IdentityProviderSecret {
    pub name: String,
    pub issuers: Vec<String>,
    pub secret: SecretSource,
}

/// Our secret at identity providers that are added while the broker runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIdentityProviderSecret {
    /// Its name, which `broker identity-provider add --client-secret` and the admin API say: letters, digits, `-` and `_`.
    pub(super) name: String,
    /// The providers that it may be shown, each by its issuer as its discovery document has it.
    pub(super) issuers: Vec<String>,
    /// What they are shown.
    pub(super) secret: RawSecret,
}

pub(super) fn parse_secrets(
    raw: Vec<RawIdentityProviderSecret>,
    at: &Key,
    to: &mut Checker<'_>,
) -> Vec<IdentityProviderSecret> {
    let list = at.name("identity_provider_secret");
    to.distinct(&list, "name", raw.iter().map(|known| known.name.as_str()));
    parse_each(raw, &list, to, RawIdentityProviderSecret::parse)
}

impl RawIdentityProviderSecret {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<IdentityProviderSecret> {
        let name = path_name(&at.name("name"), &self.name, to);
        let key = at.name("issuers");
        if self.issuers.is_empty() {
            let problem = "is empty: a secret that may be shown to nobody is of no use";
            let finding = Finding::error(FindingCode::Missing, &key, problem);
            to.add(finding.allowed("issuers, such as https://login.partner.example"));
        }
        for (place, issuer) in self.issuers.iter().enumerate() {
            to.endpoint(&to.item(&key, place), issuer);
        }
        let secret = to.secret(&at.name("secret"), &self.secret);
        Some(IdentityProviderSecret { name: name?, issuers: self.issuers, secret: secret? })
    }
}

/// Which claim means what.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderClaims {
    /// Who it is, for good: never a claim that people can change. Entra: `oid`.
    pub subject: String,
    /// The user name that the account gets here, for people to read.
    pub username: String,
    /// The name to show.
    pub name: String,
    /// The e-mail address to show. Nobody is recognised by it.
    pub email: String,
    /// The groups that policy may name. Empty: none are taken. A name that begins with `/` is a JSON pointer:
    /// `/realm_access/roles`.
    pub groups: String,
    /// What the names of its groups begin with here, such as `partner:`: rules, approvers and administrators then name
    /// `partner:admins`. Unset: nothing, which is for one provider alone, since whoever may name groups at another one
    /// has every group that they name alike.
    pub groups_prefix: String,
    /// The roles that policy may name, a claim or a JSON pointer, as for groups: `roles`, or `/realm_access/roles`. Empty: none are
    /// taken. Who logs in without this claim has roles that are not known: what a rule denies or holds back by role is theirs.
    pub roles: String,
    /// What the names of its roles begin with here, as for groups.
    pub roles_prefix: String,
}

impl Default for ProviderClaims {
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
        }
    }
}

fn login_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

/// Groups are one namespace, and roles another: a name that two providers give stands for both.
pub(super) fn check_names(list: &Key, providers: &[RawIdentityProvider], to: &mut Checker<'_>) {
    check_prefixes((list, "groups_prefix"), providers, to, |claims| {
        (&claims.groups, &claims.groups_prefix)
    });
    check_prefixes((list, "roles_prefix"), providers, to, |claims| {
        (&claims.roles, &claims.roles_prefix)
    });
}

fn check_prefixes(
    (list, key): (&Key, &'static str),
    providers: &[RawIdentityProvider],
    to: &mut Checker<'_>,
    of: fn(&ProviderClaims) -> (&String, &String),
) {
    let naming = |provider: &&RawIdentityProvider| !of(&provider.claims).0.is_empty();
    let several = providers.iter().filter(naming).count() > 1;
    let (what, one) = if key == "roles_prefix" { ("roles", "role") } else { ("groups", "group") };
    for (place, provider) in providers.iter().enumerate() {
        let (_, prefix) = of(&provider.claims);
        let at = to.item(list, place).name("claims").name(key);
        let same = |other: &RawIdentityProvider| of(&other.claims).1 == prefix;
        if several && naming(&provider) && prefix.is_empty() {
            let problem = format!(
                "is missing: whoever can name a {one} at one of the providers has the {one} of that name at every other"
            );
            let finding = Finding::warning(FindingCode::Weak, &at, problem);
            to.add(finding.hint(format!(
                "{key} = \"<id>:\" for each but one, or {what} = \"\" where none are needed"
            )));
        } else if !prefix.is_empty() && providers.iter().take(place).any(same) {
            to.add(Finding::error(FindingCode::Conflict, &at, "is taken by an earlier one"));
        }
    }
}

impl RawIdentityProvider {
    pub(super) fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<IdentityProvider> {
        let id = path_name(&at.name("id"), &self.id, to);
        let issuer = to.endpoint(&at.name("issuer"), &self.issuer).map(|_| self.issuer.clone());
        let client_id = to.parse(&at.name("client_id"), &self.client_id, CLIENT_ID);
        let endpoints = self.endpoints(at, to);
        self.check(at, to);
        let identity_assertions = self.identity_assertions(at, to);
        let client_secret =
            self.client_secret.and_then(|raw| to.secret(&at.name("client_secret"), &raw));
        let scopes = to.scopes(&at.name("scopes"), &self.scopes);
        let id = id?;
        Some(IdentityProvider {
            name: self.name.unwrap_or_else(|| id.clone()),
            id,
            issuer: issuer?,
            client_id: client_id?,
            client_secret,
            scopes,
            endpoints: endpoints?,
            claims: self.claims,
            require: self.require,
            standing: self.standing,
            identity_assertions,
        })
    }

    fn identity_assertions(&self, at: &Key, to: &mut Checker<'_>) -> Option<AssertionIssuer> {
        let raw = self.identity_assertions.as_ref()?;
        let key = at.name("identity_assertions");
        if raw.jwks_uri.is_none() && self.userinfo_endpoint.is_some() {
            let problem =
                "is missing: a provider without discovery does not say where its keys are";
            to.add(Finding::error(FindingCode::Missing, &key.name("jwks_uri"), problem));
            return None;
        }
        raw.parse(&self.issuer, &key, to)
    }

    /// All three or none.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether what was written is right"
    )]
    fn endpoints(&self, at: &Key, to: &mut Checker<'_>) -> Option<Option<ProviderEndpoints>> {
        let written = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("userinfo_endpoint", &self.userinfo_endpoint),
        ];
        if written.iter().all(|(_, text)| text.is_none()) {
            return Some(None);
        }
        let [authorization, token, userinfo] = written.map(|(name, text)| {
            let key = at.name(name);
            let Some(text) = text else {
                let problem = "is missing: the other endpoints are given";
                to.add(
                    Finding::error(FindingCode::Missing, &key, problem)
                        .hint("leave all three out where the provider has a discovery document"),
                );
                return None;
            };
            to.endpoint(&key, text)
        });
        let endpoints =
            ProviderEndpoints { authorization: authorization?, token: token?, userinfo: userinfo? };
        Some(Some(endpoints))
    }

    fn check(&self, at: &Key, to: &mut Checker<'_>) {
        let key = at.name("issuer");
        if is_every_tenant(&self.issuer) {
            let problem = "stands for every tenant: anybody's tenant could log in";
            let finding = Finding::error(FindingCode::NotAllowed, &key, problem);
            to.add(finding.hint("https://login.microsoftonline.com/<tenant GUID>/v2.0"));
        }
        if self.require.is_empty() && is_open_to_all(&self.issuer) {
            let problem = "is missing: anybody who has an account there can log in here";
            let finding = Finding::warning(FindingCode::Weak, &at.name("require"), problem);
            to.add(finding.hint("Google: require = { hd = [\"your-domain.example\"] }"));
        }
        if let Some(fault) = self.standing.fault() {
            let key = at.name("standing").name(fault.field);
            to.refuse(&key, &fault.found.to_string(), fault.problem, fault.allowed);
        }
        let claims = &self.claims;
        for (name, prefix) in
            [("groups_prefix", &claims.groups_prefix), ("roles_prefix", &claims.roles_prefix)]
        {
            if !prefix.is_empty() && !is_groups_prefix(prefix) {
                let key = at.name("claims").name(name);
                let allowed = "letters, digits, . _ - and a colon at the end";
                to.refuse(&key, prefix, "is no prefix", allowed);
            }
        }
        for (name, values) in &self.require {
            if values.is_empty() {
                let key = at.name("require").name(name);
                let problem = "names no value: nobody could log in";
                to.add(Finding::error(FindingCode::Missing, &key, problem));
            }
        }
    }
}
