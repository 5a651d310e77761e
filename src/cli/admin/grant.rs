//! `broker grant`: what people allowed clients.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::config::Config;
use crate::id::{ClientId, GrantId};
use crate::store::GrantFilter;

use super::show::{Columns, list, one};
use super::user::user_id;
use super::{Administration, all, failure};

const LIST: &str = "broker grant list";
const COLUMNS: Columns = &[
    ("id", "id"),
    ("user", "user_id"),
    ("client", "client_id"),
    ("scope", "scope"),
    ("resource", "resource"),
    ("last used", "last_used_at"),
    ("revoked", "revoked_at"),
];
/// The consent goes with it, and what stays alive may be more than one thinks.
const REVOKED: &str = "the grant is revoked, and every token of it; its client has to ask its person again, \
    and other grants of that person to that client stay until each is revoked";

/// What people allowed clients.
#[derive(Debug, Args)]
pub(in crate::cli) struct GrantArgs {
    #[command(subcommand)]
    command: GrantCommand,
}

#[derive(Debug, Subcommand)]
enum GrantCommand {
    /// Print the grants
    List(ListArgs),
    /// End a grant and every token of it, within a second; what its person allowed the client is forgotten, other grants stay
    Revoke {
        id: GrantId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of this person: username or id
    #[arg(long)]
    user: Option<String>,
    /// Only to this client
    #[arg(long)]
    client: Option<ClientId>,
    /// Those that have ended, too
    #[arg(long)]
    ended: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(
    args: &GrantArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(config).await?;
    let done = match &args.command {
        GrantCommand::List(which) => print(&administration, which, out).await,
        GrantCommand::Revoke { id, json } => revoke(&administration, (*id, *json), out).await,
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn print(by: &Administration, args: &ListArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let user_id = match &args.user {
        Some(name) => Some(user_id(by, name).await?),
        None => None,
    };
    let filter = GrantFilter { user_id, client_id: args.client.clone(), ended: args.ended };
    let grants = all(async |page| by.operations.list_grants(&filter, &page).await).await;
    list(&grants.map_err(|error| failure(&error, LIST))?, COLUMNS, args.json, out)
}

async fn revoke(
    by: &Administration,
    (id, json): (GrantId, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.revoke_grant(&by.actor, id).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": id, "revoked": true });
    one(&value, REVOKED, json, out)
}
