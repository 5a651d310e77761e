//! What is counted of each event, and which names become labels.

use serde_json::json;

use crate::id::{RequestId, TraceId};
use crate::metrics::Exposition;
use crate::policy::{Obligations, Recorded};
use crate::random::SeededRandom;
use crate::scope::Scope;
use crate::time::{Clock, FixedClock, Timestamp};

use super::*;

fn context() -> Context {
    let (clock, random) = (FixedClock::at(Timestamp::default()), SeededRandom::new(3));
    Context {
        request_id: RequestId::generate(&clock, &random),
        trace_id: TraceId::generate(&random),
        requester_id: None,
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    }
}

#[test]
fn words_are_those_of_the_audit_log() {
    use ResultStatus::{Cancelled, Error, Ok};
    for one in [Ok, Error, Cancelled] {
        assert_eq!(status(one), word(&one));
    }
    for one in [Effect::Allow, Effect::Deny, Effect::Ask] {
        assert_eq!(effect(one), word(&one));
    }
}

fn question() -> Box<Recorded> {
    let question = json!({ "tool": "t", "issuer": "https://login.example", "scopes": "" });
    Box::new(serde_json::from_value(question).unwrap())
}

/// One of each event that says what policy decided, each with a reason of its own.
fn decided() -> [(&'static str, AuditEvent); 4] {
    let reason = |rule: &str| Reason::Rule(Effect::Deny, rule.parse().unwrap());
    let (tool_name, policy_version): (ToolName, Arc<str>) = ("t".parse().unwrap(), "v".into());
    let decide = AuditEvent::PolicyDecide {
        decision: Effect::Deny,
        reason: reason("PolicyDecide"),
        policy_version: Arc::clone(&policy_version),
        matched_rule_id: None,
        tenant_id: None,
        scopes_evaluated: Vec::new(),
        evaluated: Vec::new(),
        obligations: Obligations::default(),
        question: question(),
    };
    let emit = AuditEvent::ResultEmit {
        method: "tools/call",
        tool_name: None,
        status: ResultStatus::Error,
        error_code: None,
        duration_ms: 1,
        decision: Some(Effect::Deny),
        reason: Some(reason("ResultEmit")),
        policy_version: None,
        evaluated: Vec::new(),
        obligations: Obligations::default(),
        question: Some(question()),
    };
    let scope = AuditEvent::ScopeInsufficient {
        method: "tools/call",
        tool_name: tool_name.clone(),
        missing_scopes: Scope::empty(),
        reason: reason("ScopeInsufficient"),
        policy_version: Arc::clone(&policy_version),
        evaluated: Vec::new(),
        question: question(),
    };
    let login = AuditEvent::LoginInsufficient {
        method: "prompts/get",
        tool_name,
        assurance: Vec::new(),
        max_age_seconds: None,
        reason: reason("LoginInsufficient"),
        policy_version,
        evaluated: Vec::new(),
        question: question(),
    };
    [
        ("PolicyDecide", decide),
        ("ResultEmit", emit),
        ("ScopeInsufficient", scope),
        ("LoginInsufficient", login),
    ]
}

/// A kind of refusal that is counted nowhere is missing on every dashboard.
#[test]
fn every_event_that_says_what_policy_decided_is_counted_by_its_reason() {
    let source = include_str!("../../audit/event.rs");
    let variants = source.split("\n    },\n").filter(|variant| variant.contains("  question: "));
    let named = variants.filter_map(|variant| variant.rsplit_once(" {\n").map(|(head, _)| head));
    let named: Vec<&str> = named.filter_map(|head| head.lines().last()).map(str::trim).collect();
    let decided = decided();
    assert_eq!(named, decided.each_ref().map(|(name, _)| *name), "those of the source");
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::default()));
    let meters = Meters::new(Arc::clone(&clock));
    let counting = Counting::new(meters.clone(), Arc::new(Tools::new(Vec::new(), Vec::new())));
    for (_, event) in &decided {
        counting.see(&context(), event);
    }
    let page = Exposition::new(&meters, clock).text();
    let page = std::str::from_utf8(&page).unwrap();
    for (name, _) in &decided {
        let series = "broker_policy_decisions_total{effect=\"deny\",reason=\"policy.rule.deny.";
        assert!(page.contains(&format!("{series}{name}\"}} 1")), "{name} in {page}");
    }
}

fn label(tools: &Tools, name: &str, answered: bool) -> String {
    tools.label(Some(&name.parse().unwrap()), answered).into_owned()
}

#[test]
fn what_a_caller_asks_for_becomes_no_label_until_a_server_has_answered_it() {
    let servers = vec!["weather".to_owned()];
    let tools = Tools::new(vec!["get_public_info".to_owned()], servers);
    assert_eq!(label(&tools, "get_public_info", false), "get_public_info");
    for name in ["get_public_info2", "CANARY", "elsewhere.get"] {
        assert_eq!(label(&tools, name, true), "other", "{name}");
    }
    assert_eq!(label(&tools, "weather.get", false), "weather.other");
    assert_eq!(label(&tools, "weather.get", true), "weather.get");
    assert_eq!(label(&tools, "weather.get", false), "weather.get");
    for n in 0..2 * MAX_TOOLS {
        label(&tools, &format!("weather.t{n}"), true);
    }
    assert_eq!(tools.seen.read().unwrap().len(), MAX_TOOLS);
    assert_eq!(label(&tools, "weather.more", true), "weather.other");
}
