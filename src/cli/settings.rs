//! Options that every command takes: where the settings are.

use std::path::PathBuf;

use clap::Args;

use crate::config::{AuditSink, Config, Environment, Loaded, Sources, load, write_findings};

use super::failure::Failure;

/// Where settings come from, beside the environment.
#[derive(Clone, Debug, Args)]
pub(super) struct SettingsArgs {
    /// The settings file; without it the one that `BROKER_CONFIG` names, else `broker.toml` if there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over all others: --set server.listen=127.0.0.1:9000
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Settings without an error, and what goes with them.
pub(super) struct Ready {
    pub(super) config: Config,
    pub(super) environment: Environment,
    pub(super) loaded: Loaded,
}

impl SettingsArgs {
    pub(super) fn sources(&self, environment: Environment) -> Sources {
        Sources {
            file: self.config.clone(),
            directory: PathBuf::new(),
            environment,
            overrides: self.overrides.clone(),
        }
    }

    /// The settings, or all that is wrong with them.
    pub(super) fn load(&self, environment: Environment) -> Result<Ready, Failure> {
        let loaded = load(self.sources(environment));
        match loaded.config.clone() {
            Some(config) => Ok(Ready { config, environment: loaded.environment.clone(), loaded }),
            None => Err(faulty(&loaded)),
        }
    }

    /// Who may have signed certificates beside the system's authorities, for a command that needs no settings otherwise: none
    /// where they have errors.
    pub(super) fn ca_file(&self, environment: Environment) -> Option<PathBuf> {
        load(self.sources(environment)).config?.outbound.ca_file
    }
}

/// Everything that is wrong, for people.
pub(super) fn faulty(loaded: &Loaded) -> Failure {
    let mut report = Vec::new();
    write_findings(&mut report, loaded, false).ok();
    let report = String::from_utf8_lossy(&report);
    Failure::new(format!("the settings have errors\n\n{}", report.trim_end()))
}

impl Ready {
    /// The first audit log that is a file.
    pub(super) fn audit_file(&self) -> Option<PathBuf> {
        self.config.audit.sinks.iter().find_map(|sink| match sink {
            AuditSink::File(file) => Some(file.path.clone()),
            AuditSink::Stdout => None,
        })
    }

    /// The settings alone: what they were read from, which holds their secrets a second time, is zeroed.
    pub(super) fn into_config(self) -> Config {
        self.config
    }

    /// The variables that `env:` references may name.
    pub(super) fn variables(&self) -> crate::secret::Environment {
        secret_variables(&self.environment)
    }
}

/// The variables that `env:` references may name.
pub(super) fn secret_variables(environment: &Environment) -> crate::secret::Environment {
    let variables = environment.variables();
    variables.map(|(name, value)| (name.to_owned(), value.to_owned().into())).collect()
}
