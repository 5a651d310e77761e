//! Which hosts may vouch for clients by the metadata documents that they publish (CIMD §6): the first rule that names a
//! host counts.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Host;

/// What becomes of clients that a host publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostTrust {
    #[default]
    Allow,
    Ask,
    Deny,
}

impl HostTrust {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// A host, or every host below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// In the spelling that a URL gives it: small letters, Punycode, IPv6 in brackets.
    Exact(String),
    /// `*.contoso.example`: `a.contoso.example` and `a.b.contoso.example`, not `contoso.example` itself.
    Below(String),
}

/// Why a text is no [`HostPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    #[error("is neither a host nor `*.` and a domain")]
    NotAHost,
    #[error("has a `*` that is not the whole first part of a domain")]
    Star,
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(HostPatternError::Star);
        }
        // What a URL would read as something else, or no URL of a client has: escapes, and empty parts.
        let strange = name.contains('%') || name.split('.').any(str::is_empty);
        let host = Host::parse(name).ok().filter(|_| !strange).ok_or(HostPatternError::NotAHost)?;
        match (below, host) {
            (true, Host::Domain(domain)) => Ok(Self::Below(domain)),
            (true, Host::Ipv4(_) | Host::Ipv6(_)) => Err(HostPatternError::NotAHost),
            (false, host) => Ok(Self::Exact(host.to_string())),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl HostPattern {
    /// Whether `host`, as a URL spells it, is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(known) => known.eq_ignore_ascii_case(host),
            Self::Below(domain) => is_below(host, domain),
        }
    }

    /// Whether every host that `other` means is meant here, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(host)) => self.matches(host),
            (Self::Below(domain), Self::Below(narrower)) => {
                domain == narrower || is_below(narrower, domain)
            }
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    let at = host.len().checked_sub(domain.len());
    let Some((front, end)) = at.and_then(|at| host.split_at_checked(at)) else { return false };
    front.len() > 1 && front.ends_with('.') && end.eq_ignore_ascii_case(domain)
}

/// What becomes of the clients of the hosts that a pattern means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    pub hosts: HostPattern,
    pub trust: HostTrust,
}

/// What becomes of the clients of each host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTrusts {
    /// In order: the first that means a host counts.
    pub rules: Vec<HostRule>,
    /// Of hosts that no rule means.
    pub others: HostTrust,
}

impl HostTrusts {
    #[must_use]
    pub fn of(&self, host: &str) -> HostTrust {
        self.named(host).unwrap_or(self.others)
    }

    /// Whether a rule that means this host denies it, and not only that no rule means it.
    #[must_use]
    pub fn deny_by_name(&self, host: &str) -> bool {
        self.named(host) == Some(HostTrust::Deny)
    }

    fn named(&self, host: &str) -> Option<HostTrust> {
        // Who asks for `evil.example.` is led to the same host.
        let host = host.strip_suffix('.').unwrap_or(host);
        self.rules.iter().find(|rule| rule.hosts.matches(host)).map(|rule| rule.trust)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_means_a_host_or_all_below_one_and_nothing_that_only_looks_like_it() {
        for (text, host, matches) in [
            ("claude.ai", "claude.ai", true),
            ("Claude.AI", "claude.ai", true),
            ("claude.ai", "a.claude.ai", false),
            ("*.contoso.example", "a.contoso.example", true),
            ("*.contoso.example", "a.b.contoso.example", true),
            ("*.contoso.example", "contoso.example", false),
            ("*.contoso.example", ".contoso.example", false),
            ("*.contoso.example", "evilcontoso.example", false),
            ("*.contoso.example", "a.contoso.example.evil.example", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("[::1]", "[::1]", true),
        ] {
            assert_eq!(pattern(text).matches(host), matches, "{text} {host}");
        }
    }

    #[test]
    fn what_is_no_host_is_no_pattern() {
        for text in [
            "",
            "*",
            "*.",
            "**.a.example",
            "a.*.example",
            "a*.example",
            "https://a.example",
            "a.example/x",
            "a.example:443",
            "u@a.example",
            "a.example.",
            ".a.example",
            "a..example",
            "a%2eexample",
            "a b.example",
            "*.127.0.0.1",
            "::1",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_would_leave_nothing_of() {
        for (first, then, covers) in [
            ("*.example", "a.example", true),
            ("*.example", "*.a.example", true),
            ("*.a.example", "*.a.example", true),
            ("*.a.example", "*.example", false),
            ("*.a.example", "a.example", false),
            ("a.example", "*.a.example", false),
            ("a.example", "A.example", true),
        ] {
            assert_eq!(pattern(first).covers(&pattern(then)), covers, "{first} {then}");
        }
    }

    #[test]
    fn the_first_rule_that_means_a_host_counts() {
        let rule = |text, trust| HostRule { hosts: pattern(text), trust };
        let trusts = HostTrusts {
            rules: vec![
                rule("ok.evil.example", HostTrust::Ask),
                rule("*.evil.example", HostTrust::Deny),
            ],
            others: HostTrust::Allow,
        };
        for (host, trust) in [
            ("ok.evil.example", HostTrust::Ask),
            ("a.evil.example", HostTrust::Deny),
            ("a.evil.example.", HostTrust::Deny),
            ("claude.ai", HostTrust::Allow),
        ] {
            assert_eq!(trusts.of(host), trust, "{host}");
            assert_eq!(trusts.deny_by_name(host), trust == HostTrust::Deny, "{host}");
        }
        let others = HostTrusts { others: HostTrust::Deny, ..trusts };
        assert_eq!(others.of("claude.ai"), HostTrust::Deny);
        assert!(!others.deny_by_name("claude.ai"), "no rule means it");
    }
}
