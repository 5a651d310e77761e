//! The audit log of commands that change something: files of its own, for those of a running broker are that broker's alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Auditor, OpenError, SinkSettings};
use crate::config::Config;
use crate::random::Random;
use crate::time::Clock;

use super::error::AppError;
use super::map;

/// Another command holds the file for some milliseconds.
const ATTEMPTS: usize = 100;
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
    for _ in 1..ATTEMPTS {
        match Auditor::open(settings.clone(), Arc::clone(clock), Arc::clone(random)) {
            Err(OpenError::Locked { .. }) => tokio::time::sleep(PAUSE).await,
            opened => return Ok(Some(opened?)),
        }
    }
    Ok(Some(Auditor::open(settings, Arc::clone(clock), Arc::clone(random))?))
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
