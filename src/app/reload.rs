//! Replacing the rules while the broker serves: when a file changes, a SIGHUP comes, or an administrator asks for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{PolicyControl, PolicyView, ReloadFault, ShadowDifference};
use crate::audit::{AuditEvent, Auditor, Context};
use crate::background;
use crate::id::{RequestId, TraceId};
use crate::policy::{DifferenceKind, InForce, Live, Policy};
use crate::random::Random;
use crate::time::Clock;

use super::error::AppError;
use super::policy::{Contents, Source};

/// How often the files are looked at. What they hold counts once two looks in a row found the same: a part of a file may be
/// rules, too.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks where somebody waits for the reload.
const ASKED_INTERVAL: Duration = Duration::from_millis(100);
/// How many of those there are at most.
const ASKED_LOOKS: usize = 20;
/// How often it is looked whether a request still uses the rules of before.
const LETTING_GO: usize = 100;

/// Replaces the policy; what is in force stays on any fault. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Reloader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    live: Live,
    auditor: Auditor,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    status: ReloadStatus,
    /// Locked while the files are read: one reload at a time.
    looks: tokio::sync::Mutex<Looks>,
}

/// What the files held.
#[derive(Debug)]
struct Looks {
    /// When they were looked at last.
    last: Contents,
    /// When they were loaded last, or had a fault. Nothing where what they held could not be put on record: it is tried again.
    loaded: Option<Contents>,
}

impl Looks {
    const fn new(found: Contents, loaded: Contents) -> Self {
        Self { last: found, loaded: Some(loaded) }
    }

    /// Whether this look found what the one before did.
    fn is_settled(&mut self, found: &Contents) -> bool {
        let settled = self.last == *found;
        if !settled {
            self.last.clone_from(found);
        }
        settled
    }
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

/// Loads the policy, and what replaces it when its files change. Shadow rules with a fault are none, which `/ready` says.
///
/// # Errors
///
/// As for [`Source::load`], but for shadow rules.
pub(super) fn start(
    source: Source,
    auditor: Auditor,
    (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<(Live, Reloader), AppError> {
    let found = source.contents();
    let (policy, shadow) = source.load_contents(&found)?;
    let status = ReloadStatus::default();
    let shadow = shadow.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "policy.shadow_unusable");
        status.set(Some(ReloadFault::Policy(error.into()).to_string()));
        None
    });
    let looks = tokio::sync::Mutex::new(Looks::new(found.clone(), found));
    let live = Live::new(policy, shadow, Arc::clone(&clock));
    let shared = Shared { source, live: live.clone(), auditor, clock, random, status, looks };
    Ok((live, Reloader(Arc::new(shared))))
}

impl Reloader {
    pub(super) fn status(&self) -> ReloadStatus {
        self.0.status.clone()
    }

    /// Watches until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
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
            // The fault is in the log and in `/ready`; there is nobody here to tell.
            self.0.look(asked, &self.0.context()).await.ok();
        }
    }
}

impl Shared {
    /// Reloads if a file changed, or if somebody asks for it.
    async fn look(&self, asked: bool, context: &Context) -> Result<(), ReloadFault> {
        let mut looks = self.looks.lock().await;
        let found = if asked { self.asked_look(&mut looks).await? } else { self.found().await? };
        if !asked && (!looks.is_settled(&found) || looks.loaded.as_ref() == Some(&found)) {
            return Ok(());
        }
        let (source, contents) = (self.source.clone(), found.clone());
        let in_force = self.live.current().policy().rule_ids().count();
        let load = move || source.load_next(&contents, in_force);
        let done = match background::run("policy", load).await {
            Ok(Ok((policy, Ok(shadow)))) => self.replace(context, policy, shadow).await,
            Ok(Ok((policy, Err(fault)))) => self.without_shadow(context, policy, fault).await,
            Ok(Err(error)) => Err(self.keep(ReloadFault::Policy(error.into()))),
            Err(error) => Err(self.keep(ReloadFault::Policy(error.into()))),
        };
        // At the end: whoever asked may go away in between, and then it is still to be done.
        looks.loaded = (!matches!(done, Err(ReloadFault::Audit(_)))).then_some(found);
        done
    }

    /// The shadow file has a fault, which keeps no changed rules from being in force: they may be a freeze. The shadow rules of
    /// others would be compared with them, so there are none then.
    async fn without_shadow(
        &self,
        context: &Context,
        policy: Policy,
        fault: AppError,
    ) -> Result<(), ReloadFault> {
        let fault = ReloadFault::Policy(fault.into());
        if policy.version() == self.live.current().policy().version() {
            return Err(self.keep(fault));
        }
        self.replace(context, policy, None).await?;
        self.keep(fault);
        Ok(())
    }

    async fn found(&self) -> Result<Contents, ReloadFault> {
        let source = self.source.clone();
        let found = tokio::task::spawn_blocking(move || source.contents()).await;
        found.map_err(|error| self.keep(ReloadFault::Policy(error.into())))
    }

    /// Looks until nobody writes any more.
    async fn asked_look(&self, looks: &mut Looks) -> Result<Contents, ReloadFault> {
        looks.last = self.found().await?;
        for _ in 0..ASKED_LOOKS {
            tokio::time::sleep(ASKED_INTERVAL).await;
            let found = self.found().await?;
            if looks.is_settled(&found) {
                return Ok(found);
            }
        }
        // No fault of the rules: what is there at last is found by the watch.
        Err(ReloadFault::Policy(AppError::RulesChanging.into()))
    }

    async fn replace(
        &self,
        context: &Context,
        policy: Policy,
        shadow: Option<Policy>,
    ) -> Result<(), ReloadFault> {
        let policy_version = Arc::clone(policy.version());
        let event = AuditEvent::ConfigReload {
            policy_version: Arc::clone(&policy_version),
            previous_version: Arc::clone(self.live.current().policy().version()),
            shadow_policy_version: shadow.as_ref().map(|shadow| Arc::clone(shadow.version())),
        };
        // Recorded first: no decision is made by rules whose coming into force is not on record.
        let recorded = self.auditor.record(context, event).await;
        recorded.map_err(|error| self.keep(ReloadFault::Audit(error)))?;
        let before = self.live.current();
        self.live.replace(policy, shadow);
        self.status.set(None);
        free(before);
        tracing::info!(policy_version = %policy_version, "policy.reloaded");
        Ok(())
    }

    fn keep(&self, fault: ReloadFault) -> ReloadFault {
        let in_force = self.live.current();
        let error: &dyn std::error::Error = &fault;
        let said = Some(fault.to_string());
        // An audit log that is away is tried each second: said once. Rules are tried once for each change of the files.
        if !matches!(fault, ReloadFault::Audit(_)) || self.status.fault() != said {
            tracing::error!(error, policy_version = %in_force.policy().version(), "policy.reload_failed");
        }
        self.status.set(said);
        fault
    }

    /// Of a reload that nobody in particular asked for.
    fn context(&self) -> Context {
        Context {
            request_id: RequestId::generate(&*self.clock, &*self.random),
            trace_id: TraceId::generate(&*self.random),
            requester_id: None,
            client_id: None,
            asserted_requester_id: None,
            redactions: Vec::new(),
        }
    }
}

/// Many rules take a while to be freed: by nobody who answers a request, and so not before the last of those that were being
/// answered has let go of them. Streams may hold them for hours; theirs are not waited for.
fn free(before: Arc<InForce>) {
    let last = move || {
        for _ in 0..LETTING_GO {
            if Arc::strong_count(&before) == 1 {
                break;
            }
            std::thread::sleep(ASKED_INTERVAL);
        }
    };
    if let Err(error) = background::spawn("policy", last) {
        tracing::warn!(error = &error as &dyn std::error::Error, "policy.no_thread");
    }
}

#[async_trait]
impl PolicyControl for Reloader {
    fn view(&self) -> PolicyView {
        let in_force = self.0.live.current();
        let shadow = in_force.shadow();
        PolicyView {
            policy_version: in_force.policy().version().to_string(),
            shadow_policy_version: shadow.map(|shadow| shadow.version().to_string()),
            shadow_differences: shadow.map(|_| in_force.differences().count()),
            shadow_kinds: shadow
                .map(|_| in_force.differences().kinds().into_iter().map(kind).collect()),
            fault: self.0.status.fault(),
        }
    }

    async fn reload(&self, context: &Context) -> Result<PolicyView, ReloadFault> {
        self.0.look(true, context).await?;
        Ok(self.view())
    }
}

fn kind(kind: DifferenceKind) -> ShadowDifference {
    ShadowDifference {
        tool: kind.tool,
        decision: kind.decision,
        reason: kind.reason,
        shadow_decision: kind.shadow_decision,
        shadow_reason: kind.shadow_reason,
        shadow_missing_scopes: kind.shadow_missing_scopes.to_string(),
        obligations: kind.obligations,
        shadow_obligations: kind.shadow_obligations,
        count: kind.count,
        last_at: kind.last_at.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(text: &str) -> Contents {
        Contents { live: Some(Ok(text.into())), shadow: None }
    }

    // A file cut off between two rules is a file of rules: with the deny rule at its end still to come.
    #[test]
    fn what_is_being_written_is_not_settled() {
        let mut looks = Looks::new(holding("old"), holding("old"));
        for (found, settled) in
            [("old", true), ("half", false), ("half a", false), ("whole", false), ("whole", true)]
        {
            assert_eq!(looks.is_settled(&holding(found)), settled, "{found}");
        }
    }
}
