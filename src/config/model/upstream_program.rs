//! `command` of an `[[upstream.server]]`: a program that the broker runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::checker::Checker;
use crate::config::key::Key;
use crate::process;

use super::secret_source::SecretSource;
use super::upstream_server::RawUpstreamServer;

/// A program to run.
#[derive(Clone, Debug)]
pub struct UpstreamCommand {
    /// Absolute, or a name that is looked for in `/usr/local/bin:/usr/bin:/bin`.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, SecretSource>,
    pub directory: PathBuf,
    /// From its start to its first answer.
    pub start_timeout: Duration,
    /// Calls under way at the same time.
    pub max_calls: usize,
    /// What each of its processes may take.
    pub limits: process::Limits,
    /// Its processes at the same time.
    pub max_processes: usize,
}

impl RawUpstreamServer {
    pub(super) fn program(
        &self,
        command: &str,
        at: &Key,
        to: &mut Checker<'_>,
    ) -> Option<UpstreamCommand> {
        let mut environment = BTreeMap::new();
        for (name, raw) in &self.env {
            let key = at.name("env").name(name);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
            if !first || !name.bytes().all(plain) {
                let expected = "letters, digits and `_`, not a digit first";
                to.refuse(&key, name, "is no name of a variable", expected);
            } else if let Some(value) = to.variable(&key, name, raw) {
                environment.insert(name.clone(), value);
            }
        }
        let directory = match &self.cwd {
            Some(directory) => to.input_folder(&at.name("cwd"), directory),
            None => PathBuf::from("/"),
        };
        Some(UpstreamCommand {
            program: program(command, &at.name("command"), to)?,
            arguments: self.args.clone(),
            environment,
            directory,
            start_timeout: Duration::from_millis(self.start_timeout_ms.get().into()),
            max_calls: self.max_calls.get() as usize,
            limits: process::Limits {
                memory_bytes: u64::from(self.max_memory_mb.get()) << 20,
                open_files: self.max_open_files.get().into(),
                cpu_seconds: self.max_cpu_seconds.map(|seconds| seconds.get().into()),
            },
            max_processes: self.max_processes.get() as usize,
        })
    }
}

/// A program that is there: what cannot be started is said now, and not to the first caller.
fn program(command: &str, key: &Key, to: &mut Checker<'_>) -> Option<PathBuf> {
    let path = Path::new(command);
    let is_there = |path: &Path| std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let problem = if path.is_absolute() {
        if is_there(path) {
            return Some(path.to_owned());
        }
        "does not exist, or is no file".to_owned()
    } else if command.is_empty() || command.contains('/') {
        "is neither absolute nor a plain name".to_owned()
    } else if process::PATH.split(':').any(|folder| is_there(&Path::new(folder).join(command))) {
        return Some(path.to_owned());
    } else {
        format!("is not in {}", process::PATH)
    };
    let expected =
        "the absolute path of a program, or the name of one in /usr/local/bin, /usr/bin or /bin";
    to.refuse(key, command, problem, expected);
    None
}
