//! `broker policy`: why something was decided, whether rules make sense, and what other rules would change.

mod cases;
mod diff;
mod explain;
mod lint;
mod log;
mod promote;
mod question;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::app::{self, PolicySource};
use crate::config::Environment;
use crate::policy::Policy;

use super::failure::Failure;
use super::settings::{Ready, SettingsArgs};

/// Rules and decisions.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Say what is decided about a caller and a call, and why: every rule, what it saw, what would change it
    Explain(explain::ExplainArgs),
    /// Find rules that never match, that another one overrules, that name what there is not; exit code 1 if there are any
    Lint(lint::LintArgs),
    /// Put the shadow rules in force
    Promote(promote::PromoteArgs),
    /// Say what other rules would change: of the recorded decisions, and of who sees which tool
    Diff(diff::DiffArgs),
    /// Decide the cases of a file and compare with what they expect; exit code 1 if one differs
    Test(cases::TestArgs),
}

/// Where a command writes.
pub(super) struct Console<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) err: &'a mut dyn Write,
    /// Whether a person watches `err`.
    pub(super) interactive: bool,
}

pub(super) async fn run(
    args: &PolicyArgs,
    settings: &SettingsArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let as_json = match &args.command {
        PolicyCommand::Lint(args) => args.json,
        PolicyCommand::Diff(args) => args.json,
        PolicyCommand::Test(args) => args.json,
        PolicyCommand::Promote(args) => args.json,
        PolicyCommand::Explain(_) => {
            return Box::pin(answer(args, settings, environment, console)).await;
        }
    };
    match Box::pin(answer(args, settings, environment, console)).await {
        Err(failure) if !failure.is_broken_pipe() => undone(&failure, as_json, console),
        done => done,
    }
}

/// For programs, what stood in the way is JSON as well, so that nobody takes it for an answer.
fn undone(
    failure: &Failure,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    if as_json {
        let told = serde_json::json!({ "error": failure });
        print(console, &serde_json::to_string_pretty(&told).unwrap_or_default())?;
    } else {
        writeln!(console.err, "{failure}").map_err(Failure::output)?;
    }
    Ok(ExitCode::FAILURE)
}

async fn answer(
    args: &PolicyArgs,
    settings: &SettingsArgs,
    environment: Environment,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let ready = settings.load(environment)?;
    match &args.command {
        PolicyCommand::Explain(args) => Box::pin(explain::run(args, ready, console)).await,
        PolicyCommand::Lint(args) => Box::pin(lint::run(args, &ready, console)).await,
        PolicyCommand::Promote(args) => Box::pin(promote::run(args, &ready, console)).await,
        PolicyCommand::Diff(args) => diff::run(args, &ready, console),
        PolicyCommand::Test(args) => cases::run(args, &ready, console),
    }
}

fn source(ready: &Ready) -> Result<PolicySource, Failure> {
    app::policy_source(&ready.config, &ready.variables()).map_err(|error| Failure::of(&error))
}

/// The rules of a file where one is named, else those that a start would put in force.
fn rules(source: &PolicySource, file: Option<&Path>) -> Result<Policy, Failure> {
    let loaded = match file {
        Some(file) => source.load_file(file, None),
        None => source.load().map(|(live, _)| live),
    };
    loaded.map_err(|error| Failure::of(&error))
}

/// Of the configured rules, what a start would say of shadow rules with a fault.
fn tell_of_the_shadow(source: &PolicySource, console: &mut Console<'_>) -> Result<(), Failure> {
    let Ok((_, Err(fault))) = source.load() else { return Ok(()) };
    let fault = Failure::of(&fault).to_string();
    let fault = fault.strip_prefix("error: ").unwrap_or(&fault);
    let text = "warning: policy.shadow_file has a fault, so a start has no shadow rules";
    writeln!(console.err, "{text}: {fault}").map_err(Failure::output)
}

/// A name as JSON spells it.
fn name(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn print(console: &mut Console<'_>, text: &str) -> Result<(), Failure> {
    writeln!(console.out, "{text}").map_err(Failure::output)
}
