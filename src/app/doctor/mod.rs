//! `broker doctor`: walks from the outside in, and says at each step what is well and what is not.
//!
//! Changes nothing, and makes nothing; a running broker sees the requests of somebody without a token.

mod certificate;
mod client;
mod clients;
mod coverage;
mod forwarded;
mod limits;
mod lookup;
mod machine;
mod outside;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::secret::Environment;
use crate::store::StoreStatus;
use crate::time::Clock;

use super::check::{self, CheckFault};
use super::check_key::CheckKey;
use super::keys;

pub use client::as_client;
pub use clients::Client;

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
    /// Those behind the broker.
    Servers,
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
    pub key: Option<Cow<'static, str>>,
    /// What was found.
    pub found: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What the client does then, of a step of a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<str>>,
}

impl Step {
    fn new(area: Area, verdict: Verdict, found: impl Into<String>) -> Self {
        let found = found.into();
        Self { area, verdict, key: None, found, allowed: None, hint: None, then: None }
    }

    /// About the settings themselves.
    #[must_use]
    pub const fn of_settings(
        verdict: Verdict,
        found: String,
        allowed: Option<String>,
        hint: Option<String>,
    ) -> Self {
        Self { area: Area::Settings, verdict, key: None, found, allowed, hint, then: None }
    }

    fn good(area: Area, found: impl Into<String>) -> Self {
        Self::new(area, Verdict::Good, found)
    }

    fn bad(area: Area, key: &'static str, found: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::new(area, Verdict::Bad, found) }
    }

    fn warning(area: Area, key: &'static str, found: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::new(area, Verdict::Warning, found) }
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

    fn then(mut self, then: impl Into<Box<str>>) -> Self {
        self.then = Some(then.into());
        self
    }
}

/// As people read it.
fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Every step, by area. `config` has no errors of its own: those are told before.
pub async fn doctor(config: &Config, variables: Environment, clock: Arc<dyn Clock>) -> Vec<Step> {
    let mut steps = outside::look(config, &clock).await;
    steps.extend(certificate::look(config, &clock).await);
    let faults = check::check(config, variables.clone(), true, Arc::clone(&clock)).await;
    let graph_is_good = asked(&faults) && faults.iter().all(|fault| area(fault.key) != Area::Graph);
    let status = crate::store::status(&keys::store_settings(config)).await.ok();
    steps.extend(within(config, &faults, status.as_ref()));
    steps.extend(coverage::look(config, &variables, &clock, graph_is_good).await);
    steps.extend(machine::look(config));
    steps.extend(limits::look(config, status.as_ref()));
    steps.sort_by_key(|step| step.area);
    steps
}

/// What `broker check --live` finds, by area; what is well where it found nothing, and what it could not look at.
fn within(config: &Config, faults: &[CheckFault], status: Option<&StoreStatus>) -> Vec<Step> {
    let mut steps: Vec<Step> = faults.iter().map(step).collect();
    let bad = |area| faults.iter().any(|fault| self::area(fault.key) == area);
    let mut tell = |step: Step| {
        if !bad(step.area) {
            steps.push(step);
        }
    };
    let sealed = status.and_then(sealed);
    tell(match status {
        Some(status) => {
            Step::good(Area::Store, format!("{}, schema {}", status.database, status.schema))
        }
        None => Step::good(Area::Store, "there is none yet; the first start makes it"),
    });
    let opened = faults.iter().all(|fault| fault.key != CheckKey::Store);
    let well = "the key-encryption key opens every signing key that there is";
    let well = well.to_owned() + &sealed.unwrap_or_default();
    tell(looked(Area::Keys, opened, well, "not looked at, for the store cannot be used as it is"));
    tell(Step::good(Area::Policy, "the rules can be put in force"));
    let (asked, why) = (asked(faults), "not asked, for nothing can be reached with these settings");
    let well = "those of clients, of servers behind the broker and of the webhook can be read";
    tell(looked(Area::Secrets, asked, well, why));
    let others =
        config.resource_server.issuers.len() + config.authorization_server.identity_providers.len();
    tell(if others == 0 {
        Step::skipped(Area::IdentityProviders, "no other issuer is configured")
    } else {
        let well = format!("{others} answer as they should");
        looked(Area::IdentityProviders, asked, well, why)
    });
    let well = "none that can be asked is away, and no tool is another than was approved";
    tell(looked(Area::Servers, asked, well, why));
    steps
}

/// How much is sealed, and with which key; what is sealed with others is a finding.
fn sealed(status: &StoreStatus) -> Option<String> {
    let id = status.sealed_with.as_ref()?;
    let ours = status.sealed.iter().filter(|count| count.key_id == *id);
    let ours = ours.map(|count| count.rows).fold(0, u64::saturating_add);
    Some(format!("; {id} seals {ours} values"))
}

/// Good only where somebody has looked.
fn looked(area: Area, has: bool, well: impl Into<String>, why_not: &str) -> Step {
    if has { Step::good(area, well) } else { Step::skipped(area, why_not) }
}

/// Whether others were asked for anything: without a way out nobody was.
fn asked(faults: &[CheckFault]) -> bool {
    faults.iter().all(|fault| !matches!(fault.key, CheckKey::Outbound | CheckKey::CaFile))
}

/// A finding of `broker check`.
fn step(fault: &CheckFault) -> Step {
    let (found, hint) = fault.told();
    let verdict = if fault.warning { Verdict::Warning } else { Verdict::Bad };
    let area = area(fault.key);
    Step { area, verdict, key: Some(fault.at().into()), found, allowed: None, hint, then: None }
}

const fn area(key: CheckKey) -> Area {
    match key {
        CheckKey::Store => Area::Store,
        CheckKey::KeyEncryptionKey => Area::Keys,
        CheckKey::PolicyFile | CheckKey::PolicyShadowFile | CheckKey::FlatPermissions => {
            Area::Policy
        }
        CheckKey::Tls => Area::Tls,
        CheckKey::Issuer | CheckKey::IdentityProvider => Area::IdentityProviders,
        CheckKey::Secrets
        | CheckKey::ClientSecret
        | CheckKey::IdentityProviderSecret
        | CheckKey::ServerCredential
        | CheckKey::ServerEnvironment
        | CheckKey::NamedCredential
        | CheckKey::WebhookSecret => Area::Secrets,
        CheckKey::GraphProfile | CheckKey::GraphCloud | CheckKey::GraphCatalog => Area::Graph,
        CheckKey::Server => Area::Servers,
        CheckKey::AuditSink
        | CheckKey::LimitsTool
        | CheckKey::Client
        | CheckKey::KnownClients
        | CheckKey::Documents
        | CheckKey::Outbound
        | CheckKey::CaFile => Area::Settings,
    }
}
