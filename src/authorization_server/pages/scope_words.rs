//! What a scope lets a client do, in words a person understands.

use std::collections::BTreeMap;

use crate::scope::{Scope, ScopeToken};

/// What scopes of the operator's own let a client do (`authorization_server.scope_words`). Shown as text, never as HTML.
pub type OwnWords = BTreeMap<ScopeToken, String>;

/// One line of the consent page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScopeWords {
    /// The scope itself.
    pub(crate) name: String,
    /// `None` for a scope that nobody described: it is shown as itself.
    pub(crate) words: Option<String>,
    /// Whether it changes things or opens much.
    pub(crate) strong: bool,
}

/// Scope, words, and whether it is a strong one.
const CATALOGUE: [(&str, &str, bool); 13] = [
    ("public:read", "Read public documents", false),
    ("confidential:read", "Read confidential documents", true),
    (
        "graph:read",
        "Read what the rules allow from Microsoft 365, such as people, groups and mail",
        false,
    ),
    (
        "graph:write",
        "Change things in Microsoft 365 as far as the rules allow, such as sending mail or editing groups",
        true,
    ),
    ("graph:*", "Read and change everything in Microsoft 365 that the rules allow", true),
    ("broker:admin", "Administer this broker: users, clients, servers and keys", true),
    ("broker:approve", "See and answer, in your name, the calls that wait for you", true),
    ("broker:*", "Administer this broker in every way", true),
    ("openid", "Know who you are", false),
    ("profile", "See your name and user name", false),
    ("email", "See your e-mail address", false),
    ("groups", "See which groups you belong to", false),
    ("offline_access", "Stay connected when you are away, until you revoke it", false),
];

/// Every scope, strongest first.
pub(crate) fn in_words(scope: &Scope, own: &OwnWords) -> Vec<ScopeWords> {
    let mut lines: Vec<_> = scope.iter().map(|token| one(token, own)).collect();
    lines.sort_by_key(|line| (!line.strong, line.name == "offline_access"));
    lines
}

fn one(token: &ScopeToken, own: &OwnWords) -> ScopeWords {
    let known = CATALOGUE.iter().find(|(name, ..)| *name == token.as_str());
    let words = own.get(token).cloned();
    ScopeWords {
        name: token.as_str().to_owned(),
        words: words.or_else(|| known.map(|(_, words, _)| (*words).to_owned())),
        // What is not ours is taken for strong, whoever described it.
        strong: known.is_none_or(|(_, _, strong)| *strong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scope_is_shown_as_itself_and_taken_for_strong() {
        let lines = in_words(&"weather:read openid".parse().unwrap(), &OwnWords::default());
        assert_eq!(lines[0].name, "weather:read");
        assert_eq!((&lines[0].words, lines[0].strong), (&None, true));
        assert_eq!(lines[1].words.as_deref(), Some("Know who you are"));
    }

    #[test]
    fn an_operator_says_what_scopes_mean_ours_too() {
        let own = [("weather:read", "Read the weather"), ("public:read", "Read our leaflets")];
        let own = own.map(|(name, words)| (name.parse().unwrap(), words.to_owned())).into();
        let lines = in_words(&"weather:read public:read".parse().unwrap(), &own);
        let words: Vec<_> = lines.iter().map(|line| line.words.as_deref().unwrap()).collect();
        assert_eq!(words, ["Read the weather", "Read our leaflets"]);
        assert!(lines[0].strong && !lines[1].strong);
    }

    #[test]
    fn what_changes_things_comes_first() {
        let scope = "graph:read graph:write offline_access".parse().unwrap();
        let lines = in_words(&scope, &OwnWords::default());
        let names: Vec<_> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["graph:write", "graph:read", "offline_access"]);
    }
}
