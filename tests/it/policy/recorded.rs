//! What is said of a recorded refusal: under the rules that refused it the same again, and why; under others no guess.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::child::{Served, command};
use crate::support::product::{Wire, mcp};

use super::{as_json, said, text, write};

fn rule(id: &str, tool: &str, more: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\neffect = \"allow\"\ntools = [\"{tool}\"]\n{more}\n")
}

/// The decisions about one call of each tool, in the log of a broker with these rules in `old.toml` that has ended.
async fn refused(directory: &Path, rules: &str, tools: &[&str]) -> Vec<Value> {
    write(directory, "old.toml", rules);
    let settings = "policy.file = \"old.toml\"\nserver.drain_pause_ms = 0\n";
    let mut served = Served::start(directory, settings, &[]).await;
    let token = served.mint("x");
    for tool in tools {
        let call = json!({ "name": tool, "arguments": {} });
        served.send(mcp(Wire::Modern, Some(&token), "tools/call", call)).await;
    }
    served.terminate();
    assert!(served.ended().await.success(), "{}", served.stderr());
    // The commands are given another address, and our issuer is the one that people logged in at.
    let same = format!("{settings}server.public_url = \"http://{}\"\n", served.authority);
    write(directory, "broker.toml", &same);
    let lines = served.audit_lines();
    let decisions = lines.iter().filter(|line| line.contains("\"question\""));
    decisions.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn what_a_caller_did_not_have_is_why_it_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tools = ["get_public_info", "get_user_info", "get_confidential_info"];
    let rules = rule("grouped", tools[0], "principals = { groups = [\"it-helpdesk\"] }")
        + &rule("claimed", tools[1], "when = \"claims.department == 'legal'\"")
        + &rule("assured", tools[2], "principals = { assurance = [\"mfa\"] }");
    let events = refused(directory.path(), &rules, &tools).await;
    assert_eq!(events.len(), 3, "{events:#?}");
    for (event, lacks) in events.iter().zip(["it-helpdesk", "claims.department", "mfa"]) {
        let id = event["event_id"].as_str().unwrap();
        let told = as_json(directory.path(), &["explain", "--event", id]);
        assert_eq!(told["certain"], true, "{told:#}");
        assert_eq!(told["decision"]["effect"], "deny", "{told:#}");
        assert_eq!(told["decision"]["reason"], event["payload"]["reason"]);
        assert!(told["changes"].to_string().contains(lacks), "{lacks}: {told:#}");
        let put_together = command(directory.path(), &["explain", id, "--json"]);
        let put_together = text(&put_together);
        assert!(put_together.contains("\"effect_now\": \"deny\""), "{put_together}");
        assert!(put_together.contains(lacks), "{put_together}");
    }
    // Another rule, so other rules: whether the caller has what the first ones look for is not known of them.
    let other = rules + &rule("other", "other", "");
    write(directory.path(), "new.toml", &other);
    let id = events[0]["event_id"].as_str().unwrap();
    let explain = ["explain", "--event", id, "--policy", "new.toml"];
    let told = as_json(directory.path(), &explain);
    assert_eq!((&told["certain"], &told["decision"]), (&json!(false), &json!(null)), "{told:#}");
    let (text, _) = said(directory.path(), &explain);
    assert!(text.starts_with("cannot be told"), "{text}");
    assert!(!text.contains("decides") && !text.contains("allow:"), "{text}");
}

// RFC 9470
#[tokio::test]
async fn a_recorded_refusal_for_the_login_is_one_for_the_login() {
    let directory = tempfile::tempdir().unwrap();
    let strong = |acr: &str| {
        rule("strong", "get_public_info", &format!("principals = {{ assurance = [\"{acr}\"] }}"))
    };
    let events = refused(directory.path(), &strong("mfa"), &["get_public_info"]).await;
    assert_eq!(events[0]["event_type"], "auth.login.insufficient");
    let id = events[0]["event_id"].as_str().unwrap();
    let (explained, _) = said(directory.path(), &["explain", "--event", id]);
    assert!(explained.contains("HTTP 401 insufficient_user_authentication"), "{explained}");
    write(directory.path(), "phr.toml", &strong("phr"));
    write(directory.path(), "none.toml", &rule("x", "get_user_info", "scopes = [\"a\"]"));
    let diff = |new: &str| {
        let told = as_json(directory.path(), &["diff", "old.toml", new, "--log", "audit.jsonl"]);
        let change = told["recorded"]["changes"][0].clone();
        let cells = told["matrix"]["cells"].as_array().unwrap().iter();
        let cell = cells.filter(|cell| cell["what"] == "get_public_info");
        let cell: Vec<_> = cell.map(|cell| format!("{} -> {}", cell["from"], cell["to"])).collect();
        assert_eq!(told["recorded"]["not_told"], 0, "{told:#}");
        (told["recorded"]["changed"].clone(), change, cell.join(""))
    };
    let from = "log-in with acr mfa (policy.rule.deny.default)";
    let (changed, change, cell) = diff("phr.toml");
    assert_eq!((changed, &change["from"]), (json!(1), &json!(from)));
    assert_eq!(change["to"], "log-in with acr phr (policy.rule.deny.default)");
    assert_eq!(cell, "\"needs a log-in with acr mfa\" -> \"needs a log-in with acr phr\"");
    let (changed, change, cell) = diff("none.toml");
    assert_eq!((changed, &change["from"]), (json!(1), &json!(from)));
    assert_eq!(change["to"], "deny (policy.rule.deny.default)");
    assert_eq!(cell, "\"needs a log-in with acr mfa\" -> \"hidden\"");
    assert_eq!(diff("old.toml").0, 0);
}

/// What the arguments were is in no record; which rules they fitted is.
#[tokio::test]
async fn what_the_arguments_did_not_fit_is_why_a_call_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let tools = ["get_public_info", "get_confidential_info"];
    let rules = rule("listed", tools[0], "arguments = { section = [\"a\"] }")
        + &rule("compared", tools[1], "when = \"has(arguments.amount) && arguments.amount < 5\"")
        + &rule("failing", tools[0], "when = \"arguments.amount < 5\"");
    let events = refused(directory.path(), &rules, &tools).await;
    let outcomes = [&["condition_false", "condition_failed"][..], &["condition_false"]];
    let lacks = ["arguments.section: \\\"a\\\"", "arguments.amount < 5"];
    assert_eq!(events.len(), 2, "{events:#?}");
    let each = |all: &Value| -> Vec<Value> {
        all.as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect()
    };
    for ((event, outcomes), lacks) in events.iter().zip(outcomes).zip(lacks) {
        let id = event["event_id"].as_str().unwrap();
        assert_eq!(each(&event["payload"]["evaluated"]), outcomes, "{event:#}");
        let told = as_json(directory.path(), &["explain", "--event", id]);
        assert_eq!(told["certain"], true, "{told:#}");
        assert_eq!(told["decision"]["reason"], event["payload"]["reason"]);
        assert_eq!(each(&told["rules"]), outcomes, "{told:#}");
        assert!(told["changes"].to_string().contains(lacks), "{lacks}: {told:#}");
        let (words, _) = said(directory.path(), &["explain", "--event", id]);
        assert!(words.starts_with("deny: ") && words.contains("not on record"), "{words}");
        assert!(!words.contains("cannot be told") && !words.contains("undecided"), "{words}");
        let put_together = text(&command(directory.path(), &["explain", id, "--json"]));
        assert!(put_together.contains("\"effect_now\": \"deny\""), "{put_together}");
        assert!(put_together.contains(outcomes[0]), "{put_together}");
        // By rules that are not those, nothing is known.
        write(directory.path(), "new.toml", &(rules.clone() + &rule("other", "other", "")));
        let explain = ["explain", "--event", id, "--policy", "new.toml"];
        let other = as_json(directory.path(), &explain);
        assert_eq!(other["certain"], false, "{other:#}");
    }
}

/// Of a challenge as well: the scope is all that is missing, whatever the arguments were.
#[tokio::test]
async fn a_recorded_challenge_says_which_rules_the_arguments_fitted() {
    let directory = tempfile::tempdir().unwrap();
    let rules = rule("scoped", "get_public_info", "scopes = [\"a\"]\nwhen = \"!has(arguments.b)\"");
    let events = refused(directory.path(), &rules, &["get_public_info"]).await;
    assert_eq!(events[0]["event_type"], "auth.scope.insufficient", "{events:#?}");
    let id = events[0]["event_id"].as_str().unwrap();
    let told = as_json(directory.path(), &["explain", "--event", id]);
    assert_eq!(
        (&told["certain"], &told["rules"][0]["outcome"]),
        (&json!(true), &json!("lack_scope"))
    );
    assert_eq!(told["decision"]["missing_scopes"], "a", "{told:#}");
}
