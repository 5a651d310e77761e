//! `broker doctor`: walks from the outside in, and says at each step what is well and what is not.
//!
//! Changes nothing, and makes nothing; a running broker sees the requests of somebody without a token.

mod client;
mod coverage;
mod machine;
mod outside;

use std::sync::Arc;

use serde::Serialize;

use crate::config::Config;
use crate::secret::Environment;
use crate::time::Clock;

use super::check::{self, CheckFault};
use super::keys;

pub use client::{Client, as_client};

/// What a step is about. In the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    Settings,
    Dns,
    PublicUrl,
    ProxyHeaders,
    Tls,
    Clock,
    Store,
    Keys,
    Policy,
    Secrets,
    IdentityProviders,
    Graph,
    Disk,
    Limits,
    /// The steps of one client.
    Client,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Good,
    /// Stops nothing, and should be seen to.
    Warning,
    Bad,
    /// There is nothing to look at, or what would have to be looked at before is bad.
    Skipped,
}

/// One thing that was looked at. No secret is in any of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub area: Area,
    pub verdict: Verdict,
    /// The setting it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// What was found.
    pub found: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Step {
    fn new(area: Area, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { area, verdict, key: None, found: found.into(), allowed: None, hint: None }
    }

    /// About the settings themselves.
    #[must_use]
    pub const fn of_settings(
        verdict: Verdict,
        found: String,
        allowed: Option<String>,
        hint: Option<String>,
    ) -> Self {
        Self { area: Area::Settings, verdict, key: None, found, allowed, hint }
    }

    fn good(area: Area, found: impl Into<String>) -> Self {
        Self::new(area, Verdict::Good, found)
    }

    fn bad(area: Area, key: &'static str, found: impl Into<String>) -> Self {
        Self { key: Some(key), ..Self::new(area, Verdict::Bad, found) }
    }

    fn warning(area: Area, key: &'static str, found: impl Into<String>) -> Self {
        Self { key: Some(key), ..Self::new(area, Verdict::Warning, found) }
    }

    fn skipped(area: Area, why: impl Into<String>) -> Self {
        Self::new(area, Verdict::Skipped, why)
    }

    fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Every step, by area. `config` has no errors of its own: those are told before.
pub async fn doctor(config: &Config, variables: Environment, clock: Arc<dyn Clock>) -> Vec<Step> {
    let mut steps = outside::look(config, &clock).await;
    let faults = check::check(config, variables.clone(), true, Arc::clone(&clock)).await;
    let graph_is_good = faults.iter().all(|fault| area(fault.key) != Area::Graph);
    steps.extend(within(config, &faults).await);
    steps.extend(coverage::look(config, &variables, &clock, graph_is_good).await);
    steps.extend(machine::look(config));
    steps.sort_by_key(|step| step.area);
    steps
}

/// What `broker check --live` finds, by area; and what is well where it found nothing.
async fn within(config: &Config, faults: &[CheckFault]) -> Vec<Step> {
    let mut steps: Vec<Step> = faults.iter().map(step).collect();
    let bad = |area| faults.iter().any(|fault| self::area(fault.key) == area);
    let mut well = |area, found: String| {
        if !bad(area) {
            steps.push(Step::good(area, found));
        }
    };
    match crate::store::status(&keys::store_settings(config)).await {
        Ok(status) => {
            well(Area::Store, format!("{}, schema {}", status.database, status.schema));
        }
        Err(_) => well(Area::Store, "there is none yet; the first start makes it".to_owned()),
    }
    well(Area::Keys, "the key-encryption key opens every signing key that there is".to_owned());
    well(Area::Policy, "the rules can be put in force".to_owned());
    well(Area::Secrets, "every secret that is the broker's own can be read".to_owned());
    let others =
        config.resource_server.issuers.len() + config.authorization_server.identity_providers.len();
    if others > 0 {
        well(Area::IdentityProviders, format!("{others} answer as they should"));
    } else {
        steps.push(Step::skipped(Area::IdentityProviders, "no other issuer is configured"));
    }
    steps
}

/// A finding of `broker check`.
fn step(fault: &CheckFault) -> Step {
    let (found, hint) = fault.told();
    let verdict = if fault.warning { Verdict::Warning } else { Verdict::Bad };
    let area = area(fault.key);
    Step { area, verdict, key: Some(fault.key), found, allowed: None, hint }
}

fn area(key: &str) -> Area {
    match key {
        "store.url" => Area::Store,
        "store.key_encryption_key" => Area::Keys,
        "policy.file" => Area::Policy,
        "server.tls.key" => Area::Tls,
        "resource_server.issuer" | "authorization_server.identity_provider" => {
            Area::IdentityProviders
        }
        "secrets"
        | "authorization_server.client.secret"
        | "upstream.server.credential"
        | "approvals.webhook_secret" => Area::Secrets,
        key if key.starts_with("graph.") => Area::Graph,
        _ => Area::Settings,
    }
}
