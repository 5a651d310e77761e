//! `broker check`: everything that is wrong with the settings, in one run.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::app;
use crate::config::{Finding, Sources, findings_json, load, write_findings};
use crate::time::SystemClock;

use super::settings::secret_variables;

/// Check the settings. Exit 0: the broker would start; 1: it would not.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Also reach secret backends, identity providers and Graph.
    #[arg(long)]
    pub live: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Loads the settings and prints what was found, there and in what they name: the policy, our keys, the
/// documents. Where settings cannot be used, what can be looked at without them is looked at all the same. With `--live` also asks the backends of secrets, the issuers, the login endpoint of each Graph profile
/// for a token, and Graph whether it is there. `colour`: whether `out` is a terminal; `NO_COLOR` is honoured here.
///
/// Does *not* ask whether the app has the permissions that the rules name: `broker doctor` does.
pub async fn run(
    args: &CheckArgs,
    sources: Sources,
    out: &mut dyn Write,
    colour: bool,
) -> ExitCode {
    let mut loaded = load(sources);
    let variables = secret_variables(&loaded.environment);
    let found = if let Some(config) = loaded.config.clone() {
        let checked = app::check(&config, variables, args.live, Arc::new(SystemClock));
        Box::pin(checked).await
    } else {
        let (clock, reads) = (Arc::new(SystemClock) as _, |tables: &[&str]| loaded.reads(tables));
        Box::pin(app::check_apart(&loaded.partial, &variables, &clock, &reads)).await
    };
    loaded.add(found.iter().map(finding));
    let written = if args.json {
        writeln!(out, "{:#}", findings_json(&loaded))
    } else {
        write_findings(out, &loaded, colour && !loaded.environment.no_color())
    };
    if written.is_ok() && !loaded.has_errors() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A fault of something that the settings name, as a finding about the setting that names it.
fn finding(fault: &app::CheckFault) -> Finding {
    let (problem, hint) = fault.told();
    let finding = Finding::of_part(&fault.at(), problem, hint);
    if fault.warning { finding.as_warning() } else { finding }
}
