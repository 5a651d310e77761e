//! The rules that the short tables of `[[upstream.server]]` stand for.

use std::collections::HashSet;
use std::iter;

use crate::config::Config;
use crate::policy::{Effect, Granted, RuleSpec};
use crate::scope::ScopeToken;

/// Signs of a pattern in an id.
const LONGEST: usize = 64;

/// The rules that `[[upstream.server.tool]]` and its kin stand for, by the names of [`id`].
pub(super) fn grants(config: &Config) -> Granted {
    let mut taken = HashSet::new();
    let mut rules = Vec::new();
    for server in &config.upstream.servers {
        for (kind, between, grants) in [
            ("", ".", &server.tools),
            (".prompt", "/prompts/", &server.prompts),
            (".resource", "/resources/", &server.resources),
        ] {
            rules.extend(grants.iter().map(|grant| RuleSpec {
                id: id(&server.id, kind, &grant.name, &mut taken),
                effect: Effect::Allow,
                tools: vec![pattern(&server.id, between, &grant.name)],
                scopes: grant.scopes.iter().map(|scope: &ScopeToken| scope.to_string()).collect(),
                ..RuleSpec::default()
            }));
        }
    }
    Granted { source: "upstream.server".to_owned(), rules }
}

/// `upstream.{server}.{pattern}`, wherever in the settings it stands: what the audit log says of a rule stays true when a line is put
/// before it. Signs that no id has are `_`; of several that would be the same the later ones have a number.
fn id(server: &str, kind: &str, name: &str, taken: &mut HashSet<String>) -> String {
    let plain = |sign: char| {
        let fits = sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-');
        if fits { sign } else { '_' }
    };
    let name: String = name.chars().take(LONGEST).map(plain).collect();
    let first = format!("upstream.{server}{kind}.{name}");
    let mut ids = iter::once(first.clone()).chain((2_u32..).map(|n| format!("{first}.{n}")));
    ids.find(|id| taken.insert(id.clone())).unwrap_or(first)
}

/// A name alone needs no group, and so no regular expression when it is compared.
fn pattern(server: &str, between: &str, name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let prefix = regex::escape(&[server, between].concat());
    if name.bytes().all(plain) { prefix + name } else { format!("{prefix}(?:{name})") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{id, pattern};

    #[test]
    fn a_rule_is_called_as_what_it_is_about_and_no_two_alike() {
        let mut taken = HashSet::new();
        let long = "x".repeat(200);
        for (kind, name, expected) in [
            ("", "get_weather", "upstream.w.get_weather"),
            ("", "get_.*", "upstream.w.get_._"),
            ("", "get_.+", "upstream.w.get_._.2"),
            (".prompt", "day", "upstream.w.prompt.day"),
            ("", "prompt.day", "upstream.w.prompt.day.2"),
            (".resource", "city:.*", "upstream.w.resource.city_._"),
            ("", &long, &format!("upstream.w.{}", "x".repeat(64))),
        ] {
            assert_eq!(id("w", kind, name, &mut taken), expected);
        }
    }

    #[test]
    fn a_grant_is_about_its_own_server_alone() {
        assert_eq!(pattern("a-b", ".", "get"), r"a\-b\.get");
        assert_eq!(pattern("a", ".", "x|y"), r"a\.(?:x|y)");
        assert_eq!(pattern("a", "/resources/", ".*"), "a/resources/(?:.*)");
    }
}
