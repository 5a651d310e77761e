//! What `broker check` looks at beyond the settings themselves: everything they name, without serving.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, GraphMode, IssuerKeys, SecretSource};
use crate::graph::simulated;
use crate::mcp::{Documents, Toolbox};
use crate::outbound::{Call, Limits, Outbound};
use crate::policy::Facts;
use crate::secret::{Environment, Secrets};
use crate::secret_ref::SecretRef;
use crate::time::{Budget, Clock};

use super::error::AppError;
use super::{build, graph, map, parts};

/// One thing that would stop a start, or a call later on.
#[derive(Debug)]
pub struct CheckFault {
    /// The setting that names it.
    pub key: &'static str,
    pub error: AppError,
}

/// Checks the policy, our keys, the documents, certificates and the catalogue; with `live`, also that the
/// secrets of the Graph profiles can be read and that the key sets of other issuers answer.
pub async fn check(
    config: &Config,
    variables: Environment,
    live: bool,
    clock: Arc<dyn Clock>,
) -> Vec<CheckFault> {
    let mut faults = Vec::new();
    let mut note = |key, result: Result<(), AppError>| {
        if let Err(error) = result {
            faults.push(CheckFault { key, error });
        }
    };
    note("policy.file", policy(config, &variables));
    note("limits.tool", map::call_limits(config, &Toolbox::new(config.tools.sample)).map(drop));
    note("server.tls.key", map::tls(config).map(drop));
    note(
        "store.key_encryption_key",
        parts::signing_keys(config, &variables, Arc::clone(&clock)).await.map(drop),
    );
    if let Some(directory) = &config.documents.dir {
        note(
            "documents.dir",
            Documents::directory(directory.clone(), Arc::clone(&clock))
                .await
                .map(drop)
                .map_err(Into::into),
        );
    }
    if live {
        note("secrets", secrets(config, &variables, &clock).await);
        note("resource_server.issuer", key_sets(config).await);
    }
    faults
}

/// Compiles the rules against the configured profiles, as the start would.
fn policy(config: &Config, variables: &Environment) -> Result<(), AppError> {
    let catalog = parts::catalog(config)?;
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
    let facts = Facts {
        profiles,
        resource,
        allowed_resources,
        allowed_permissions: config.graph.allowed_permissions.clone(),
        tools: Toolbox::new(config.tools.sample).names(),
    };
    build::policy(config, facts, &catalog).map(drop)
}

/// Reads the secret of each Graph profile once.
async fn secrets(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
) -> Result<(), AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(clock))?;
    let budget = Budget::start(Arc::clone(clock), Duration::from_secs(30));
    for reference in config.graph.profiles.iter().filter_map(reference) {
        secrets.read_own(reference, &budget).await?;
    }
    Ok(())
}

fn reference(profile: &crate::config::GraphProfile) -> Option<&SecretRef> {
    use crate::config::GraphCredential::{
        Certificate, ClientSecret, FederatedTokenFile, ManagedIdentity,
    };

    let source = match &profile.credential {
        ClientSecret(source) | Certificate { private_key: source, .. } => source,
        FederatedTokenFile(_) | ManagedIdentity => return None,
    };
    match source {
        SecretSource::Ref(reference) => Some(reference),
        SecretSource::Literal(_) => None,
    }
}

/// Fetches each configured key set once.
async fn key_sets(config: &Config) -> Result<(), AppError> {
    let outbound = Outbound::new(&map::outbound(config))?;
    let limits = Limits { timeout: Duration::from_secs(10), max_bytes: 256 * 1024 };
    for issuer in &config.resource_server.issuers {
        let IssuerKeys::JwksUri(url) = &issuer.keys else { continue };
        let answer = outbound.send(Call::get(url.clone()), limits).await;
        let answer =
            answer.map_err(|source| AppError::KeySet { issuer: issuer.issuer.clone(), source })?;
        if !answer.status.is_success() {
            return Err(AppError::KeySetStatus {
                issuer: issuer.issuer.clone(),
                status: answer.status,
            });
        }
    }
    Ok(())
}
