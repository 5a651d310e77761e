//! `broker client known`: the documents that stand in for those of well-known clients, and what their hosts publish now.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::app;
use crate::authorization_server::{KnownClients, Looked, Now};
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::time::{Clock, SystemClock};

/// What to do with the catalogue.
#[derive(Debug, Args)]
pub(in crate::cli) struct KnownArgs {
    /// Ask each host for its document and show what is otherwise; nothing is written without --write
    #[arg(long)]
    refresh: bool,
    /// Write what was found. A document that would send answers to another place, or take other keys, stays as it was unless
    /// --accept names it; exit code 1 where one did
    #[arg(long, requires = "refresh")]
    write: bool,
    /// Take this document over although it widens; may be repeated
    #[arg(long, value_name = "URL", requires = "write")]
    accept: Vec<String>,
    /// Where to write [default: `authorization_server.known_clients_file`]
    #[arg(long, value_name = "FILE", requires = "write")]
    to: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    args: &KnownArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let known = app::known_clients(config).map_err(|error| Failure::of(&error))?;
    if !args.refresh {
        let text = if args.json { known.written() } else { listed(&known) };
        writeln!(out, "{}", text.trim_end()).map_err(Failure::output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let to = args.to.as_ref().or(config.authorization_server.known_clients_file.as_ref());
    if args.write && to.is_none() {
        return Err(Failure::new("there is no file to write to").hint(
            "--to FILE; the broker reads it where authorization_server.known_clients_file names it",
        ));
    }
    let outbound = app::outbound_to_clients(config).map_err(|error| Failure::of(&error))?;
    let looked = known.look(&outbound).await;
    let text = if args.json { as_json(&looked) } else { differences(&looked, args) };
    writeln!(out, "{}", text.trim_end()).map_err(Failure::output)?;
    let mut left = looked.iter().any(|one| matches!(one.now, Now::Changed { .. }));
    if let Some(to) = to.filter(|_| args.write) {
        let asked = looked.iter().filter(|one| !matches!(one.now, Now::Kept(_))).count();
        let source = format!(
            "Looked at on {}: {asked} of {} hosts answered; the other documents, and what was not accepted, are as before",
            SystemClock.now(),
            looked.len(),
        );
        let new = known.with(&looked, &args.accept).from_source(source);
        put(to, &new.written())?;
        left = looked.iter().any(|one| one.widens() && !args.accept.contains(&one.client_id));
        if !args.json {
            writeln!(out, "written: {}", to.display()).map_err(Failure::output)?;
        }
    }
    Ok(if left { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whole or not at all: a broker that reads it meanwhile finds the one or the other.
fn put(to: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("{} cannot be written", to.display())).cause(error.to_string())
    };
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, format!("{text}\n")).map_err(failed)?;
    std::fs::rename(&beside, to).map_err(failed)
}

fn listed(known: &KnownClients) -> String {
    let mut text = String::new();
    for (client_id, name, uris) in known.list() {
        writeln!(text, "{client_id}  {name:?}").ok();
        for uri in uris {
            writeln!(text, "  {uri:?}").ok();
        }
    }
    text
}

/// What hosts wrote is printed escaped: it steers no terminal.
fn differences(looked: &[Looked], args: &KnownArgs) -> String {
    let mut text = String::new();
    for one in looked {
        let client_id = &one.client_id;
        match &one.now {
            Now::Same => writeln!(text, "same     {client_id}").ok(),
            Now::Kept(reason) => {
                writeln!(text, "kept     {client_id}: {}", reason.escape_debug()).ok()
            }
            Now::Changed { differences, .. } => {
                let refused = one.widens() && !args.accept.contains(client_id);
                let note = if refused { ": widens, so it stays without --accept" } else { "" };
                writeln!(text, "changed  {client_id}{note}").ok();
                for difference in differences {
                    let mark = if difference.added { '+' } else { '-' };
                    let widens = if difference.widens { "  <- widens" } else { "" };
                    let (member, value) = (difference.member.escape_debug(), &difference.value);
                    writeln!(text, "  {mark} {member}: {value:?}{widens}").ok();
                }
                Some(())
            }
        };
    }
    text
}

fn as_json(looked: &[Looked]) -> String {
    let all: Vec<Value> = looked
        .iter()
        .map(|one| match &one.now {
            Now::Same => json!({ "client_id": one.client_id, "state": "same" }),
            Now::Kept(reason) => {
                json!({ "client_id": one.client_id, "state": "kept", "reason": reason })
            }
            Now::Changed { differences, .. } => {
                let differences: Vec<Value> = differences
                    .iter()
                    .map(|it| {
                        json!({
                            "member": it.member, "value": it.value, "added": it.added,
                            "widens": it.widens,
                        })
                    })
                    .collect();
                json!({
                    "client_id": one.client_id, "state": "changed", "widens": one.widens(),
                    "differences": differences,
                })
            }
        })
        .collect();
    serde_json::to_string_pretty(&all).unwrap_or_default()
}
