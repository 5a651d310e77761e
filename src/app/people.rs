//! What the pages for people are given, from the settings.

use std::sync::Arc;
use std::time::Duration;

use crate::authorization_server::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings, PasswordPool, PeopleSettings,
};
use crate::config::{self, Config};
use crate::secret::Secrets;
use crate::time::{Budget, Clock};

use super::error::AppError;
use super::issuers;

/// Identity providers with their secrets read, and the origins whose forms are ours.
///
/// # Errors
///
/// [`AppError`] when a client secret cannot be read.
pub async fn people_settings(
    config: &Config,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
) -> Result<PeopleSettings, AppError> {
    let budget = Budget::start(Arc::clone(clock), Duration::from_secs(30));
    let mut providers = Vec::new();
    for provider in &config.authorization_server.identity_providers {
        let client_secret = match &provider.client_secret {
            Some(source) => Some(issuers::own(source, secrets, &budget).await?),
            None => None,
        };
        providers.push(IdentityProviderSettings { client_secret, ..settings(provider) });
    }
    let server = &config.server;
    let origins = [Some(&server.public_url), server.loopback_alias.as_ref()];
    let origins = origins.into_iter().flatten().cloned().collect();
    Ok(PeopleSettings {
        providers,
        origins,
        passwords: PasswordPool::default(),
        approvals: None,
        connections: None,
        scope_words: config.authorization_server.scope_words.clone(),
    })
}

/// Everything but the secret.
fn settings(provider: &config::IdentityProvider) -> IdentityProviderSettings {
    let config::ProviderClaims { subject, username, name, email, groups } = provider.claims.clone();
    let endpoints = provider.endpoints.clone().map(|endpoints| {
        let config::ProviderEndpoints { authorization, token, userinfo } = endpoints;
        Endpoints::Explicit(Box::new(ExplicitEndpoints { authorization, token, userinfo }))
    });
    IdentityProviderSettings {
        id: provider.id.clone(),
        name: provider.name.clone(),
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        client_secret: None,
        scopes: provider.scopes.clone(),
        endpoints: endpoints.unwrap_or(Endpoints::Discovered),
        claims: ClaimMap { subject, username, name, email, groups },
        require: provider.require.clone(),
    }
}
