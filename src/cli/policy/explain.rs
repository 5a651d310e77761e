//! `broker policy explain`: one decision, with everything that was compared for it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app;
use crate::code::Code;
use crate::id::{ClientId, EventId, Issuer, Subject};
use crate::mcp::GRAPH_EXECUTE;
use crate::policy::{Decision, Explanation, Moment, Obligations, Policy, RuleExplanation, Truth};
use crate::scope::ScopeToken;
use crate::time::{Clock, SystemClock, Timestamp};

use super::log::{self, Entry};
use super::question::{Asker, Wanted, time, visible};
use super::{Console, name, print, rules, source, tell_of_the_shadow};
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
    /// `null` where the record of an event does not say enough.
    listed: Option<bool>,
    /// Of an event: whether nothing that the record does not hold could change the decision. Where it could, the decision is what
    /// comes of what is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    certain: Option<bool>,
    /// What was decided at the time, for an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Was>,
    #[serde(flatten)]
    explanation: Explanation,
}

#[derive(Serialize)]
struct Was {
    reason: String,
    policy_version: String,
    /// The code of a limit that ended the call, whatever was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    limited_by: Option<&'static str>,
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
            let wanted = Wanted::parse(call.as_deref().unwrap_or_default(), arguments.as_ref())?;
            let now = Moment::at(args.at.unwrap_or_else(|| SystemClock.now()));
            (Told::of(&policy, &asker(args, &ready).await?, &wanted, now), None)
        }
    };
    told.recorded = recorded.map(|entry| Was {
        reason: entry.reason,
        policy_version: entry.policy_version,
        limited_by: entry.limited_by,
    });
    let text = if args.json {
        serde_json::to_string_pretty(&told).unwrap_or_default()
    } else {
        for_people(&told, args.all)
    };
    print(console, text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

impl Told {
    fn of(policy: &Policy, asker: &Asker, wanted: &Wanted, now: Moment) -> Self {
        let who = asker.who();
        Self {
            policy_version: policy.version().to_string(),
            tool: wanted.tool().to_owned(),
            listed: Some(policy.decide(&visible(who, wanted.tool(), now)).shows_the_tool()),
            certain: None,
            recorded: None,
            explanation: wanted.ask(who, now, |ask| policy.explain(ask)),
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
    let names = replay.named();
    let certain = replay.decide(policy, &names, has_operations).is_some();
    replay.ask(&names, has_operations, |ask| Told {
        policy_version: policy.version().to_string(),
        listed: policy
            .lists_surely(&visible(ask.who, &tool, ask.now))
            .filter(|_| !replay.names_no_whole_thing() && !replay.is_about_a_server())
            .map(|decision| decision.shows_the_tool()),
        certain: Some(certain),
        tool: tool.clone(),
        recorded: None,
        explanation: policy.explain(ask),
    })
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

fn for_people(told: &Told, all: bool) -> String {
    let (explanation, tool) = (&told.explanation, &told.tool);
    let decision = &explanation.decision;
    let mut text = String::new();
    if told.certain == Some(false) {
        text.push_str("cannot be told; as far as the record goes:\n");
    }
    writeln!(text, "{}: {}", name(&decision.effect), decision.reason).ok();
    let listed = match told.listed {
        Some(true) => "is in",
        Some(false) => "is not in",
        None => "may be in",
    };
    writeln!(text, "  policy {}; {tool} {listed} the caller's list", told.policy_version).ok();
    if let Some(was) = &told.recorded {
        writeln!(text, "  at the time: {} by policy {}", was.reason, was.policy_version).ok();
        if let Some(limit) = was.limited_by {
            writeln!(text, "  then the call was refused all the same: {limit}").ok();
        }
        let what = "what the record does not hold (arguments, groups and claims that no rule named) is not known";
        writeln!(text, "  {what}").ok();
    }
    if let Some(code) = decision.code {
        writeln!(text, "  the caller gets: {}", answer(code.as_str(), decision, told)).ok();
    }
    obligations(&mut text, &decision.obligations);
    for change in &explanation.changes {
        writeln!(text, "  would be allowed with: {change}").ok();
    }
    let shown = |rule: &&RuleExplanation| all || rule.decides || rule.outcome.is_some();
    let rules: Vec<&RuleExplanation> = explanation.rules.iter().filter(shown).collect();
    for rule in &rules {
        text.push('\n');
        one_rule(&mut text, rule);
    }
    let others = explanation.rules.len() - rules.len();
    if others > 0 {
        let what = "about the tool, but not about this caller and operation";
        let rules = if others == 1 { "rule is" } else { "rules are" };
        writeln!(text, "\n{others} more {rules} {what}; --all shows them").ok();
    }
    if explanation.rules.is_empty() {
        text.push_str("\nno rule is about this tool\n");
    }
    text
}

/// What an allow or an ask comes with.
fn obligations(text: &mut String, with: &Obligations) {
    if let Some(approval) = &with.approval {
        let who = match approval.approvers.as_slice() {
            [] => "an administrator".to_owned(),
            groups => format!("a member of {}", groups.join(" or ")),
        };
        let own = if approval.self_approval { ", also who asks," } else { ", not who asks," };
        let seconds = approval.valid_for_seconds;
        writeln!(text, "  {who}{own} is asked first; the answer counts for {seconds} s").ok();
    }
    if with.conceal_links {
        text.push_str("  links that are credentials are taken out of the answer\n");
    }
    if !with.limits.is_empty() {
        let limits: Vec<String> =
            with.limits.iter().map(|limit| format!("{} {}", limit.setting, limit.most)).collect();
        writeln!(text, "  counted in the limits: {}", limits.join(", ")).ok();
    }
}

fn answer(code: &str, decision: &Decision, told: &Told) -> String {
    // No tool has a slash in its name; what is asked of a person about others is not offered.
    let (is_prompt, is_resource) =
        (told.tool.contains("/prompts/"), told.tool.contains("/resources/"));
    if decision.needs_login() {
        "HTTP 401 insufficient_user_authentication, which says how to log in".to_owned()
    } else if decision.can_step_up() {
        "HTTP 403 insufficient_scope, which names the scopes".to_owned()
    } else if code == Code::PolicyMissingIdentity.as_str() {
        code.to_owned()
    } else if is_prompt || is_resource {
        let what = if is_prompt { "prompt" } else { "resource" };
        format!(
            "what a {what} that does not exist gives (JSON-RPC -32602; of a resource, older clients -32002)"
        )
    } else if told.listed == Some(false) {
        "what a tool that does not exist gives (JSON-RPC -32602)".to_owned()
    } else {
        code.to_owned()
    }
}

fn one_rule(text: &mut String, rule: &RuleExplanation) {
    let outcome = match (rule.decides, rule.outcome) {
        (true, _) => "decides".to_owned(),
        (false, Some(outcome)) => name(&outcome).replace('_', " "),
        (false, None) => "is about somebody or something else".to_owned(),
    };
    writeln!(text, "rule {} ({}, {}): {outcome}", rule.rule_id, name(&rule.effect), rule.place)
        .ok();
    for compared in &rule.compared {
        let mark = mark(compared.came_to);
        writeln!(text, "  {mark} {}: wants {}; saw {}", compared.key, compared.wants, compared.saw)
            .ok();
    }
    for looked in &rule.condition {
        let saw: Vec<String> =
            looked.saw.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let with = if saw.is_empty() { String::new() } else { format!("; {}", saw.join(", ")) };
        writeln!(text, "      {} {}{with}", mark(looked.came_to), looked.part).ok();
    }
}

const fn mark(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "yes",
        Truth::False => "no ",
        Truth::Error => "ERR",
        Truth::Unknown => "?  ",
    }
}
