//! `broker policy promote`: the shadow rules become the rules in force.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::app;
use crate::audit::{AdminAction, AdminObject, AdminOutcome, AuditEvent, Auditor, Context};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;
use crate::id::{RequestId, TraceId};
use crate::random::{Random, SystemRandom};
use crate::time::{Clock, SystemClock};

use super::{Console, print, rules, source};

/// The longest that the last lines of the audit log may take.
const CLOSE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// Refuse unless the shadow rules have this version, as `policy diff` and the audit log name it
    #[arg(long)]
    version: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Writes what `policy.shadow_file` holds to `policy.file`, whole or not at all; a broker that runs takes it up within two
/// seconds. The old rules are kept beside it. On record in the log of commands.
///
/// The shadow file stays: from then on it agrees with what is in force.
pub(super) async fn run(
    args: &PromoteArgs,
    ready: &Ready,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let (live, shadow) = files(ready)?;
    let source = source(ready)?;
    // What is checked is what is written: the file may change in between.
    let text = read(shadow)?;
    let next = rules(&source, Some(shadow))?;
    if read(shadow)? != text {
        return Err(Failure::new("the shadow rules changed just now").hint("try again"));
    }
    if let Some(wanted) = args.version.as_ref().filter(|wanted| **wanted != **next.version()) {
        let message = format!("the shadow rules have the version {}, not {wanted}", next.version());
        return Err(Failure::new(message).hint("compare them anew: broker policy diff"));
    }
    let (old, kept_are) = rules(&source, Some(live)).map_or_else(
        |_| ("rules with faults".to_owned(), "what the file held is"),
        |old| (old.version().to_string(), "the old rules are"),
    );
    if read(live)? == text {
        return Err(Failure::new(format!("the shadow rules are in force already: {old}"))
            .hint("nothing was done; what was in force before stays in the file beside it"));
    }
    // A link stays one: who reads what it leads to reads the new rules.
    let live = &std::fs::canonicalize(live).map_err(|error| unwritable(live, &error))?;
    let kept = beside(live, "previous");
    if !args.dry_run {
        let change = Change::begin(ready, next.version()).await?;
        let done = read(live).and_then(|before| {
            replace(&kept, &before, live)
                .and_then(|()| replace(live, &text, live))
                .map_err(|error| unwritable(live, &error))
        });
        change.end(done.is_ok()).await?;
        done?;
    }
    if args.json {
        let told = serde_json::json!({
            "promoted": !args.dry_run,
            "policy_version": next.version(),
            "previous_version": old,
            "previous_file": kept,
        });
        print(console, &serde_json::to_string_pretty(&told).unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    let done = if args.dry_run { "would be promoted" } else { "promoted" };
    print(console, &format!("{done}: {} takes the place of {old}", next.version()))?;
    print(console, &format!("{kept_are} in {}", kept.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A promotion on record: that it begins before it is done, and how it ended.
struct Change {
    auditor: Auditor,
    context: Context,
    version: Arc<str>,
}

impl Change {
    async fn begin(ready: &Ready, version: &Arc<str>) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
        let auditor = app::kept_command_auditor(&ready.config, &clock, &random).await;
        let auditor = auditor.map_err(|error| Failure::of(&error))?;
        let context = Context {
            request_id: RequestId::generate(&*clock, &*random),
            trace_id: TraceId::generate(&*random),
            // Nobody has logged in: all that is known is whose process this is.
            requester_id: format!("uid:{}", rustix::process::getuid().as_raw()).parse().ok(),
            client_id: "broker-cli".parse().ok(),
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        let (object, action, id) = (AdminObject::Policy, AdminAction::Replace, Arc::clone(version));
        let begun = AuditEvent::AdminChangeBegin { object, action, id };
        auditor.record(&context, begun).await.map_err(|error| Failure::of(&error))?;
        Ok(Self { auditor, context, version: Arc::clone(version) })
    }

    async fn end(self, done: bool) -> Result<(), Failure> {
        let outcome = if done { AdminOutcome::Done } else { AdminOutcome::Failed };
        let (object, action, id) = (AdminObject::Policy, AdminAction::Replace, self.version);
        let ended = AuditEvent::AdminChangeEnd { object, action, id, outcome };
        self.auditor.record(&self.context, ended).await.map_err(|error| Failure::of(&error))?;
        self.auditor.close(CLOSE).await.map_err(|error| Failure::of(&error))
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written", path.display())).cause(error.to_string()).hint(
        "its folder has to be writable for the user who runs this: the file is replaced whole",
    )
}

fn files(ready: &Ready) -> Result<(&Path, &Path), Failure> {
    let policy = &ready.config.policy;
    match (&policy.file, &policy.shadow_file) {
        (Some(live), Some(shadow)) => Ok((live, shadow)),
        (None, _) => Err(Failure::new("policy.file is not set, so there is nothing to replace")
            .hint("write policy.file = \"policy.toml\"")),
        (_, None) => {
            Err(Failure::new("policy.shadow_file is not set, so there is nothing to promote")
                .hint("write policy.shadow_file = \"policy.next.toml\""))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::unreadable(&path.display(), &error))
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.with_extension(match extension {
        Some(extension) => format!("{what}.{extension}"),
        None => what.to_owned(),
    })
}

/// By renaming, so that no reader sees a half; with the owner and the mode of `like`, so that whoever read it still does.
fn replace(path: &Path, text: &[u8], like: &Path) -> std::io::Result<()> {
    let like = std::fs::metadata(like)?;
    let new = beside(path, "new");
    if let Err(error) = std::fs::remove_file(&new)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
