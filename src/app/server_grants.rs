//! The rules that the short tables of `[[upstream.server]]` stand for.

use crate::config::Config;
use crate::policy::{Effect, Granted, RuleSpec};
use crate::scope::ScopeToken;

/// The rules that `[[upstream.server.tool]]` and its kin stand for: `upstream.{id}.tool.{number}`, counted from 1.
pub(super) fn grants(config: &Config) -> Granted {
    let rules = config.upstream.servers.iter().flat_map(|server| {
        let kinds = [
            ("tool", ".", &server.tools),
            ("prompt", "/prompts/", &server.prompts),
            ("resource", "/resources/", &server.resources),
        ];
        kinds.into_iter().flat_map(move |(kind, between, grants)| {
            grants.iter().zip(1..).map(move |(grant, number): (_, usize)| RuleSpec {
                id: format!("upstream.{}.{kind}.{number}", server.id),
                effect: Effect::Allow,
                tools: vec![pattern(&server.id, between, &grant.name)],
                scopes: grant.scopes.iter().map(|scope: &ScopeToken| scope.to_string()).collect(),
                ..RuleSpec::default()
            })
        })
    });
    Granted { source: "upstream.server".to_owned(), rules: rules.collect() }
}

/// A name alone needs no group, and so no regular expression when it is compared.
fn pattern(server: &str, between: &str, name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let prefix = regex::escape(&[server, between].concat());
    if name.bytes().all(plain) { prefix + name } else { format!("{prefix}(?:{name})") }
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_grant_is_about_its_own_server_alone() {
        assert_eq!(pattern("a-b", ".", "get"), r"a\-b\.get");
        assert_eq!(pattern("a", ".", "x|y"), r"a\.(?:x|y)");
        assert_eq!(pattern("a", "/resources/", ".*"), "a/resources/(?:.*)");
    }
}
