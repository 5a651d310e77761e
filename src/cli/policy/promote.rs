//! `broker policy promote`: the shadow rules become the rules in force.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Console, print, rules, source};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// Refuse unless the shadow rules have this version, as `policy diff` and the audit log name it
    #[arg(long)]
    version: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Writes what `policy.shadow_file` holds to `policy.file`, whole or not at all; a broker that runs takes it up within a
/// second. The old rules are kept beside it.
///
/// The shadow file stays: from then on it agrees with what is in force.
pub(super) fn run(
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
    let old = rules(&source, Some(live))
        .map_or_else(|_| "rules with faults".to_owned(), |old| old.version().to_string());
    let kept = beside(live, "previous");
    if !args.dry_run {
        let failed = |error: std::io::Error| {
            Failure::new(format!("{} cannot be written", live.display())).cause(error.to_string())
        };
        replace(&kept, &read(live)?, live).map_err(failed)?;
        replace(live, &text, live).map_err(failed)?;
    }
    let done = if args.dry_run { "would be promoted" } else { "promoted" };
    print(console, &format!("{done}: {} takes the place of {old}", next.version()))?;
    print(console, &format!("the old rules are in {}", kept.display()))?;
    Ok(ExitCode::SUCCESS)
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
    std::fs::read(path).map_err(|error| {
        Failure::new(format!("{} cannot be read", path.display())).cause(error.to_string())
    })
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.with_extension(match extension {
        Some(extension) => format!("{what}.{extension}"),
        None => what.to_owned(),
    })
}

/// By renaming, so that no reader sees a half; with the mode of `like`.
fn replace(path: &Path, text: &[u8], like: &Path) -> std::io::Result<()> {
    let mode = std::fs::metadata(like)?.mode() & 0o777;
    let new = beside(path, "new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
