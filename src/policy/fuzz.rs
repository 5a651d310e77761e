//! Files and expressions that nobody in their right mind writes. `scripts/fuzz-policy` runs this for as long as you like.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::condition::Condition;
use super::generated::{Form, policy, questions, rules};
use super::{Facts, Policy, PolicyError};

/// Changes a text at some places, mostly by what means something in TOML or CEL.
fn mutated(text: &str, changes: &[(Index, usize, &str)]) -> String {
    let mut signs: Vec<char> = text.chars().collect();
    for (index, removed, inserted) in changes {
        if signs.is_empty() {
            break;
        }
        let at = index.index(signs.len());
        let end = (at + removed).min(signs.len());
        signs.splice(at..end, inserted.chars());
    }
    signs.into_iter().collect()
}

fn changes() -> impl Strategy<Value = Vec<(Index, usize, &'static str)>> {
    const PIECES: [&str; 30] = [
        "",
        "\"",
        "'",
        "\\",
        "[",
        "]",
        "[[rule]]\n",
        "{",
        "}",
        "=",
        "\n",
        ",",
        ".",
        "(",
        ")",
        "!",
        "&&",
        "||",
        "?",
        ":",
        "-",
        "+",
        "1e999",
        "é",
        "\u{0}",
        "\u{202e}",
        "claims.x",
        "true",
        "9223372036854775808",
        ".*.*.*",
    ];
    proptest::collection::vec((any::<Index>(), 0_usize..6, select(&PIECES[..])), 1..6)
}

fn load(text: &str) -> Result<Policy, PolicyError> {
    let facts = Facts {
        issuer: "https://broker.example".to_owned(),
        profiles: vec![("reader".parse().unwrap(), "contoso".parse().unwrap())],
        tools: vec!["auth.execute".to_owned()],
        ..Facts::default()
    };
    Policy::load("policy.toml", text, None, &[], facts)
}

/// `policy.toml:LINE:COLUMN`, of a sign that is there.
fn is_in(place: &str, text: &str) -> bool {
    let mut numbers = place.strip_prefix("policy.toml:").unwrap().split(':');
    let mut next = || numbers.next().unwrap().parse::<usize>().unwrap();
    let (line, column) = (next(), next());
    let found = text.split('\n').nth(line - 1);
    found.is_some_and(|found| (1..=found.chars().count() + 1).contains(&column))
}

const EXPRESSIONS: [&str; 8] = [
    "claims.level == 3 && claims.oid == 'ada'",
    "!(caller.subject in ['a', 'b']) || now.getHours('Europe/Berlin') < 8",
    "has(claims.x) ? claims.x.startsWith('a') : false",
    "arguments.amount * 2 + 1 > 5 && arguments.list[0] == 1",
    "'admin' in caller.roles && request.method == 'GET'",
    "size(claims.tags) > 1 && claims.a.b.c == null",
    "double(claims.level) / 0.0 > 1.0",
    "duration('1h') > duration('30m') && timestamp('2026-01-01T00:00:00Z') < now",
];

proptest! {
    #[test]
    fn no_file_overturns_the_reader_and_every_fault_has_a_place_in_it(
        rules in rules(), changes in changes(),
    ) {
        let text = mutated(&rules, &changes);
        if let Err(PolicyError(faults)) = load(&text) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                prop_assert!(is_in(&fault.place, &text), "{}: {text:?}", fault.place);
                prop_assert!(!fault.message.is_empty());
                prop_assert!(!fault.message.contains('\n'), "{}", fault.message);
            }
        }
    }

    #[test]
    fn no_expression_overturns_the_reader_or_the_evaluation(
        text in select(&EXPRESSIONS[..]), changes in changes(), question in questions(),
    ) {
        let text = mutated(text, &changes);
        if let Err(faults) = Condition::compile(&text, None) {
                prop_assert!(!faults.is_empty());
                let length = text.chars().count();
                for fault in faults {
                    prop_assert!(fault.offset <= length, "{} in {text:?}", fault.offset);
                }
            } else {
                let rule = toml::to_string(&json!({ "rule": [{
                    "id": "r", "effect": "allow", "tools": [".*"], "when": text,
                }] })).unwrap();
                let policy = policy(&rule, &[]);
                question.ask(Form::Call, |ask| {
                    let decision = policy.explain(ask);
                    prop_assert_eq!(decision.decision, policy.decide(ask));
                    Ok(())
                })?;
            }
    }

    #[test]
    fn every_malformed_rule_is_told_in_one_run(kinds in proptest::collection::vec(select(&MALFORMED[..]), 1..12)) {
        let mut text = "version = \"t\"\n".to_owned();
        let mut lines = Vec::new();
        for (number, (_, rule)) in kinds.iter().enumerate() {
            let first = text.matches('\n').count() + 1;
            let id = format!("r{number}");
            writeln!(text, "[[rule]]\n{}", rule.replace("ID", &id)).unwrap();
            lines.push((id, first..=text.matches('\n').count()));
        }
        let PolicyError(faults) = load(&text).unwrap_err();
        for ((id, lines), (message, _)) in lines.into_iter().zip(kinds) {
            let told = faults.iter().any(|fault| {
                let line: usize = fault.place.split(':').nth(1).unwrap().parse().unwrap();
                lines.contains(&line) && fault.to_string().contains(message)
            });
            prop_assert!(told, "{id} {message}: {faults:#?}");
        }
    }
}

/// What each fault says, and a rule with it.
const MALFORMED: [(&str, &str); 16] = [
    ("effect is missing", "id = \"ID\"\ntools = [\"t\"]"),
    ("unknown variant", "id = \"ID\"\neffect = \"alow\"\ntools = [\"t\"]"),
    ("tools is missing", "id = \"ID\"\neffect = \"deny\""),
    ("tools is empty", "id = \"ID\"\neffect = \"deny\"\ntools = []"),
    ("is not a regular expression", "id = \"ID\"\neffect = \"deny\"\ntools = [\"(\"]"),
    ("is not a regular expression", "id = \"ID\"\neffect = \"deny\"\ntools = [\"a)|(?:.*\"]"),
    (
        "is a regular expression that is too large",
        "id = \"ID\"\neffect = \"deny\"\ntools = [\"((a{99}){99}){99}\"]",
    ),
    ("did you mean `scopes`?", "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\nscope = [\"a\"]"),
    ("scopes:", "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\nscopes = [\"a b\"]"),
    (
        "principals.group is not a key",
        "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\nprincipals = { group = [] }",
    ),
    (
        "graph.paths",
        "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\ngraph = { methods = [\"GET\"], paths = [\"users\"] }",
    ),
    (
        "graph.methods",
        "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\ngraph = { methods = [\"GTE\"], paths = [\"/v1.0/users\"] }",
    ),
    (
        "graph.profile",
        "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\ngraph = { profile = \"x\", methods = [\"GET\"], paths = [\"/v1.0/users\"] }",
    ),
    ("when:", "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\nwhen = \"claims.x ==\""),
    ("when:", "id = \"ID\"\neffect = \"deny\"\ntools = [\"t\"]\nwhen = \"nobody.x == 1\""),
    ("valid_for_seconds", "id = \"ID\"\neffect = \"ask\"\ntools = [\"t\"]\nvalid_for_seconds = 1"),
];

#[test]
fn huge_texts_are_refused_by_their_size() {
    let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let long = format!("{} == 1", vec!["claims.x"; 2_000].join(" + "));
    for text in [deep, long, "!".repeat(1_000), "a.".repeat(900)] {
        assert!(Condition::compile(&text, None).is_err());
    }
}
