//! What `broker policy` tells of rules that are odd, faulty or hide something.

use serde_json::{Value, json};

use crate::support::child::command;

use super::{as_json, said, text, write};

#[test]
fn lint_tells_conditions_on_what_a_rule_is_not_about_and_questions_that_nobody_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let graph = |method: &str| {
        format!(
            "tools = ['auth\\.graph\\.operation\\.execute\\.v1']\ngraph = {{ methods = [\"GET\"], paths = [\"/v1.0/users/{{id}}\"], permissions = [\"User.Read.All\"] }}\nwhen = \"request.method == '{method}'\""
        )
    };
    let rule = |id: &str, effect: &str, more: &str| {
        format!("[[rule]]\nid = \"{id}\"\neffect = \"{effect}\"\nscopes = [\"a\"]\n{more}\n")
    };
    let plain = |when: &str| format!("tools = [\"get_public_info\"]\nwhen = \"{when}\"");
    let rules = rule("tool", "allow", &plain("request.tool == 'other'"))
        + &rule("own", "allow", &plain("request.tool == 'get_public_info' || claims.a == 1"))
        + &rule("method", "allow", &graph("POST"))
        + &rule("get", "allow", &graph("GET"))
        + &rule("asks", "ask", "tools = [\"weather/prompts/.*\"]")
        + &rule("calls", "ask", "tools = ['weather\\.pay']");
    let file = write(directory.path(), "p.toml", &rules).display().to_string();
    let told = as_json(directory.path(), &["lint", &file]);
    let of = |kind: &str| -> Vec<String> {
        let findings = told["findings"].as_array().unwrap().iter();
        let found = findings.filter(|finding| finding["kind"] == kind);
        found.map(|finding| finding["rule_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of("never_matches"), ["tool", "method"], "{told:#}");
    assert_eq!(of("cannot_be_asked"), ["asks"], "{told:#}");
}

/// What the manual shows is what the broker reads.
#[test]
fn the_policy_in_the_manual_has_no_fault() {
    let manual = include_str!("../../../docs/policy.md");
    let (_, shown) = manual.split_once("```toml\n").unwrap();
    let (rules, _) = shown.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file =
        write(directory.path(), "p.toml", &rules.replace("{ client = \"…\"", "{ client = \"c\""))
            .display()
            .to_string();
    let call = ["explain", "GET /v1.0/users/ada", "--policy", &file, "--subject", "ada"];
    assert_eq!(as_json(directory.path(), &call)["decision"]["effect"], "deny");
}

#[test]
fn faults_are_told_to_programs_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"x{1000}{1000}\"]\nwhen = \"nobody == 1\"\n";
    let file = write(directory.path(), "p.toml", rules).display().to_string();
    let faults = &as_json(directory.path(), &["lint", &file])["error"]["faults"];
    let of = |number: usize| ["line", "column", "rule"].map(|name| faults[number][name].clone());
    assert_eq!(of(0), [json!(4), json!(10), json!("a")], "{faults:#}");
    assert_eq!(of(1), [json!(5), json!(9), json!("a")], "{faults:#}");
    assert_eq!(faults[0]["file"], file.as_str());
    assert!(faults[0]["hint"].as_str().unwrap().contains("write the names out"), "{faults:#}");
}

/// RFC 9470
#[test]
fn a_case_tells_a_refusal_for_the_log_in_from_a_plain_one() {
    let directory = tempfile::tempdir().unwrap();
    let rule = "[[rule]]\nid = \"a\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\nprincipals = { assurance = [\"mfa\"] }\n";
    write(directory.path(), "p.toml", rule);
    let case = |expect: &str, call: &str| {
        let who =
            "who = { ada = { subject = \"ada\", client = \"agent\", claims = { acr = \"pwd\" } } }";
        let cases = format!(
            "policy = \"p.toml\"\n{who}\n[[case]]\nname = \"c\"\nwho = \"ada\"\ncall = \"{call}\"\nexpect = \"{expect}\"\n"
        );
        let file = write(directory.path(), "c.test.toml", &cases).display().to_string();
        said(directory.path(), &["test", &file])
    };
    for (expect, call, code) in [
        ("login", "get_public_info", 0),
        ("deny", "get_public_info", 0),
        ("step_up", "get_public_info", 1),
        ("login", "get_user_info", 1),
        ("deny", "get_user_info", 0),
    ] {
        let (said, ended) = case(expect, call);
        assert_eq!(ended, Some(code), "{expect} {call}: {said}");
    }
}

/// It would hold up the start, and each look at it.
#[test]
fn a_policy_file_that_is_no_file_or_too_large_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "broker.toml", "policy.file = \"p.toml\"\n");
    let path = directory.path().join("p.toml");
    let checked = || text(&command(directory.path(), &["check"]));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let said = checked();
    assert!(said.contains("it is no regular file"), "{said}");
    std::fs::remove_file(&path).unwrap();
    std::fs::File::create(&path).unwrap().set_len(16 * 1024 * 1024 + 1).unwrap();
    let said = checked();
    assert!(said.contains("larger than 16 MiB"), "{said}");
}

#[test]
fn explain_says_of_a_hidden_tool_what_its_caller_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let call = |tool: &str| said(directory.path(), &["explain", tool, "--subject", "ada"]).0;
    let hidden = "the caller gets: what a tool that does not exist gives (JSON-RPC -32602)";
    let told = call("get_nothing_at_all");
    assert!(told.contains(hidden), "{told}");
    let told = call("weather/prompts/day");
    assert!(told.contains("what a prompt that does not exist gives"), "{told}");
}

/// As a start has it: rules that answer nobody keep nobody from knowing what those in force say.
#[test]
fn shadow_rules_with_a_fault_are_a_warning_and_keep_no_command_from_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "policy.file = \"p.toml\"\npolicy.shadow_file = \"next.toml\"\n";
    write(directory.path(), "broker.toml", settings);
    let rule = "[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n";
    write(directory.path(), "p.toml", rule);
    write(directory.path(), "next.toml", "[[rule]");
    let warning = "warning: policy.shadow_file has a fault, so a start has no shadow rules: ";
    for arguments in [&["explain", "get_public_info", "--subject", "ada"][..], &["lint"]] {
        let (told, _) = said(directory.path(), arguments);
        assert!(told.contains(warning) && told.contains("next.toml:1:"), "{told}");
        assert!(!told.contains("error: "), "{told}");
    }
    let (explained, code) =
        said(directory.path(), &["explain", "get_public_info", "--subject", "ada"]);
    assert!(code == Some(0) && explained.contains("policy.rule.allow.r"), "{explained}");
    let checked = command(directory.path(), &["check", "--json"]);
    let told = text(&checked);
    assert!(checked.status.success() && told.contains("policy.shadow_file"), "{told}");
    assert!(told.contains("next.toml:1:"), "{told}");
}

#[test]
fn the_id_of_a_rule_is_none_of_a_registered_servers() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "broker.toml", "policy.file = \"p.toml\"\n");
    let rule = "[[rule]]\nid = \"registered.weather\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n";
    write(directory.path(), "p.toml", rule);
    let checked = command(directory.path(), &["check"]);
    let told = text(&checked);
    assert_eq!(checked.status.code(), Some(1));
    assert!(told.contains("p.toml:2:6"), "{told}");
    assert!(
        told.contains("ids that begin with `registered.` are those of registered servers"),
        "{told}"
    );
}

/// What the parser makes of a rule that is none, and of all that follows an open bracket, is a guess.
#[test]
fn where_a_rule_is_no_toml_only_that_is_told_of_it() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "broker.toml", "policy.file = \"p.toml\"\n");
    let faults = |id: &str, tools: &str| {
        let rules = format!(
            "[[rule]]\nid = {id}\ntools = {tools}\neffect = \"allow\"\n\n\
             [[rule]]\nid = \"fine\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n\n\
             [[rule]]\nid = \"other\"\neffect = \"alow\"\ntools = [\"get_user_info\"]\n"
        );
        write(directory.path(), "p.toml", &rules);
        let told = as_json(directory.path(), &["lint"]);
        let faults = told["error"]["faults"].as_array().unwrap().clone();
        let is_syntax =
            |fault: &Value| fault["message"].as_str().unwrap().starts_with("is not TOML");
        let faults = faults.iter().map(|fault| (is_syntax(fault), fault["line"].as_u64().unwrap()));
        let mut faults: Vec<_> = faults.collect();
        faults.dedup();
        faults
    };
    assert_eq!(faults("\"open\"", "[\"get_.*\""), [(true, 4)]);
    assert_eq!(faults("bare", "[\"get_.*\"]"), [(true, 2), (false, 13)]);
}
