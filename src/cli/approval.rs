//! `broker approval`: calls that wait for a person, from a terminal. Works while a broker runs.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::app::{self, CommandApprovals};
use crate::audit::{ApprovalOutcome, Context};
use crate::broker::{Answer, Approver, Through, in_words};
use crate::id::{ApprovalId, RequestId, TraceId};
use crate::store::{ApprovalAnswer, ApprovalRow, ApprovalState, PageRequest, Requester, UserRow};
use crate::time::Timestamp;

use super::failure::Failure;
use super::settings::Ready;

/// The longest that the last lines of the audit log may take.
const CLOSE: Duration = Duration::from_secs(10);

/// Calls that a rule holds back until a person has seen them.
#[derive(Debug, Args)]
pub(super) struct ApprovalArgs {
    #[command(subcommand)]
    command: ApprovalCommand,
}

#[derive(Debug, Subcommand)]
enum ApprovalCommand {
    /// Print the calls that wait, the oldest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one call with its arguments
    Show {
        id: ApprovalId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let the call through, once, when it is made again
    Approve(AnswerArgs),
    /// Refuse the call until its time is over
    Deny(AnswerArgs),
}

#[derive(Debug, Args)]
struct AnswerArgs {
    id: ApprovalId,
    /// Who answers: a username; its groups have to be among the rule's approvers, and it must not be who asks
    #[arg(long = "as", value_name = "USERNAME")]
    username: String,
    /// Why, for the record
    #[arg(long)]
    comment: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &ApprovalArgs,
    ready: &Ready,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let opened = app::command_approvals(&ready.config, &ready.variables()).await;
    let opened = opened.map_err(|error| Failure::of(&error))?;
    let done = match &args.command {
        ApprovalCommand::List { json } => list(&opened, *json).await,
        ApprovalCommand::Show { id, json } => show(&opened, *id, *json).await,
        ApprovalCommand::Approve(args) => answer(&opened, args, true).await,
        ApprovalCommand::Deny(args) => answer(&opened, args, false).await,
    };
    // The answer counts once the log has it.
    let closed = opened.approvals.auditor.close(CLOSE).await;
    let text = done?;
    closed.map_err(|error| Failure::of(&error))?;
    writeln!(out, "{}", text.trim_end()).map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(opened: &CommandApprovals, as_json: bool) -> Result<String, Failure> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { after, limit: 200 };
        let now = opened.approvals.clock.now();
        let found = opened.store.list_approvals(&page, now).await;
        let found = found.map_err(|error| Failure::of(&error))?;
        let waits = |row: &ApprovalRow| !opened.approvals.is_of_other_rules(row);
        rows.extend(found.rows.into_iter().filter(waits));
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if as_json {
        let all: Vec<Value> = rows.iter().map(|row| view(opened, row)).collect();
        return Ok(serde_json::to_string_pretty(&all).unwrap_or_default());
    }
    if rows.is_empty() {
        return Ok("no call waits".to_owned());
    }
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let Requested { who, client } = requested(opened, row).await?;
        let ApprovalRow { id, tool, rule, expires_at, .. } = row;
        lines.push(format!("{id}  {tool}  {who} by {client}  rule {rule}  until {expires_at}"));
    }
    Ok(lines.join("\n"))
}

async fn show(opened: &CommandApprovals, id: ApprovalId, as_json: bool) -> Result<String, Failure> {
    let row = find(opened, id).await?;
    let arguments = opened.approvals.shown(&row);
    if as_json {
        let arguments = arguments.and_then(|text| RawValue::from_string(text).ok());
        let shown = Shown { call: view(opened, &row), arguments };
        return Ok(serde_json::to_string_pretty(&shown).unwrap_or_default());
    }
    let Requested { who, client } = requested(opened, &row).await?;
    let approvers = match row.approvers.as_slice() {
        [] => "administrators".to_owned(),
        groups => groups.join(", "),
    };
    let sealed = || "cannot be shown: they were sealed with another key".to_owned();
    let arguments = arguments.unwrap_or_else(sealed);
    let mut text = String::new();
    for (name, value) in [
        ("call", row.tool.to_string()),
        ("asked by", who),
        ("through", client),
        ("state", state(opened, &row).to_owned()),
        ("rule", format!("{} of policy {}", row.rule, row.policy_version)),
        ("approvers", approvers),
        ("until", row.expires_at.to_string()),
        ("answered", answered(opened, &row).await?),
        ("arguments", arguments),
    ] {
        if !value.is_empty() {
            writeln!(text, "{name:<11}{value}").ok();
        }
    }
    Ok(text)
}

/// Who answered, when, and what they wrote. Empty: nobody did.
async fn answered(opened: &CommandApprovals, row: &ApprovalRow) -> Result<String, Failure> {
    let Some(ApprovalAnswer { approver, comment, at, .. }) = &row.answer else {
        return Ok(String::new());
    };
    let (issuer, subject) = (opened.issuer.clone(), approver.clone());
    let approver = Requester { issuer, subject, client_id: None, asserted: None };
    let who = in_words(&*opened.store, &opened.issuer, &approver).await;
    let who = who.map_err(|error| Failure::of(&error))?;
    // A comment is somebody's text: it steers no terminal.
    let comment = comment.as_ref().map(|text| format!(": {}", text.escape_debug()));
    Ok(format!("by {who} at {at}{}", comment.unwrap_or_default()))
}

async fn answer(
    opened: &CommandApprovals,
    args: &AnswerArgs,
    approved: bool,
) -> Result<String, Failure> {
    let row = find(opened, args.id).await?;
    let person = approver(opened, &args.username).await?;
    let approvals = &opened.approvals;
    let context = Context {
        request_id: RequestId::generate(&*approvals.clock, &*approvals.random),
        trace_id: TraceId::generate(&*approvals.random),
        requester_id: Some(person.name.clone()),
        client_id: "broker-cli".parse().ok(),
        asserted_requester_id: None,
        redactions: Vec::new(),
    };
    let answer = Answer { approved, comment: args.comment.clone() };
    let outcome = approvals.answer(&context, row.id, &person, answer).await;
    let outcome = outcome.map_err(|error| Failure::of(&error))?;
    if let Some(ApprovalOutcome::Approved | ApprovalOutcome::Denied) = outcome
        && args.json
    {
        let told = view(opened, &find(opened, args.id).await?);
        return Ok(serde_json::to_string_pretty(&told).unwrap_or_default());
    }
    match outcome {
        Some(ApprovalOutcome::Approved) => {
            Ok(format!("approved: the call goes through once, until {}", row.expires_at))
        }
        Some(ApprovalOutcome::Denied) => Ok("denied".to_owned()),
        Some(ApprovalOutcome::OwnCall) => Err(Failure::new("who asks cannot answer")
            .hint("write self_approval = true in the rule where that is fine")),
        Some(ApprovalOutcome::MayBeOwnCall) => {
            Err(Failure::new(format!("nothing shows that {} is not who asks", args.username))
                .hint("answer as somebody who logs in where who asks does, or write self_approval = true in the rule"))
        }
        Some(ApprovalOutcome::NotAnApprover) => {
            let wanted = match row.approvers.as_slice() {
                [] => "administrators answer".to_owned(),
                groups => format!("members of {} answer", groups.join(", ")),
            };
            Err(Failure::new(format!("{} may not answer this", args.username)).hint(wanted))
        }
        Some(ApprovalOutcome::AnotherPolicy) => Err(Failure::new(format!(
            "the rules have changed since it was asked under policy {}, so no answer opens it",
            row.policy_version
        ))
        .hint("the call waits anew when it is made again")),
        Some(ApprovalOutcome::TooLate) => {
            Err(Failure::new("it is too late: the call was answered before, or its time is over")
                .hint("broker approval show says which; made again, the call waits anew"))
        }
        None => Err(unknown(args.id)),
    }
}

async fn find(opened: &CommandApprovals, id: ApprovalId) -> Result<ApprovalRow, Failure> {
    let found = opened.store.find_approval(id).await;
    found.map_err(|error| Failure::of(&error))?.ok_or_else(|| unknown(id))
}

fn unknown(id: ApprovalId) -> Failure {
    Failure::new(format!("there is no call {id} that waits")).hint("broker approval list")
}

async fn approver(opened: &CommandApprovals, username: &str) -> Result<Approver, Failure> {
    let name = username.to_ascii_lowercase();
    let found = opened.store.find_user_by_name(&name).await;
    let user = found.map_err(|error| Failure::of(&error))?;
    let user = user.filter(|user| user.disabled_at.is_none()).ok_or_else(|| {
        Failure::new(format!("there is no user `{username}` who may answer"))
            .hint("broker user list")
    })?;
    let linked = opened.store.list_identities(user.id).await;
    let linked = linked.map_err(|error| Failure::of(&error))?;
    identities(opened, user, linked).map_err(|error| Failure::of(&error))
}

fn identities(
    opened: &CommandApprovals,
    user: UserRow,
    linked: Vec<(String, String)>,
) -> Result<Approver, crate::id::IdError> {
    let own = (opened.issuer.clone(), user.id.to_string().parse()?);
    let mut identities = vec![own];
    for (issuer, subject) in linked {
        identities.push((issuer.parse()?, subject.parse()?));
    }
    Ok(Approver {
        name: user.id.to_string().parse()?,
        identities,
        known_as: user.email.into_iter().chain([user.username]).collect(),
        groups: user.groups,
        administrator: user.administrator,
        through: Through::Command { uid: rustix::process::getuid().as_raw() },
    })
}

/// One call as JSON. Its arguments as they are sent: a number that is read is rounded.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    call: Value,
    arguments: Option<Box<RawValue>>,
}

struct Requested {
    who: String,
    client: String,
}

async fn requested(opened: &CommandApprovals, row: &ApprovalRow) -> Result<Requested, Failure> {
    let asked = &row.requester;
    let who = in_words(&*opened.store, &opened.issuer, asked).await;
    let who = who.map_err(|error| Failure::of(&error))?;
    let client = asked.client_id.as_ref().map_or("an unnamed client", |client| client.as_str());
    Ok(Requested { who, client: client.to_owned() })
}

fn state(opened: &CommandApprovals, row: &ApprovalRow) -> &'static str {
    match row.state {
        ApprovalState::Pending | ApprovalState::Approved
            if opened.approvals.is_of_other_rules(row) =>
        {
            "outdated"
        }
        ApprovalState::Pending => "waits",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Used => "used",
    }
}

fn view(opened: &CommandApprovals, row: &ApprovalRow) -> Value {
    let asked = &row.requester;
    let answer = row.answer.as_ref().map(|answer| {
        let at: Timestamp = answer.at;
        json!({ "approver": answer.approver, "approved": answer.approved, "comment": answer.comment, "at": at })
    });
    json!({
        "id": row.id,
        "state": state(opened, row),
        "tool": row.tool,
        "issuer": asked.issuer,
        "requester_id": asked.subject,
        "asserted_requester_id": asked.asserted,
        "client_id": asked.client_id,
        "rule": row.rule,
        "policy_version": row.policy_version,
        "approvers": row.approvers,
        "self_approval": row.self_approval,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "answer": answer,
    })
}
