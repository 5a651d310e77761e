//! `broker policy explain`: one decision, with everything that was compared for it.

mod words;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app;
use crate::id::{ClientId, EventId, Issuer, Subject};
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Again, Decision, Explanation, Moment, Policy, RuleExplanation};
use crate::scope::{Scope, ScopeToken};
use crate::time::{Clock, SystemClock, Timestamp};

use super::log::{self, Entry};
use super::question::{Asker, Gate, Wanted, time, visible};
use super::{Console, print, rules, source, tell_of_the_shadow};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;
use crate::cli::token::read_token;

/// Whom and what to explain.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// What is called: a tool's name, or a Graph operation such as `"GET /v1.0/users/ada"`
    #[arg(required_unless_present = "event")]
    call: Option<String>,
    /// A recorded decision instead, by the id of its event or request: `decision_id` or `request_id` of an answer, or the audit log's
    /// `event_id`
    #[arg(long, value_name = "ID", conflicts_with_all = ["call", "arguments", "token", "subject", "client", "scope", "group", "role", "issuer", "claims", "at"])]
    event: Option<EventId>,
    /// The audit log with the event [default: the configured one]
    #[arg(long, value_name = "FILE", requires = "event")]
    log: Option<PathBuf>,
    /// The arguments of the call, as JSON; `@FILE` reads them from a file
    #[arg(long, value_name = "JSON")]
    arguments: Option<String>,
    /// Who calls, by this access token; `-` reads it from standard input
    #[arg(long, value_name = "JWT", conflicts_with_all = ["subject", "client", "scope", "group", "role", "issuer", "claims"])]
    token: Option<String>,
    /// At the gate for proxies of this server, which is registered and stays where it is: its scopes are needed as well. CALL is
    /// ID.TOOL, or ID for the whole of it (`/forward-auth`)
    #[arg(long, value_name = "ID", conflicts_with = "event")]
    gate: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
    /// When, such as 2026-11-20T23:30:00+01:00 [default: now]
    #[arg(long, value_parser = time)]
    at: Option<Timestamp>,
    /// Rules to ask instead of the configured ones
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Show every rule about the tool, not only the nearest
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Who calls, by options.
#[derive(Debug, Args)]
struct WhoArgs {
    /// Who calls [default: nobody, which no rule allows]
    #[arg(long)]
    subject: Option<Subject>,
    /// Its OAuth client
    #[arg(long)]
    client: Option<ClientId>,
    /// Its scopes
    #[arg(long, num_args = 1.., value_delimiter = ' ')]
    scope: Vec<ScopeToken>,
    /// One of its groups; may be given several times
    #[arg(long)]
    group: Vec<String>,
    /// One of its roles; may be given several times
    #[arg(long)]
    role: Vec<String>,
    /// Who issued its token [default: this broker]
    #[arg(long)]
    issuer: Option<Issuer>,
    /// The claims of its token, as JSON; `@FILE` reads them from a file
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
}

/// What is told.
#[derive(Serialize)]
struct Told {
    policy_version: String,
    tool: String,
    /// The server whose gate for proxies asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<String>,
    /// The scopes that a gate for proxies wants as well, where the question was asked without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_its_gate: Option<AtItsGate>,
    /// `null` for a server as such, and where the record of an event does not say enough.
    listed: Option<bool>,
    /// Of an event: whether nothing that the record does not hold could change the decision. Where it could, there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    certain: Option<bool>,
    /// What was decided at the time, for an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Was>,
    decision: Option<Decision>,
    changes: Vec<String>,
    rules: Vec<RuleExplanation>,
}

#[derive(Serialize)]
struct AtItsGate {
    id: String,
    scopes: Scope,
}

#[derive(Serialize)]
struct Was {
    reason: String,
    policy_version: String,
    /// The code of a limit that ended the call, whatever was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    limited_by: Option<&'static str>,
    /// By how much the broker's clock was stepped then, so that rules on time were held against both times.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_step_ms: Option<i64>,
}

pub(super) async fn run(
    args: &ExplainArgs,
    ready: Ready,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let source = source(&ready)?;
    let policy = rules(&source, args.policy.as_deref())?;
    if args.policy.is_none() {
        tell_of_the_shadow(&source, console)?;
    }
    let (mut told, recorded) = match (&args.event, &args.call) {
        (Some(event), _) => {
            let entry = find(*event, args.log.clone().or_else(|| ready.audit_file()))?;
            (of_entry(&policy, &entry), Some(entry))
        }
        (None, call) => {
            let arguments =
                args.arguments.as_deref().map(|text| json("--arguments", text)).transpose()?;
            let call = call.as_deref().unwrap_or_default();
            let wanted = wanted(args, (call, arguments.as_ref()), &ready).await?;
            let now = Moment::at(args.at.unwrap_or_else(|| SystemClock.now()));
            let mut told = Told::of(&policy, &asker(args, &ready).await?, &wanted, now);
            if args.gate.is_none() {
                told.at_its_gate = at_its_gate(call, &ready, console).await?;
            }
            (told, None)
        }
    };
    told.recorded = recorded.map(|entry| Was {
        reason: entry.reason,
        policy_version: entry.policy_version,
        limited_by: entry.limited_by,
        clock_step_ms: entry.replay.question.clock_step_ms,
    });
    let text = if args.json {
        serde_json::to_string_pretty(&told).unwrap_or_default()
    } else {
        words::for_people(&told, args.all)
    };
    print(console, text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

impl Told {
    fn of(policy: &Policy, asker: &Asker, wanted: &Wanted, now: Moment) -> Self {
        let who = asker.who();
        let Explanation { decision, changes, rules } =
            wanted.ask(who, now, |ask| policy.explain(ask));
        Self {
            policy_version: policy.version().to_string(),
            tool: wanted.tool().to_owned(),
            gate: wanted.gate().map(|gate| gate.id.clone()),
            at_its_gate: None,
            listed: wanted.is_listed(policy, who, now),
            certain: None,
            recorded: None,
            decision: Some(decision),
            changes,
            rules,
        }
    }
}

/// The event in the log.
fn find(event: EventId, log: Option<PathBuf>) -> Result<Entry, Failure> {
    let path = log.ok_or_else(|| {
        Failure::new("no audit log file is configured").hint("name one with --log")
    })?;
    let unreadable = |error: std::io::Error| {
        Failure::unreadable(&format!("the audit log {}", path.display()), &error)
    };
    let mut request_id = event.to_string();
    let (found, mut of_request) =
        log::decisions(&path, (event, &request_id)).map_err(unreadable)?;
    // One that carries no decision itself is an event of a request that may have one.
    if found.is_none()
        && let Some(id) = log::request_of(&path, event).map_err(unreadable)?
    {
        request_id = id;
        of_request = log::decisions(&path, (event, &request_id)).map_err(unreadable)?.1;
    }
    // Callers choose the ids of their requests, and may choose one of an event or of another request.
    if found.is_none() && of_request.len() > 1 {
        let ids: Vec<_> = of_request.iter().map(|entry| entry.event_id.to_string()).collect();
        let problem = format!("{} decisions have the request id {request_id}", ids.len());
        return Err(
            Failure::new(problem).hint(format!("name one by its event id: {}", ids.join(", ")))
        );
    }
    found.or_else(|| of_request.pop()).ok_or_else(|| {
        Failure::new(format!("the audit log has no decision of the event or request {event}"))
            .hint("any event of a request that policy decided about will do: policy.decided, result.emitted, auth.scope.insufficient, auth.login.insufficient, approval.requested, policy.shadow.differed")
    })
}

/// The rules as they are now, on the question as it was.
fn of_entry(policy: &Policy, entry: &Entry) -> Told {
    let replay = &entry.replay;
    let tool = replay.question.tool.to_string();
    let has_operations = tool == GRAPH_EXECUTE;
    let names = replay.told_by(&entry.policy_version, policy);
    let listed = replay
        .ask(&names, has_operations, |ask| policy.lists_surely(&visible(ask.who, &tool, ask.now)));
    let Again { decision, changes, rules } =
        replay.explain(policy, (&entry.policy_version, entry.made().as_ref()), has_operations);
    Told {
        policy_version: policy.version().to_string(),
        listed: listed
            .filter(|_| !replay.names_no_whole_thing() && !replay.is_about_a_server())
            .map(|decision| decision.shows_the_tool()),
        certain: Some(decision.is_some()),
        tool,
        gate: replay.question.server.as_ref().map(|server| server.id.to_string()),
        at_its_gate: None,
        recorded: None,
        decision,
        changes,
        rules,
    }
}

/// What is asked for, at a gate with the scopes that the store has of it.
async fn wanted(
    args: &ExplainArgs,
    (call, arguments): (&str, Option<&Value>),
    ready: &Ready,
) -> Result<Wanted, Failure> {
    let Some(id) = &args.gate else { return Wanted::parse(call, arguments) };
    let found =
        app::gate_of(&ready.config, &[id.as_str()]).await.map_err(|error| Failure::of(&error))?;
    let Some((id, scopes)) = found else {
        return Err(Failure::new(format!("no proxy can ask about `{id}`: no server of this id is registered and enabled that stays where it is"))
            .hint("`broker server list` has those that are registered; one that is reached through the broker has no gate"));
    };
    Wanted::at_gate(call, arguments, Gate { id, scopes })
}

/// The registered server whose gate would ask about such a name, too, and with scopes of its own. A store that does not answer is told on stderr.
async fn at_its_gate(
    call: &str,
    ready: &Ready,
    console: &mut Console<'_>,
) -> Result<Option<AtItsGate>, Failure> {
    // `GET /v1.0/users` is no server's.
    let name = call.split(' ').next().filter(|name| *name == call).unwrap_or_default();
    let ids = name.match_indices(['.', '/']).filter_map(|(end, _)| name.get(..end));
    let servers = &ready.config.upstream.servers;
    let ids: Vec<&str> = ids.filter(|id| servers.iter().all(|server| server.id != *id)).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    match app::gate_of(&ready.config, &ids).await {
        Ok(found) => Ok(found
            .filter(|(_, scopes)| !scopes.is_empty())
            .map(|(id, scopes)| AtItsGate { id, scopes })),
        Err(error) => {
            let failure = Failure::of(&error);
            let note = "whether it is a thing of a registered server was not looked at";
            writeln!(console.err, "{failure}\n{note}").map_err(Failure::output)?;
            Ok(None)
        }
    }
}

async fn asker(args: &ExplainArgs, ready: &Ready) -> Result<Asker, Failure> {
    let Some(token) = &args.token else { return by_options(&args.who, ready) };
    let token = read_token(token)?;
    let verifier = app::inspector(&ready.config, ready.variables(), Arc::new(SystemClock));
    let verifier = verifier.await.map_err(|error| Failure::of(&error))?;
    match verifier.verify(token.expose()).await {
        Ok(principal) => Ok(Asker::of(&principal)),
        Err(refusal) => Err(Failure::new("the token is not accepted, so policy is not asked")
            .cause(refusal.error().to_string())
            .hint("broker token inspect says more")),
    }
}

fn by_options(args: &WhoArgs, ready: &Ready) -> Result<Asker, Failure> {
    let issuer = match &args.issuer {
        Some(issuer) => issuer.clone(),
        None => app::issuer(&ready.config).parse().map_err(|error| Failure::of(&error))?,
    };
    let mut claims = Map::new();
    for (name, value) in [
        ("sub", args.subject.as_ref().map(Subject::as_str)),
        ("client_id", args.client.as_ref().map(ClientId::as_str)),
    ] {
        claims.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    }
    if let Some(text) = &args.claims {
        match json("--claims", text)? {
            Value::Object(more) => claims.extend(more),
            _ => {
                return Err(Failure::new("--claims is no JSON object")
                    .hint("such as {\"department\": \"IT\"}, or @FILE with that in it"));
            }
        }
    }
    let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Ok(Asker {
        issuer,
        subject: args.subject.clone(),
        client_id: args.client.clone(),
        scopes: args.scope.iter().cloned().collect(),
        groups: names(&args.group),
        groups_incomplete: false,
        roles: names(&args.role),
        roles_incomplete: false,
        claims,
    })
}

fn json(option: &str, text: &str) -> Result<Value, Failure> {
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(Path::new(file))
            .map_err(|error| Failure::unreadable(&format!("{option}: {file}"), &error))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(format!("{option} is not JSON"))
            .cause(error.to_string())
            .hint("in single quotes, so that the shell leaves it alone, or @FILE")
    })
}
