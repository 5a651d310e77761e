//! `broker registration-token`: with which clients may register themselves.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::admin::NewRegistrationToken;
use crate::cli::failure::Failure;
use crate::config::{Config, DynamicRegistration};

use super::show::{Columns, list, one};
use super::{Administration, all, failure};

const LIST: &str = "broker registration-token list";
const COLUMNS: Columns = &[
    ("prefix", "prefix"),
    ("name", "name"),
    ("uses", "uses"),
    ("of", "most_uses"),
    ("expires", "expires_at"),
    ("last used", "last_used_at"),
];

/// Initial access tokens: with which clients may register themselves where `dynamic_registration` is `token`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RegistrationTokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, once
    Add(AddArgs),
    /// Print the tokens by their prefixes, also those that are used up, and for 30 days those that are late
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token out at once; clients that registered with it stay
    Remove {
        /// The 16 digits between the first two underscores of the token
        prefix: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What it is for, for people
    #[arg(long)]
    name: Option<String>,
    /// How many clients may register with it: 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// For how long: 1 to 366
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    expires_in_days: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    args: &RegistrationTokenArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(config).await?;
    let by = &administration;
    let done = match &args.command {
        TokenCommand::Add(new) => add(by, (new, config), out).await,
        TokenCommand::List { json } => {
            let tokens =
                all(async |page| by.operations.list_registration_tokens(&page).await).await;
            let tokens = tokens.map_err(|error| failure(&error, LIST));
            tokens.and_then(|tokens| list(&tokens, COLUMNS, *json, out))
        }
        TokenCommand::Remove { prefix, json } => remove(by, (prefix, *json), out).await,
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn add(
    by: &Administration,
    (args, config): (&AddArgs, &Config),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let new = NewRegistrationToken {
        name: args.name.clone(),
        uses: Some(args.uses),
        expires_in_seconds: Some(args.expires_in_days.saturating_mul(86_400)),
    };
    let made = by.operations.add_registration_token(&by.actor, new).await;
    let made = made.map_err(|error| failure(&error, LIST))?;
    let token = made.secret.expose();
    let mut lines = format!(
        "Token: {token}\nThe client sends it to /register as Authorization: Bearer. Until {}, for {} of them.",
        made.object.expires_at, made.object.most_uses
    );
    if config.authorization_server.dynamic_registration != DynamicRegistration::Token {
        lines.push_str("\nNobody asks for it as long as authorization_server.dynamic_registration is not \"token\".");
    }
    let value = json!({ "token": made.object, "initial_access_token": token });
    one(&value, &lines, args.json, out)
}

async fn remove(
    by: &Administration,
    (prefix, json): (&str, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.delete_registration_token(&by.actor, prefix).await;
    done.map_err(|error| failure(&error, LIST))?;
    one(&json!({ "prefix": prefix, "removed": true }), "the token is removed", json, out)
}
