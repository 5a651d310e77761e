//! Names in rules that stand for nothing there is, and rules that a reader takes for more than they say.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::child::command;

use super::{as_json, said, text, write};

fn kinds(directory: &Path, rules: &str) -> Vec<(String, String)> {
    write(directory, "rules.toml", rules);
    let told = as_json(directory, &["lint", "rules.toml"]);
    let findings = told["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = findings.filter(|found| found["kind"] != "unreachable_tool");
    found.map(|found| (text(&found["rule_id"]), text(&found["kind"]))).collect()
}

fn found(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(rule, kind)| ((*rule).to_owned(), (*kind).to_owned())).collect()
}

fn rule_about(id: &str, effect: &str, tools: &str, more: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = {tools}\nscopes = [\"public:read\"]\n{more}\n"
    )
}

/// Most of all where it denies: then it denies nobody.
#[test]
fn lint_tells_issuers_of_which_no_token_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = "[[resource_server.issuer]]\nissuer = \"https://login.example\"\njwks_uri = \"https://login.example/keys\"\n";
    write(directory.path(), "broker.toml", issuer);
    let rule =
        |id: &str, effect: &str, more: &str| rule_about(id, effect, "[\"get_public_info\"]", more);
    let rules =
        "may_assert_requester = [{ client = \"gate\", issuer = \"https://login.exmaple\" }]\n"
            .to_owned()
            + &rule("denies", "deny", "principals = { issuers = [\"https://login.exmaple\"] }")
            + &rule("known", "allow", "principals = { issuers = [\"https://login.example\"] }")
            + &rule(
                "when",
                "allow",
                "principals = { roles = [] }\nwhen = \"caller.issuer == 'https://login.exmaple' && claims.a == 1\"",
            )
            + &rule(
                "in",
                "deny",
                "when = \"claims.iss in ['https://login.example', 'https://other.example']\"",
            )
            + &rule("part", "deny", "when = \"caller.issuer.startsWith('https://login')\"");
    let told = kinds(directory.path(), &rules);
    let issuers: Vec<_> = told.into_iter().filter(|(_, kind)| kind == "unknown_issuer").collect();
    let kind = "unknown_issuer";
    assert_eq!(issuers, found(&[("denies", kind), ("when", kind), ("in", kind), ("", kind)]));
    let (text, _) = said(directory.path(), &["lint", "rules.toml"]);
    assert!(text.contains("hint: did you mean `https://login.example`?"), "{text}");
}

/// What a server has, only the server knows: that a pattern is about the tools here is about none of those.
#[test]
fn a_rule_about_tools_of_a_server_is_shadowed_only_by_one_that_is_about_them() {
    let directory = tempfile::tempdir().unwrap();
    let server = "[[upstream.server]]\nid = \"weather\"\nurl = \"https://weather.example/mcp\"\n";
    write(directory.path(), "broker.toml", server);
    let shadowed = |first: &str, second: &str| {
        let rules =
            rule_about("first", "allow", first, "") + &rule_about("second", "allow", second, "");
        let told = kinds(directory.path(), &rules);
        told.iter().any(|(rule, kind)| (rule.as_str(), kind.as_str()) == ("second", "shadowed"))
    };
    for (first, second) in [
        (r#"["get_.*"]"#, r#"["get_public_info", "weather\\.get"]"#),
        (r#"["get_.*"]"#, r#"[".*info"]"#),
        (r#"["weather\\.get_.*"]"#, r#"["weather\\..*"]"#),
        (r#"["get_.*", "weather\\.set"]"#, r#"["get_.*", "weather\\.get"]"#),
    ] {
        assert!(!shadowed(first, second), "{first} {second}");
    }
    for (first, second) in [
        (r#"[".*"]"#, r#"["get_public_info", "weather\\..*"]"#),
        (r#"["get_.*", "weather\\..*"]"#, r#"["get_public_info", "weather\\.get"]"#),
        (r#"["weather\\..*", "get_.*"]"#, r#"["weather\\..*"]"#),
        (r#"["get_.*"]"#, r#"["get_public_.*"]"#),
    ] {
        assert!(shadowed(first, second), "{first} {second}");
    }
}

#[test]
fn lint_tells_paths_that_there_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let rule = |id: &str, effect: &str, path: &str| {
        let graph = format!(
            "graph = {{ methods = [\"GET\", \"DELETE\"], paths = [\"{path}\"], permissions = [\"User.ReadWrite.All\"] }}"
        );
        rule_about(id, effect, r#"["auth\\.graph\\.operation\\.execute\\.v1"]"#, &graph)
    };
    let rules = rule("right", "allow", "/v1.0/users/{id}")
        + &rule("wrong", "deny", "/v1.0/uzers/{id}")
        + &rule("wide", "deny", "/v1.0/{any}/{id}")
        + &rule("rare", "deny", "/v1.0/planets/{id}/moons");
    let of_paths = || {
        let told = kinds(directory.path(), &rules);
        told.into_iter().filter(|(_, kind)| kind == "unknown_operation").collect::<Vec<_>>()
    };
    assert_eq!(of_paths(), found(&[("wrong", "unknown_operation")]));
    let (hint, _) = said(directory.path(), &["lint", "rules.toml"]);
    assert!(hint.contains("hint: did you mean /users/{id}?"), "{hint}");
    // Microsoft's own data has all there are.
    let data = json!({ "permissions": { "User.ReadWrite.All": {
        "schemes": { "Application": { "privilegeLevel": 2 } },
        "pathSets": [{
            "schemeKeys": ["Application"], "methods": ["GET", "DELETE"],
            "paths": { "/users/{id}": "least=Application" },
        }],
    } } });
    write(directory.path(), "permissions.json", &data.to_string());
    let imported = command(directory.path(), &["catalog", "import", "permissions.json"]);
    assert!(imported.status.success(), "{}", text(&imported));
    assert_eq!(of_paths(), found(&["wrong", "rare"].map(|rule| (rule, "unknown_operation"))));
}

#[test]
fn lint_tells_rules_without_scopes() {
    let directory = tempfile::tempdir().unwrap();
    let rule = |id: &str, effect: &str, more: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = [\"get_public_info\"]\n{more}\n"
        )
    };
    let rules = rule("grouped", "allow", "principals = { roles = [\"a\"] }")
        + &rule("asks", "ask", "when = \"claims.a == 1\"")
        + &rule("denies", "deny", "when = \"claims.b == 1\"")
        + &rule("scoped", "allow", "principals = { roles = [\"b\"] }\nscopes = [\"public:read\"]");
    let told = kinds(directory.path(), &rules);
    let told: Vec<_> = told.into_iter().filter(|(_, kind)| kind == "no_scopes").collect();
    assert_eq!(told, found(&[("grouped", "no_scopes"), ("asks", "no_scopes")]));
}

/// Most of all where it denies: a deny on day 7 is open on Sundays, which are day 0.
#[test]
fn lint_tells_conditions_that_compare_with_what_there_never_is() {
    let directory = tempfile::tempdir().unwrap();
    let odd = [
        "now.getDayOfWeek('UTC') == 7",
        "now.getHours('UTC') == 25",
        "now.getMonth('UTC') == 12",
        "now.getDate('UTC') < 1",
        "caller.subject == 1",
    ];
    let good = [
        "now.getDayOfWeek('UTC') == 6",
        "now.getHours('UTC') == 23",
        "now.getMonth('UTC') == 11",
        "now.getDate('UTC') < 2",
        "caller.subject == '1'",
    ];
    let rules: String =
        odd.iter().zip(good).enumerate().fold(String::new(), |all, (at, (odd, good))| {
            let rule = |id: String, when: &str| {
                rule_about(&id, "deny", "[\"get_public_info\"]", &format!("when = \"{when}\""))
            };
            all + &rule(format!("odd{at}"), odd) + &rule(format!("good{at}"), good)
        });
    let told = kinds(directory.path(), &rules);
    let never = ["odd0", "odd1", "odd2", "odd3", "odd4"].map(|rule| (rule, "never_matches"));
    assert_eq!(told, found(&never));
    let (text, _) = said(directory.path(), &["lint", "rules.toml"]);
    assert!(text.contains("hint: getDayOfWeek is 0 (Sunday) to 6"), "{text}");
    assert!(text.contains("hint: caller.subject is a text"), "{text}");
}

/// What `>` of Windows PowerShell writes.
#[test]
fn a_file_that_is_not_utf_8_is_told_as_such_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let rules = rule_about("a", "allow", "[\"get_public_info\"]", "");
    let utf16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(rules.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(directory.path().join("rules.toml"), utf16).unwrap();
    let (text, code) = said(directory.path(), &["lint", "rules.toml"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("rules.toml:1:1: is UTF-16, not UTF-8"), "{text}");
    let latin1 = [b"# a\n# \xe9\n", rules.as_bytes()].concat();
    std::fs::write(directory.path().join("rules.toml"), latin1).unwrap();
    let told = as_json(directory.path(), &["lint", "rules.toml"]);
    assert_eq!(told["error"]["faults"][0]["line"], 2, "{told:#}");
    assert!(told.to_string().contains("is not UTF-8"), "{told:#}");
}
