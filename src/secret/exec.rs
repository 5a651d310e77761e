//! `exec:name[/argument]`: a helper program of the operator that prints `{"value": "…"}`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde::Deserialize;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

use super::child::{self, Program};
use super::error::{Detail, Fault, SecretError};
use super::provider::SecretProvider;
use super::settings::{ExecSettings, SettingsError};
use super::value;

/// The helpers of `[secrets.exec]`.
#[derive(Debug)]
pub(super) struct Exec {
    helpers: BTreeMap<String, Helper>,
}

#[derive(Debug)]
struct Helper {
    path: PathBuf,
    arguments: Vec<String>,
}

/// What a helper prints. Anything else is refused, also with more in it: a helper that prints what
/// we do not know may mean something that we do not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    value: SecretText,
}

impl Exec {
    pub(super) fn new(settings: BTreeMap<String, ExecSettings>) -> Result<Self, SettingsError> {
        let mut helpers = BTreeMap::new();
        for (name, ExecSettings { command }) in settings {
            let mut words = command.into_iter();
            match words.next().map(PathBuf::from) {
                Some(path) if path.is_absolute() => {
                    helpers.insert(name, Helper { path, arguments: words.collect() });
                }
                _ => return Err(SettingsError::ExecPath { name }),
            }
        }
        Ok(Self { helpers })
    }

    async fn run(
        &self,
        name: &str,
        argument: Option<&str>,
        limit: Duration,
    ) -> Result<SecretText, Fault> {
        let not_configured = Fault::Unavailable(Detail::NotConfigured, None);
        let helper = self.helpers.get(name).ok_or(not_configured)?;
        helper.run(argument, limit).await
    }
}

impl Helper {
    /// Exit status 0 and nothing but the JSON on stdout is a success; stderr is never looked at.
    async fn run(&self, argument: Option<&str>, limit: Duration) -> Result<SecretText, Fault> {
        let arguments: Vec<&str> =
            self.arguments.iter().map(String::as_str).chain(argument).collect();
        let environment = [
            ("PATH", OsStr::new("/usr/local/bin:/usr/bin:/bin")),
            ("HOME", Path::new("/nonexistent").as_os_str()),
            ("LANG", OsStr::new("C")),
        ];
        let program =
            Program { path: &self.path, arguments: &arguments, environment: &environment };
        let output = child::run(&program, limit).await?;
        if !output.status.success() {
            return Err(Fault::UNEXPECTED);
        }
        let reply: Reply =
            serde_json::from_slice(&output.stdout).map_err(|_error| Fault::MALFORMED)?;
        value::checked(reply.value)
    }
}

impl SecretProvider for Exec {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        async move {
            let found = match reference {
                SecretRef::Exec { name, argument } => {
                    self.run(name, argument.as_deref(), limit).await
                }
                _ => Err(Fault::UNEXPECTED),
            };
            found.map_err(|fault| fault.at(reference))
        }
        .boxed()
    }
}
