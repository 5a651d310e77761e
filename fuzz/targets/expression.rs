//! A condition, and behind the first line break claims and arguments: what decides is what explains, and neither fails.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::policy::{Arguments, Ask, Facts, Moment, Operation, Policy, Who};
use mcp_auth_broker::scope::Scope;

fuzz_target!(|text: &str| {
    let (when, rest) = text.split_once('\n').unwrap_or((text, "{}"));
    let (claims, arguments) = rest.split_once('\n').unwrap_or((rest, "{}"));
    let rule = toml::Table::from_iter([
        ("id".to_owned(), "r".into()),
        ("effect".to_owned(), "allow".into()),
        ("tools".to_owned(), toml::Value::Array(vec![".*".into()])),
        ("when".to_owned(), when.into()),
    ]);
    let file = toml::Table::from_iter([("rule".to_owned(), toml::Value::Array(vec![rule.into()]))]);
    let facts = Facts { tools: vec!["tool".to_owned()], ..Facts::default() };
    let Ok(policy) = Policy::load("p.toml", &file.to_string(), None, &[], facts) else { return };
    let claims = serde_json::from_str(claims).ok();
    let (issuer, subject) = ("https://broker.example".parse().unwrap(), "ada".parse().unwrap());
    let client = "agent".parse().unwrap();
    let scopes = Scope::default();
    let groups: [Arc<str>; 2] = ["leads".into(), "it".into()];
    let who = Who {
        issuer: &issuer,
        subject: Some(&subject),
        client_id: Some(&client),
        scopes: &scopes,
        groups: &groups,
        groups_incomplete: false,
        roles: &groups,
        claims: claims.as_ref(),
        told: None,
    };
    for arguments in [Arguments::Unknown, Arguments::Json(arguments)] {
        let now = Moment::default();
        let ask = Ask { who, tool: "tool", operation: Operation::Plain, arguments, now };
        assert_eq!(policy.explain(&ask).decision, policy.decide(&ask));
    }
});
