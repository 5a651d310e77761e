//! `broker policy lint`: rules that are well formed and yet cannot be meant.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::json;

use crate::app::{self, KeptNames as Kept};
use crate::config::Config;
use crate::graph::Catalog;
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Lint, LintKind, Needs, World};
use crate::scope::{Scope, ScopeToken};

use super::{Console, name, print, rules, source, tell_of_the_shadow};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;

/// Stands in the name of an Entra issuer for the tenant of a token.
const TENANT: &str = "{tenantid}";

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
    /// Look at the rules and the settings alone, and not into the store
    #[arg(long)]
    without_store: bool,
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
pub(super) async fn run(
    args: &LintArgs,
    ready: &Ready,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let source = source(ready)?;
    let policy = rules(&source, args.file.as_deref())?;
    if args.file.is_none() {
        tell_of_the_shadow(&source, console)?;
    }
    let catalog = app::catalog(&ready.config).map_err(|error| Failure::of(&error))?;
    let kept = if args.without_store { None } else { kept(&ready.config, console).await? };
    let kept = kept.unwrap_or_default();
    let mut groups: BTreeSet<String> = args.group.iter().cloned().collect();
    if !groups.is_empty() {
        groups.extend(kept.people.iter().flat_map(|people| people.groups.iter().cloned()));
    }
    let mut scopes: Scope = args.scope.iter().cloned().collect();
    if !scopes.is_empty() || kept.scopes_are_all {
        scopes = scopes.union(&usual_scopes(&ready.config)).union(&kept.scopes);
    }
    let mut servers = servers(&ready.config, &args.server);
    servers.extend(kept.servers);
    let world = World {
        operation_tool: GRAPH_EXECUTE,
        scopes: (!scopes.is_empty()).then_some(scopes),
        usual_scopes: usual_scopes(&ready.config).union(&kept.scopes),
        issuers: issuers(&ready.config),
        issuers_with_roles: kept.roles.map(|stored| issuers_with_roles(&ready.config, stored)),
        servers,
        groups: (!groups.is_empty()).then_some(groups),
        people: kept.people,
        approvals_off: !ready.config.authorization_server.enabled,
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

/// What the store has. One that does not answer is told on stderr: rules can be looked at without it.
async fn kept(config: &Config, console: &mut Console<'_>) -> Result<Option<Kept>, Failure> {
    match app::kept_names(config).await {
        Ok(kept) => Ok(kept),
        Err(error) => {
            let failure = Failure::of(&error);
            let note = "the store was not looked at: --without-store leaves it out";
            writeln!(console.err, "{failure}\n{note}").map_err(Failure::output)?;
            Ok(None)
        }
    }
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

/// Every issuer elsewhere may name roles. Our own does where an identity provider names them, be it one that is `stored`.
fn issuers_with_roles(config: &Config, stored: bool) -> BTreeSet<String> {
    let mut settled = config.authorization_server.identity_providers.iter();
    let ours = stored || settled.any(|known| !known.claims.roles.is_empty());
    let mut all = issuers(config);
    if !ours {
        all.remove(&app::issuer(config));
    }
    all
}

/// Our own authorization server is one of them, if it is there. Where the name of one holds the tenant, tokens have that of
/// each tenant that is let in.
fn issuers(config: &Config) -> BTreeSet<String> {
    let ours = config.authorization_server.enabled.then(|| app::issuer(config));
    let others = config.resource_server.issuers.iter().flat_map(|issuer| {
        let name = issuer.issuer.as_str();
        let of_tenants = issuer.tenants.iter().map(|tenant| name.replace(TENANT, tenant.as_str()));
        // Where the tenant is no part of it, all of them are one.
        of_tenants.chain((!name.contains(TENANT)).then(|| name.to_owned())).collect::<Vec<_>>()
    });
    ours.into_iter().chain(others).collect()
}

fn needs(catalog: &Catalog, method: &str, path: &str) -> Needs {
    let method: Option<Method> = method.parse().ok();
    match method.and_then(|method| catalog.explain(&method, path)) {
        None if catalog.lacks(path) => {
            Needs::NoSuch { near: catalog.one_letter_apart(path).map(str::to_owned) }
        }
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
