//! `broker config show|schema|reference`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::{
    Sources, load, reference, reference_json, schema, settings_json, write_settings,
};

/// Look at the settings.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings in force, each with where it was written; secrets masked.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the settings file.
    Schema {
        /// Print JSON, as without it.
        #[arg(long)]
        json: bool,
    },
    /// Print all settings as Markdown.
    Reference {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Prints to `out`; fails only where that does.
pub fn run(args: &ConfigArgs, sources: Sources, out: &mut dyn Write) -> ExitCode {
    let written = match &args.command {
        ConfigCommand::Show { json: true } => writeln!(out, "{:#}", settings_json(&load(sources))),
        ConfigCommand::Show { json: false } => write_settings(out, &load(sources)),
        ConfigCommand::Schema { json: _ } => writeln!(out, "{:#}", schema()),
        ConfigCommand::Reference { json: true } => writeln!(out, "{:#}", reference_json()),
        ConfigCommand::Reference { json: false } => write!(out, "{}", reference()),
    };
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
