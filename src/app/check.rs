//! What `broker check` looks at beyond the settings themselves: everything they name, without serving.

use std::sync::Arc;

use crate::config::{Config, GraphMode};
use crate::graph::simulated;
use crate::mcp::{Documents, Toolbox};
use crate::outbound::Outbound;
use crate::policy::{Facts, PolicyError};
use crate::secret::{Environment, Secrets};
use crate::time::Clock;

use super::check_key::CheckKey;
use super::error::AppError;
use super::looking::{self, Looked};
use super::policy::Loaded;
use super::{
    check_cloud, check_live, check_servers, flat_permissions, folded, graph, issuing, map, parts,
    places,
};

/// One thing that would stop a start, or a call later on.
#[derive(Debug)]
pub struct CheckFault {
    /// The setting that names it.
    pub key: CheckKey,
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

    pub(super) const fn new(key: CheckKey, error: AppError) -> Self {
        Self { key, error, warning: false }
    }

    /// The faults of a policy one by one, anything else as it is.
    fn each(key: CheckKey, error: AppError) -> Vec<Self> {
        match error {
            AppError::Policy(PolicyError(faults)) => {
                let one = |fault| Self::new(key, AppError::Policy(PolicyError(vec![fault])));
                faults.into_iter().map(one).collect()
            }
            other => vec![Self::new(key, other)],
        }
    }
}

/// Checks the policy, the store and our keys, of which nothing is made or changed, TLS, the audit log's place, the documents,
/// certificates and the catalogue; with `live`, also that other issuers
/// answer, that each Graph profile gets a token, that Graph is there, and what servers behind us say of their tools.
pub async fn check(
    config: &Config,
    variables: Environment,
    live: bool,
    clock: Arc<dyn Clock>,
) -> Vec<CheckFault> {
    let (mut faults, mut unusable) = (Vec::new(), Vec::new());
    let mut note = |key, result: Result<(), AppError>| {
        if let Err(error) = result {
            faults.extend(CheckFault::each(key, error));
        }
    };
    let rules = match policy(config, &variables) {
        Ok((rules, shadow)) => {
            let shadow =
                shadow.err().map(|error| CheckFault::each(CheckKey::PolicyShadowFile, error));
            // The broker starts without them.
            let shadow = shadow.into_iter().flatten();
            unusable.extend(shadow.map(|fault| CheckFault { warning: true, ..fault }));
            Some(rules)
        }
        Err(error) => {
            let about_graph = matches!(
                error,
                AppError::Certificate { .. }
                    | AppError::CertificateContent { .. }
                    | AppError::Profile(_)
            );
            let key = if about_graph { CheckKey::GraphProfile } else { CheckKey::PolicyFile };
            note(key, Err(error));
            None
        }
    };
    note(
        CheckKey::LimitsTool,
        map::call_limits(config, &Toolbox::new(config.tools.sample)).map(drop),
    );
    note(CheckKey::Client, issuing::check_client_keys(config));
    note(CheckKey::KnownClients, super::known_clients::known_clients(config).map(drop));
    note(CheckKey::Server, folded::refuse_collisions(config, &Toolbox::new(config.tools.sample)));
    note(CheckKey::AuditSink, places::audit(config));
    note(CheckKey::Tls, tls(config, &variables, &clock).await);
    note(CheckKey::GraphCatalog, parts::catalog(config).map(drop));
    let (older, unsealed, known) = match store(config, &variables, &clock).await {
        Ok(looked) => {
            let unsealed = looked.seal_warning().await;
            (looked.warning(), unsealed.unwrap_or_else(Some), looked.into_store())
        }
        Err(error) => {
            let about_store = matches!(error, AppError::OpenStore(_) | AppError::StoreFault(_));
            note(
                if about_store { CheckKey::Store } else { CheckKey::KeyEncryptionKey },
                Err(error),
            );
            (None, None, None)
        }
    };
    if let Some(directory) = &config.documents.dir {
        note(
            CheckKey::Documents,
            Documents::directory(directory.clone(), Arc::clone(&clock))
                .await
                .map(drop)
                .map_err(Into::into),
        );
    }
    faults.extend(unusable);
    faults.extend(rules.iter().flat_map(|rules| check_servers::unnamed(config, rules)));
    faults.extend(check_servers::kept(config, known.as_ref(), live).await);
    let idle = |rules| flat_permissions::without_effect(config, rules);
    faults.extend(rules.iter().flat_map(idle));
    let warned = |key| move |error| CheckFault { key, error, warning: true };
    faults.extend(check_cloud::not_allowed(config).into_iter().map(warned(CheckKey::GraphCloud)));
    faults.extend(older.map(warned(CheckKey::Store)));
    faults.extend(unsealed.map(warned(CheckKey::KeyEncryptionKey)));
    // With `live` it is looked at there, and more.
    if !live && config.graph.mode == GraphMode::Live {
        let profiles = graph::live(&config.graph, variables.clone()).map(drop);
        faults.extend(profiles.err().map(|error| CheckFault::new(CheckKey::GraphProfile, error)));
    }
    if live {
        faults.extend(
            check_live::faults(config, (&variables, (rules.as_ref(), known.as_ref())), &clock)
                .await,
        );
    }
    faults
}

/// Looks at the store and opens our keys, and changes neither.
async fn store(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
) -> Result<Looked, AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(clock))?;
    looking::look(config, &secrets, clock).await
}

/// Reads certificate and key, as the start would.
async fn tls(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
) -> Result<(), AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(clock))?;
    super::tls::load(config, &secrets, clock).await.map(drop)
}

/// Compiles the rules against the configured profiles, as the start would.
fn policy(config: &Config, variables: &Environment) -> Result<Loaded, AppError> {
    policy_source(config, variables)?.load()
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
