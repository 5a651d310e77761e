//! What holds of every identity provider at which people log in, wherever it is written down.

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

#[cfg(test)]
mod tests {
    use super::*;

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
