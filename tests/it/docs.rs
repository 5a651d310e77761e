//! `docs/errors.md` is written from the code that makes the errors.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mcp_auth_broker::code::Code;
use mcp_auth_broker::config::Environment;
use mcp_auth_broker::id::RuleId;
use mcp_auth_broker::policy::{Effect, Reason};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");

const HEAD: &str = "\
<!-- Generated from the code; `UPDATE_DOCS=1 cargo test` rewrites it. -->

# Errors

A call that reached a tool and failed has `code`, `category`, `message` and `retryable` in its result. Programs should look at the
code: codes are never renamed. `retryable` says whether the same call, unchanged, may succeed later; where the broker knows when, it adds
`retry_after_ms`. Messages are for people and may change.

Whoever is refused at the door gets an HTTP status instead: 401 for a token that is missing or not accepted, 403 with
`error=\"insufficient_scope\"` and the scopes to ask for where scopes alone stand in the way,
429 with `Retry-After` where a limit is used up (`policy.rate_limited`, in `error.data`).

## Codes

| code | category | retryable | meaning | what to do |
|---|---|---|---|---|
";

#[test]
fn the_page_of_errors_is_current() {
    let page = page();
    if Environment::capture().get("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(PAGE).unwrap(),
        page,
        "UPDATE_DOCS=1 cargo test rewrites it"
    );
}

/// Whoever reads the log finds each of its events explained.
#[test]
fn the_page_of_the_audit_log_has_every_event_and_no_other() {
    let read = |path: &str| {
        std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let source = read("src/audit/event.rs");
    let made: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#[serde(rename = \"")?.strip_suffix("\")]"))
        .filter(|name| name.contains('.'))
        .collect();
    let page = read("docs/audit.md");
    let table = page.split("## Events").nth(1).unwrap().split("## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let first_cells = rows.filter_map(|row| row.split('|').nth(1));
    let told: BTreeSet<&str> = first_cells
        .flat_map(|cell| cell.split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    let told = told.into_iter().filter(|name| name.contains('.')).collect::<BTreeSet<_>>();
    assert!(made.len() > 20, "the events were found");
    assert_eq!(told, made);
    for promised in PROMISED {
        assert!(made.contains(promised), "{promised} is promised to who reads the log by programs");
    }
}

/// Names that programs hold on to since before the first release; others may come beside them.
const PROMISED: [&str; 21] = [
    "request.received",
    "policy.decided",
    "provider.called",
    "result.emitted",
    "auth.token.accepted",
    "auth.token.rejected",
    "auth.scope.insufficient",
    "tools.listed",
    "oauth.client.registered",
    "oauth.authorization.started",
    "oauth.authorization.granted",
    "oauth.authorization.denied",
    "oauth.token.issued",
    "oauth.token.refreshed",
    "oauth.token.reuse_detected",
    "oauth.token.revoked",
    "oauth.key.rotated",
    "admin.token.minted",
    "admin.change.begun",
    "admin.change.ended",
    "config.reloaded",
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    for code in Code::ALL {
        let category = serde_json::to_value(code.category()).unwrap();
        let retryable = if code.retryable() { "yes" } else { "no" };
        let (meaning, advice) = explain(code);
        writeln!(
            page,
            "| `{code}` | `{}` | {retryable} | {meaning} | {advice} |",
            category.as_str().unwrap()
        )
        .unwrap();
    }
    page.push_str("\n## Reasons of policy\n\nIn `reason_code` of a refusal and in the audit log.\n\n| reason | meaning |\n|---|---|\n");
    for (reason, meaning) in reasons() {
        writeln!(page, "| `{reason}` | {meaning} |").unwrap();
    }
    page.push_str("\n## Details\n\nIn `detail`, where there is more to say than the code does.\n");
    for (title, source) in [
        ("Reading a secret (`secret.*`)", include_str!("../../src/secret/error.rs")),
        ("Getting a token (`provider.*`)", include_str!("../../src/token/error.rs")),
        ("Calling Graph (`provider.*`)", include_str!("../../src/graph/error.rs")),
    ] {
        writeln!(page, "\n### {title}\n\n| detail | meaning |\n|---|---|").unwrap();
        for (name, meaning) in details(source) {
            writeln!(page, "| `{name}` | {meaning} |").unwrap();
        }
    }
    page
}

fn reasons() -> [(Reason, &'static str); 7] {
    let rule = || "RULE".parse::<RuleId>().unwrap();
    [
        (Reason::Rule(Effect::Allow, rule()), "the rule of this name allows it"),
        (Reason::Rule(Effect::Deny, rule()), "the rule of this name forbids it"),
        (
            Reason::Rule(Effect::Ask, rule()),
            "the rule of this name wants a person to approve first",
        ),
        (
            Reason::ScopeNotPermitted,
            "scopes alone stand in the way, or a Graph permission lies outside the allowed set",
        ),
        (
            Reason::ProviderNotPermitted,
            "the tenant, resource or profile is not one that is configured and allowed",
        ),
        (Reason::IdentityUntrusted, "the caller asserted to be somebody other than its token says"),
        (Reason::Default, "no rule allows it"),
    ]
}

/// Exhaustive, so that a new code cannot be forgotten here.
const fn explain(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::PolicyDenied => (
            "policy does not allow this call",
            "read `reason_code`; ask for `missing_scopes` if there are any, else ask the operator for a rule",
        ),
        Code::PolicyMissingIdentity => ("the token names no subject", "use a token with `sub`"),
        Code::PolicyInvalidScope => (
            "a Graph permission is outside what the deciding rule and the settings allow",
            "name a permission that the rule allows, or none",
        ),
        Code::PolicyApprovalRequired => (
            "a rule wants a person to approve first",
            "let an approver open `approval_url`, then make the same call again, unchanged",
        ),
        Code::PolicyRateLimited => ("too many calls", "wait for `retry_after_ms`"),
        Code::SecretNotFound => {
            ("there is nothing at the secret's reference", "operator: correct the reference")
        }
        Code::SecretAccessDenied => (
            "the backend refuses the broker the secret",
            "operator: grant the broker access, or see `detail`",
        ),
        Code::SecretTimeout => {
            ("the backend did not answer in time", "try again; operator: look at the backend")
        }
        Code::SecretUnavailable => (
            "the backend cannot be used now",
            "try again after `retry_after_ms`; operator: see `detail`",
        ),
        Code::ProviderAuthFailed => (
            "the identity provider or Graph refuses the broker's credential or token",
            "operator: see `detail`, `identity_provider` and `least_permissions`",
        ),
        Code::ProviderRateLimited => {
            ("the provider limits the rate of calls", "wait for `retry_after_ms`")
        }
        Code::ProviderTimeout => (
            "the provider did not answer in time",
            "try again; a write may have happened all the same, so look first",
        ),
        Code::ProviderUnavailable => {
            ("the provider cannot be reached or cannot serve the call", "try again later")
        }
        Code::ProviderBadResponse => (
            "the provider's answer is too large or not what it says it is",
            "ask for less (`$top`, `$select`); operator: see `detail`",
        ),
        Code::BrokerUnavailable => (
            "the broker cannot serve now: it drains, or the audit log cannot be written",
            "try again later; operator: see `/ready`",
        ),
        Code::InvalidField => {
            ("a field of the call is not acceptable; the message names it", "correct the call")
        }
        Code::InvalidTimeout => {
            ("the timeout asked for is not acceptable", "ask for one within the limits")
        }
        Code::UnsupportedOperation => (
            "an operation the broker does not carry out",
            "use another one; see [the Graph page](graph.md)",
        ),
    }
}

/// The variants of `enum Detail` with their doc comments, or their names where those say it all.
fn details(source: &str) -> Vec<(String, String)> {
    let body = source.split("pub enum Detail {").nth(1).unwrap().split("\n}").next().unwrap();
    let (mut found, mut comment) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("///") {
            comment = format!("{comment} {}", text.trim());
            continue;
        }
        let name = snake_case(line.trim_end_matches(','));
        let words = name.replace('_', " ");
        let meaning = if comment.is_empty() { words } else { comment.trim().to_owned() };
        found.push((name, meaning));
        comment.clear();
    }
    assert!(found.len() > 5, "the enum was not understood");
    found
}

/// As `#[serde(rename_all = "snake_case")]` spells it.
fn snake_case(name: &str) -> String {
    let mut spelled = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !spelled.is_empty() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_lowercase());
    }
    spelled
}

/// A walk through files that are not there leads nobody anywhere.
#[test]
fn the_files_of_the_walkthroughs_are_there() {
    let root = env!("CARGO_MANIFEST_DIR");
    let page = std::fs::read_to_string(format!("{root}/docs/architecture.md")).unwrap();
    let walks = page.split("## Walkthroughs").nth(1).unwrap();
    let named = walks.split('`').skip(1).step_by(2);
    let files = named.filter(|name| name.split('.').nth(1) == Some("rs") || name.ends_with('/'));
    let files: Vec<_> = files.filter(|name| !name.starts_with(['/', '-'])).collect();
    assert!(files.len() > 40, "the files were found");
    for file in files {
        let there = ["", "src/", "layer/src/"]
            .iter()
            .any(|below| std::path::Path::new(root).join(below).join(file).exists());
        assert!(there, "docs/architecture.md names {file}");
    }
}
