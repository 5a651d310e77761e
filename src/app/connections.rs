//! People's accounts at the servers that want them, from the settings.

use std::sync::Arc;

use url::Url;

use crate::authorization_server::ServerSecret;
use crate::config::{Config, UpstreamCredential, UpstreamPerUser};
use crate::connections::{self, Connections, Explicit, ServerSettings};
use crate::oauth_client::ClientIdentity;
use crate::outbound::{Outbound, OutboundSettings};
use crate::random::Random;
use crate::secret::Secrets;
use crate::store::Database;
use crate::time::Clock;

use super::call_steps;
use super::endpoints::issuer;
use super::error::AppError;
use super::map;
use super::upstream_credentials::{held, url_of};

/// Where our client metadata document is, below `server.public_url`.
pub(super) const IDENTITY_PATH: &str = "/oauth-client.json";

/// Accounts of people at the servers that want them. `None` where none does, or nobody can log in here.
///
/// # Errors
///
/// [`AppError`] where `server.public_url` cannot have a path.
pub(super) fn connections(
    config: &Config,
    (store, encryption): (&Arc<dyn Database>, &ServerSecret),
    (secrets, outbound): (&Arc<Secrets>, &Outbound),
    (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<Option<Connections>, AppError> {
    let base = issuer(&config.server.public_url);
    let url = |path: &str| format!("{base}{path}").parse::<Url>().ok();
    let mut servers = Vec::new();
    for server in &config.upstream.servers {
        let UpstreamCredential::PerUser(settings) = &server.credential else { continue };
        let Some(at) = url_of(server) else { continue };
        let with = (secrets, outbound, clock);
        servers.extend(server_of(config, (&server.id, at), settings, with)?);
    }
    let mut named = config.upstream.credentials.iter();
    let registered = named.any(|named| matches!(named.credential, UpstreamCredential::PerUser(_)));
    let none = servers.is_empty() && !registered;
    let (Some(document), false) = (url(IDENTITY_PATH), none) else { return Ok(None) };
    if !config.authorization_server.enabled {
        return Ok(None);
    }
    let key = Arc::new(encryption.key_encryption_key());
    let opener = Arc::clone(&key);
    Ok(Some(Connections::new(connections::Parts {
        store: Arc::clone(store) as _,
        seal: Arc::new(move |text, context| key.seal_text(text, context)),
        open: Arc::new(move |sealed, context| opener.open_text(sealed, context)),
        clock: Arc::clone(clock),
        random: Arc::clone(random),
        identity: ClientIdentity {
            document,
            redirect_uris: servers.iter().map(|server| server.redirect_uri.clone()).collect(),
            name: "MCP Auth Broker".to_owned(),
            home: url("/"),
        },
        page: format!("{base}/account").into(),
        servers,
    })))
}

/// The server `id`, there, as one at which people connect accounts. `None` where its callback cannot have a path here.
///
/// # Errors
///
/// [`AppError::Outbound`]
pub(super) fn server_of(
    config: &Config,
    (id, at): (&str, &Url),
    settings: &UpstreamPerUser,
    (secrets, outbound, clock): (&Arc<Secrets>, &Outbound, &Arc<dyn Clock>),
) -> Result<Option<ServerSettings>, AppError> {
    let base = issuer(&config.server.public_url);
    let callback = format!("{base}/account/connections/{id}/callback").parse::<Url>();
    let Ok(redirect_uri) = callback else { return Ok(None) };
    let reach = reach(config, (at, settings), outbound, clock)?;
    Ok(Some(per_user((id, at), settings, secrets, (redirect_uri, reach))))
}

fn per_user(
    (id, at): (&str, &Url),
    settings: &UpstreamPerUser,
    secrets: &Arc<Secrets>,
    (redirect_uri, outbound): (Url, Outbound),
) -> ServerSettings {
    let client = settings.client.as_ref();
    let client = client
        .map(|(id, secret)| (id.clone(), secret.as_ref().map(|secret| held(secret, secrets))));
    let endpoints = settings.endpoints.as_ref().map(|endpoints| Explicit {
        authorize: endpoints.authorize_url.clone(),
        token: endpoints.token_url.clone(),
        revocation: endpoints.revocation_url.clone(),
        issuer: endpoints.issuer.clone(),
    });
    let scope = (!settings.scopes.is_empty()).then(|| settings.scopes.to_string());
    ServerSettings {
        id: id.to_owned(),
        url: at.clone(),
        endpoints,
        client,
        issuer: settings.issuer.clone(),
        scope,
        redirect_uri,
        outbound,
    }
}

/// What an operator wrote down is reached as the settings allow. What a server names is reached at public addresses, and at
/// the server's own host where that is listed: else it could lead us anywhere within our own network.
fn reach(
    config: &Config,
    (at, settings): (&Url, &UpstreamPerUser),
    outbound: &Outbound,
    clock: &Arc<dyn Clock>,
) -> Result<Outbound, AppError> {
    if settings.endpoints.is_some() {
        return Ok(outbound.clone());
    }
    let own = at.host_str().filter(|_| outbound.may_be_private(at));
    let allow_private = own.map(|host| host.trim_matches(['[', ']']).parse());
    let allow_private = allow_private.into_iter().flatten().collect();
    let reach = Outbound::new(&OutboundSettings { allow_private, ..map::outbound(config) })?;
    Ok(call_steps::watched(reach, config, (clock, false)))
}
