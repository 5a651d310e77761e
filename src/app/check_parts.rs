//! What `broker check` looks at that depends on few tables of the settings, and on nobody else: it is told also where other tables
//! cannot be used.

use std::sync::Arc;

use crate::config::Config;
use crate::mcp::{Documents, Toolbox};
use crate::outbound::{Outbound, OutboundConfigError};
use crate::policy::Policy;
use crate::secret::Environment;
use crate::time::Clock;

use super::check::{CheckFault, policy_source};
use super::check_key::CheckKey;
use super::error::AppError;
use super::{map, places};

/// What was found, and the rules where they can be put in force.
pub(super) struct Parts {
    pub(super) faults: Vec<CheckFault>,
    pub(super) rules: Option<Policy>,
}

/// `reads` says whether all that stands in these tables could be read; a part of the others is not looked at.
pub(super) async fn look(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
    reads: &(dyn Fn(&[&str]) -> bool + Sync),
) -> Parts {
    let (mut faults, mut rules) = (Vec::new(), None);
    if reads(&["policy", "graph", "tools"]) {
        (faults, rules) = policy(config, variables);
    }
    if reads(&["limits", "tools", "upstream"]) {
        let unknown = map::unknown_tools(config, &Toolbox::new(config.tools.sample));
        faults.extend(unknown.into_iter().map(|(place, error)| {
            CheckFault::new(CheckKey::LimitsTool, error).within(format!("[{place}].name"))
        }));
    }
    if reads(&["audit"]) {
        faults.extend(places::audit(config).into_iter().map(|(place, error)| {
            CheckFault::new(CheckKey::AuditSink, error).within(format!("[{place}].path"))
        }));
    }
    if reads(&["outbound"])
        && let Err(error) = outbound(config)
    {
        let of_file = matches!(
            error,
            AppError::Outbound(
                OutboundConfigError::CaFile { .. } | OutboundConfigError::CaContent { .. }
            )
        );
        let key = if of_file { CheckKey::CaFile } else { CheckKey::Outbound };
        faults.push(CheckFault::new(key, error));
    }
    if let Some(directory) = &config.documents.dir
        && reads(&["documents"])
        && let Err(error) = Documents::directory(directory.clone(), Arc::clone(clock)).await
    {
        faults.push(CheckFault::new(CheckKey::Documents, error.into()));
    }
    Parts { faults, rules }
}

/// The way out to others, as the start would make it.
pub(super) fn outbound(config: &Config) -> Result<Outbound, AppError> {
    Ok(Outbound::new(&map::outbound(config))?)
}

/// Compiles the rules against the configured profiles, as the start would.
fn policy(config: &Config, variables: &Environment) -> (Vec<CheckFault>, Option<Policy>) {
    match policy_source(config, variables).and_then(|source| source.load()) {
        Ok((rules, shadow)) => {
            let shadow = shadow.err().map(|error| {
                CheckFault::each(CheckKey::PolicyShadowFile, error)
                    .into_iter()
                    // The broker starts without them.
                    .map(|fault| CheckFault { warning: true, ..fault })
            });
            (shadow.into_iter().flatten().collect(), Some(rules))
        }
        Err(error) => {
            let about_graph = matches!(
                error,
                AppError::Certificate { .. }
                    | AppError::CertificateContent { .. }
                    | AppError::Profile(_)
            );
            let key = if about_graph { CheckKey::GraphProfile } else { CheckKey::PolicyFile };
            (CheckFault::each(key, error), None)
        }
    }
}
