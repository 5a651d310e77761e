//! `broker explain`: why a request was refused, from the audit log.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::app;
use crate::broker::{AttemptView, DecisionView, Explained};
use crate::id::RequestId;

use super::failure::Failure;
use super::settings::Ready;

/// Which request.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The id that its caller was shown: on an error page, in `error_uri`, `X-Request-Id` or `request_id`
    id: RequestId,
    /// The audit log [default: the configured one]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &ExplainArgs,
    ready: &Ready,
    out: &mut (impl Write + IsTerminal),
) -> Result<ExitCode, Failure> {
    let log = args.log.clone().or_else(|| ready.audit_file()).ok_or_else(|| {
        Failure::new("no audit log file is configured").hint(
            "name one with --log; a running broker without one still knows its last refusals: /explain/ID, as an administrator",
        )
    })?;
    let source = app::policy_source(&ready.config, &ready.variables());
    let (policy, _) = source.and_then(|source| source.load()).map_err(|e| Failure::of(&e))?;
    let explainer = app::command_explainer(&ready.config, log, policy).await;
    let explainer = explainer.map_err(|error| Failure::of(&error))?;
    let told = explainer.explain(args.id).await.map_err(|error| Failure::of(&error))?;
    if told.attempts.is_empty() {
        let hint = if told.whole {
            "of several replicas, each has its own log; pages, and refusals of a network that has too many, have no event"
        } else {
            "the log is large and was not read to its end: broker audit export --from … --to … reads all of it"
        };
        return Err(Failure::new(format!("the audit log has nothing of the request {}", args.id))
            .hint(hint));
    }
    let text = if args.json {
        serde_json::to_string_pretty(&told).unwrap_or_default()
    } else {
        for_people(&told)
    };
    let text = if out.is_terminal() { harmless(&text) } else { text };
    writeln!(out, "{}", text.trim_end()).map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

/// Names that callers chose steer no terminal and turn no text around.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n') || bidi {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn for_people(told: &Explained) -> String {
    let mut text = String::new();
    let count = told.attempts.len() + told.other_attempts;
    if count > 1 {
        writeln!(text, "{count} requests have this id: callers choose the ids of their calls").ok();
    }
    for attempt in &told.attempts {
        one(&mut text, attempt);
    }
    if !told.whole {
        text.push_str("not all of the log was read\n");
    }
    text
}

fn one(text: &mut String, attempt: &AttemptView) {
    let AttemptView { occurred_at, endpoint, outcome, .. } = attempt;
    writeln!(text, "{occurred_at}  {endpoint}").ok();
    writeln!(text, "  {}: {}", outcome.code, outcome.says).ok();
    if let Some(client) = &attempt.client {
        let name = client.name.as_deref().map(|name| format!("{name}, ")).unwrap_or_default();
        let proven = if client.proven { "" } else { "; not proven" };
        let registration = &client.registration;
        writeln!(text, "  client: {name}{registration}{proven}\n          {}", client.id).ok();
    }
    if let Some(person) = &attempt.person {
        writeln!(text, "  person or subject: {person}").ok();
    }
    if let Some(address) = &attempt.address {
        writeln!(text, "  from: {address}").ok();
    }
    for sent in &attempt.sent {
        writeln!(text, "  sent: {}: {}", sent.name, sent.shape).ok();
    }
    for change in &attempt.changes {
        writeln!(text, "  would change it: {change}").ok();
    }
    if let Some(next) = &attempt.next {
        writeln!(text, "  now: {next}").ok();
    }
    if let Some(decision) = &attempt.decision {
        rules(text, decision);
    }
    text.push('\n');
}

fn rules(text: &mut String, decision: &DecisionView) {
    let DecisionView { reason, policy_version, policy_version_now, .. } = decision;
    writeln!(text, "  at the time: {reason} by policy {policy_version}").ok();
    let now = match (&decision.effect_now, &decision.reason_now) {
        (Some(effect), Some(reason)) => format!("{effect}: {reason}"),
        _ => "cannot be told: it depends on what is not on record (arguments, groups and claims that no rule named)".to_owned(),
    };
    writeln!(text, "  by the rules now: {now}, by policy {policy_version_now}").ok();
    for rule in &decision.rules {
        writeln!(text, "  rule {} ({}, {}): {}", rule.id, rule.effect, rule.place, rule.outcome)
            .ok();
        for compared in &rule.compared {
            let (came_to, key) = (&compared.came_to, &compared.key);
            writeln!(
                text,
                "    {came_to:<7} {key}: wants {}; saw {}",
                compared.wants, compared.saw
            )
            .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered_by_a_clients_name() {
        assert_eq!(harmless("a\u{1b}[31m\u{202e}b\n"), "a\\u{1b}[31m\\u{202e}b\n");
    }
}
