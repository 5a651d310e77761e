//! `broker server`: resource servers that run elsewhere, and their API keys.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::admin::{NewServer, OnToolFlaw, ProxySettings, ServerChange, ServerEra};
use crate::cli::failure::Failure;
use crate::config::Config;

use super::show::{Columns, list, one};
use super::{Administration, all, failure, tool_pin};

const LIST: &str = "broker server list";
const LIST_KEYS: &str = "broker server key list SERVER";
const COLUMNS: Columns = &[
    ("id", "id"),
    ("uri", "uri"),
    ("url", "url"),
    ("name", "name"),
    ("scope", "scope"),
    ("owner", "owner"),
    ("since", "created_at"),
    ("disabled", "disabled_at"),
];
const KEY_COLUMNS: Columns = &[
    ("prefix", "prefix"),
    ("name", "name"),
    ("since", "created_at"),
    ("expires", "expires_at"),
    ("last used", "last_used_at"),
    ("revoked", "revoked_at"),
];

/// MCP servers that run elsewhere and take this broker's tokens.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServerArgs {
    #[command(subcommand)]
    command: ServerCommand,
}

#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// Register a server
    Add(AddArgs),
    /// Change what a server is called and what its tokens are; what is left out stays
    Change(ChangeArgs),
    /// Print all servers
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say anew how a server is reached through this broker; what is left out is as by default
    Set(SetArgs),
    /// Give a server no more tokens; what it asks about is inactive
    Disable {
        server: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a disabled server tokens again
    Enable {
        server: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a server out, with its keys, its grants and the consents to it
    Remove {
        server: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The API keys with which a server asks about tokens
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// What the tools of a server that is reached through this broker were approved as, and what they are now
    Pin {
        #[command(subcommand)]
        command: tool_pin::PinCommand,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its name in paths: 1 to 64 of A-Z a-z 0-9 . _ -
    id: String,
    /// Its resource identifier, as its clients write it: https, or http on loopback
    #[arg(required_unless_present = "url")]
    uri: Option<String>,
    /// Its MCP endpoint, for a server that is reached through this broker, at /servers/ID/mcp
    #[arg(long, conflicts_with_all = ["uri", "aliases"])]
    url: Option<String>,
    /// Another spelling of that; may be repeated
    #[arg(long = "alias", value_name = "URI")]
    aliases: Vec<String>,
    /// Its name, for people
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    description: Option<String>,
    /// The scopes it knows, separated by spaces
    #[arg(long, default_value = "")]
    scope: String,
    /// How long its tokens live: 30 to 86400 [default: as the settings say]
    #[arg(long, value_name = "SECONDS")]
    token_ttl: Option<u32>,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    server: String,
    /// Its name, for people
    #[arg(long)]
    name: Option<String>,
    /// Empty: none
    #[arg(long)]
    description: Option<String>,
    /// Every scope it knows from now on, separated by spaces
    #[arg(long)]
    scope: Option<String>,
    /// How long its tokens live: 30 to 86400; 0: as the settings say
    #[arg(long, value_name = "SECONDS")]
    token_ttl: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SetArgs {
    server: String,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a server is reached through this broker.
#[derive(Debug, Args)]
#[group(id = "proxy", multiple = true)]
struct ProxyArgs {
    /// With --url: what the server is shown, by the name of an [[upstream.credential]] of the settings
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// With --url: tell the server who calls, in X-Broker-Identity
    #[arg(long)]
    identity_header: bool,
    /// With --url: show its tools at /mcp, too
    #[arg(long)]
    fold: bool,
    /// With --url: how long its answers may take: 1 to 600000 [default: 60000]
    #[arg(long, value_name = "MILLISECONDS")]
    timeout_ms: Option<u32>,
    /// With --url: its largest answer: 1 to 67108864 [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    max_response_bytes: Option<u32>,
    /// With --url: the approved definition of a tool; may be repeated
    #[arg(long = "pin", value_name = "TOOL=DIGEST", value_parser = pin)]
    pins: Vec<(String, String)>,
    /// With --url: a tool whose definition changed [default: alert]
    #[arg(long, value_name = "alert|hide", value_parser = word::<OnToolFlaw>)]
    on_change: Option<OnToolFlaw>,
    /// With --url: a tool whose definition hides text [default: hide]
    #[arg(long, value_name = "alert|hide", value_parser = word::<OnToolFlaw>)]
    on_hidden_text: Option<OnToolFlaw>,
    /// With --url: which revisions it speaks [default: auto]
    #[arg(long, value_name = "auto|2025-11-25|2026-07-28|both", value_parser = word::<ServerEra>)]
    era: Option<ServerEra>,
    /// With --url: take tokens alone that are bound to a key of their client (RFC 9449)
    #[arg(long)]
    dpop_required: bool,
}

impl ProxyArgs {
    /// `None`: nothing was said.
    fn settings(&self) -> Option<ProxySettings> {
        let settings = ProxySettings {
            credential: self.credential.clone(),
            identity_header: self.identity_header,
            fold: self.fold,
            timeout_ms: self.timeout_ms,
            max_response_bytes: self.max_response_bytes,
            pins: self.pins.iter().cloned().collect(),
            on_change: self.on_change,
            on_hidden_text: self.on_hidden_text,
            era: self.era,
            dpop_required: self.dpop_required,
        };
        (settings != ProxySettings::default()).then_some(settings)
    }
}

fn pin(text: &str) -> Result<(String, String), &'static str> {
    let (tool, digest) = text.rsplit_once('=').ok_or("write TOOL=sha256:…")?;
    Ok((tool.to_owned(), digest.to_owned()))
}

/// A word as the admin API has it.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, &'static str> {
    serde_json::from_value(json!(text)).map_err(|_| "is none of these")
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and print it, once
    Add {
        server: String,
        /// What it is for
        #[arg(long)]
        name: Option<String>,
        /// When it ends [default: when it is revoked]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_in_days: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the keys of a server
    List {
        server: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a key at once
    Revoke {
        server: String,
        /// The 16 digits between the first two underscores of the key
        prefix: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(in crate::cli) async fn run(
    args: &ServerArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let administration = Administration::open(config).await?;
    let done = match &args.command {
        ServerCommand::Add(new) => add(&administration, new, out).await,
        ServerCommand::Change(args) => change(&administration, args, out).await,
        ServerCommand::Set(args) => set(&administration, args, out).await,
        ServerCommand::List { json } => print_all(&administration, *json, out).await,
        ServerCommand::Remove { server, json } => {
            remove(&administration, (server, *json), out).await
        }
        ServerCommand::Disable { server, json } => {
            disable(&administration, (server, *json), true, out).await
        }
        ServerCommand::Enable { server, json } => {
            disable(&administration, (server, *json), false, out).await
        }
        ServerCommand::Pin { command } => tool_pin::run(&administration, command, out).await,
        ServerCommand::Key { command } => run_key(&administration, command, out).await,
    };
    administration.close(done).await.map(|()| ExitCode::SUCCESS)
}

async fn add(by: &Administration, args: &AddArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let new = NewServer {
        id: args.id.clone(),
        uri: args.uri.clone(),
        url: args.url.clone(),
        proxy: args.proxy.settings(),
        aliases: args.aliases.clone(),
        name: args.name.clone(),
        description: args.description.clone(),
        scope: args.scope.clone(),
        access_token_ttl_seconds: args.token_ttl,
    };
    let server = by.operations.add_server(&by.actor, new).await;
    let server = server.map_err(|error| failure(&error, LIST))?;
    let lines = format!("Server: {}\nA key for it: broker server key add {0}", server.id);
    one(&json!(server), &lines, args.json, out)
}

async fn change(
    by: &Administration,
    args: &ChangeArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let change = ServerChange {
        name: args.name.clone(),
        description: args.description.clone(),
        scope: args.scope.clone(),
        access_token_ttl_seconds: args.token_ttl,
    };
    let server = by.operations.change_server(&by.actor, &args.server, change).await;
    let server = server.map_err(|error| failure(&error, LIST))?;
    one(&json!(server), "the server is changed", args.json, out)
}

async fn set(by: &Administration, args: &SetArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let proxy = args.proxy.settings().unwrap_or_default();
    let server = by.operations.set_server_proxy(&by.actor, &args.server, proxy).await;
    let server = server.map_err(|error| failure(&error, LIST))?;
    one(&json!(server), "the broker follows within seconds", args.json, out)
}

async fn print_all(by: &Administration, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let servers = all(async |page| by.operations.list_servers(&page).await).await;
    list(&servers.map_err(|error| failure(&error, LIST))?, COLUMNS, json, out)
}

async fn disable(
    by: &Administration,
    (server, json): (&str, bool),
    disabled: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.disable_server(&by.actor, server, disabled).await;
    done.map_err(|error| failure(&error, LIST))?;
    let what = if disabled { "disabled" } else { "enabled" };
    let value = json!({ "id": server, "disabled": disabled });
    one(&value, &format!("the server is {what}"), json, out)
}

async fn remove(
    by: &Administration,
    (id, json): (&str, bool),
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let done = by.operations.delete_server(&by.actor, id).await;
    done.map_err(|error| failure(&error, LIST))?;
    let value = json!({ "id": id, "removed": true });
    one(
        &value,
        "the server is removed, with its keys, its grants and the consents to it",
        json,
        out,
    )
}

async fn run_key(
    by: &Administration,
    command: &KeyCommand,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        KeyCommand::Add { server, name, expires_in_days, json } => {
            let lives = expires_in_days.map(|days| Duration::from_hours(24 * u64::from(days)));
            let made = by.operations.add_key(&by.actor, server, name.as_deref(), lives).await;
            let made = made.map_err(|error| failure(&error, LIST))?;
            let key = made.secret.expose();
            let value = json!({ "key": made.object, "api_key": key });
            one(&value, &format!("Key: {key}"), *json, out)
        }
        KeyCommand::List { server, json } => {
            let keys = by.operations.list_keys(server).await;
            list(&keys.map_err(|error| failure(&error, LIST))?, KEY_COLUMNS, *json, out)
        }
        KeyCommand::Revoke { server, prefix, json } => {
            let done = by.operations.revoke_key(&by.actor, server, prefix).await;
            done.map_err(|error| failure(&error, LIST_KEYS))?;
            let value = json!({ "server": server, "prefix": prefix, "revoked": true });
            one(&value, "the key is revoked", *json, out)
        }
    }
}
