//! `broker store`: the database itself.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app;
use crate::config::Config;
use crate::store::{self, Existing, StoreStatus};
use crate::time::{Clock as _, SystemClock};

use super::failure::Failure;
use super::settings::Ready;
use super::store_copy::{self, CopyArgs};
use super::store_rekey::{self, RekeyArgs};

/// Where keys, clients, people and grants are kept.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Print the schema, the size, how many rows there are, and the age of the signing keys
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring the schema up to date, as the broker's start does
    Migrate {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a copy of the store to a file that is not there yet; works while the broker runs
    Backup {
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy the whole store to another database, from SQLite to PostgreSQL or back; stop every broker first
    ///
    /// Run it again after it was cut off: it goes on where it was. Both stores are compared at the end.
    Copy(CopyArgs),
    /// Seal everything that is sealed with `store.key_encryption_key` instead of the key before it; works while brokers run
    ///
    /// First every broker gets both keys: the new one as `store.key_encryption_key`, the one before as
    /// `store.previous_key_encryption_key`. Run it again after it was cut off: it goes on where it was.
    Rekey(RekeyArgs),
    /// Put a backup in the place of the store, which is kept beside it; stop every broker first
    Restore {
        file: PathBuf,
        /// Also where the PostgreSQL database holds a store: its tables move into a schema of their own, where they stay
        #[arg(long)]
        replace: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(
    args: &StoreArgs,
    ready: &Ready,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let config = &ready.config;
    let settings = app::store_settings(config);
    let text = match &args.command {
        StoreCommand::Status { json } => {
            let status = store::status(&settings).await.map_err(|error| Failure::of(&error))?;
            if *json {
                serde_json::to_string(&status).unwrap_or_default()
            } else {
                describe(&status)
            }
        }
        StoreCommand::Migrate { json } => {
            let opened = store::open(&settings, Arc::new(SystemClock)).await;
            drop(opened.map_err(|error| Failure::of(&error))?);
            let status = store::status(&settings).await.map_err(|error| Failure::of(&error))?;
            if *json {
                json!({ "schema": status.schema }).to_string()
            } else {
                format!("the store has schema {}", status.schema)
            }
        }
        StoreCommand::Backup { file, json } => {
            let bytes = store::backup(&settings, file).await;
            let bytes = bytes.map_err(|error| Failure::of(&error))?;
            if *json {
                json!({ "file": file, "bytes": bytes, "key": key_place(config) }).to_string()
            } else {
                format!(
                    "{}: {bytes} bytes, read back and found whole\n{}",
                    file.display(),
                    key_note(config)
                )
            }
        }
        StoreCommand::Copy(copy) => store_copy::run(copy, ready, key_note(config).as_str()).await?,
        StoreCommand::Rekey(rekey) => store_rekey::run(rekey, ready).await?,
        StoreCommand::Restore { file, replace, json } => {
            let existing = if *replace { Existing::PutAside } else { Existing::Refuse };
            restore(&settings, (file, existing, *json), config).await?
        }
    };
    writeln!(out, "{text}").map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

async fn restore(
    settings: &store::StoreSettings,
    (file, existing, json): (&std::path::Path, Existing, bool),
    config: &Config,
) -> Result<String, Failure> {
    let restored = store::restore(settings, file, (existing, SystemClock.now())).await;
    let restored = restored.map_err(|error| Failure::of(&error))?;
    if json {
        let value = json!({
            "file": file, "previous": restored.previous,
            "previous_schema": restored.previous_schema, "key": key_place(config),
            "undone": "what was revoked, disabled or deleted since the backup was made",
        });
        return Ok(value.to_string());
    }
    let kept = restored.previous.map(|path| path.display().to_string());
    let kept = kept.or(restored.previous_schema.map(|schema| format!("schema {schema}")));
    let kept = kept
        .map_or_else(String::new, |kept| format!("The store that was there is kept as {kept}\n"));
    Ok(format!(
        "the store is as it was when {} was made\n{kept}\
         What was revoked, disabled or deleted since then, leaked signing keys among it, is as it was before: do it \
         again; broker key rotate --now replaces the keys and ends all access tokens\n{}",
        file.display(),
        key_note(config)
    ))
}

/// A backup without its key is worth nothing, and one beside its key seals nothing.
fn key_note(config: &Config) -> String {
    format!("It needs the key it is sealed with, kept in another place: {}", key_place(config))
}

fn key_place(config: &Config) -> String {
    match &config.store.key_encryption_key {
        Some(_) => "store.key_encryption_key".to_owned(),
        None => format!("the file {}", app::key_encryption_key_file(config).display()),
    }
}

/// With which key, and what is not sealed with it.
fn sealed(status: &StoreStatus, id: &str) -> String {
    let ours = status.sealed.iter().filter(|count| count.key_id == id);
    let ours: u64 = ours.map(|count| count.rows).sum();
    let others = store_rekey::others(&status.sealed, id);
    if others.is_empty() {
        return format!("{id} seals all {ours} sealed values");
    }
    format!("{id} seals {ours} values; not sealed anew (broker store rekey): {others}")
}

fn describe(status: &StoreStatus) -> String {
    let age = status.oldest_signing_key.map_or_else(|| "-".to_owned(), |made| made.to_string());
    let schema = if status.schema == status.schema_known {
        status.schema.to_string()
    } else {
        format!("{} (broker store migrate brings it to {})", status.schema, status.schema_known)
    };
    let head = [
        ("database", status.database.to_owned()),
        ("schema", schema),
        ("bytes", status.bytes.to_string()),
        ("oldest signing key", age),
    ];
    let seal = status.sealed_with.as_ref().map(|id| ("key-encryption key", sealed(status, id)));
    let rows = status.tables.iter().map(|table| (table.name, table.rows.to_string()));
    let lines = head.into_iter().chain(seal).chain(rows);
    lines.map(|(name, value)| format!("{name:<24}{value}")).collect::<Vec<_>>().join("\n")
}
