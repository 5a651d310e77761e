//! The composition root: from settings to a running broker. The only place that names every module.

mod addresses;
mod alone;
mod approvals;
mod assertions;
mod begun;
mod beside;
mod build;
mod call_limits;
mod call_steps;
mod check;
mod check_cloud;
mod check_key;
mod check_live;
mod check_parts;
mod check_profiles;
mod check_servers;
mod cleaning;
mod client_certificates;
mod command_audit;
mod connections;
mod doctor;
mod doors;
mod dpop;
mod endpoints;
mod error;
mod explaining;
mod flat_permissions;
mod folded;
mod follow_keys;
mod graph;
mod held_back;
mod id_tokens;
mod identity_providers;
mod issuers;
mod issuing;
mod kept_names;
mod key_control;
mod keys;
mod known_clients;
mod logs;
mod looking;
mod map;
mod mounting;
mod observe;
mod operations;
mod parts;
mod people;
mod places;
mod platform;
mod policy;
mod readiness;
mod registered;
mod registered_resources;
mod rekey;
mod reload;
mod revoked;
#[cfg(test)]
mod revoked_tests;
mod scrape;
mod sealing;
mod server_grants;
mod server_resources;
mod servers;
mod step_spans;
mod tls;
mod traces;
mod trust;
mod upstream_credentials;
mod verifiers;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::audit::Auditor;
use crate::authorization_server::{AuthorizationServer, SigningKeys, first_administrator_link};
use crate::broker::Courier;
use crate::config::{Config, Deployment};
use crate::graph::simulated::Simulation;
use crate::http::{Front, Health, Stop};
use crate::limits::Limits;
use crate::mcp::Toolbox;
use crate::policy::Live;
use crate::store::Database;
use crate::time::Clock;

use cleaning::{clean_store, clean_up};

pub use approvals::{CommandApprovals, command_approvals};
pub use begun::Tries;
pub use check::{CheckFault, check, check_apart, policy_source};
pub use command_audit::{command_auditor, kept_command_auditor};
pub use doctor::{Area, Client, Step, Verdict, as_client, doctor};
pub use error::AppError;
pub use explaining::command_explainer;
pub use identity_providers::ProviderCheck;
pub use kept_names::{KeptNames, gate_of, kept_names};
pub use key_control::Keys;
pub use keys::{key_encryption_key_file, store_settings};
pub use known_clients::{known_clients, outbound_to_clients};
pub use looking::{Inspector, inspector};
pub use operations::command_operations;
pub use parts::{KeyUse, catalog, import_catalog, issuer, key_settings, resource, signing_keys};
pub use people::people_settings;
pub use policy::Source as PolicySource;
pub use rekey::{RekeyStep, Rekeyed, Rekeying};

/// A broker that is ready to serve.
#[derive(Debug)]
pub struct App {
    config: Config,
    front: Front,
    health: Health,
    auditor: Auditor,
    keys: follow_keys::Follower,
    announcer: sealing::Announcer,
    registered: registered::Registered,
    /// `None` where others issue all tokens.
    providers: Option<Arc<identity_providers::ProviderFollower>>,
    toolbox: Toolbox,
    policy: Live,
    reloader: reload::Reloader,
    /// `None` where nobody is told of calls that wait.
    courier: Option<Courier>,
    /// They end when everything was answered.
    children: readiness::Children,
    /// Their renewals end before the broker does. `None` where nobody connects accounts.
    connected: Option<crate::connections::Connections>,
    /// With the clock that its rows are compared with.
    store: (Arc<dyn Database>, Arc<dyn Clock>),
    /// Whose places are given back when their calls end.
    limits: Limits,
    /// `None` where others issue all tokens.
    authorization_server: Option<AuthorizationServer>,
    drain: CancellationToken,
    /// `None`: somebody else ends it.
    tls: Option<crate::http::Tls>,
    /// `None`: nothing is counted.
    watched: Option<watched::Watched>,
    /// `None`: nothing is sent to a collector.
    traces: Option<traces::Traces>,
    /// Where metrics alone are served.
    admin: Option<TcpListener>,
    /// Held for as long as it is to answer.
    _simulation: Option<Simulation>,
    /// Held for as long as it serves.
    _alone: alone::Alone,
}

impl App {
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    #[must_use]
    pub fn keys(&self) -> Arc<SigningKeys> {
        self.keys.ring.current()
    }

    #[must_use]
    pub const fn toolbox(&self) -> &Toolbox {
        &self.toolbox
    }

    #[must_use]
    pub const fn policy(&self) -> &Live {
        &self.policy
    }

    /// A one-time link with which the first administrator chooses a password. `None` once there is one, where others
    /// issue all tokens, and outside development: there `broker user add --admin` makes the first one.
    ///
    /// # Errors
    ///
    /// [`AppError::StoreFault`]
    pub async fn first_administrator_link(&self) -> Result<Option<Url>, AppError> {
        match &self.authorization_server {
            Some(server) if self.config.deployment == Deployment::Dev => {
                Ok(first_administrator_link(server).await?)
            }
            _ => Ok(None),
        }
    }

    /// Opens the listener of `server.admin_listen`, where metrics are wanted, and gives its address. [`App::serve`] does it
    /// where nobody did.
    ///
    /// # Errors
    ///
    /// [`AppError::Serve`]
    pub async fn open_admin(&mut self) -> Result<Option<SocketAddr>, AppError> {
        let wanted = self.config.server.admin_listen.filter(|_| self.watched.is_some());
        let Some(address) = wanted else { return Ok(None) };
        if self.admin.is_none() {
            self.admin = Some(crate::http::bind(address).await?);
        }
        Ok(self.admin.as_ref().and_then(|listener| listener.local_addr().ok()))
    }

    /// The whole product as one service, for tests that need no socket.
    pub fn front(&self) -> Front {
        self.front.clone()
    }

    /// Serves on `listener` until `stop.drain` resolves, then drains (at once when `stop.now` resolves) and closes
    /// the audit log.
    ///
    /// # Errors
    ///
    /// [`AppError`] when the audit log could not be closed with everything in it, or metrics have no listener.
    pub async fn serve<D, N>(
        mut self,
        listener: TcpListener,
        stop: Stop<D, N>,
    ) -> Result<(), AppError>
    where
        D: Future<Output = ()>,
        N: Future<Output = ()>,
    {
        self.open_admin().await?;
        let mut tasks = tokio::task::JoinSet::new();
        let listening = self.admin.zip(self.watched);
        watched::spawn(&mut tasks, (listening, self.traces), &self.health, &self.drain);
        tasks.spawn(self.reloader.run(self.drain.clone()));
        tasks.spawn(self.limits.keep(self.drain.clone().cancelled_owned()));
        let settling = self.authorization_server.clone();
        match self.authorization_server {
            Some(server) => {
                tasks.spawn(server.clone().tell_of_logouts(self.drain.clone()));
                tasks.spawn(clean_up(server, self.drain.clone()))
            }
            None => tasks.spawn(clean_store(self.store, self.drain.clone())),
        };
        if let Some(courier) = self.courier {
            tasks.spawn(courier.run(self.drain.clone()));
        }
        tasks.spawn(self.keys.run(self.drain.clone()));
        if let Some(connected) = self.connected.clone() {
            tasks.spawn(connected.end_with_grants(self.drain.clone()));
        }
        tasks.spawn(self.announcer.run(self.drain.clone()));
        tasks.spawn(self.registered.run(self.drain.clone()));
        if let Some(providers) = self.providers {
            tasks.spawn(providers.run(self.drain.clone()));
        }
        tasks.spawn(held_back::run(self.auditor.clone(), self.drain.clone()));
        let (proxies, limits) = (map::proxies(&self.config), map::limits(&self.config));
        let all =
            crate::http::serve(listener, self.tls, self.front, self.health, proxies, limits, stop)
                .await;
        if !all {
            tracing::warn!("http.drain_incomplete");
        }
        // Not before: it would end the calls that the drain waits for.
        self.drain.cancel();
        for (_, child) in self.children.iter() {
            let child = Arc::clone(child);
            tasks.spawn(async move { child.stop().await });
        }
        if let Some(connected) = self.connected {
            tasks.spawn(async move { connected.settle().await });
        }
        if let Some(server) = settling {
            tasks.spawn(async move { server.settle().await });
        }
        while tasks.join_next().await.is_some() {}
        self.auditor.close(Duration::from_secs(10)).await.map_err(AppError::Audit)
    }
}
