//! Putting the endpoints in their places.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::{Config, Deployment};
use crate::http::{
    AllowedOrigins, BasePath, Endpoint, Front, Health, LAST_RESORT, RegisteredServers, Routes,
};
use crate::mcp::{Decider, GuardLayer, GuardSettings, Mount, ServerHandler, Toolbox};
use crate::metrics::Meters;
use crate::outbound::Outbound;
use crate::resource_server::{
    LocalKeys, RequireTokenLayer, ResourceMetadata, Verifier, well_known_url,
};
use crate::secret::Secrets;
use crate::store::Database;
use crate::upstream::Folded;

use super::doors::Doors;
use super::endpoints::{Name, issuer};
use super::error::AppError;
use super::observe::Tools;
use super::registered::{ForCallers, Known, Registered};
use super::servers;
use super::traces;

/// What every endpoint shares.
pub(super) struct Mounting<'a> {
    pub(super) config: &'a Config,
    pub(super) verifier: Arc<Verifier>,
    pub(super) decider: Decider,
    pub(super) toolbox: &'a Toolbox,
    pub(super) doors: Doors,
    pub(super) drain: &'a CancellationToken,
    pub(super) behind: Arc<servers::Shared>,
}

/// Where clients get tokens: from us, and where we issue none, from whom the settings name.
pub(super) fn token_issuers(config: &Config) -> Vec<String> {
    if config.authorization_server.enabled {
        return vec![issuer(&config.server.public_url)];
    }
    let known = config.resource_server.issuers.iter();
    known.map(|known| known.issuer.to_string()).collect()
}

impl Mounting<'_> {
    /// What is registered now, and follows what is registered.
    pub(super) async fn registered(
        &self,
        (names, folded, for_callers, shown): (Vec<Name>, Vec<Arc<Folded>>, ForCallers, Arc<Tools>),
        (store, keys): (&Arc<dyn Database>, Arc<LocalKeys>),
        (secrets, outbound): (Arc<Secrets>, Outbound),
    ) -> Registered {
        let mut registered = Registered {
            config: self.config.clone(),
            tables: names.iter().map(|_| RegisteredServers::default()).collect(),
            names,
            folded,
            store: Arc::clone(store),
            keys,
            secrets,
            outbound,
            doors: self.doors.clone(),
            behind: Arc::clone(&self.behind),
            known: Known::default(),
            for_callers,
            shown,
        };
        registered.look().await;
        registered
    }

    /// Everything that is served: the MCP endpoint under each of our names, and the routes for clients and for people.
    pub(super) fn front<H>(
        &self,
        registered: &Registered,
        handler: &H,
        (health, meters): (Health, Option<Meters>),
        ((public, private), lost): ((axum::Router, axum::Router), Option<axum::Router>),
    ) -> Result<Front, AppError>
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let names = &registered.names;
        let endpoints = names.iter().zip(registered.tables.iter().zip(&registered.folded));
        let endpoints = endpoints.map(|under| self.endpoint(under, names, handler));
        Ok(Front::new(Routes {
            base: BasePath::new(self.config.server.public_url.path()),
            tls: self.config.server.tls.is_some(),
            longest: LAST_RESORT,
            health,
            origins: origins(self.config),
            endpoints: endpoints.collect::<Result<_, _>>()?,
            authorization_server: public,
            pages: private,
            lost,
            allowed_hosts: self.config.server.allowed_hosts.clone(),
            meters,
            traced: traces::traced(self.config),
        }))
    }

    fn endpoint<H>(
        &self,
        (name, (table, folded)): (&Name, (&RegisteredServers, &Arc<Folded>)),
        all: &[Name],
        handler: &H,
    ) -> Result<Endpoint, AppError>
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let metadata_url = well_known_url(&name.resource);
        let server = &self.config.server;
        let scopes = &self.config.authorization_server.default_scopes;
        let token =
            RequireTokenLayer::new(Arc::clone(&self.verifier), &metadata_url).scope_hint(scopes);
        let token = self.doors.binding.of(token, (&name.base, false));
        let guard = GuardLayer::new(GuardSettings {
            decider: self.decider.clone(),
            toolbox: self.toolbox.clone(),
            beside: Some(Arc::clone(folded) as _),
            door: self.doors.to(metadata_url, false),
        });
        let recorder = self.doors.recorder();
        let hosts =
            all.iter().map(|name| name.host.clone()).chain(server.allowed_hosts.clone()).collect();
        let drain = self.drain.clone();
        let mount =
            Mount { token, guard, recorder, hosts, max_body_bytes: server.max_body_bytes, drain };
        let mut metadata = ResourceMetadata::new(name.resource.clone(), token_issuers(self.config));
        metadata.scopes_supported = scopes.clone();
        metadata.resource_name = Some("MCP Auth Broker".to_owned());
        metadata.dpop = self.doors.binding.shown(false);
        let mcp = crate::mcp::routes(handler.clone(), mount);
        let servers = self.servers(name, table.clone())?;
        let metadata = metadata.publish()?;
        Ok(Endpoint { authority: name.authority.clone(), mcp, metadata, servers })
    }
}

/// Pages of our own origin, the configured ones, and in development those of any loopback port.
pub(super) fn origins(config: &Config) -> AllowedOrigins {
    let configured = config.server.allowed_origins.iter().filter_map(|origin| origin.parse().ok());
    let exact: Vec<Url> = configured.chain([config.server.public_url.clone()]).collect();
    AllowedOrigins::new(&exact, config.deployment == Deployment::Dev)
}
