//! The groups and the roles that a provider gives somebody, as they are called here.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::store::{groups_fit, roles_fit};

use super::settings::{IdentityProviderSettings, NamePrefixes};

/// More of them than this are none, and incomplete: Entra leaves groups out as well when there are too many (overage).
const MAX_NAMES: usize = 200;

/// Entra's word for groups that were left out.
pub(super) const HAS_GROUPS: &str = "hasgroups";

/// Ours for roles, as other brokers say it.
pub(super) const HAS_ROLES: &str = "hasroles";

/// Where a provider's groups or roles are, and what they are called here.
pub(super) struct Names<'a> {
    claim: &'a str,
    /// What says that some were left out.
    marker: &'static str,
    prefix: &'a str,
    prefixes: &'a NamePrefixes,
    fit: fn(&[String]) -> bool,
    /// Whether somebody of whom nothing is said has none. Else theirs are not known.
    none_if_absent: bool,
}

impl IdentityProviderSettings {
    /// Many providers leave the claim out for who is in no group.
    pub(super) fn groups(&self) -> Names<'_> {
        let map = &self.claims;
        Names {
            claim: &map.groups,
            marker: HAS_GROUPS,
            prefix: &map.groups_prefix,
            prefixes: &map.prefixes.groups,
            fit: groups_fit,
            none_if_absent: true,
        }
    }

    /// Whoever has roles taken says where they are: without that claim nobody knows that there are none.
    pub(super) fn roles(&self) -> Names<'_> {
        let map = &self.claims;
        Names {
            claim: &map.roles,
            marker: HAS_ROLES,
            prefix: &map.roles_prefix,
            prefixes: &map.prefixes.roles,
            fit: roles_fit,
            none_if_absent: false,
        }
    }
}

impl Names<'_> {
    /// Whether any are taken of this provider.
    pub(super) const fn is_asked(&self) -> bool {
        !self.claim.is_empty()
    }

    /// Whether anything is said of them, be it that some are missing.
    pub(super) fn is_spoken_of(&self, claims: &Map<String, Value>) -> bool {
        self.are_left_out(claims) || within(claims, self.claim).is_some()
    }

    /// Under their names here, and whether some are missing. Those that would be another provider's are.
    pub(super) fn of(&self, claims: &Map<String, Value>) -> (Vec<String>, bool) {
        if !self.is_asked() {
            return (Vec::new(), false);
        }
        let Some(there) = self.named(claims) else { return (Vec::new(), true) };
        let count = there.len();
        let ours = there.into_iter().map(|name| format!("{}{name}", self.prefix));
        let names: Vec<_> =
            ours.filter(|name| !self.prefixes.is_of_another(self.prefix, name)).collect();
        if !(self.fit)(&names) {
            return (Vec::new(), true);
        }
        let incomplete = names.len() < count;
        (names, incomplete)
    }

    /// As the provider calls them. `None` where some are missing; one that is no text is, too.
    fn named(&self, claims: &Map<String, Value>) -> Option<Vec<String>> {
        let text = |name: &Value| name.as_str().map(str::to_owned);
        let named: Option<Vec<String>> = match within(claims, self.claim) {
            None | Some(Value::Null) => self.none_if_absent.then(Vec::new),
            Some(Value::Array(names)) => names.iter().map(text).collect(),
            Some(_) => None,
        };
        named.filter(|names| !self.are_left_out(claims) && names.len() <= MAX_NAMES)
    }

    fn are_left_out(&self, claims: &Map<String, Value>) -> bool {
        let named = claims.get("_claim_names");
        let elsewhere = named.is_some_and(|names| names.get(&*outermost(self.claim)).is_some());
        elsewhere || claims.get(self.marker).is_some_and(|value| *value != Value::Bool(false))
    }
}

/// The claim of this name; of one that begins with `/` what is at that place (RFC 6901), such as `/realm_access/roles`.
pub(super) fn within<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    let mut parts = path.split('/').map(unescaped);
    let first = claims.get(&parts.next()?)?;
    parts.try_fold(first, |value, part| value.as_object()?.get(&part))
}

/// The claim that it is in.
pub(super) fn outermost(name: &str) -> Cow<'_, str> {
    let path = name.strip_prefix('/');
    path.map_or(name.into(), |path| unescaped(path.split('/').next().unwrap_or(path)).into())
}

/// Puts a value where [`within`] finds it. `None` where something else is in the way.
pub(super) fn put_within(claims: &mut Map<String, Value>, name: &str, value: Value) -> Option<()> {
    let Some(path) = name.strip_prefix('/') else {
        claims.insert(name.to_owned(), value);
        return Some(());
    };
    let (outer, last) = path.rsplit_once('/').unwrap_or(("", path));
    let mut at = claims;
    for part in outer.split('/').filter(|_| path.contains('/')) {
        let inner = at.entry(unescaped(part)).or_insert_with(|| Map::new().into());
        at = inner.as_object_mut()?;
    }
    at.insert(unescaped(last), value);
    Some(())
}

/// A part of a JSON pointer (RFC 6901 §4).
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}
