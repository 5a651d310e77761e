//! What `broker check` looks at beyond the settings themselves: everything they name, without serving.

use std::sync::Arc;

use crate::config::{Config, GraphMode};
use crate::graph::simulated;
use crate::mcp::Toolbox;
use crate::outbound::{Outbound, OutboundSettings};
use crate::policy::{Facts, PolicyError};
use crate::secret::{Environment, Secrets};
use crate::time::Clock;

use super::check_key::CheckKey;
use super::check_parts::Parts;
use super::error::AppError;
use super::{
    check_cloud, check_live, check_parts, check_profiles, check_servers, flat_permissions, folded,
    graph, issuing, looking, map, parts,
};

/// One thing that would stop a start, or a call later on.
#[derive(Debug)]
pub struct CheckFault {
    /// The setting that names it, or the list that holds that one.
    pub key: CheckKey,
    pub(super) within: String,
    pub error: AppError,
    /// It stops nothing, and an operator should know it before.
    pub warning: bool,
}

impl CheckFault {
    /// What is wrong with its causes, and the hint where the error has one.
    #[must_use]
    pub fn told(&self) -> (String, Option<String>) {
        let of_policy: Option<&dyn std::error::Error> = match &self.error {
            AppError::Policy(faults) => Some(faults),
            _ => None,
        };
        let (mut problem, mut hint) = (String::new(), None);
        let mut next = of_policy.or(Some(&self.error as &dyn std::error::Error));
        while let Some(cause) = next {
            let text = cause.to_string();
            let (words, its_hint) = match text.split_once("\n  hint: ") {
                Some((words, hint)) => (words, Some(hint.to_owned())),
                None => (text.as_str(), None),
            };
            // Some errors say in their own words what their source says.
            if !problem.contains(words) {
                problem.push_str(if problem.is_empty() { "" } else { ": " });
                problem.push_str(words);
            }
            hint = hint.or(its_hint);
            next = cause.source();
        }
        (problem, hint)
    }

    /// The setting, as precisely as it is known: `graph.profile[1].credential.certificate`.
    #[must_use]
    pub fn at(&self) -> String {
        format!("{}{}", self.key.as_str(), self.within)
    }

    pub(super) const fn new(key: CheckKey, error: AppError) -> Self {
        Self { key, within: String::new(), error, warning: false }
    }

    pub(super) const fn warning(key: CheckKey, error: AppError) -> Self {
        Self { key, within: String::new(), error, warning: true }
    }

    /// About one of a list, or a member of that one: `[0]`, `[0].path`.
    pub(super) fn within(self, within: String) -> Self {
        Self { within, ..self }
    }

    /// The faults of a policy one by one, anything else as it is.
    pub(super) fn each(key: CheckKey, error: AppError) -> Vec<Self> {
        match error {
            AppError::Policy(PolicyError(faults)) => {
                let one = |fault| Self::new(key, AppError::Policy(PolicyError(vec![fault])));
                faults.into_iter().map(one).collect()
            }
            other => vec![Self::new(key, other)],
        }
    }
}

/// Checks the policy, the store and our keys, of which nothing is made or changed, whose tokens are accepted, TLS, the audit
/// log's place, the documents, credentials that lie in files, and the catalogue; with `live`, also that other issuers
/// answer, that each Graph profile gets a token, that Graph is there, and what servers behind us say of their tools.
pub async fn check(
    config: &Config,
    variables: Environment,
    live: bool,
    clock: Arc<dyn Clock>,
) -> Vec<CheckFault> {
    let Parts { mut faults, rules } =
        check_parts::look(config, &variables, &clock, &|_| true).await;
    let mut note = |key, result: Result<(), AppError>| {
        if let Err(error) = result {
            faults.extend(CheckFault::each(key, error));
        }
    };
    note(CheckKey::Client, issuing::check_client_keys(config));
    note(CheckKey::KnownClients, super::known_clients::known_clients(config).map(drop));
    note(CheckKey::Server, folded::refuse_collisions(config, &Toolbox::new(config.tools.sample)));
    note(CheckKey::GraphCatalog, parts::catalog(config).map(drop));
    // What is in the way of reaching others at all is told already: without `outbound.ca_file` the rest can be looked at.
    let outbound = check_parts::outbound(config);
    let reaches = outbound.is_ok();
    let apart = || Outbound::new(&OutboundSettings::default()).map_err(AppError::from);
    let reach = outbound.or_else(|_| apart()).and_then(|outbound| {
        let settings = map::secrets(config);
        let secrets = Secrets::new(settings, &variables, &outbound, Arc::clone(&clock))?;
        Ok((outbound, Arc::new(secrets)))
    });
    let mut looked = None;
    match reach {
        // An error of `outbound` itself is among the faults.
        Err(AppError::Outbound(_)) => {}
        Err(error) => note(CheckKey::Secrets, Err(error)),
        Ok((outbound, secrets)) => {
            note(CheckKey::Tls, super::tls::load(config, &secrets, &clock).await.map(drop));
            let trusted = looking::trusts_nobody_twice(config, (&secrets, outbound), &clock);
            faults.extend(trusted.err().map(|error| of_issuer(config, error)));
            faults.extend(check_profiles::faults(config, &secrets, &clock).await);
            match looking::look(config, &secrets, &clock).await {
                Ok(found) => looked = Some(found),
                Err(error) => faults.push(of_store(error)),
            }
        }
    }
    let (mut older, mut unsealed, mut known) = (None, None, None);
    if let Some(looked) = looked {
        older = looked.warning();
        unsealed = looked.seal_warning().await.unwrap_or_else(Some);
        known = looked.into_store();
    }
    faults.extend(rules.iter().flat_map(|rules| check_servers::unnamed(config, rules)));
    faults.extend(check_servers::kept(config, known.as_ref(), live).await);
    faults.extend(check_servers::limits_of_nobody(config, known.as_ref()).await);
    let idle = |rules| flat_permissions::without_effect(config, rules);
    faults.extend(rules.iter().flat_map(idle));
    let warned = |key| move |error| CheckFault::warning(key, error);
    faults.extend(check_cloud::not_allowed(config).into_iter().map(warned(CheckKey::GraphCloud)));
    faults.extend(older.map(warned(CheckKey::Store)));
    faults.extend(unsealed.map(warned(CheckKey::KeyEncryptionKey)));
    // With `live` it is looked at there, and more.
    if !live && config.graph.mode == GraphMode::Live {
        let profiles = graph::live(&config.graph, variables.clone()).map(drop);
        faults.extend(profiles.err().map(|error| CheckFault::new(CheckKey::GraphProfile, error)));
    }
    if live && reaches {
        let known = (rules.as_ref(), known.as_ref());
        faults.extend(check_live::faults(config, (&variables, known), &clock).await);
    }
    each_once(faults)
}

/// What can be found of settings of which some cannot be used: `reads` says of which tables all that is written could be read.
/// Asks no backend and reaches nobody.
pub async fn check_apart(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
    reads: &(dyn Fn(&[&str]) -> bool + Sync),
) -> Vec<CheckFault> {
    each_once(check_parts::look(config, variables, clock, reads).await.faults)
}

/// Several ways may lead to one fault: it is told once, where its place is known best.
fn each_once(faults: Vec<CheckFault>) -> Vec<CheckFault> {
    let mut each: Vec<CheckFault> = Vec::new();
    for fault in faults {
        let same = |other: &&mut CheckFault| {
            (other.key, other.warning, other.told()) == (fault.key, fault.warning, fault.told())
                && (other.within == fault.within
                    || other.within.is_empty()
                    || fault.within.is_empty())
        };
        match each.iter_mut().find(same) {
            Some(known) if known.within.is_empty() => *known = fault,
            Some(_) => {}
            None => each.push(fault),
        }
    }
    each
}

fn of_store(error: AppError) -> CheckFault {
    let about_store = matches!(error, AppError::OpenStore(_) | AppError::StoreFault(_));
    let key = if about_store { CheckKey::Store } else { CheckKey::KeyEncryptionKey };
    CheckFault::new(key, error)
}

/// Names the one of the list that it is about.
fn of_issuer(config: &Config, error: AppError) -> CheckFault {
    let AppError::OwnIssuer(own) = &error else { return CheckFault::new(CheckKey::Issuer, error) };
    let place = config.resource_server.issuers.iter().position(|one| one.issuer == *own);
    let within = place.map(|place| format!("[{place}].issuer")).unwrap_or_default();
    CheckFault::new(CheckKey::Issuer, error).within(within)
}

/// What the rules of these settings are made of, without starting anything.
///
/// # Errors
///
/// [`AppError`] where a Graph profile cannot be used.
pub fn policy_source(
    config: &Config,
    variables: &Environment,
) -> Result<super::PolicySource, AppError> {
    let (profiles, resource, allowed_resources) = match config.graph.mode {
        GraphMode::Simulated => {
            let resource = simulated::RESOURCE.to_owned();
            (
                vec![("simulated".parse()?, simulated::TENANT.parse()?)],
                resource.clone(),
                vec![resource],
            )
        }
        GraphMode::Live => {
            let live = graph::live(&config.graph, variables.clone())?;
            let named = |profile: &crate::broker::Profile| {
                (profile.settings.name().clone(), profile.settings.tenant().clone())
            };
            (
                live.profiles.iter().map(named).collect(),
                live.cloud.resource().to_string(),
                live.allowed_resources,
            )
        }
    };
    let toolbox = Toolbox::new(config.tools.sample);
    let facts = Facts {
        issuer: super::parts::issuer(config),
        profiles,
        resource,
        allowed_resources,
        allowed_permissions: config.graph.allowed_permissions.clone(),
        tools: toolbox.names(),
        reading_tools: toolbox.reading_names(),
    };
    Ok(super::policy::Source::new(config, facts))
}
