//! Where the rules come from, and replacing them while the broker serves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::audit::{AuditEvent, Auditor, Context};
use crate::config::{Config, Deployment, GraphMode};
use crate::graph::Catalog;
use crate::id::{RequestId, TraceId};
use crate::policy::{Facts, Granted, Live, Policy};
use crate::random::Random;
use crate::time::Clock;

use super::error::AppError;
use super::graph::flat_rules;

/// The rules of a broker that has none: what plain `broker` starts with.
const DEVELOPMENT_RULES: &str = include_str!("../../docs/examples/policy.dev.toml");

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Everything a policy is made of, so that it can be made again.
#[derive(Clone, Debug)]
pub struct Source {
    /// `policy.file`
    pub file: Option<PathBuf>,
    /// `policy.shadow_file`
    pub shadow_file: Option<PathBuf>,
    label: Option<String>,
    facts: Facts,
    /// By the flat permissions, and by the servers behind us.
    granted: Vec<Granted>,
    deployment: Deployment,
    mode: GraphMode,
}

impl Source {
    pub(super) fn new(config: &Config, facts: Facts, catalog: &Catalog) -> Self {
        let profile = facts.profiles.first().map(|(name, _)| name.as_str().to_owned());
        Self {
            file: config.policy.file.clone(),
            shadow_file: config.policy.shadow_file.clone(),
            label: config.policy.version.clone(),
            granted: vec![
                flat_rules(&config.graph, catalog, profile.as_deref()),
                super::servers::grants(config),
            ],
            facts,
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
        Policy::load(name, text, label, granted, self.facts.clone()).map_err(AppError::Policy)
    }

    /// The file's, the flat permissions', or in development the built-in ones.
    fn load_live(&self) -> Result<Policy, AppError> {
        const BUILT_IN: &str = "the built-in rules";
        let label = self.label.as_deref();
        let flat = &self.granted;
        if let Some(path) = &self.file {
            self.load_file(path, label)
        } else if self.deployment != Deployment::Dev {
            self.compile(BUILT_IN, "version = \"none\"", label, flat)
        } else if self.mode == GraphMode::Simulated {
            self.compile(BUILT_IN, DEVELOPMENT_RULES, label, flat)
        } else {
            // What opens the simulated Graph never opens a live one.
            let mut granted =
                Granted::parse(BUILT_IN, DEVELOPMENT_RULES).map_err(AppError::Policy)?;
            granted.rules.retain(|rule| rule.graph.is_none());
            let all: Vec<Granted> =
                std::iter::once(granted).chain(self.granted.iter().cloned()).collect();
            self.compile(BUILT_IN, "version = \"dev\"", label, &all)
        }
    }

    /// What the files hold now; `None` for one that cannot be read.
    fn contents(&self) -> [Option<Vec<u8>>; 2] {
        [&self.file, &self.shadow_file]
            .map(|path| path.as_ref().and_then(|path| std::fs::read(path).ok()))
    }
}

/// Replaces the policy when a file changes or a SIGHUP comes. What is in force stays on any fault.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) live: Live,
    pub(super) auditor: Auditor,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) status: ReloadStatus,
    seen: [Option<Vec<u8>>; 2],
}

/// Why the last reload failed, for `/ready`. Nothing while the files are as they are in force.
#[derive(Clone, Debug, Default)]
pub(super) struct ReloadStatus(Arc<Mutex<Option<String>>>);

impl ReloadStatus {
    pub(super) fn fault(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fault: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

/// Loads the policy, and what replaces it when its files change.
///
/// # Errors
///
/// As for [`Source::load`].
pub(super) fn start(
    source: Source,
    auditor: Auditor,
    (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<(Live, Reloader), AppError> {
    // Before they are read: what changes in between is then seen as a change.
    let seen = source.contents();
    let (policy, shadow) = source.load()?;
    let live = Live::new(policy, shadow, Arc::clone(&clock));
    let status = ReloadStatus::default();
    let reloader = Reloader { source, live: live.clone(), auditor, clock, random, status, seen };
    Ok((live, reloader))
}

impl Reloader {
    /// Watches until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => Some(hangup),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "policy.no_sighup");
                None
            }
        };
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                () = received(&mut hangup) => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            self.look(asked).await;
        }
    }

    /// Reloads if a file changed, or if somebody asks for it.
    async fn look(&mut self, asked: bool) {
        let source = self.source.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || source.contents()).await else {
            return;
        };
        if found == self.seen && !asked {
            return;
        }
        self.seen = found;
        let source = self.source.clone();
        match tokio::task::spawn_blocking(move || source.load()).await {
            Ok(Ok((policy, shadow))) => self.replace(policy, shadow).await,
            Ok(Err(error)) => self.keep(&error),
            Err(error) => self.keep(&error),
        }
    }

    async fn replace(&self, policy: Policy, shadow: Option<Policy>) {
        let previous_version = Arc::clone(self.live.current().policy().version());
        let policy_version = Arc::clone(policy.version());
        let shadow_policy_version = shadow.as_ref().map(|shadow| Arc::clone(shadow.version()));
        let event = AuditEvent::ConfigReload {
            policy_version: Arc::clone(&policy_version),
            previous_version,
            shadow_policy_version,
        };
        let context = Context {
            request_id: RequestId::generate(&*self.clock, &*self.random),
            trace_id: TraceId::generate(&*self.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        // Recorded first: no decision is made by rules whose coming into force is not on record.
        if let Err(error) = self.auditor.record(&context, event).await {
            return self.keep(&error);
        }
        self.live.replace(policy, shadow);
        self.status.set(None);
        tracing::info!(policy_version = %policy_version, "policy.reloaded");
    }

    fn keep(&self, error: &(dyn std::error::Error + 'static)) {
        let in_force = self.live.current();
        tracing::error!(error, policy_version = %in_force.policy().version(), "policy.reload_failed");
        self.status.set(Some(error.to_string()));
    }
}

/// Never, where there is nothing to wait for.
async fn received(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            if hangup.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
