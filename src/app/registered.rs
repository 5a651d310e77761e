//! Servers that were registered while brokers run, and are reached through us: read from the store again and again, by
//! every replica.
//!
//! Calls meet none of it: they look into a table that is replaced as a whole when a server was added, changed or taken out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::Config;
use crate::http::{RegisteredServers, ServerEndpoint};
use crate::outbound::Outbound;
use crate::resource_server::{LocalKeys, Verifier, canonical};
use crate::secret::Secrets;
use crate::store::{Database, ResourceRow};

use super::build::{Doors, token_issuers};
use super::endpoints::Name;
use super::error::AppError;
use super::issuers;
use super::issuing::revocations;
use super::servers::{Described, Each, MAX_RESPONSE_BYTES, Shared, TIMEOUT, endpoint};

/// How soon every replica knows of a server.
const EVERY: Duration = Duration::from_secs(3);
/// How long a verified token is remembered, and so how long a retired key may still serve here: nobody tells this cache.
const REMEMBER: Duration = Duration::from_secs(5);
const TOKENS: u64 = 10_000;

/// What it takes to serve them.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) config: Config,
    pub(super) names: Vec<Name>,
    pub(super) store: Arc<dyn Database>,
    pub(super) keys: Arc<LocalKeys>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) outbound: Outbound,
    pub(super) doors: Doors,
    pub(super) behind: Arc<Shared>,
    /// One table for each of our names.
    pub(super) tables: Vec<RegisteredServers>,
    pub(super) known: Known,
}

/// As they were last read, with what is kept of each for as long as it stays the same.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: Vec<ResourceRow>,
    each: HashMap<String, Each>,
}

impl Registered {
    /// Looks at the store until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = Instant::now() + EVERY;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due) => self.look().await,
            }
        }
    }

    /// Serves what is registered now. What cannot be read stays as it was.
    pub(super) async fn look(&mut self) {
        let looked = self.replace().await;
        if let Err(error) = looked {
            tracing::warn!(error = &error as &dyn std::error::Error, "upstream.registered_unread");
        }
    }

    async fn replace(&mut self) -> Result<(), AppError> {
        let rows = self.store.list_proxied_resources().await?;
        if rows == self.known.rows {
            return Ok(());
        }
        let mut each = HashMap::with_capacity(rows.len());
        for row in &rows {
            if !self.is_served(row) {
                continue;
            }
            let Ok(url) = row.url.as_deref().unwrap_or_default().parse::<Url>() else { continue };
            let same = self.known.rows.iter().any(|known| known == row);
            let kept = self.known.each.remove(&row.id).filter(|_| same);
            each.insert(row.id.clone(), kept.unwrap_or_else(|| Each::plain(url)));
        }
        let served: Vec<&ResourceRow> =
            rows.iter().filter(|row| each.contains_key(&row.id)).collect();
        let verifier = if served.is_empty() { None } else { Some(self.verifier(&served)?) };
        for (name, table) in self.names.iter().zip(&self.tables) {
            let mut endpoints = HashMap::with_capacity(served.len());
            for row in &served {
                if let (Some(each), Some(verifier)) = (each.get(&row.id), &verifier) {
                    endpoints.insert(row.id.clone(), self.endpoint(name, row, each, verifier)?);
                }
            }
            table.replace(endpoints);
        }
        tracing::info!(servers = served.len(), "upstream.registered");
        self.known = Known { rows, each };
        Ok(())
    }

    /// Not where the settings have a server of that name, or where it was registered when we were called otherwise.
    fn is_served(&self, row: &ResourceRow) -> bool {
        let ours = self.names.first().map(|name| name.server(&row.id));
        let ours = ours.is_some_and(|ours| canonical(&ours) == row.uri);
        let settled = self.config.upstream.servers.iter().any(|server| server.id == row.id);
        if !ours || settled {
            let server = &row.id;
            tracing::warn!(server, ours, settled, "upstream.registered_not_served");
        }
        ours && !settled
    }

    /// Of tokens for any of them; each endpoint takes its own alone.
    fn verifier(&self, rows: &[&ResourceRow]) -> Result<Arc<Verifier>, AppError> {
        let audiences: Vec<String> =
            rows.iter().flat_map(|row| audiences(&self.names, row)).collect();
        let clock = &self.doors.clock;
        let (outbound, secrets) = (self.outbound.clone(), &self.secrets);
        let audiences = (audiences.as_slice(), [].as_slice());
        let builder =
            issuers::verifier_for(&self.config, &self.keys, audiences, secrets, outbound, clock);
        let revocations = revocations(&self.config, &self.store)?;
        let builder = builder?.revocations(revocations).cache(TOKENS, REMEMBER);
        Ok(Arc::new(builder.build()?))
    }

    fn endpoint(
        &self,
        name: &Name,
        row: &ResourceRow,
        each: &Each,
        verifier: &Arc<Verifier>,
    ) -> Result<ServerEndpoint, AppError> {
        let described = Described {
            id: &row.id,
            title: &row.name,
            resource: name.server(&row.id),
            audiences: audiences(&self.names, row),
            scopes: row.scopes.clone(),
            identity: None,
            timeout: TIMEOUT,
            max_response_bytes: MAX_RESPONSE_BYTES,
            binding: (name.base.clone(), false),
        };
        let issuers = token_issuers(&self.config);
        endpoint(&self.doors, &self.behind, (Arc::clone(verifier), issuers), (described, each))
    }
}

/// It is one server under each of our names, and its tokens name the first of them.
fn audiences(names: &[Name], row: &ResourceRow) -> Vec<String> {
    names.iter().map(|name| canonical(&name.server(&row.id)).to_owned()).collect()
}
