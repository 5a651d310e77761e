//! `broker policy diff`: what other rules would change.

mod matrix;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Decision, Policy, Replay};

use super::log::{self, Count, Entry};
use super::{Console, name, print, rules, source};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;

use matrix::Matrix;

/// Which rules, and on what.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The rules in force
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The rules that are to replace them
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The audit log [default: the configured one, where it is a file]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Compare who sees which tool for the callers of this file of cases, beside those in the log
    #[arg(long, value_name = "FILE")]
    callers: Option<PathBuf>,
    /// Exit with 1 if something would change
    #[arg(long)]
    exit_code: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Kinds of changes that are told apart; more are counted together.
const MOST_KINDS: usize = 10_000;
/// Examples of each.
const EXAMPLES: usize = 3;

/// Recorded decisions that would change in the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Kind {
    tool: String,
    from: String,
    to: String,
}

#[derive(Debug, Default, Serialize)]
struct Changed {
    calls: u64,
    /// Event ids, and who asked for what.
    examples: Vec<String>,
}

/// What became of the recorded decisions.
#[derive(Default)]
struct Replayed {
    decisions: u64,
    /// Recorded under other rules than OLD.
    of_others: u64,
    /// The record does not say enough.
    not_told: u64,
    changed: u64,
    by_kind: BTreeMap<Kind, Changed>,
    /// Changes of kinds beyond [`MOST_KINDS`].
    of_more_kinds: u64,
}

pub(super) fn run(
    args: &DiffArgs,
    ready: &Ready,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let source = source(ready)?;
    let (old, new) = (rules(&source, Some(&args.old))?, rules(&source, Some(&args.new))?);
    let mut matrix = Matrix::new(&old, &new);
    if let Some(file) = &args.callers {
        matrix.add_callers_of(file, ready)?;
    }
    let log = args.log.clone().or_else(|| ready.audit_file());
    let mut replayed = Replayed::default();
    let count = match &log {
        None => Count::default(),
        Some(path) => {
            let progress = if console.interactive { Some(&mut *console.err) } else { None };
            let read = log::read(path, progress, |entry| {
                matrix.add(&entry);
                replayed.add(&old, &new, &entry);
            });
            read.map_err(|error| {
                Failure::new(format!("the audit log {} cannot be read", path.display()))
                    .cause(error.to_string())
                    .hint("name one with --log")
            })?
        }
    };
    let text = if args.json {
        let all = as_json(&replayed, count, &matrix);
        serde_json::to_string_pretty(&all).unwrap_or_default()
    } else {
        for_people(&replayed, count, log.is_some(), &matrix)
    };
    print(console, text.trim_end())?;
    let differs = replayed.changed > 0 || matrix.differs();
    Ok(if args.exit_code && differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Replayed {
    fn add(&mut self, old: &Policy, new: &Policy, entry: &Entry) {
        self.decisions += 1;
        let replay = &entry.replay;
        self.of_others += u64::from(!old.made(&entry.policy_version));
        let names = replay.told_by(&entry.policy_version, old);
        let has_operations = *replay.question.tool == *GRAPH_EXECUTE;
        let decide = |policy: &Policy| replay.decide(policy, &names, has_operations);
        let (Some(before), Some(after)) = (decide(old), decide(new)) else {
            self.not_told += 1;
            return;
        };
        if !before.does_as(&after) {
            self.changed += 1;
            self.note(entry, &before, &after);
        }
    }

    fn note(&mut self, entry: &Entry, before: &Decision, after: &Decision) {
        let tool = entry.replay.question.tool.to_string();
        let with = |decision: &Decision| decision.obligations.of_the_rule();
        let (mut from, mut to) = (outcome(before), outcome(after));
        if with(before) != with(after) {
            for (text, decision) in [(&mut from, before), (&mut to, after)] {
                write!(text, ", {}", or_nothing(with(decision))).ok();
            }
        }
        let kind = Kind { tool, from, to };
        if self.by_kind.len() >= MOST_KINDS && !self.by_kind.contains_key(&kind) {
            self.of_more_kinds += 1;
            return;
        }
        let changed = self.by_kind.entry(kind).or_default();
        changed.calls += 1;
        if changed.examples.len() < EXAMPLES {
            changed.examples.push(format!("{} {}", entry.event_id, in_words(&entry.replay)));
        }
    }
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing comes with it".to_owned() } else { text }
}

/// An effect and its reason, as both are in the log.
fn outcome(decision: &Decision) -> String {
    let effect = if decision.can_step_up() {
        format!("step_up for {}", decision.missing_scopes)
    } else if let Some(login) = decision.login.as_ref().filter(|_| decision.needs_login()) {
        format!("log-in {login}")
    } else {
        name(&decision.effect)
    };
    format!("{effect} ({})", decision.reason)
}

fn in_words(replay: &Replay) -> String {
    let who = replay.subject.as_ref().map_or("nobody", |subject| subject.as_str());
    let what = match &replay.question.operation {
        None => replay.question.tool.to_string(),
        Some(graph) => format!("{} /{}/{}", graph.method, graph.version, graph.segments.join("/")),
    };
    format!("{who} {what}")
}

fn for_people(replayed: &Replayed, count: Count, has_log: bool, matrix: &Matrix<'_>) -> String {
    let mut text = String::new();
    if has_log {
        let Replayed { decisions, changed, not_told, of_others, .. } = replayed;
        writeln!(text, "recorded decisions: {decisions}; {changed} would change").ok();
        for (number, what) in [
            (*not_told, "cannot be told: the record does not hold what the rules look at"),
            (
                *of_others,
                "were made under other rules than OLD, and are compared with what OLD says now",
            ),
            (count.without_question, "were recorded by a version that kept no questions"),
            (count.unreadable, "lines are no audit events"),
            (replayed.of_more_kinds, "changes are of more kinds than are shown"),
        ] {
            if number > 0 {
                writeln!(text, "  {number} {what}").ok();
            }
        }
        for (kind, changed) in &replayed.by_kind {
            writeln!(
                text,
                "\n{} calls of {}\n  from {}\n  to   {}",
                changed.calls, kind.tool, kind.from, kind.to
            )
            .ok();
            for example in &changed.examples {
                writeln!(text, "    {example}").ok();
            }
        }
    } else {
        text.push_str("no audit log: only who sees which tool is compared\n");
    }
    text.push('\n');
    text.push_str(&matrix.for_people());
    text
}

fn as_json(replayed: &Replayed, count: Count, matrix: &Matrix<'_>) -> serde_json::Value {
    let kinds: Vec<_> = replayed
        .by_kind
        .iter()
        .map(|(kind, changed)| {
            json!({
                "tool": kind.tool, "from": kind.from, "to": kind.to,
                "calls": changed.calls, "examples": changed.examples,
            })
        })
        .collect();
    json!({
        "recorded": {
            "decisions": replayed.decisions,
            "changed": replayed.changed,
            "not_told": replayed.not_told,
            "under_other_rules": replayed.of_others,
            "without_question": count.without_question,
            "unreadable_lines": count.unreadable,
            "changes": kinds,
            "changes_of_more_kinds": replayed.of_more_kinds,
        },
        "matrix": matrix.as_json(),
    })
}
