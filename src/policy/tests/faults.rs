//! What files with faults are told, and what a version names.

use super::*;

#[test]
fn every_fault_of_every_rule_is_reported_with_its_place() {
    let error = load(
        r#"
version = "t"
[[rule]]
id = "a b"
effect = "allow"
tools = ["("]
[[rule]]
id = "two"
effect = "allow"
tools = [".*"]
when = "tru"
graph = { profile = "nobody", methods = ["get"], paths = ["/users"] }
"#,
    );
    insta::assert_snapshot!(error.unwrap_err(), @r#"
    policy.toml:4:6: rule `a b`: id has a character outside letters, digits, `.`, `_` and `-`
      hint: use letters, digits, `.`, `_` and `-`
    policy.toml:6:10: rule `a b`: tools: `(` is not a regular expression: unclosed group
      hint: in TOML a backslash is written twice: "auth\\.graph\\..*"
    policy.toml:11:9: rule `two`: when: `tru` is not a name that conditions know
      hint: the names are claims, caller, request, path, query, arguments and now
    policy.toml:12:42: rule `two`: graph.methods: `get` is not one of GET, POST, PUT, PATCH, DELETE
      hint: write GET
    policy.toml:12:59: rule `two`: graph.paths: `/users`: a path begins with /v1.0/ or /beta/
      hint: such as /v1.0/users/{id}/messages
    policy.toml:12:21: rule `two`: graph.profile: `nobody` is not a configured [[graph.profile]]
      hint: configured profiles: reader
    "#);
}

#[test]
fn a_version_is_a_label_that_every_terminal_and_store_takes() {
    let long = "v".repeat(65);
    for version in ["1\\u0000", "\\u001b[31mred", "two\\nlines", long.as_str()] {
        let error = load(&format!("version = \"{version}\"\n")).unwrap_err().to_string();
        assert!(error.contains("policy.toml:1:11: version: is longer than 64"), "{error}");
    }
    assert!(load(&format!("version = \"{}\"\n", "ü".repeat(64))).is_ok());
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let error = load(
        "version = \"t\"\n[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = []\nscope = [\"x\"]\n",
    );
    assert!(
        error.unwrap_err().to_string().contains("policy.toml:6:1: rule `a`: scope is not a key"),
        "{:?}",
        load("[[rule]]\nscope = 1")
    );
}

#[test]
fn a_fault_of_a_condition_is_told_where_it_is_written_however_it_is_quoted() {
    for (when, place) in [
        (r#""claims.a == \"x\" && claims.b == \"\u00e9\" && foo""#, "6:56"),
        ("'claims.a == \"x\" && foo'", "6:28"),
        ("\"\"\"\nclaims.a == \"x\"\n  && foo\"\"\"", "8:6"),
        ("'''claims.a == 1 &&\nfoo'''", "7:1"),
        ("\"\"\"claims.a == 1 && \\\n    foo\"\"\"", "7:5"),
    ] {
        let rules = format!(
            "version = \"t\"\n[[rule]]\nid = \"a\"\neffect = \"deny\"\ntools = [\".*\"]\nwhen = {when}\n"
        );
        let told = load(&rules).unwrap_err().to_string();
        assert!(told.starts_with(&format!("policy.toml:{place}: ")), "{when}\n{told}");
    }
}

#[test]
fn a_profile_that_is_none_makes_no_fault_of_a_condition_on_the_path() {
    let rules = "version = \"t\"\n[[rule]]\nid = \"a\"\neffect = \"deny\"\ntools = [\".*\"]\nwhen = \"path.user == claims.oid || path.other == 1\"\n\
        graph = { profile = \"raeder\", methods = [\"GET\"], paths = [\"/v1.0/users/{user}\"] }\n";
    let told = load(rules).unwrap_err().to_string();
    assert!(told.contains("`raeder` is not a configured"), "{told}");
    assert!(!told.contains("path.user") && told.contains("path.other is not captured"), "{told}");
}

// OpenID Connect Core §3.1.2.1, RFC 9470 §3
#[test]
fn a_strength_that_nobody_could_ask_for_is_refused_with_its_place() {
    let rules = |effect: &str, value: &str| {
        load(&format!(
            "version = \"t\"\n[[rule]]\nid = \"a\"\neffect = \"{effect}\"\ntools = [\".*\"]\nprincipals = {{ assurance = [\"phr\", \"{value}\"] }}\n"
        ))
    };
    insta::assert_snapshot!(rules("allow", "level 3").unwrap_err(), @r#"
    policy.toml:6:36: rule `a`: principals.assurance: `level 3` is no value to ask for
      hint: a value of acr is one word without spaces, quotes and backslashes, such as phr
    "#);
    for value in ["", "\\\"", "größer"] {
        assert!(rules("ask", value).is_err(), "{value}");
    }
    for value in ["urn:mace:incommon:iap:silver", "https://refeds.org/profile/mfa"] {
        assert!(rules("allow", value).is_ok(), "{value}");
    }
    assert!(rules("deny", "level 3").is_ok(), "what denies asks for nothing");
}

#[test]
fn the_version_changes_with_the_rules() {
    assert_ne!(policy(READ).version(), policy(&READ.replace("graph:read", "graph:more")).version());
    assert_eq!(policy(READ).version(), policy(READ).version());
}
