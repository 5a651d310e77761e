//! What holds of every identity provider at which people log in, wherever it is written down.

use std::sync::{Arc, PoisonError, RwLock};

/// Where anybody gets an account.
const OPEN_TO_ALL: [&str; 5] = [
    "https://accounts.google.com",
    "https://github.com",
    "https://gitlab.com",
    "https://appleid.apple.com",
    "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
];

/// Entra's issuers that stand for more than one tenant.
const EVERY_TENANT: [&str; 3] = ["/common/", "/organizations/", "/consumers/"];

/// Whether whoever likes has an account there.
#[must_use]
pub fn is_open_to_all(issuer: &str) -> bool {
    OPEN_TO_ALL.contains(&issuer.trim_end_matches('/'))
}

/// Whether this issuer stands for every tenant of Entra: anybody's tenant could log in.
#[must_use]
pub fn is_every_tenant(issuer: &str) -> bool {
    let entra = issuer.starts_with("https://login.microsoftonline.");
    entra && EVERY_TENANT.iter().any(|part| issuer.contains(part))
}

/// What the names of a provider's groups may begin with here. With one colon, at the end: none begins another one.
#[must_use]
pub fn is_groups_prefix(text: &str) -> bool {
    let name = text.strip_suffix(':').unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// Groups whose members administer this broker. Nobody comes to through a provider of the store: a group that begins as
/// those of one do does not count, though somebody was in it before it was named. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct AdministratorGroups {
    named: Arc<[String]>,
    /// What those of providers of the store begin with. `None`: not known yet, and then no group counts.
    stored: Arc<RwLock<Option<Vec<String>>>>,
}

impl AdministratorGroups {
    /// Those that the settings name.
    #[must_use]
    pub fn new(named: &[String]) -> Self {
        Self { named: named.into(), stored: Arc::default() }
    }

    /// From now on these are the prefixes of the providers of the store, served or not.
    pub fn leave_out(&self, prefixes: impl IntoIterator<Item = String>) {
        let prefixes = prefixes.into_iter().collect();
        *self.stored.write().unwrap_or_else(PoisonError::into_inner) = Some(prefixes);
    }

    /// Whether who is in these groups administers this broker.
    #[must_use]
    pub fn include<'a>(&self, groups: impl IntoIterator<Item = &'a str>) -> bool {
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        let Some(stored) = stored.as_ref() else { return false };
        groups.into_iter().any(|group| {
            self.named.iter().any(|name| name == group)
                && !stored.iter().any(|prefix| group.starts_with(prefix))
        })
    }

    /// Those that begin so.
    pub fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.named.iter().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // N115
    #[test]
    fn no_group_counts_that_a_provider_of_the_store_could_give_nor_any_before_that_is_known() {
        let groups = AdministratorGroups::new(&["ops".to_owned(), "partner:ops".to_owned()]);
        let clone = groups.clone();
        assert!(!clone.include(["ops"]));
        groups.leave_out([]);
        assert!(clone.include(["staff", "partner:ops"]) && !clone.include(["staff"]));
        groups.leave_out(["partner:".to_owned()]);
        assert!(!clone.include(["partner:ops"]) && clone.include(["partner:ops", "ops"]));
    }

    #[test]
    fn no_prefix_begins_another() {
        for good in ["a:", "partner-2.de:"] {
            assert!(is_groups_prefix(good), "{good}");
        }
        for bad in ["", ":", "a", "a:b:", "a::", "a b:", "a*:"] {
            assert!(!is_groups_prefix(bad), "{bad}");
        }
    }

    // N109
    #[test]
    fn what_stands_for_everybody_is_known_with_or_without_a_slash() {
        assert!(is_open_to_all("https://accounts.google.com/"));
        assert!(!is_open_to_all("https://accounts.google.com.example"));
        assert!(is_every_tenant("https://login.microsoftonline.com/common/v2.0"));
        assert!(is_every_tenant("https://login.microsoftonline.us/organizations/v2.0"));
        assert!(!is_every_tenant("https://login.microsoftonline.com/9188040d/v2.0"));
    }
}
