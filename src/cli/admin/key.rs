//! `broker key`: the keys that sign our tokens.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::admin::AdminError;
use crate::app;
use crate::audit::{AdminAction, AdminObject, AuditEvent};
use crate::authorization_server::{KeyError, KeySettings};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;
use crate::store::{SigningKeyRow, SigningKeyState};
use crate::time::{SystemClock, Timestamp};

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

/// A key as it may be shown.
#[derive(Serialize)]
struct KeyView<'a> {
    kid: &'a str,
    algorithm: &'a str,
    /// `pending`, `usable` or `retiring`.
    state: &'static str,
    created_at: Timestamp,
    not_before: Timestamp,
    retire_at: Option<Timestamp>,
}

impl<'a> KeyView<'a> {
    fn of(row: &'a SigningKeyRow, now: Timestamp) -> Self {
        Self {
            kid: &row.kid,
            algorithm: &row.algorithm,
            state: match row.state {
                SigningKeyState::Usable if row.not_before > now => "pending",
                SigningKeyState::Usable => "usable",
                SigningKeyState::Retiring => "retiring",
            },
            created_at: row.created_at,
            not_before: row.not_before,
            retire_at: row.retire_at,
        }
    }
}

pub(in crate::cli) async fn run(
    args: &KeyArgs,
    ready: &Ready,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(&ready.config).await?;
    let variables = ready.variables();
    let settings = app::key_settings(&ready.config, &variables, Arc::new(SystemClock));
    let done = match settings.await {
        Err(error) => Err(Failure::of(&error)),
        Ok(settings) => match &args.command {
            KeyCommand::List { json } => print(&settings, *json, out).await,
            KeyCommand::Rotate { now, json } => {
                rotate(&administration, &settings, (*now, *json), out).await
            }
            KeyCommand::Retire { kid, now, json } => {
                retire(&administration, &settings, (kid, *now, *json), out).await
            }
        },
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn rows(settings: &KeySettings) -> Result<Vec<SigningKeyRow>, Failure> {
    settings.store.signing_keys().await.map_err(|error| Failure::of(&error))
}

async fn print(settings: &KeySettings, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let (rows, now) = (rows(settings).await?, settings.clock.now());
    let views: Vec<_> = rows.iter().map(|row| KeyView::of(row, now)).collect();
    list(&views, COLUMNS, json, out)
}

async fn rotate(
    by: &Administration,
    settings: &KeySettings,
    (at_once, json): (bool, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let action = if at_once { AdminAction::Replace } else { AdminAction::Add };
    let what = (AdminObject::SigningKey, action, "all");
    let rows = by.operations.change(&by.actor, what, async {
        let rows = if at_once { settings.rotate_now().await } else { settings.rotate().await };
        let rows = rows.map_err(admin_error)?;
        for row in &rows {
            let event = AuditEvent::KeyRotate { kid: row.kid.as_str().into(), at_once };
            by.operations.auditor.record(&by.actor.context, event).await?;
        }
        Ok(rows)
    });
    let rows = rows.await.map_err(|error| failure(&error, LIST))?;
    let then = if at_once {
        "Signing at once; tokens of all other keys are refused within half a minute."
    } else {
        "Published now, signing in 6 minutes."
    };
    let now = settings.clock.now();
    let mut views = rows.iter().map(|row| KeyView::of(row, now));
    let mut view = json!(views.next());
    let others: Vec<_> = views.collect();
    if let (Some(members), false) = (view.as_object_mut(), others.is_empty()) {
        members.insert("others".to_owned(), json!(others));
    }
    let names: Vec<String> =
        rows.iter().map(|row| format!("Key: {} ({})\n", row.kid, row.algorithm)).collect();
    one(&view, &format!("{}{then}", names.concat()), json, out)
}

async fn retire(
    by: &Administration,
    settings: &KeySettings,
    (kid, at_once, json): (&str, bool, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let rows = rows(settings).await?;
    // What is no key goes neither to the store nor, as somebody's text, into the audit log.
    let Some(row) = rows.iter().find(|row| row.kid == kid) else {
        return Err(failure(&AdminError::NotFound("signing key"), LIST));
    };
    let now = settings.clock.now();
    let signs = |row: &SigningKeyRow| row.state == SigningKeyState::Usable && row.not_before <= now;
    if signs(row) && !rows.iter().any(|other| other.kid != kid && signs(other)) {
        return Err(Failure::new("it is the only key that signs").hint(
            "broker key rotate, and it retires by itself; broker key rotate --now where it has leaked",
        ));
    }
    let action = if at_once { AdminAction::Delete } else { AdminAction::Disable };
    let what = (AdminObject::SigningKey, action, kid);
    let done = by.operations.change(&by.actor, what, async {
        let store = &settings.store;
        let changed = if at_once {
            store.delete_signing_key(kid).await?
        } else {
            store.retire_signing_key(kid, settings.retire_at()).await?
        };
        if changed { Ok(()) } else { Err(AdminError::NotFound("signing key that signs")) }
    });
    done.await.map_err(|error| failure(&error, LIST))?;
    let then =
        if at_once { "gone; its tokens are refused within half a minute" } else { "retiring" };
    let state = if at_once { "gone" } else { "retiring" };
    one(&json!({ "kid": kid, "state": state }), &format!("the key is {then}"), json, out)
}

fn admin_error(error: KeyError) -> AdminError {
    match error {
        KeyError::Store(error) => AdminError::Store(error),
        _ => AdminError::NotFound("key that could be made"),
    }
}
