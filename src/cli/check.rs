//! `broker check`: everything that is wrong with the settings, in one run.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Loaded, Sources, findings_json, load, write_findings};

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

/// Loads the settings and prints what was found. `colour`: whether `out` is a terminal; `NO_COLOR` is honoured here.
///
/// Does *not* look at the policy, the store or anything remote: the caller of this adds those.
pub fn run(
    args: &CheckArgs,
    sources: Sources,
    out: &mut dyn Write,
    colour: bool,
) -> (Loaded, ExitCode) {
    let loaded = load(sources);
    let written = if args.json {
        writeln!(out, "{:#}", findings_json(&loaded))
    } else {
        write_findings(out, &loaded, colour && !loaded.environment.no_color())
    };
    let good = written.is_ok() && !loaded.has_errors();
    (loaded, if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
