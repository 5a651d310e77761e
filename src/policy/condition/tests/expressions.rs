//! What a condition may say: what is refused when it is loaded, and what that protects.

use super::*;

#[test]
fn what_a_condition_may_not_say_is_refused_with_its_place() {
    for (when, expected) in [
        ("claims.tags.exists(t, t == 'x')", "loops over a list"),
        ("claims.tags.map(t, t) == []", "loops over a list"),
        ("claim.oid == 'x'", "`claim` is not a name"),
        ("claims.oid.matches('a+')", "`matches` is not a function"),
        ("claims.scope == 'x'", "holds scopes"),
        ("claims['scp'] == 'x'", "holds scopes"),
        ("path.usr == 'x'", "path.usr is not captured"),
        ("request.methd == 'GET'", "request.methd is not known"),
        ("query['Top'] == '5'", "query has no `Top`"),
        ("claims[path.user] == 'x'", "is not a text"),
        ("now.getHours('Europe/Berlyn') > 1", "time zone is not known"),
        ("claims == claims", "used as a whole"),
        ("'yes'", "neither true nor false"),
        ("now + duration('1h')", "neither true nor false"),
        ("path.user ==", "cannot be read"),
        ("a.?b == 1", ""),
        ("{'a': 1} == {}", "makes an object"),
        ("r'\\' == 'x'", "raw or a triple-quoted"),
        ("claims.oid == 'x' // yes", "has a comment"),
    ] {
        let error = load(&format!(
            "[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\".*\"]\nwhen = {when:?}\n\
             graph = {{ profile = \"reader\", methods = [\"GET\"], paths = [\"/v1.0/users/{{user}}\"] }}\n"
        ))
        .unwrap_err();
        assert!(error.starts_with("policy.toml:5:"), "{when}: {error}");
        assert!(error.contains(expected) && error.contains("hint: "), "{when}: {error}");
    }
}

/// It would fail every call, and a rule that denies would deny them all.
#[test]
fn a_constant_that_can_never_be_evaluated_is_refused_with_its_place() {
    for (when, expected) in [
        ("now > timestamp('2026-13-01T00:00:00Z')", "5:24: rule `r`: when: `timestamp("),
        ("duration('1x') > duration('1s')", "can never be evaluated"),
        ("claims.oid == 'a' * 3", "can never be evaluated"),
        ("int(claims.n) / 0 == 1", "divides by zero"),
        ("int(claims.n) % (2 - 2) == 1", "divides by zero"),
        ("claims.n == 1 && [1, 2][7] == 1", "can never be evaluated"),
        ("claims.n > int('many')", "can never be evaluated"),
    ] {
        let Err(error) = plain_rule("deny", &format!("when = {when:?}")) else { panic!("{when}") };
        assert!(error.contains(expected), "{when}: {error}");
        assert_eq!(error.matches("hint: ").count(), 1, "told once: {error}");
    }
    for when in [
        "now > timestamp('2026-12-01T00:00:00Z') + duration('36h')",
        "int(claims.n) / 2 == 1",
        "claims.n in [1, 2 + 3, int('7')]",
        "claims.d / 0.0 > 1.0",
    ] {
        assert!(plain_rule("deny", &format!("when = {when:?}")).is_ok(), "{when}");
    }
}

#[test]
fn what_would_cost_too_much_is_refused_when_it_is_loaded() {
    let long = format!("claims.oid == '{}'", "x".repeat(3_000));
    let wide = vec!["1 == 1"; 150].join(" && ");
    let concatenated = format!("{} == 'x'", vec!["arguments.a"; 30].join(" + "));
    let deep = format!("{}true{}", "(".repeat(500), ")".repeat(500));
    for when in [long, wide, concatenated, deep] {
        assert!(plain_rule("allow", &format!("when = {when:?}")).is_err(), "{when:.60}");
    }
}

#[test]
fn no_expression_that_is_let_through_overflows_the_stack() {
    for (one, count) in [
        ("(", 2_000),
        ("!", 2_000),
        ("-", 2_000),
        ("- ", 1_000),
        ("[", 2_000),
        ("{", 2_000),
        ("a.", 1_000),
        ("a[", 1_000),
        ("a(", 1_000),
        ("a?", 1_000),
        ("true?true:", 200),
        ("1==1&&", 340),
        ("1==1||", 340),
        ("1+", 1_000),
        ("1<", 1_000),
        ("'", 2_000),
        ("\\", 2_000),
        ("1,", 1_000),
    ] {
        for end in ["", "1", "true", "a"] {
            plain_rule("allow", &format!("when = {:?}", one.repeat(count) + end)).err();
        }
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn expression() -> impl Strategy<Value = String> {
        let words = vec![
            "claims",
            ".",
            "oid",
            "(",
            ")",
            "[",
            "]",
            "'a'",
            "1",
            "&&",
            "||",
            "!",
            "-",
            "==",
            "<",
            "+",
            "?",
            ":",
            "now",
            "path",
            "user",
            "in",
            "has",
            "size",
            "true",
            "{",
            "}",
            ",",
            "getHours",
            "arguments",
            "\"",
            "\\",
            "é",
        ];
        prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.join(" "))
    }

    proptest! {
        /// Whatever is written as a condition is refused or evaluated; nothing panics, and nothing opens
        /// what its parts do not.
        #[test]
        fn no_text_breaks_the_reader(when in expression()) {
            if let Ok(policy) = plain_rule("allow", &format!("when = {when:?}")) {
                question().plain(&policy);
            }
        }

        /// CEL and our connectives agree where nothing fails.
        #[test]
        fn our_connectives_are_cels(parts in prop::collection::vec(prop::sample::select(vec![
            "true", "false", "claims.level == 3", "claims.level == 4", "!(claims.level == 3)",
        ]), 1..6), joints in prop::collection::vec(any::<bool>(), 6)) {
            let mut text = String::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    text += if joints[index] { " && " } else { " || " };
                }
                text += part;
            }
            // A choice is CEL's own from its first word to its last.
            prop_assert_eq!(holds(&text), holds(&format!("({text}) ? true : false")), "{}", text);
        }
    }
}

#[test]
fn every_fault_of_a_condition_is_told_with_its_column() {
    let error = plain_rule("allow", "when = \"foo == 1 && bar == 2\"").unwrap_err();
    assert!(error.contains("policy.toml:5:9") && error.contains("policy.toml:5:21"), "{error}");
}

#[test]
fn an_explanation_shows_what_each_part_saw() {
    let policy = plain_rule("allow", "when = \"claims.level == 3 && claims.oid == 'x'\"").unwrap();
    let (issuer, scopes) = ("https://broker.example".parse().unwrap(), Scope::empty());
    let (subject, question) = ("ada".parse().unwrap(), question());
    let who = Who {
        issuer: &issuer,
        subject: Some(&subject),
        client_id: None,
        scopes: &scopes,
        groups: &[],
        groups_incomplete: false,
        roles: &[],
        roles_incomplete: false,
        claims: Some(&question.claims),
        told: None,
    };
    let (operation, arguments, now) = (Operation::Plain, Arguments::Unknown, question.now);
    let said = policy.explain(&Ask { who, tool: "delete", operation, arguments, now });
    let parts: Vec<_> =
        said.rules[0].condition.iter().map(|part| (&*part.part, &*part.saw[0].1)).collect();
    assert_eq!(parts, [("claims.level == 3", "3"), ("claims.oid == 'x'", "\"ada-oid\"")]);
    assert!(!said.decision.is_allow());
}
