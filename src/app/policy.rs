//! Where the rules come from.

use std::path::{Path, PathBuf};

use crate::config::{Config, Deployment, GraphMode};
use crate::policy::{CallLimits, Facts, Granted, Policy};

use super::error::AppError;
use super::graph::flat_rules;

/// The rules of a broker that has none: what plain `broker` starts with.
const DEVELOPMENT_RULES: &str = include_str!("../../docs/examples/policy.dev.toml");

/// Everything a policy is made of, so that it can be made again.
#[derive(Clone, Debug)]
pub struct Source {
    /// `policy.file`
    pub file: Option<PathBuf>,
    /// `policy.shadow_file`
    pub shadow_file: Option<PathBuf>,
    label: Option<String>,
    facts: Facts,
    limits: CallLimits,
    /// By the flat permissions, and by the servers behind us.
    granted: Vec<Granted>,
    deployment: Deployment,
    mode: GraphMode,
}

impl Source {
    pub(super) fn new(config: &Config, facts: Facts) -> Self {
        let profile = facts.profiles.first().map(|(name, _)| name.as_str().to_owned());
        Self {
            file: config.policy.file.clone(),
            shadow_file: config.policy.shadow_file.clone(),
            label: config.policy.version.clone(),
            granted: vec![
                flat_rules(&config.graph, profile.as_deref()),
                super::server_grants::grants(config),
            ],
            facts,
            limits: super::call_limits::named(config),
            deployment: config.deployment,
            mode: config.graph.mode,
        }
    }

    /// What rules are checked against.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The rules in force and the shadow rules.
    ///
    /// # Errors
    ///
    /// [`AppError::PolicyFile`], or [`AppError::Policy`] with every fault.
    pub fn load(&self) -> Result<(Policy, Option<Policy>), AppError> {
        let shadow =
            self.shadow_file.as_deref().map(|path| self.load_file(path, None)).transpose()?;
        Ok((self.load_live()?, shadow))
    }

    /// The rules of one file, with what other parts of the product grant beside them.
    ///
    /// # Errors
    ///
    /// As for [`Source::load`].
    pub fn load_file(&self, path: &Path, label: Option<&str>) -> Result<Policy, AppError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| AppError::PolicyFile { path: path.to_owned(), source })?;
        self.compile(&path.display().to_string(), &text, label, &self.granted)
    }

    fn compile(
        &self,
        name: &str,
        text: &str,
        label: Option<&str>,
        granted: &[Granted],
    ) -> Result<Policy, AppError> {
        let policy = Policy::load(name, text, label, granted, self.facts.clone());
        Ok(policy.map_err(AppError::Policy)?.under(&self.limits))
    }

    /// The file's, the flat permissions', or in development the built-in ones.
    fn load_live(&self) -> Result<Policy, AppError> {
        const BUILT_IN: &str = "the built-in rules";
        let label = self.label.as_deref();
        let flat = &self.granted;
        let flat_graph =
            flat.iter().flat_map(|granted| &granted.rules).any(|rule| rule.graph.is_some());
        if let Some(path) = &self.file {
            self.load_file(path, label)
        } else if self.deployment != Deployment::Dev {
            self.compile(BUILT_IN, "version = \"none\"", label, flat)
        } else if self.mode == GraphMode::Simulated && !flat_graph {
            self.compile(BUILT_IN, DEVELOPMENT_RULES, label, flat)
        } else {
            // What opens the simulated Graph never opens a live one, nor more than the flat permissions name.
            let mut granted =
                Granted::parse(BUILT_IN, DEVELOPMENT_RULES).map_err(AppError::Policy)?;
            granted.rules.retain(|rule| rule.graph.is_none());
            let all: Vec<Granted> =
                std::iter::once(granted).chain(self.granted.iter().cloned()).collect();
            self.compile(BUILT_IN, "version = \"dev\"", label, &all)
        }
    }

    /// What the files hold now; `None` for one that cannot be read.
    pub(super) fn contents(&self) -> [Option<Vec<u8>>; 2] {
        [&self.file, &self.shadow_file]
            .map(|path| path.as_ref().and_then(|path| std::fs::read(path).ok()))
    }
}
