//! `broker key`: the keys that sign our tokens.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app;
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;
use crate::time::SystemClock;

use super::show::{Columns, list, one};
use super::{Administration, failure};

const LIST: &str = "broker key list";
const COLUMNS: Columns = &[
    ("kid", "kid"),
    ("algorithm", "algorithm"),
    ("state", "state"),
    ("made", "created_at"),
    ("signs from", "not_before"),
    ("gone from", "retire_at"),
];

/// The keys that sign this broker's tokens.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Print the keys
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new key: published now, signing in 6 minutes; the old one then verifies until its tokens are over
    Rotate {
        /// The keys have leaked: sign with the new one at once, and refuse every token of all others
        #[arg(long)]
        now: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a key out of use: it signs nothing more, and verifies until its tokens are over
    Retire {
        /// As `broker key list` prints it
        #[arg(allow_hyphen_values = true)] // a thumbprint may begin with one
        kid: String,
        /// It has leaked: refuse every token of it at once
        #[arg(long)]
        now: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(in crate::cli) async fn run(
    args: &KeyArgs,
    ready: &Ready,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(&ready.config).await?;
    let variables = ready.variables();
    let what = match &args.command {
        KeyCommand::List { .. } | KeyCommand::Retire { .. } => app::KeyUse::Look,
        KeyCommand::Rotate { now: false, .. } => app::KeyUse::Seal,
        KeyCommand::Rotate { now: true, .. } => app::KeyUse::Replace,
    };
    let clock = Arc::new(SystemClock);
    let settings = app::key_settings(&ready.config, &variables, (what, clock));
    let done = match settings.await {
        Err(error) => Err(Failure::of(&error)),
        Ok(settings) => act(&administration, &app::Keys(settings), &args.command, out).await,
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn act(
    by: &Administration,
    control: &app::Keys,
    command: &KeyCommand,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        KeyCommand::List { json } => {
            let keys = by.operations.list_signing_keys().await;
            list(&keys.map_err(|error| failure(&error, LIST))?, COLUMNS, *json, out)
        }
        KeyCommand::Rotate { now, json } => rotate(by, control, (*now, *json), out).await,
        KeyCommand::Retire { kid, now, json } => retire(by, control, (kid, *now, *json), out).await,
    }
}

async fn rotate(
    by: &Administration,
    control: &app::Keys,
    (at_once, json): (bool, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let keys = by.operations.rotate_signing_keys(&by.actor, control, at_once).await;
    let keys = keys.map_err(|error| failure(&error, LIST))?;
    let then = if at_once {
        "Signing at once; tokens of all other keys are refused within half a minute."
    } else {
        "Published now, signing in 6 minutes."
    };
    let mut value = json!(keys.first());
    let others: Vec<_> = keys.iter().skip(1).collect();
    if let (Some(members), false) = (value.as_object_mut(), others.is_empty()) {
        members.insert("others".to_owned(), json!(others));
    }
    let mut lines = String::new();
    for key in &keys {
        lines.extend(["Key: ", &key.kid, " (", &key.algorithm, ")\n"]);
    }
    one(&value, &(lines + then), json, out)
}

async fn retire(
    by: &Administration,
    control: &app::Keys,
    (kid, at_once, json): (&str, bool, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.retire_signing_key(&by.actor, control, (kid, at_once)).await;
    done.map_err(|error| failure(&error, LIST))?;
    let then =
        if at_once { "gone; its tokens are refused within half a minute" } else { "retiring" };
    let state = if at_once { "gone" } else { "retiring" };
    one(&json!({ "kid": kid, "state": state }), &format!("the key is {then}"), json, out)
}
