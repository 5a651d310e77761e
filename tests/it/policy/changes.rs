//! What other rules would change, told by `broker policy diff`.

use serde_json::json;

use super::{HELPDESK, as_json, refused_call, said, write};

/// Callers that are in no log: from a file of cases.
#[test]
fn who_sees_what_is_compared_for_the_callers_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let rule = |groups: &str| {
        format!(
            "[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\nprincipals = {{ groups = [\"{groups}\"] }}\n"
        )
    };
    write(directory.path(), "old.toml", &rule("one"));
    write(directory.path(), "new.toml", &rule("two"));
    let who = "[who]\nada = { subject = \"ada\", groups = [\"one\"] }\neve = { subject = \"eve\", groups = [\"two\"] }\n";
    write(directory.path(), "callers.toml", who);
    write(directory.path(), "empty.jsonl", "");
    let diff =
        ["diff", "old.toml", "new.toml", "--callers", "callers.toml", "--log", "empty.jsonl"];
    let told = as_json(directory.path(), &diff);
    let cells = told["matrix"]["cells"].as_array().unwrap().iter();
    let of_tool = cells.filter(|cell| cell["what"] == "get_public_info");
    let changes: Vec<_> =
        of_tool.map(|cell| (&cell["caller"], &cell["from"], &cell["to"])).collect();
    let (listed, hidden) = (json!("listed"), json!("hidden"));
    assert_eq!(changes, [(&json!("ada"), &listed, &hidden), (&json!("eve"), &hidden, &listed)]);
}

#[tokio::test]
async fn what_other_rules_would_change_is_told_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    refused_call(directory.path()).await;
    let public = "[[rule]]\nid = \"public\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\n";
    write(directory.path(), "new.toml", &format!("{HELPDESK}\n{public}"));
    let diff = |new: &'static str| ["diff", "old.toml", new, "--log", "audit.jsonl", "--exit-code"];
    let told = as_json(directory.path(), &diff("new.toml"));
    assert_eq!(told["recorded"]["changed"], 1, "{told:#}");
    let change = &told["recorded"]["changes"][0];
    assert_eq!((&change["tool"], &change["calls"]), (&json!("get_public_info"), &json!(1)));
    assert_eq!(change["to"], "allow (policy.rule.allow.public)");
    let seen = &told["matrix"]["cells"][0];
    assert_eq!((&seen["from"], &seen["to"]), (&json!("hidden"), &json!("listed")), "{told:#}");
    assert_eq!(said(directory.path(), &diff("new.toml")).1, Some(1));
    assert_eq!(said(directory.path(), &diff("old.toml")).1, Some(0));
}

#[tokio::test]
async fn that_others_would_approve_is_a_change_too() {
    let directory = tempfile::tempdir().unwrap();
    refused_call(directory.path()).await;
    for group in ["finance", "all"] {
        let rule = format!(
            "[[rule]]\nid = \"r\"\neffect = \"ask\"\ntools = [\"get_public_info\"]\napprovers = [\"{group}\"]\n"
        );
        write(directory.path(), &format!("{group}.toml"), &rule);
    }
    let told =
        as_json(directory.path(), &["diff", "finance.toml", "all.toml", "--log", "audit.jsonl"]);
    let change = &told["recorded"]["changes"][0];
    let ends = |side: &str, group: &str| {
        let text = change[side].as_str().unwrap_or_default();
        text.starts_with(&format!("ask (policy.rule.ask.r), approval by {group}, "))
    };
    assert!(ends("from", "finance") && ends("to", "all"), "{told:#}");
}

/// The log names of a caller what the old rules look at, and new ones may look at more.
#[tokio::test]
async fn what_the_record_does_not_hold_is_counted_and_not_guessed() {
    let directory = tempfile::tempdir().unwrap();
    let event = refused_call(directory.path()).await;
    let new = "[[rule]]\nid = \"chiefs\"\neffect = \"allow\"\ntools = [\"get_public_info\"]\nprincipals = { roles = [\"chief\"] }\n";
    write(directory.path(), "new.toml", &format!("{HELPDESK}\n{new}"));
    let told = as_json(directory.path(), &["diff", "old.toml", "new.toml", "--log", "audit.jsonl"]);
    assert_eq!(told["recorded"]["not_told"], 1, "{told:#}");
    assert_eq!((&told["recorded"]["changed"], &told["matrix"]["cells"]), (&json!(0), &json!([])));
    assert_eq!(told["matrix"]["not_told"], 1, "{told:#}");
    let id = event["event_id"].as_str().unwrap();
    let explain = ["explain", "--event", id, "--log", "audit.jsonl", "--policy", "new.toml"];
    let told = as_json(directory.path(), &explain);
    assert_eq!((&told["certain"], &told["listed"]), (&json!(false), &json!(null)), "{told:#}");
    let (text, _) = said(directory.path(), &explain);
    assert!(text.starts_with("cannot be told") && text.contains("may be in"), "{text}");
}
