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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authorization_server::identity_provider::settings::{ClaimMap, Endpoints};

    fn settings() -> IdentityProviderSettings {
        IdentityProviderSettings {
            id: "entra".to_owned(),
            name: "Contoso".to_owned(),
            issuer: "https://idp.example".to_owned(),
            client_id: "broker".parse().unwrap(),
            client_secret: None,
            scopes: "openid".parse().unwrap(),
            endpoints: Endpoints::Discovered,
            claims: ClaimMap::default(),
            require: std::collections::BTreeMap::new(),
            stored: false,
            standing: crate::login_provider::Standing::default(),
        }
    }

    fn identity(
        settings: &IdentityProviderSettings,
        claims: &Value,
    ) -> Result<ExternalIdentity, UpstreamError> {
        settings.identity(claims.as_object().unwrap())
    }

    // N109
    #[test]
    fn who_it_is_comes_from_the_subject_and_nothing_else() {
        for claims in [
            json!({"email": "ada@contoso.example"}),
            json!({"sub": ""}),
            json!({"sub": ["a"]}),
            json!({"sub": "a\0b"}),
        ] {
            assert!(identity(&settings(), &claims).is_err(), "{claims}");
        }
        let ada =
            identity(&settings(), &json!({"sub": "1", "email": "Ada@Contoso.example"})).unwrap();
        assert_eq!((ada.subject.as_str(), ada.username.as_str()), ("1", "ada@contoso.example"));
    }

    #[test]
    fn what_is_about_a_log_in_alone_need_not_be_said_again() {
        let require = [("amr".to_owned(), vec!["mfa".to_owned()])].into();
        let settings = IdentityProviderSettings { require, ..settings() };
        let again = |claims: Value| settings.identity_again(claims.as_object().unwrap());
        let unsaid = again(json!({"sub": "1"})).unwrap_err();
        assert!(matches!(&unsaid, UpstreamError::NoClaim(name) if name == "amr"), "{unsaid}");
        let lost = again(json!({"sub": "1", "amr": ["pwd"]})).unwrap_err();
        assert!(matches!(lost, UpstreamError::NotRequired), "{lost}");
        assert!(again(json!({"sub": "1", "amr": ["mfa"]})).is_ok());
    }

    #[test]
    fn a_claim_map_reads_a_provider_that_is_no_openid_provider() {
        let claims = ClaimMap {
            subject: "id".to_owned(),
            username: "login".to_owned(),
            ..ClaimMap::default()
        };
        let github = IdentityProviderSettings { claims, ..settings() };
        let ada = identity(&github, &json!({"id": 583_231, "login": "Ada", "name": null})).unwrap();
        assert_eq!((ada.subject.as_str(), ada.username.as_str()), ("583231", "ada"));
        assert_eq!(ada.display_name, None);
    }

    #[test]
    fn an_account_without_a_required_claim_is_refused() {
        let require = [("hd".to_owned(), vec!["contoso.example".to_owned()])].into();
        let google = IdentityProviderSettings { require, ..settings() };
        assert!(identity(&google, &json!({"sub": "1", "hd": "contoso.example"})).is_ok());
        for claims in [
            json!({"sub": "1"}),
            json!({"sub": "1", "hd": "evil.example"}),
            json!({"sub": "1", "hd": null}),
        ] {
            assert!(
                matches!(identity(&google, &claims), Err(UpstreamError::NotRequired)),
                "{claims}"
            );
        }
    }

    // N109
    #[test]
    fn nobody_has_a_group_of_another_provider_however_they_name_theirs() {
        let groups = |prefix: &str, others: &[&str], named: Value| {
            let mut settings = settings();
            settings.claims.groups_prefix = prefix.to_owned();
            let all = others.iter().chain([&prefix]).map(|it| (*it).to_owned());
            settings.claims.prefixes.groups.replace(all);
            let ada = identity(&settings, &json!({"sub": "1", "groups": named})).unwrap();
            (ada.groups, ada.groups_incomplete)
        };
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let both = json!(["admins", "corp:admins"]);
        let partner = names(&["partner:admins", "partner:corp:admins"]);
        assert_eq!(groups("partner:", &["corp:"], both.clone()), (partner, false));
        assert_eq!(groups("", &["corp:"], both), (names(&["admins"]), true));
    }

    // N109
    #[test]
    fn roles_have_names_of_their_own_and_are_not_known_where_nothing_is_said_of_them() {
        let of = |prefix: &str, claim: &str, mut claims: Value| {
            let mut settings = settings();
            settings.claims.roles = claim.to_owned();
            settings.claims.roles_prefix = prefix.to_owned();
            let all = ["corp:", prefix].map(str::to_owned);
            settings.claims.prefixes.roles.replace(all);
            claims["sub"] = json!("1");
            let ada = identity(&settings, &claims).unwrap();
            assert!(ada.groups.is_empty() && !ada.groups_incomplete);
            (ada.roles.join(" "), ada.roles_incomplete)
        };
        let is = |roles: &str| (roles.to_owned(), false);
        let unknown = (String::new(), true);
        assert_eq!(of("", "", json!({ "roles": ["a"], "hasroles": true })), is(""), "not asked");
        assert_eq!(of("", "roles", json!({ "roles": ["a", "b"] })), is("a b"));
        assert_eq!(of("p:", "roles", json!({ "roles": ["a", "corp:b"] })), is("p:a p:corp:b"));
        assert_eq!(of("", "roles", json!({ "roles": ["a", "corp:b"] })), ("a".to_owned(), true));
        let nested = json!({ "realm_access": { "roles": ["a"] }, "roles": ["b"] });
        assert_eq!(of("", "/realm_access/roles", nested), is("a"));
        assert_eq!(of("", "roles", json!({ "roles": [] })), is(""));
        let many: Vec<_> = (0..201).map(|number| number.to_string()).collect();
        let long: Vec<_> = (0..60).map(|number| format!("{number:036}")).collect();
        for missing in [
            json!({}),
            json!({ "roles": null }),
            json!({ "roles": "a" }),
            json!({ "roles": ["a", 1] }),
            json!({ "roles": ["a"], "hasroles": true }),
            json!({ "_claim_names": { "roles": "src1" } }),
            json!({ "roles": many }),
            json!({ "roles": long }),
        ] {
            assert_eq!(of("", "roles", missing.clone()), unknown, "{missing}");
        }
    }

    #[test]
    fn roles_that_userinfo_alone_names_are_taken_from_it() {
        let mut keycloak = settings();
        keycloak.claims.groups = "/realm_access/groups".to_owned();
        keycloak.claims.roles = "/realm_access/roles".to_owned();
        let mut claims = json!({ "sub": "1", "realm_access": { "groups": ["g"] } });
        let claims = claims.as_object_mut().unwrap();
        let more = json!({ "sub": "1", "realm_access": { "groups": ["x"], "roles": ["r"] } });
        assert!(keycloak.lacks_any(claims) && !keycloak.speaks_of_roles(claims));
        keycloak.complete(claims, more.as_object().unwrap());
        let ada = keycloak.identity(claims).unwrap();
        assert_eq!((ada.groups, ada.roles), (vec!["g".to_owned()], vec!["r".to_owned()]));
        assert!(keycloak.speaks_of_roles(claims) && !ada.roles_incomplete);
        assert!(settings().speaks_of_roles(claims), "where none are taken, there are none");
    }

    #[test]
    fn where_no_claim_has_groups_there_are_none() {
        let mut settings = settings();
        settings.claims.groups = String::new();
        let claims = json!({"sub": "1", "": ["a"], "groups": ["a"], "hasgroups": true});
        let ada = identity(&settings, &claims).unwrap();
        assert_eq!((ada.groups.len(), ada.groups_incomplete), (0, false));
    }

    #[test]
    fn groups_that_no_token_has_room_for_are_none_and_incomplete() {
        let of = |prefix: &str| {
            let mut settings = settings();
            settings.claims.groups = "groups".to_owned();
            settings.claims.groups_prefix = prefix.to_owned();
            let groups: Vec<_> = (0..200).map(|number| format!("{number:036}")).collect();
            let said = identity(&settings, &json!({ "sub": "a", "groups": groups })).unwrap();
            (said.groups.len(), said.groups_incomplete)
        };
        assert_eq!(of(""), (200, false), "as many as Entra names, by their ids");
        assert_eq!(of("the-partner-company:"), (0, true));
    }

    #[test]
    fn groups_of_which_some_are_missing_are_none_and_incomplete() {
        let of = |mut claims: Value| {
            claims["sub"] = json!("1");
            let ada = identity(&settings(), &claims).unwrap();
            (ada.groups.len(), ada.groups_incomplete)
        };
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(of(json!({})), (0, false));
        assert_eq!(of(json!({"groups": many(200)})), (200, false));
        assert_eq!(of(json!({"groups": many(201)})), (0, true));
        assert_eq!(of(json!({"groups": ["a", 1]})), (0, true));
        assert_eq!(of(json!({"groups": "a"})), (0, true));
        assert_eq!(of(json!({"_claim_names": {"groups": "src1"}})), (0, true));
        assert_eq!(of(json!({"hasgroups": true})), (0, true));
    }
}
