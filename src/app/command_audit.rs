//! The audit log of commands that change something: files of its own, for those of a running broker are that broker's alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{AuditSettings, Auditor, FileSettings, OpenError, SinkSettings};
use crate::config::Config;
use crate::random::Random;
use crate::time::Clock;

use super::error::AppError;
use super::map;

/// Another command holds the file for some milliseconds.
const ATTEMPTS: usize = 100;
/// Of a log that no setting describes.
const ROTATE_BYTES: u64 = 256 << 20;
const PAUSE: Duration = Duration::from_millis(20);

/// The log of commands: beside each file sink `audit.jsonl` a file `audit.commands.jsonl`, with the same settings.
/// `None` where events go to standard output alone, which is for what the command prints.
///
/// # Errors
///
/// [`AppError::OpenAudit`]: the command must not do what cannot be recorded.
pub async fn command_auditor(
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Option<Auditor>, AppError> {
    let mut settings = map::audit(config);
    settings.sinks.retain(|sink| matches!(sink, SinkSettings::File(_)));
    if settings.sinks.is_empty() {
        return Ok(None);
    }
    for sink in &mut settings.sinks {
        if let SinkSettings::File(file) = sink {
            file.path = commands_path(&file.path);
        }
    }
    open(settings, clock, random).await.map(Some)
}

/// The same of commands that change what the broker keeps: without a file sink they have `audit.commands.jsonl` in the data
/// directory, for nothing that they do may be on no record.
///
/// # Errors
///
/// [`AppError::CommandLog`], and as for [`command_auditor`].
pub async fn kept_command_auditor(
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Auditor, AppError> {
    if let Some(auditor) = command_auditor(config, clock, random).await? {
        return Ok(auditor);
    }
    let path = map::data_dir(config).join("audit.commands.jsonl");
    let sink = SinkSettings::File(FileSettings {
        path: path.clone(),
        rotate_bytes: ROTATE_BYTES,
        keep: None,
        max_total_bytes: None,
        durable: true,
        hash_chain: true,
    });
    let settings = AuditSettings { sinks: vec![sink], ..map::audit(config) };
    let opened = open(settings, clock, random).await;
    opened.map_err(|error| AppError::CommandLog { path, source: Box::new(error) })
}

async fn open(
    settings: AuditSettings,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Auditor, AppError> {
    for _ in 1..ATTEMPTS {
        match Auditor::open(settings.clone(), Arc::clone(clock), Arc::clone(random)) {
            Err(OpenError::Locked { .. }) => tokio::time::sleep(PAUSE).await,
            opened => return Ok(opened?),
        }
    }
    Ok(Auditor::open(settings, Arc::clone(clock), Arc::clone(random))?)
}

/// `audit.jsonl` gives `audit.commands.jsonl`.
fn commands_path(path: &Path) -> PathBuf {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.with_extension(match extension {
        Some(extension) => format!("commands.{extension}"),
        None => "commands".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_commands_lies_beside_the_brokers() {
        for (ours, theirs) in
            [("/a/audit.jsonl", "/a/audit.commands.jsonl"), ("log", "log.commands")]
        {
            assert_eq!(commands_path(Path::new(ours)), Path::new(theirs));
        }
    }
}
