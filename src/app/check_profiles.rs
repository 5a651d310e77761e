//! Whether the credentials of Graph profiles that lie in files can be used: a start reads some of them only when somebody calls.

use std::sync::Arc;

use crate::config::{Config, GraphCredential, GraphMode, GraphProfile, SecretSource};
use crate::secret::Secrets;
use crate::time::{Budget, Clock};
use crate::token::federated;

use super::check::CheckFault;
use super::check_key::CheckKey;
use super::error::AppError;
use super::{graph, issuers};

/// Each profile by itself. Asks no backend of secrets.
pub(super) async fn faults(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Vec<CheckFault> {
    if config.graph.mode != GraphMode::Live {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (place, profile) in config.graph.profiles.iter().enumerate() {
        if let Err((member, error)) = credential(profile, secrets, clock).await {
            let within = format!("[{place}].credential.{member}");
            faults.push(CheckFault::new(CheckKey::GraphProfile, *error).within(within));
        }
    }
    faults
}

async fn credential(
    profile: &GraphProfile,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<(), (&'static str, Box<AppError>)> {
    let name = profile.name.clone();
    match &profile.credential {
        GraphCredential::ClientSecret(_) | GraphCredential::ManagedIdentity => Ok(()),
        GraphCredential::Certificate { certificate, private_key, .. } => {
            let chain = graph::chain(certificate).map_err(|error| ("certificate", error.into()))?;
            let budget = Budget::start(Arc::clone(clock), issuers::START);
            let key = match private_key {
                SecretSource::Literal(text) => text.clone(),
                SecretSource::Ref(reference) => match secrets.at_hand(reference, &budget).await {
                    Some(secret) => secret.text().clone(),
                    None => return Ok(()),
                },
            };
            chain.fits(&key).map_err(|source| {
                ("private_key", AppError::ProfileKey { profile: name, source }.into())
            })
        }
        GraphCredential::FederatedTokenFile(path) => {
            federated(path).await.map(drop).map_err(|source| {
                ("federated_token_file", AppError::FederatedToken { profile: name, source }.into())
            })
        }
    }
}
