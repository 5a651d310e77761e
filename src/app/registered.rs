//! Servers that were registered while brokers run, and are reached through us: read from the store again and again, by
//! every replica.
//!
//! Calls meet none of it: they look into a table that is replaced as a whole when a server was added, changed or taken out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::admin::{OnToolFlaw, ProxySettings, ServerEra};
use crate::authorization_server::AuthorizationServer;
use crate::broker::Profile;
use crate::config::{Config, UpstreamCredential, UpstreamNamedCredential};
use crate::connections::{Connections, ServerSettings};
use crate::http::{RegisteredServers, ServerEndpoint};
use crate::outbound::Outbound;
use crate::resource_server::{LocalKeys, Verifier, canonical, well_known_url};
use crate::secret::Secrets;
use crate::store::{Database, ResourceRow, StoreError};
use crate::upstream::{Credential, Era, Folded, Identity, OnFlaw, Server, Watch, outage_name};

use super::connections::server_of;
use super::doors::Doors;
use super::endpoints::Name;
use super::error::AppError;
use super::mounting::token_issuers;
use super::observe::Tools;
use super::revoked::revocations;
use super::servers::{Described, Each, MAX_RESPONSE_BYTES, Shared, TIMEOUT, endpoint, server};
use super::upstream_credentials::{Materials, word_for};
use super::{issuers, operations};

/// How soon every replica knows of a server.
const EVERY: Duration = Duration::from_secs(3);
/// How long a verified token is remembered, and so how long a retired key may still serve here: nobody tells this cache.
const REMEMBER: Duration = Duration::from_secs(5);
const TOKENS: u64 = 10_000;
/// How often the store is told which servers are served: pins of others are cleaned up after days.
const HOLD: Duration = Duration::from_hours(1);

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
    /// One list for each of our names.
    pub(super) folded: Vec<Arc<Folded>>,
    pub(super) known: Known,
    /// With what credentials are made that are each caller's.
    pub(super) for_callers: ForCallers,
    /// Whose tools metrics and traces may name.
    pub(super) shown: Arc<Tools>,
}

/// What credentials that are each caller's are made with.
#[derive(Clone, Debug)]
pub(super) struct ForCallers {
    pub(super) profiles: Vec<Profile>,
    /// `None` where people connect no accounts.
    pub(super) connections: Option<Connections>,
    /// `None` where nobody logs in here.
    pub(super) server: Option<AuthorizationServer>,
}

/// As they were last read, with what is kept of each for as long as it stays the same.
#[derive(Debug, Default)]
pub(super) struct Known {
    rows: Vec<ResourceRow>,
    each: HashMap<String, Kept>,
    /// The last that there was, for the one that comes next: it goes on with what this one knows of other issuers.
    believed: Option<Arc<Verifier>>,
    /// At one of them people cannot connect accounts for now: it is tried again.
    lacks_accounts: bool,
    /// When the store was told last that these servers are served.
    held: Option<Instant>,
}

/// One that is served.
#[derive(Clone, Debug)]
struct Kept {
    each: Each,
    proxy: ProxySettings,
    url: Url,
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
        if let Err(error) = self.follow().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "upstream.pins_unread");
        }
    }

    /// Reads to what the tools of each server are held, where another replica or an administrator has changed that.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let versions = self.store.tool_pin_versions().await?;
        let versions: HashMap<String, i64> = versions.into_iter().collect();
        let settled = self.behind.each.iter();
        let registered = self.known.each.iter().map(|(id, kept)| (id, &kept.each));
        let mut held = Vec::new();
        for (id, each) in settled.chain(registered) {
            let version = versions.get(id).copied();
            each.follow(version).await?;
            held.extend(version.map(|_| id.clone()));
        }
        let now = Instant::now();
        if self.known.held.is_none_or(|held| now.duration_since(held) > HOLD) {
            self.store.hold_tool_pins(&held, self.doors.clock.now()).await?;
            self.known.held = Some(now);
        }
        Ok(())
    }

    async fn replace(&mut self) -> Result<(), AppError> {
        let rows = self.store.list_proxied_resources().await?;
        if rows == self.known.rows && !self.known.lacks_accounts {
            return Ok(());
        }
        let mut each = HashMap::with_capacity(rows.len());
        let mut stay = HashSet::new();
        let known = self.known.rows.iter().map(|row| (row.id.as_str(), row));
        let known: HashMap<&str, &ResourceRow> = known.collect();
        for row in &rows {
            if !self.is_served(row) {
                continue;
            }
            let same = known.get(row.id.as_str()) == Some(&row);
            let kept = self.known.each.get(&row.id).filter(|_| same).cloned();
            stay.extend(kept.as_ref().map(|_| row.id.clone()));
            let made = kept.map_or_else(|| self.kept(row), |kept| Ok(Some(kept)))?;
            each.extend(made.map(|kept| (row.id.clone(), kept)));
        }
        let served: Vec<&ResourceRow> =
            rows.iter().filter(|row| each.contains_key(&row.id)).collect();
        let verifier = if served.is_empty() { None } else { Some(self.verifier(&served, &each)?) };
        let mut ids = Vec::new();
        for row in &served {
            let folded = each.get(&row.id).is_some_and(|kept| kept.proxy.fold);
            ids.extend(folded.then(|| row.id.clone()));
        }
        let mut lacks_accounts = false;
        // First: where one is now decides which accounts are for it.
        if let Some(connections) = &self.for_callers.connections {
            let (servers, are_all) = self.with_accounts(&each);
            connections.replace(servers);
            lacks_accounts = !are_all;
        }
        for (name, (table, list)) in self.names.iter().zip(self.tables.iter().zip(&self.folded)) {
            let mut endpoints = HashMap::with_capacity(served.len());
            let mut folded = Vec::new();
            for row in &served {
                let (Some(kept), Some(verifier)) = (each.get(&row.id), &verifier) else { continue };
                endpoints.insert(row.id.clone(), self.endpoint(name, row, kept, verifier)?);
                if kept.proxy.fold {
                    folded.push(self.folded(name, row, kept)?);
                }
            }
            list.replace(folded);
            table.replace(endpoints);
        }
        self.behind.folded.replace(ids);
        self.behind.changing.replace(verifier.clone());
        self.shown.serve(each.keys().cloned().collect());
        // They are removed, disabled, or reached another way: their streams end, and calls under way are waited for.
        for (id, gone) in self.known.each.iter().filter(|(id, _)| !stay.contains(*id)) {
            gone.each.close();
            self.behind.outages.forget(&outage_name(id));
        }
        tracing::info!(servers = served.len(), "upstream.registered");
        let believed = verifier.or_else(|| self.known.believed.take());
        self.known = Known { rows, each, believed, lacks_accounts, held: self.known.held };
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

    /// `None` where it cannot be served as it was registered: rather not at all than without what it asks for.
    fn kept(&self, row: &ResourceRow) -> Result<Option<Kept>, AppError> {
        let server = &row.id;
        let Ok(url) = row.url.as_deref().unwrap_or_default().parse::<Url>() else {
            return Ok(None);
        };
        let Ok(proxy) = ProxySettings::of(row) else {
            tracing::warn!(server, "upstream.registered_unreadable");
            return Ok(None);
        };
        if !proxy.is_bound_as_it_asks(operations::bound_tokens(&self.config)) {
            tracing::warn!(server, "upstream.registered_without_bound_tokens");
            return Ok(None);
        }
        let Some(credential) = self.credential(row, &proxy, &url)? else {
            tracing::warn!(server, "upstream.registered_without_its_credential");
            return Ok(None);
        };
        let kept = (row.id.as_str(), Arc::clone(&self.doors.clock));
        let watch = watch(&proxy).kept_in(Arc::clone(&self.store) as _, kept);
        let about = (watch, era(proxy.era));
        let each =
            Each::registered(url.clone(), about, credential, self.behind.closing.child_token());
        Ok(Some(Kept { each, proxy, url }))
    }

    /// `None` where the settings have none of that name for a server there: whatever the store says, they decide.
    fn credential(
        &self,
        row: &ResourceRow,
        proxy: &ProxySettings,
        url: &Url,
    ) -> Result<Option<Credential>, AppError> {
        if proxy.credential.is_none() {
            return Ok(Some(Credential::None));
        }
        let Some(known) = self.named(proxy, url) else { return Ok(None) };
        let from = (&self.config, &self.behind.ring, self.for_callers.profiles.as_slice());
        let around = (Arc::clone(&self.doors.clock), Arc::clone(&self.doors.random));
        let ForCallers { connections, server, .. } = &self.for_callers;
        let theirs = (connections.as_ref(), &self.behind.addresses, server.as_ref());
        let materials = Materials::new(from, (&self.secrets, &self.outbound), &around, theirs);
        materials.shown(&known.credential, (&row.id, Some(url)))
    }

    /// The credential that the settings have for a server there.
    fn named(&self, proxy: &ProxySettings, url: &Url) -> Option<&UpstreamNamedCredential> {
        let name = proxy.credential.as_ref()?;
        let mut known = self.config.upstream.credentials.iter();
        known.find(|known| known.name == *name && operations::as_named(known).is_for(url))
    }

    /// What else tokens for it may name: the settings say so, with its credential.
    fn other_audiences(&self, kept: &Kept) -> &[String] {
        self.named(&kept.proxy, &kept.url).map_or(&[], |known| known.audiences.as_slice())
    }

    /// Those at which people connect accounts, and whether these are all. What cannot be made keeps no other server from being
    /// served, or taken out.
    fn with_accounts(&self, each: &HashMap<String, Kept>) -> (Vec<ServerSettings>, bool) {
        let (mut servers, mut are_all) = (Vec::new(), true);
        for (id, kept) in each {
            let Some(known) = self.named(&kept.proxy, &kept.url) else { continue };
            let UpstreamCredential::PerUser(settings) = &known.credential else { continue };
            let with = (&self.secrets, &self.outbound, &self.doors.clock);
            match server_of(&self.config, (id, &kept.url), settings, with) {
                Ok(made) => servers.extend(made),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(server = id, error, "upstream.registered_without_accounts");
                    are_all = false;
                }
            }
        }
        servers.sort_by(|one, other| one.id.cmp(&other.id));
        (servers, are_all)
    }

    /// Of tokens for any of them; each endpoint takes its own alone.
    fn verifier(
        &self,
        rows: &[&ResourceRow],
        each: &HashMap<String, Kept>,
    ) -> Result<Arc<Verifier>, AppError> {
        let audiences: Vec<String> =
            rows.iter().flat_map(|row| audiences(&self.names, row)).collect();
        let others: Vec<String> =
            each.values().flat_map(|kept| self.other_audiences(kept)).cloned().collect();
        let clock = &self.doors.clock;
        let (outbound, secrets) = (self.outbound.clone(), &self.secrets);
        let audiences = (audiences.as_slice(), others.as_slice());
        let builder =
            issuers::verifier_for(&self.config, &self.keys, audiences, secrets, outbound, clock);
        let revocations = revocations(&self.config, &self.store)?;
        let mut builder = builder?.revocations(revocations).cache(TOKENS, REMEMBER);
        if let Some(before) = &self.known.believed {
            builder = builder.going_on_from(before);
        }
        Ok(Arc::new(builder.build()?))
    }

    fn endpoint(
        &self,
        name: &Name,
        row: &ResourceRow,
        kept: &Kept,
        verifier: &Arc<Verifier>,
    ) -> Result<ServerEndpoint, AppError> {
        let (timeout, max_response_bytes) = limits(&kept.proxy);
        let described = Described {
            id: &row.id,
            title: &row.name,
            resource: name.server(&row.id),
            audiences: self.audiences(row, kept),
            scopes: row.scopes.clone(),
            identity: self.identity(kept)?,
            timeout,
            max_response_bytes,
            binding: (name.base.clone(), kept.proxy.dpop_required),
        };
        let issuers = token_issuers(&self.config);
        let known = (Arc::clone(verifier), issuers);
        endpoint(&self.doors, &self.behind, known, (described, &kept.each))
    }

    /// Its own, under each of our names, and what the settings allow beside them.
    fn audiences(&self, row: &ResourceRow, kept: &Kept) -> Vec<String> {
        let mut all = audiences(&self.names, row);
        all.extend_from_slice(self.other_audiences(kept));
        all
    }

    /// The server as one whose tools stand beside ours.
    fn folded(&self, name: &Name, row: &ResourceRow, kept: &Kept) -> Result<Server, AppError> {
        let door = self.doors.to(well_known_url(&name.resource), false);
        let (timeout, max_response_bytes) = limits(&kept.proxy);
        Ok(Server {
            folded: true,
            identity: self.identity(kept)?,
            timeout,
            max_response_bytes,
            ..server(&row.id, &kept.each, (&self.behind, door))
        })
    }

    fn identity(&self, kept: &Kept) -> Result<Option<Identity>, AppError> {
        if !kept.proxy.identity_header {
            return Ok(None);
        }
        let around = (&self.doors.clock, &self.doors.random);
        let about = (&self.behind.ring, &self.behind.addresses);
        word_for(&self.config, about, around, kept.url.as_str()).map(Some)
    }
}

/// For an answer, and of one.
pub(super) fn limits(proxy: &ProxySettings) -> (Duration, usize) {
    let timeout = proxy.timeout_ms.map_or(TIMEOUT, |given| Duration::from_millis(given.into()));
    let bytes = proxy.max_response_bytes.and_then(|given| usize::try_from(given).ok());
    (timeout, bytes.unwrap_or(MAX_RESPONSE_BYTES))
}

fn watch(proxy: &ProxySettings) -> Watch {
    let on = |flaw: Option<OnToolFlaw>, otherwise| match flaw {
        None => otherwise,
        Some(OnToolFlaw::Alert) => OnFlaw::Alert,
        Some(OnToolFlaw::Hide) => OnFlaw::Hide,
    };
    let pins = proxy.pins.iter().map(|(tool, digest)| (tool.clone(), digest.clone())).collect();
    let on_change = on(proxy.on_change, OnFlaw::Alert);
    Watch::new(pins, (on_change, on(proxy.on_hidden_text, OnFlaw::Hide)))
}

const fn era(said: Option<ServerEra>) -> Era {
    match said {
        None | Some(ServerEra::Auto) => Era::Auto,
        Some(ServerEra::Old) => Era::Old,
        Some(ServerEra::New) => Era::New,
        Some(ServerEra::Both) => Era::Both,
    }
}

/// It is one server under each of our names, and its tokens name the first of them.
pub(super) fn audiences(names: &[Name], row: &ResourceRow) -> Vec<String> {
    names.iter().map(|name| canonical(&name.server(&row.id)).to_owned()).collect()
}
