//! `broker policy`, through the binary: the worked examples, and what each command says.

mod changes;
mod gates;
mod lint;
mod promote;
mod recorded;
mod told;

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::child::{Served, command, command_beside};
use crate::support::product::{Wire, mcp};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/policies");

fn examples(suffix: &str) -> Vec<String> {
    let files = std::fs::read_dir(EXAMPLES).unwrap().map(|file| file.unwrap().path());
    let mut names: Vec<String> = files.map(|path| path.display().to_string()).collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What a command prints, and its exit code.
fn said(directory: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let output = command(directory, &[&["policy"], arguments].concat());
    (text(&output), output.status.code())
}

fn as_json(directory: &Path, arguments: &[&str]) -> Value {
    let (said, _) = said(directory, &[arguments, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// One rule that lets the helpdesk read users.
const HELPDESK: &str = r#"
version = "helpdesk"
[[rule]]
id = "users.read"
effect = "allow"
tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
scopes = ["graph:read"]
principals = { groups = ["it-helpdesk"] }
graph = { methods = ["GET"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All"] }
"#;

#[test]
fn every_worked_policy_passes_its_cases_which_reach_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let files = examples(".test.toml");
    assert_eq!((files.len(), examples(".toml").len()), (10, 20));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (said, code) = said(directory.path(), &[&["test", "--full-coverage"], &*files].concat());
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn no_worked_policy_has_anything_odd_but_tools_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = "server.public_url = \"http://localhost:8080\"\n";
    write(directory.path(), "broker.toml", issuer);
    for file in examples(".toml").iter().filter(|name| !name.ends_with(".test.toml")) {
        // These settings have no provider, so none that gives roles.
        let allowed = ["unreachable_tool", "matches_no_tool", "roles_of_nobody"];
        let allowed = allowed.map(|kind| ["--allow", kind]).concat();
        let (said, code) = said(directory.path(), &[&["lint", file], &allowed[..]].concat());
        assert_eq!((said.trim(), code), ("nothing odd", Some(0)));
    }
    assert_eq!(said(directory.path(), &["lint"]).1, Some(0), "the built-in rules");
}

#[test]
fn a_case_that_differs_is_told_with_its_line_and_fails() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "p.toml", HELPDESK);
    let cases = "policy = \"p.toml\"\n[who]\nada = { subject = \"ada\" }\n\
                 [[case]]\nname = \"mine\"\nwho = \"ada\"\ncall = \"GET /v1.0/users/1\"\nexpect = \"allow\"\n";
    let file = write(directory.path(), "c.toml", cases).display().to_string();
    let (said, code) = said(directory.path(), &["test", &file]);
    assert_eq!(code, Some(1));
    assert!(said.contains("c.toml:4: mine: failed"), "{said}");
    assert!(said.contains("decision: expected allow, found deny"), "{said}");
    assert!(said.contains("not reached: rule users.read"), "{said}");
}

#[test]
fn every_fault_of_a_file_of_cases_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let case = |name: &str, call: &str, more: &str| {
        format!("[[case]]\nname = \"x\"\nwho = \"{name}\"\ncall = \"{call}\"\n{more}\n")
    };
    let misspelt = case("ada", "t", "expect = \"deny\"\nlistd = true") + "[extra]\n";
    let broken = write(directory.path(), "b.toml", &misspelt).display().to_string();
    let (told, code) = said(directory.path(), &["test", &broken]);
    assert_eq!(code, Some(1));
    for part in
        ["b.toml:6:1: unknown field `listd`", "b.toml:7:", "extra is not a key", "hint: a case has"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let cases = format!(
        "[who]\nada = {{ subject = \"ada\" }}\n{}{}{}",
        case("eve", "t", "expect = \"deny\""),
        case("ada", "GET users", "expect = \"deny\""),
        case("ada", "t", "")
    );
    let file = write(directory.path(), "c.toml", &cases).display().to_string();
    let (said, code) = said(directory.path(), &["test", &file]);
    assert_eq!(code, Some(1));
    for place in [
        "c.toml:3:1: who is `eve`",
        "c.toml:8:1: the call is malformed",
        "c.toml:13:1: expects nothing",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
    assert_eq!(said.matches("hint:").count(), 3, "{said}");
}

#[test]
fn each_fault_of_a_case_is_told_and_one_of_its_caller_once() {
    let directory = tempfile::tempdir().unwrap();
    let cases = "[who]\nada = { subject = \"ada\", grups = [] }\n\
        [[case]]\nname = \"x\"\nwho = \"ada\"\ncall = \"t\"\nexpect = \"deny\"\n\
        [[case]]\nname = \"y\"\nwho = \"eve\"\ncall = \"GET users\"\nexpect = \"alow\"\nat = \"noon\"\n";
    let file = write(directory.path(), "c.toml", cases).display().to_string();
    let (said, code) = said(directory.path(), &["test", &file]);
    assert_eq!(code, Some(1));
    for part in [
        "c.toml:2:",
        "unknown field `grups`",
        "c.toml:8:1: who is `eve`, but [who] has ada",
        "the call is malformed",
        "expect is `alow`",
        "c.toml:8:1: at ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("who is `ada`"), "{said}");
    // For programs as well, and not mistaken for a case that differs.
    let none = directory.path().join("none.toml").display().to_string();
    for arguments in [["test", &none], ["lint", &none]] {
        let told = as_json(directory.path(), &arguments);
        assert!(told["error"]["message"].as_str().unwrap().contains("none.toml"), "{told}");
    }
}

#[test]
fn an_explanation_names_what_each_rule_wanted_and_saw_and_what_would_change_it() {
    let directory = tempfile::tempdir().unwrap();
    let rules = write(directory.path(), "p.toml", HELPDESK).display().to_string();
    let call = ["explain", "GET /v1.0/users/ada", "--policy", &rules, "--subject", "ada"];
    let told = as_json(directory.path(), &[&call[..], &["--scope", "graph:read"]].concat());
    assert_eq!(told["decision"]["reason"], "policy.rule.deny.default");
    let groups = told["rules"][0]["compared"].as_array().unwrap();
    let groups = groups.iter().find(|one| one["key"] == "principals.groups").unwrap();
    assert_eq!(
        *groups,
        json!({ "key": "principals.groups", "wants": "it-helpdesk", "saw": "nothing",
                "came_to": "false", "change": "principals.groups: it-helpdesk" })
    );
    let changes = json!(["rule `users.read` would apply with principals.groups: it-helpdesk"]);
    assert_eq!(told["changes"], changes);
    let with = [&call[..], &["--group", "it-helpdesk", "--scope", "graph:read"]].concat();
    assert_eq!(as_json(directory.path(), &with)["decision"]["effect"], "allow");
}

// N120
#[test]
fn lint_tells_each_kind_of_oddity_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let rules = r#"
version = "odd"
[[rule]]
id = "all"
effect = "allow"
tools = ["get_.*"]
[[rule]]
id = "shadowed"
effect = "allow"
tools = ["get_public_info"]
scopes = ["docs:read"]
principals = { groups = ["helpdesk"] }
[[rule]]
id = "nobody"
effect = "allow"
tools = ["get_public_infos"]
scopes = ["docs:reed"]
principals = { groups = ["helpdisk"], clients = [] }
[[rule]]
id = "weak"
effect = "allow"
tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
graph = { methods = ["DELETE"], paths = ["/v1.0/users/{id}"], permissions = ["User.Read.All", "Mail.Send"] }
when = "claims.email == 'a' && 1 == 2"
"#;
    let settings = r#"
graph.allowed_permissions = ["User.Read.All"]
[[resource_server.issuer]]
issuer = "https://login.example"
jwks_uri = "https://login.example/keys"
"#;
    write(directory.path(), "broker.toml", settings);
    let file = write(directory.path(), "p.toml", rules).display().to_string();
    let told = as_json(directory.path(), &["lint", &file]);
    let mut kinds: Vec<&str> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let all = [
        "any_issuer",
        "changeable_claim",
        "forbidden_permission",
        "matches_no_tool",
        "missing_permission",
        "never_matches",
        "no_scopes",
        "open_to_everybody",
        "shadowed",
        "unknown_group",
        "unknown_scope",
        "unreachable_tool",
    ];
    assert_eq!(kinds, all, "{told:#}");
    let (said, code) = said(directory.path(), &["lint", &file]);
    assert_eq!(code, Some(1));
    assert!(said.contains("p.toml:7:1: rule `shadowed`: never decides: rule `all`"), "{said}");
    assert!(said.contains("hint: did you mean `get_public_info`?"), "{said}");
}

/// The event of one call that `old.toml` refuses, in the log of a broker that has ended.
async fn refused_call(directory: &Path) -> Value {
    write(directory, "old.toml", HELPDESK);
    let settings = "policy.file = \"old.toml\"\nserver.drain_pause_ms = 0\n";
    let mut served = Served::start(directory, settings, &[]).await;
    let token = served.mint("graph:read");
    let call = json!({ "name": "get_public_info", "arguments": {} });
    served.send(mcp(Wire::Modern, Some(&token), "tools/call", call)).await;
    served.terminate();
    assert!(served.ended().await.success(), "{}", served.stderr());
    let lines = served.audit_lines();
    let line = lines.iter().find(|line| line.contains("\"question\"")).unwrap();
    serde_json::from_str(line).unwrap()
}

/// What tools a server has, only the server knows; that there is the server, the settings say.
#[test]
fn lint_knows_the_servers_of_the_settings_and_misses_tools_of_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = "[[upstream.server]]\nid = \"weather\"\nurl = \"https://weather.example/mcp\"\n\
        [[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n";
    write(directory.path(), "broker.toml", server);
    let rule = |id: &str, tools: &str| {
        format!("[[rule]]\nid = \"{id}\"\neffect = \"allow\"\ntools = {tools}\nscopes = [\"a\"]\n")
    };
    let rules = rule("one", r#"["weather\\.get_city", "weather/resources/city:.*"]"#)
        + &rule("wrong", r#"["weathr\\.get_city"]"#)
        + &rule("half", r#"["get_public_info", "wheather\\.get"]"#)
        + &rule("jobs", r#"["jobs\\.run_.*"]"#);
    write(directory.path(), "rules.toml", &rules);
    let kinds = |more: &[&str]| -> Vec<(Value, Value)> {
        let told = as_json(directory.path(), &[&["lint", "rules.toml"], more].concat());
        let tools = |lint: &&Value| {
            lint["kind"].as_str().unwrap().ends_with("_tool") && !lint["rule_id"].is_null()
        };
        let found = told["findings"].as_array().unwrap().iter().filter(tools);
        found.map(|lint| (lint["rule_id"].clone(), lint["kind"].clone())).collect()
    };
    let [wrong, half, jobs] =
        [("wrong", "matches_no_tool"), ("half", "unknown_tool"), ("jobs", "matches_no_tool")]
            .map(|(rule, kind)| (json!(rule), json!(kind)));
    assert_eq!(kinds(&[]), [wrong.clone(), half.clone(), jobs]);
    assert_eq!(kinds(&["--server", "jobs"]), [wrong, half]);
}

/// Whom a token names, and not who types the command.
#[tokio::test]
async fn a_decision_is_explained_for_the_bearer_of_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nid = \"scoped\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\nscopes = [\"a\"]\n";
    write(directory.path(), "rules.toml", rules);
    let served = Served::start(directory.path(), "policy.file = \"rules.toml\"\n", &[]).await;
    let explained = |token: &str| {
        let command = ["policy", "explain", "get_public_info", "--token", token, "--json"];
        command_beside(directory.path(), &served.authority, &command)
    };
    for (scope, effect) in [("a", "allow"), ("b", "deny")] {
        let output = explained(&served.mint(scope));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["decision"]["effect"], effect, "{told:#}");
    }
    let refused = explained("no.token.here");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("not accepted"), "{}", text(&refused));
}

#[tokio::test]
async fn a_recorded_decision_is_explained_by_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let event = refused_call(directory.path()).await;
    let id = event["event_id"].as_str().unwrap();
    let told = as_json(directory.path(), &["explain", "--event", id]);
    assert_eq!(told["recorded"]["reason"], event["payload"]["reason"], "{told:#}");
    assert_eq!(told["decision"]["reason"], event["payload"]["reason"], "{told:#}");
    // Of a refusal that names its request alone.
    let id = event["request_id"].as_str().unwrap();
    let by_request = as_json(directory.path(), &["explain", "--event", id]);
    assert_eq!(by_request["recorded"], told["recorded"]);
    // Of any other event of that request.
    let log = std::fs::read_to_string(directory.path().join("audit.jsonl")).unwrap();
    let accepted = log.lines().find(|line| line.contains("auth.token.accepted")).unwrap();
    let accepted: Value = serde_json::from_str(accepted).unwrap();
    assert_eq!(accepted["request_id"], id);
    let accepted = accepted["event_id"].as_str().unwrap();
    let by_other = as_json(directory.path(), &["explain", "--event", accepted]);
    assert_eq!(by_other["recorded"], told["recorded"]);
    // A caller names a later request as the event was called, or as an earlier request.
    let (event_id, request_id) = (event["event_id"].as_str().unwrap(), id);
    let log = directory.path().join("audit.jsonl");
    let lines = std::fs::read_to_string(&log).unwrap();
    let line = lines.lines().find(|line| line.contains(event_id)).unwrap();
    let later = line.replace(event_id, "01930000-0000-7000-8000-0000000000aa");
    let harmless =
        |line: String| line.replace("policy.rule.deny.default", "policy.rule.allow.other");
    let named_as_event = harmless(later.replace(request_id, event_id));
    std::fs::write(&log, format!("{lines}{named_as_event}\n")).unwrap();
    let again = as_json(directory.path(), &["explain", "--event", event_id]);
    assert_eq!(again["recorded"], told["recorded"], "{again:#}");
    std::fs::write(&log, format!("{lines}{}\n", harmless(later))).unwrap();
    let (two, code) = said(directory.path(), &["explain", "--event", request_id]);
    assert_eq!(code, Some(1), "{two}");
    assert!(two.contains("2 decisions have the request id") && two.contains(event_id), "{two}");
    let nobodys = "01930000-0000-7000-8000-000000000000";
    let (missing, code) = said(directory.path(), &["explain", "--event", nobodys]);
    assert!(
        code == Some(1) && missing.contains("no decision of the event or request"),
        "{missing}"
    );
}
