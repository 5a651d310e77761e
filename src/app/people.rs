//! What the pages for people are given, from the settings.

use std::sync::Arc;

use crate::authorization_server::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings, PasswordPool, PeopleSettings,
};
use crate::config::{self, Config};
use crate::secret::Secrets;

use super::issuers;

/// Identity providers, whose secrets are read when somebody logs in there, and the origins whose forms are ours.
#[must_use]
pub fn people_settings(config: &Config, secrets: &Arc<Secrets>) -> PeopleSettings {
    let providers = config.authorization_server.identity_providers.iter().map(|provider| {
        let secret = provider.client_secret.as_ref();
        let client_secret = secret.map(|source| issuers::own_secret(source, secrets));
        IdentityProviderSettings { client_secret, ..settings(config, provider) }
    });
    let providers = providers.collect();
    let server = &config.server;
    let origins = [Some(&server.public_url), server.loopback_alias.as_ref()];
    let origins = origins.into_iter().flatten().cloned().collect();
    PeopleSettings {
        providers,
        origins,
        passwords: PasswordPool::default(),
        approvals: None,
        connections: None,
        explainer: None,
        scope_words: config.authorization_server.scope_words.clone(),
    }
}

/// Everything but the secret.
pub(super) fn settings(
    config: &Config,
    provider: &config::IdentityProvider,
) -> IdentityProviderSettings {
    let config::ProviderClaims { subject, username, name, email, groups, groups_prefix } =
        provider.claims.clone();
    // Groups that are another's, whatever names this one gives its own.
    let all = config.authorization_server.identity_providers.iter();
    let prefixes = all.map(|provider| provider.claims.groups_prefix.clone());
    let other_prefixes = prefixes.filter(|it| !it.is_empty() && *it != groups_prefix).collect();
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
        claims: ClaimMap { subject, username, name, email, groups, groups_prefix, other_prefixes },
        require: provider.require.clone(),
    }
}
