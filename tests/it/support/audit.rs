//! An audit log in a temporary directory, and what must hold for every log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::audit::{
    AuditEvent, AuditSettings, Auditor, Context, FileSettings, OnFailure, OpenError, ResultStatus,
    SinkSettings, segments,
};
use mcp_auth_broker::id::{RequestId, TraceId};
use mcp_auth_broker::policy::Obligations;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::SystemClock;
use serde_json::Value;

/// Long enough for the slowest machine; a test that reaches it has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Settings with one sink, made to wait.
pub(crate) fn settings(sink: SinkSettings) -> AuditSettings {
    AuditSettings {
        queue_length: 1024,
        on_failure: OnFailure::Block,
        limit: LIMIT,
        sinks: vec![sink],
        service: "mcp-auth-broker".into(),
        environment: "dev",
    }
}

pub(crate) fn open(settings: AuditSettings) -> Result<Auditor, OpenError> {
    Auditor::open(settings, Arc::new(SystemClock), Arc::new(SystemRandom::new()))
}

/// A chained log at `path` with small segments.
pub(crate) fn chained(path: &Path) -> FileSettings {
    FileSettings { hash_chain: true, rotate_bytes: 8 * 1024, ..FileSettings::at(path) }
}

pub(crate) fn context() -> Context {
    let random = SystemRandom::new();
    Context {
        request_id: RequestId::generate(&SystemClock, &random),
        trace_id: TraceId::generate(&random),
        requester_id: Some("ada".parse().unwrap()),
        client_id: None,
        asserted_requester_id: None,
        redactions: Vec::new(),
    }
}

/// A terminal event that can be told from others by its number.
pub(crate) fn numbered(duration_ms: u64) -> AuditEvent {
    AuditEvent::ResultEmit {
        method: "tools/call",
        tool_name: "get_public_info".parse().ok(),
        status: ResultStatus::Ok,
        error_code: None,
        duration_ms,
        decision: None,
        reason: None,
        policy_version: None,
        evaluated: Vec::new(),
        obligations: Obligations::default(),
        question: None,
    }
}

/// Every line of the log at `path`, older segments first.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let read = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
    segments(path).unwrap().iter().flat_map(|file| lines_of(&read(file))).collect()
}

fn lines_of(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The numbers of [`numbered`] events, in the order of the log.
pub(crate) fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| {
        let event: Value = serde_json::from_str(line).ok()?;
        event["payload"]["duration_ms"].as_u64()
    };
    lines.iter().filter_map(number).collect()
}

/// Fails unless every request in the log has exactly one terminal event, and it is the last one.
///
/// Events that belong to no request are left out.
pub(crate) fn assert_one_terminal_per_request(lines: &[String]) {
    let mut requests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let event: Value = serde_json::from_str(line).expect("an audit line is JSON");
        let kind = event["event_type"].as_str().expect("an event has a type").to_owned();
        if !matches!(kind.as_str(), "config.reloaded" | "audit.log.recovered" | "approval.notified")
        {
            let id = event["request_id"].as_str().expect("an event has a request").to_owned();
            requests.entry(id).or_default().push(kind);
        }
    }
    for (id, kinds) in &requests {
        let terminal = kinds.iter().filter(|kind| is_terminal(kind)).count();
        assert_eq!(terminal, 1, "request {id} has {terminal} terminal events: {kinds:?}");
        assert!(kinds.last().is_some_and(|kind| is_terminal(kind)), "request {id}: {kinds:?}");
    }
}

/// Fails unless each of `sent` requests is in the log, with exactly one terminal event.
pub(crate) fn assert_every_request_ended(lines: &[String], sent: usize) {
    assert_one_terminal_per_request(lines);
    let types = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = types.filter(|event| is_terminal(event["event_type"].as_str().unwrap())).count();
    assert_eq!(ended, sent, "requests that left no terminal event");
}

fn is_terminal(kind: &str) -> bool {
    matches!(
        kind,
        "result.emitted"
            | "auth.token.rejected"
            | "auth.scope.insufficient"
            | "auth.login.insufficient"
            | "tools.listed"
            | "approval.answered"
    ) || (kind.starts_with("oauth.") && kind != "oauth.key.rotated")
        || (kind.starts_with("admin.") && kind != "admin.change.begun")
        || kind.starts_with("person.")
}
