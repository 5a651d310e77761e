//! `broker store rekey`: everything that is sealed is sealed with another key-encryption key.

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;

use clap::Args;

use crate::app::{self, RekeyStep, Rekeyed, Rekeying};
use crate::audit::{AdminAction, AdminObject, AdminOutcome, AuditEvent, Auditor, Context};
use crate::id::{RequestId, TraceId};
use crate::random::{Random, SystemRandom};
use crate::store::SealedCount;
use crate::time::{Clock, SystemClock};

use super::failure::Failure;
use super::settings::Ready;

/// The longest that the last lines of the audit log may take.
const CLOSE: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct RekeyArgs {
    /// How long to wait for brokers that do not have the new key, those that were killed a moment ago among them
    #[arg(long, value_name = "SECONDS", default_value_t = 40)]
    wait: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &RekeyArgs, ready: &Ready) -> Result<String, Failure> {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
        (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    let variables = ready.variables();
    let rekeying = Rekeying::open(&ready.config, &variables, Arc::clone(&clock)).await;
    let rekeying = rekeying.map_err(|error| Failure::of(&error))?;
    let auditor = app::kept_command_auditor(&ready.config, &clock, &random).await;
    let auditor = auditor.map_err(|error| Failure::of(&error))?;
    let context = Context {
        request_id: RequestId::generate(&*clock, &*random),
        trace_id: TraceId::generate(&*random),
        requester_id: None,
        client_id: "broker-cli".parse().ok(),
        asserted_requester_id: None,
        redactions: Vec::new(),
    };
    let done = recorded(args, &rekeying, (&auditor, &context)).await;
    let closed = auditor.close(CLOSE).await;
    let done = done?;
    closed.map_err(|error| Failure::of(&error))?;
    told(&done, args.json)
}

/// Recorded before and after, as every change of an administrator.
async fn recorded(
    args: &RekeyArgs,
    rekeying: &Rekeying,
    (auditor, context): (&Auditor, &Context),
) -> Result<Rekeyed, Failure> {
    let (object, action) = (AdminObject::KeyEncryptionKey, AdminAction::Change);
    let id = rekeying.key_id();
    let begin = AuditEvent::AdminChangeBegin { object, action, id: id.as_str().into() };
    auditor.record(context, begin).await.map_err(|error| Failure::of(&error))?;
    let mut err = std::io::stderr();
    let mut shown = Shown { bar: err.is_terminal(), last: None };
    let done = rekeying.run(args.wait, &mut |step| shown.show(step, &mut err)).await;
    shown.end(&mut err);
    let outcome = match &done {
        Ok(_) => AdminOutcome::Done,
        Err(app::AppError::BrokersWithoutKey { .. } | app::AppError::SealedMeanwhile) => {
            AdminOutcome::Refused
        }
        Err(_) => AdminOutcome::Failed,
    };
    let end = AuditEvent::AdminChangeEnd { object, action, id: id.as_str().into(), outcome };
    auditor.record(context, end).await.map_err(|error| Failure::of(&error))?;
    done.map_err(|error| Failure::of(&error))
}

fn told(done: &Rekeyed, json: bool) -> Result<String, Failure> {
    let left = done.left();
    if left > 0 {
        let mut which = others(&done.sealed, &done.key_id);
        let unnamed = left.saturating_sub(done.others());
        if unnamed > 0 {
            let comma = if which.is_empty() { "" } else { ", " };
            which = format!("{which}{comma}{unnamed} that do not say with which");
        }
        let problem = format!(
            "{left} values are sealed with keys that are not at hand, and were left as they are: {which}"
        );
        let hint = "set the key with that id as store.previous_key_encryption_key and run this again; what is lost people have to set up anew";
        return Err(Failure::new(problem).hint(hint));
    }
    if json {
        return Ok(serde_json::to_string(done).unwrap_or_default());
    }
    let all: u64 = done.sealed.iter().map(|count| count.rows).sum();
    Ok(format!(
        "every sealed value has the key {} now: {all} values, {} of them sealed anew by this run\n\
         store.previous_key_encryption_key is needed no more: take it out of the settings of every broker. Backups made \
         before need it still",
        done.key_id, done.resealed
    ))
}

/// Such as `3 of upstream_accounts with 0011223344556677`.
pub(super) fn others(sealed: &[SealedCount], key_id: &str) -> String {
    let others = sealed.iter().filter(|count| count.key_id != key_id);
    let others =
        others.map(|count| format!("{} of {} with {}", count.rows, count.table, count.key_id));
    others.collect::<Vec<_>>().join(", ")
}

/// How far it is, on standard error: a bar on a terminal, else a line for each table.
struct Shown {
    bar: bool,
    /// What was drawn or written last.
    last: Option<String>,
}

impl Shown {
    fn show(&mut self, step: RekeyStep, err: &mut dyn Write) {
        let now = match step {
            RekeyStep::Waiting { brokers } => {
                format!("waiting: {brokers} of the brokers that run do not have the new key")
            }
            RekeyStep::Sealing { table, done, of } if self.bar => {
                let percent = done.saturating_mul(100).checked_div(of).unwrap_or(100).min(100);
                let full = usize::try_from(percent / 5).unwrap_or(20);
                format!("[{:<20}] {percent:>3} %  sealing {table:<24}", "#".repeat(full))
            }
            RekeyStep::Sealing { table, .. } => format!("sealing {table}"),
        };
        if self.last.as_ref() == Some(&now) {
            return;
        }
        // What cannot be shown is sealed all the same.
        let _ = if self.bar {
            write!(err, "\r{now:<72}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{now}")
        };
        self.last = Some(now);
    }

    fn end(&self, err: &mut dyn Write) {
        if self.bar && self.last.is_some() {
            let _ = writeln!(err);
        }
    }
}
