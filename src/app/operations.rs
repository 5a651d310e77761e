//! Administration for commands: straight on the store, recorded in the log of commands.

use std::sync::Arc;

use crate::admin::{
    Administrators, BoundTokens, CertificatesAsked, IdentityProviderView, NamedCredential,
    Operations, ProviderClaimNames, ProviderSecret, Settings,
};
use crate::config::{self, Config, Dpop, UpstreamNamedCredential};
use crate::login_provider::AdministratorGroups;
use crate::random::{Random, SystemRandom};
use crate::time::{Clock, SystemClock};

use super::command_audit::kept_command_auditor;
use super::endpoints::{issuer, names};
use super::error::AppError;
use super::keys;

/// What administration must know of the settings.
pub(super) fn settings(config: &Config) -> Settings {
    let named = &config.authorization_server.administrators;
    Settings {
        public_url: config.server.public_url.clone(),
        names: names(&config.server.public_url).into_iter().map(|name| name.base).collect(),
        configured_servers: config.upstream.servers.iter().map(|known| known.id.clone()).collect(),
        named_credentials: config.upstream.credentials.iter().map(as_named).collect(),
        administrators: Administrators {
            subjects: named.subjects.clone(),
            groups: AdministratorGroups::new(&named.groups),
        },
        identity_providers: identity_providers(config),
        provider_secrets: provider_secrets(config),
        client_certificates: certificates_asked(config),
        bound_tokens: bound_tokens(config),
        client_hosts: config.authorization_server.client_hosts.clone(),
    }
}

/// Which tokens are bound to keys of their clients.
pub(super) const fn bound_tokens(config: &Config) -> BoundTokens {
    match config.resource_server.dpop {
        Dpop::Off => BoundTokens::None,
        Dpop::Allowed => BoundTokens::Some,
        Dpop::Required => BoundTokens::All,
    }
}

fn certificates_asked(config: &Config) -> CertificatesAsked {
    let Some(tls) = &config.server.tls else { return CertificatesAsked::default() };
    CertificatesAsked {
        of_authorities: tls.client_ca_file.is_some(),
        self_signed: tls.self_signed_client_certificates,
    }
}

/// Where people log in, as operators may see it.
fn identity_providers(config: &Config) -> Vec<IdentityProviderView> {
    let issuer = issuer(&config.server.public_url);
    let view = |known: &config::IdentityProvider| IdentityProviderView {
        id: known.id.clone(),
        name: known.name.clone(),
        issuer: known.issuer.clone(),
        source: "settings",
        served: true,
        problem: None,
        client_id: known.client_id.to_string(),
        confidential: known.client_secret.is_some(),
        client_secret: None,
        scopes: known.scopes.to_string(),
        discovered: known.endpoints.is_none(),
        callback: format!("{issuer}/login/callback/{}", known.id),
        claims: claims(&known.claims),
        groups_prefix: known.claims.groups_prefix.clone(),
        roles_prefix: known.claims.roles_prefix.clone(),
        required_claims: known.require.keys().cloned().collect(),
        require: known.require.clone(),
        standing: known.standing,
        created_at: None,
        disabled_at: None,
    };
    config.authorization_server.identity_providers.iter().map(view).collect()
}

fn claims(known: &config::ProviderClaims) -> ProviderClaimNames {
    let config::ProviderClaims { subject, username, name, email, groups, roles, .. } =
        known.clone();
    ProviderClaimNames { subject, username, name, email, groups, roles }
}

/// What providers of the store may be shown, as far as administration knows it: no secret.
fn provider_secrets(config: &Config) -> Vec<ProviderSecret> {
    let known = config.authorization_server.identity_provider_secrets.iter();
    let named = |known: &config::IdentityProviderSecret| ProviderSecret {
        name: known.name.clone(),
        issuers: known.issuers.clone(),
    };
    known.map(named).collect()
}

/// What registered servers may be given, as far as administration knows it: no secret.
pub(super) fn as_named(credential: &UpstreamNamedCredential) -> NamedCredential {
    NamedCredential { name: credential.name.clone(), urls: credential.urls.clone() }
}

/// The same operations as the admin API's, on the same store, while a broker runs or not. Whoever may read the settings
/// and open the store is an administrator.
///
/// # Errors
///
/// [`AppError`] when the store or the log of commands cannot be opened.
pub async fn command_operations(config: &Config) -> Result<Operations, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let auditor = kept_command_auditor(config, &clock, &random).await?;
    let (settings, store) = (settings(config), keys::store(config, &clock).await?);
    let providers = store.list_identity_providers().await?;
    settings.administrators.groups.leave_out(providers.into_iter().map(|row| row.groups_prefix));
    Ok(Operations { settings, store, clock, random, auditor, serving: None })
}
