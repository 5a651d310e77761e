//! `broker identity-provider`: where people log in.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::app;
use crate::cli::failure::Failure;
use crate::config::Config;

use super::show::{Columns, list};

const COLUMNS: Columns = &[
    ("id", "id"),
    ("name", "name"),
    ("issuer", "issuer"),
    ("client", "client_id"),
    ("secret", "confidential"),
    ("callback", "callback"),
];

/// Where people log in: `[[authorization_server.identity_provider]]`.
#[derive(Debug, Args)]
pub(in crate::cli) struct IdentityProviderArgs {
    #[command(subcommand)]
    command: IdentityProviderCommand,
}

#[derive(Debug, Subcommand)]
enum IdentityProviderCommand {
    /// Print them, with the redirect URI that each must know
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Opens nothing and asks nobody: `broker check --live` does.
pub(in crate::cli) fn run(
    args: &IdentityProviderArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let IdentityProviderCommand::List { json } = args.command;
    list(&app::identity_providers(config), COLUMNS, json, out)?;
    Ok(ExitCode::SUCCESS)
}
