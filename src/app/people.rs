//! What the pages for people are given, from the settings.

use std::sync::Arc;

use crate::authorization_server::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings, IdentityProviders,
    PeopleSettings, Prefixes,
};
use crate::config::{self, Config};
use crate::secret::Secrets;

use super::issuers;

/// Where people log in, and the origins whose forms are ours.
#[must_use]
pub fn people_settings(config: &Config, providers: IdentityProviders) -> PeopleSettings {
    let server = &config.server;
    let origins = [Some(&server.public_url), server.loopback_alias.as_ref()];
    let origins = origins.into_iter().flatten().cloned().collect();
    let scope_words = config.authorization_server.scope_words.clone();
    PeopleSettings { origins, scope_words, ..PeopleSettings::of(providers) }
}

/// Those of the settings file, whose secrets are read when somebody logs in there.
pub(super) fn identity_providers(
    config: &Config,
    (secrets, prefixes): (&Arc<Secrets>, &Prefixes),
) -> Vec<IdentityProviderSettings> {
    let providers = config.authorization_server.identity_providers.iter().map(|provider| {
        let secret = provider.client_secret.as_ref();
        let client_secret = secret.map(|source| issuers::own_secret(source, secrets));
        IdentityProviderSettings { client_secret, ..settings(provider, prefixes) }
    });
    providers.collect()
}

/// Everything but the secret.
pub(super) fn settings(
    provider: &config::IdentityProvider,
    prefixes: &Prefixes,
) -> IdentityProviderSettings {
    let claims = provider.claims.clone();
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
        claims: ClaimMap {
            subject: claims.subject,
            username: claims.username,
            name: claims.name,
            email: claims.email,
            groups: claims.groups,
            groups_prefix: claims.groups_prefix,
            roles: claims.roles,
            roles_prefix: claims.roles_prefix,
            prefixes: prefixes.clone(),
        },
        require: provider.require.clone(),
        stored: false,
        standing: provider.standing,
    }
}
