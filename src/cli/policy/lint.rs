//! `broker policy lint`: rules that are well formed and yet cannot be meant.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::json;

use crate::app;
use crate::config::Config;
use crate::graph::Catalog;
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Lint, LintKind, Needs, World};
use crate::scope::{Scope, ScopeToken};

use super::{Console, name, print, rules, source};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;

/// Which rules, and what is known of the world.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The rules [default: the configured ones]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A group there is; may be given several times, or with commas. Without it only likely misspellings are told
    #[arg(long, value_delimiter = ',')]
    group: Vec<String>,
    /// A scope there is, likewise
    #[arg(long, value_delimiter = ',')]
    scope: Vec<ScopeToken>,
    /// The id of a server that was registered with the broker; those of the settings are known
    #[arg(long, value_delimiter = ',')]
    server: Vec<String>,
    /// A kind of finding that is fine; may be given several times
    #[arg(long, value_name = "KIND", value_parser = kind)]
    allow: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

fn kind(text: &str) -> Result<String, String> {
    let all: Vec<String> = LintKind::ALL.iter().map(name).collect();
    let known = all.iter().any(|kind| kind == text);
    if known { Ok(text.to_owned()) } else { Err(format!("is none of {}", all.join(", "))) }
}

/// Exit 0: nothing odd; 1: at least one finding.
pub(super) fn run(
    args: &LintArgs,
    ready: &Ready,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let policy = rules(&source(ready)?, args.file.as_deref())?;
    let catalog = app::catalog(&ready.config).map_err(|error| Failure::of(&error))?;
    let groups: BTreeSet<String> = args.group.iter().cloned().collect();
    let world = World {
        operation_tool: GRAPH_EXECUTE,
        scopes: (!args.scope.is_empty()).then(|| args.scope.iter().cloned().collect()),
        usual_scopes: usual_scopes(&ready.config),
        issuers: issuers(&ready.config),
        servers: servers(&ready.config, &args.server),
        groups: (!groups.is_empty()).then_some(groups),
    };
    let mut found = policy.lint(&world, |method, path| needs(&catalog, method, path));
    found.retain(|lint| !args.allow.contains(&name(&lint.kind)));
    let text = if args.json {
        let all = json!({ "policy_version": policy.version(), "findings": found });
        serde_json::to_string_pretty(&all).unwrap_or_default()
    } else {
        for_people(&found)
    };
    print(console, &text)?;
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Those of the settings, and others that are named.
fn servers(config: &Config, others: &[String]) -> BTreeSet<String> {
    let ours = config.upstream.servers.iter().map(|server| server.id.clone());
    ours.chain(others.iter().cloned()).collect()
}

/// The scopes that the settings name.
fn usual_scopes(config: &Config) -> Scope {
    let settings = &config.authorization_server;
    let clients = settings.clients.iter();
    clients.fold(settings.default_scopes.clone(), |all, client| all.union(&client.scopes))
}

/// Our own authorization server is one of them, if it is there.
fn issuers(config: &Config) -> usize {
    config.resource_server.issuers.len() + usize::from(config.authorization_server.enabled)
}

fn needs(catalog: &Catalog, method: &str, path: &str) -> Needs {
    let method: Option<Method> = method.parse().ok();
    match method.and_then(|method| catalog.explain(&method, path)) {
        None => Needs::Unknown,
        Some(operation) if operation.permissions.is_empty() => Needs::Impossible,
        Some(operation) => Needs::OneOf(operation.permissions.clone()),
    }
}

fn for_people(found: &[Lint]) -> String {
    let mut lines: Vec<String> = found.iter().map(line).collect();
    lines.push(match found.len() {
        0 => "nothing odd".to_owned(),
        1 => "1 finding".to_owned(),
        number => format!("{number} findings"),
    });
    lines.join("\n")
}

fn line(lint: &Lint) -> String {
    let place = lint.place.as_deref().unwrap_or("-");
    let rule = lint.rule_id.as_ref().map(|id| format!("rule `{id}`: ")).unwrap_or_default();
    let hint = lint.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{place}: {rule}{} [{}]{hint}", lint.message, name(&lint.kind))
}
