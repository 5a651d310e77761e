//! What holds of every identity provider at which people log in, wherever it is written down.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Whether it gives refresh tokens for `access_type=offline` rather than for the scope `offline_access` of OIDC Core §11.
#[must_use]
pub fn gives_by_access_type(issuer: &str) -> bool {
    issuer.trim_end_matches('/') == "https://accounts.google.com"
}

/// What the names of a provider's groups may begin with here. With one colon, at the end: none begins another one.
#[must_use]
pub fn is_groups_prefix(text: &str) -> bool {
    let name = text.strip_suffix(':').unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// For how long what a provider said of somebody who logged in there is enough, when a client of theirs refreshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Standing {
    /// So long after somebody last logged in there, refreshing answers `invalid_grant` until they do again: a day at least.
    /// Unset: grants end by themselves alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_login_age_seconds: Option<u32>,
    /// Whether the refresh token that the provider gives with a log-in is kept, sealed, to ask it again whether it stands by
    /// that person, and in which groups they are.
    pub keep_tokens: bool,
    /// With `keep_tokens`: it is asked at a refresh when its last word is older than this, 60 to 86400.
    pub ask_again_seconds: u32,
    /// With `keep_tokens`: a last word that is older than this counts no more, be the provider away, or were there no token to
    /// ask it with. At least `ask_again_seconds`, and 30 days at most.
    pub unanswered_seconds: u32,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            max_login_age_seconds: None,
            keep_tokens: false,
            ask_again_seconds: 3600,
            unanswered_seconds: 86_400,
        }
    }
}

/// What is wrong with a [`Standing`], and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingFault {
    /// The name of the field.
    pub field: &'static str,
    /// What it has.
    pub found: u32,
    /// What is wrong.
    pub problem: &'static str,
    /// What it may have.
    pub allowed: &'static str,
}

impl Standing {
    /// Refreshing is over for who has not logged in there for so long.
    #[must_use]
    pub fn max_login_age(&self) -> Option<Duration> {
        self.max_login_age_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// A last word that is older is asked for anew.
    #[must_use]
    pub fn ask_again(&self) -> Duration {
        Duration::from_secs(self.ask_again_seconds.into())
    }

    /// A last word that is older counts no more.
    #[must_use]
    pub fn unanswered(&self) -> Duration {
        Duration::from_secs(self.unanswered_seconds.into())
    }

    /// The first that nobody could mean. A browser session is no older than half a day: whoever has one has logged in within
    /// the shortest `max_login_age_seconds`.
    #[must_use]
    pub fn fault(&self) -> Option<StandingFault> {
        let fault =
            |field, found, problem, allowed| Some(StandingFault { field, found, problem, allowed });
        match *self {
            Self { max_login_age_seconds: Some(age @ ..86_400), .. } => {
                fault("max_login_age_seconds", age, "is too short", "a day (86400) at least")
            }
            Self { ask_again_seconds: often @ (..60 | 86_401..), .. } => {
                fault("ask_again_seconds", often, "is out of range", "60 to 86400")
            }
            Self { unanswered_seconds: long @ 2_592_001.., .. } => {
                fault("unanswered_seconds", long, "is too long", "30 days (2592000) at most")
            }
            Self { unanswered_seconds: long, ask_again_seconds, .. }
                if long < ask_again_seconds =>
            {
                let problem = "is shorter than ask_again_seconds: nobody could refresh";
                fault("unanswered_seconds", long, problem, "ask_again_seconds at least")
            }
            _ => None,
        }
    }
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
    fn a_word_of_a_provider_holds_for_a_time_that_somebody_could_mean() {
        let fault = |change: fn(&mut Standing)| {
            let mut standing = Standing::default();
            change(&mut standing);
            standing.fault().map(|fault| fault.field)
        };
        assert_eq!(fault(|_| {}), None);
        assert_eq!(fault(|it| it.max_login_age_seconds = Some(86_400)), None);
        assert_eq!(
            fault(|it| it.max_login_age_seconds = Some(86_399)),
            Some("max_login_age_seconds")
        );
        for wrong in [59, 86_401] {
            let standing = Standing { ask_again_seconds: wrong, ..Standing::default() };
            assert_eq!(standing.fault().map(|fault| fault.field), Some("ask_again_seconds"));
        }
        assert_eq!(fault(|it| it.unanswered_seconds = 3600), None);
        assert_eq!(fault(|it| it.unanswered_seconds = 3599), Some("unanswered_seconds"));
        assert_eq!(fault(|it| it.unanswered_seconds = 2_592_001), Some("unanswered_seconds"));
    }

    // RFC 6749 §6
    #[test]
    fn google_gives_refresh_tokens_in_its_own_way() {
        assert!(gives_by_access_type("https://accounts.google.com"));
        assert!(!gives_by_access_type("https://accounts.google.com.example"));
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
