//! `broker policy lint` against what the store knows: users, groups, clients and servers.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::child::command;

fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Rule, kind, message and hint of what lint says of `rules` about names.
fn told(directory: &Path, rules: &str, more: &[&str]) -> Vec<[Value; 3]> {
    std::fs::write(directory.join("rules.toml"), rules).unwrap();
    let arguments = [&["policy", "lint", "rules.toml", "--json"], more].concat();
    let output = command(directory, &arguments);
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let about_names = |found: &&Value| {
        let kind = found["kind"].as_str().unwrap();
        kind.starts_with("unknown_") || ["nobody_approves", "any_issuer"].contains(&kind)
    };
    let found = told["findings"].as_array().unwrap().iter().filter(about_names);
    found.map(|one| ["rule_id", "kind", "hint"].map(|name| one[name].clone())).collect()
}

fn rule(id: &str, effect: &str, more: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\ntools = [\"get_public_info\"]\nscopes = [\"public:read\"]\n{more}\n"
    )
}

fn said(rule: &str, kind: &str, hint: &str) -> [Value; 3] {
    [json!(rule), json!(kind), json!(hint)]
}

#[test]
fn names_that_the_store_does_not_have_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    run(at, &["user", "add", "ada", "--group", "it-helpdesk"]);
    let users: Value = serde_json::from_str(&run(at, &["user", "list", "--json"])).unwrap();
    let id = users[0]["id"].as_str().unwrap_or_else(|| panic!("{users}"));
    let rules = rule("group", "allow", "principals = { groups = [\"it-helpdesk\"] }")
        + &rule("no-group", "allow", "principals = { groups = [\"it-helpdsk\"] }")
        + &rule("user", "allow", &format!("principals = {{ subjects = [\"{id}\"] }}"))
        + &rule("username", "allow", "principals = { subjects = [\"ada\"] }")
        + &rule("no-user", "allow", "principals = { subjects = [\"bob\"] }")
        + &rule("client", "allow", "principals = { clients = [\"https://app.example/c\"] }")
        + &rule("no-client", "allow", "principals = { clients = [\"nightly\"] }");
    assert_eq!(
        told(at, &rules, &[]),
        [
            said("no-group", "unknown_group", "did you mean `it-helpdesk`?"),
            said(
                "username",
                "unknown_subject",
                &format!("tokens of this user have the subject {id}")
            ),
            said("no-user", "unknown_subject", "`broker user list` has the ids of users"),
            [json!("no-client"), json!("unknown_client"), Value::Null],
        ]
    );
    let without = told(at, &rules, &["--without-store"]);
    assert!(without.iter().all(|told| told[1] == "unknown_group"), "one letter apart: {without:?}");
}

#[test]
fn a_rule_that_asks_where_nobody_answers_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    run(at, &["user", "add", "ada", "--group", "it-leads"]);
    let rules = rule("leads", "ask", "approvers = [\"it-leads\"]")
        + &rule("nobody", "ask", "approvers = [\"it-managers\"]")
        + &rule("administrators", "ask", "");
    let nobody =
        said("nobody", "nobody_approves", "put somebody into the group, or name another one");
    let found = told(at, &rules, &[]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!((&found[0], &found[1][0]), (&nobody, &json!("administrators")));
    run(at, &["user", "add", "root", "--admin"]);
    assert_eq!(told(at, &rules, &[]), [nobody]);
    let more = ["--group", "it-managers"];
    assert_eq!(told(at, &rules, &more), Vec::<[Value; 3]>::new());
    std::fs::write(
        at.join("broker.toml"),
        "authorization_server.enabled = false\n[[resource_server.issuer]]\nissuer = \"https://login.example\"\njwks_uri = \"https://login.example/keys\"\n",
    )
    .unwrap();
    let off = told(at, &rules, &more);
    assert_eq!(off.len(), 3, "{off:#?}");
    assert!(off.iter().all(|told| told[1] == "nobody_approves"), "{off:#?}");
}

#[test]
fn a_condition_on_a_name_of_any_of_several_issuers_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = "[[resource_server.issuer]]\nissuer = \"https://login.example\"\njwks_uri = \"https://login.example/keys\"\n";
    std::fs::write(directory.path().join("broker.toml"), issuer).unwrap();
    let rules = rule("any", "allow", "when = \"caller.client_id == 'nightly'\"")
        + &rule("claim", "allow", "when = \"claims.azp == 'nightly'\"")
        + &rule(
            "one",
            "allow",
            "when = \"caller.client_id == 'nightly' && caller.issuer == 'https://login.example'\"",
        )
        + &rule(
            "listed",
            "allow",
            "principals = { issuers = [\"https://login.example\"] }\nwhen = \"caller.client_id == 'nightly'\"",
        )
        + &rule("forbids", "deny", "when = \"caller.client_id == 'nightly'\"");
    let hint = "add issuers = [\"…\"] to its principals";
    assert_eq!(
        told(directory.path(), &rules, &[]),
        [said("any", "any_issuer", hint), said("claim", "any_issuer", hint)]
    );
}

#[test]
fn a_store_that_does_not_answer_is_told_and_the_rules_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/broker.db"), "this is no database").unwrap();
    let text = rule("group", "allow", "principals = { groups = [\"it-helpdesk\"] }");
    std::fs::write(directory.path().join("rules.toml"), text).unwrap();
    let allowed = ["--allow", "unreachable_tool"];
    let output =
        command(directory.path(), &[&["policy", "lint", "rules.toml"][..], &allowed].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("--without-store"), "{err}");
}

/// The kinds that are told of each rule.
fn kinds(directory: &Path, rules: &str, kind: &str) -> Vec<Value> {
    std::fs::write(directory.join("rules.toml"), rules).unwrap();
    let output = command(directory, &["policy", "lint", "rules.toml", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = told["findings"].as_array().unwrap().iter();
    found.filter(|found| found["kind"] == kind).map(|found| found["rule_id"].clone()).collect()
}

#[test]
fn a_rule_for_roles_that_no_issuer_gives_is_told() {
    let rules = rule("denies", "deny", "principals = { roles = [\"contractor\"] }")
        + &rule("compares", "allow", "when = \"'lead' in caller.roles\"")
        + &rule("groups", "allow", "principals = { groups = [\"leads\"] }")
        + &rule(
            "elsewhere",
            "allow",
            "principals = { roles = [\"r\"], issuers = [\"https://login.example\"] }",
        );
    let foreign = "[[resource_server.issuer]]\nissuer = \"https://login.example\"\njwks_uri = \"https://login.example/keys\"\n";
    let provider = "[[authorization_server.identity_provider]]\nid = \"p\"\nissuer = \"https://p.example\"\nclient_id = \"b\"\nclaims = { roles = \"roles\" }\n";
    for (settings, told) in
        [("", &["denies", "compares", "elsewhere"][..]), (foreign, &[]), (provider, &["elsewhere"])]
    {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
        assert_eq!(kinds(directory.path(), &rules, "roles_of_nobody"), told, "{settings}");
    }
    let directory = tempfile::tempdir().unwrap();
    let add = ["identity-provider", "add", "p", "https://p.example", "--client-id", "b"];
    let more = ["--groups-prefix", "p:", "--claim", "roles=roles", "--no-check"];
    run(directory.path(), &[&add[..], &more].concat());
    assert_eq!(kinds(directory.path(), &rules, "roles_of_nobody"), ["elsewhere"]);
}
