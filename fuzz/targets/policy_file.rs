//! A policy file: whatever it says, it is a policy or has faults, each with its place.
#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use mcp_auth_broker::policy::{Facts, Needs, Policy, PolicyError, World};

fuzz_target!(|text: &str| {
    let facts = Facts {
        issuer: "https://broker.example".to_owned(),
        profiles: vec![("reader".parse().unwrap(), "contoso".parse().unwrap())],
        tools: vec!["auth.graph.operation.execute.v1".to_owned(), "get_public_info".to_owned()],
        ..Facts::default()
    };
    match Policy::load("policy.toml", text, None, &[], facts) {
        Ok(policy) => {
            let world =
                World { operation_tool: "auth.graph.operation.execute.v1", ..World::default() };
            black_box(policy.lint(&world, |_, _| Needs::Unknown));
        }
        Err(PolicyError(faults)) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let mut place = fault.place.strip_prefix("policy.toml:").unwrap().split(':');
                let mut next = || place.next().unwrap().parse::<usize>().unwrap();
                let (line, column) = (next(), next());
                let found = text.split('\n').nth(line - 1).unwrap();
                assert!((1..=found.chars().count() + 1).contains(&column), "{}", fault.place);
                assert!(!fault.message.is_empty() && !fault.message.contains('\n'));
            }
        }
    }
});
