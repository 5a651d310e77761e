//! The servers behind us, from the settings: each with a token check of its own audience, and the grants that they make.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use url::Url;

use crate::authorization_server::{KeyRing, ServerSecret};
use crate::broker::{Approvals, Outages};
use crate::config::{
    Config, OnToolFlaw, UpstreamCommand, UpstreamEra, UpstreamServer, UpstreamTransport,
};
use crate::guard::Door;
use crate::http::{RegisteredServers, ServerEndpoint, ServerEndpoints};
use crate::outbound::Outbound;
use crate::policy::Live;
use crate::resource_server::{
    RequireTokenLayer, ResourceMetadata, Revocations, Verifier, well_known_url,
};
use crate::scope::Scope;
use crate::store::{Database, StoreError};
use crate::upstream::{
    self, ChildSettings, Credential, Decider, Era, Eras, Hosted, Identity, OnFlaw, Reach, Server,
    Sessions, Waiting, Watch,
};

use super::addresses::Addresses;
use super::doors::Doors;
use super::endpoints::Name;
use super::error::AppError;
use super::folded::FoldedIds;
use super::mounting::{Mounting, token_issuers};
use super::server_resources::{audiences_of, scopes};
use super::upstream_credentials::{Materials, word_for};
use super::verifiers::Changing;

/// As for a server of the settings that says nothing else.
pub(super) const TIMEOUT: Duration = Duration::from_mins(1);
pub(super) const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// What all of them share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Accepts tokens for any of them; each endpoint then takes its own alone. `None`: there are none.
    pub(super) verifier: Option<Arc<Verifier>>,
    /// The same for those that are registered while we run.
    pub(super) changing: Changing,
    pub(super) policy: Live,
    pub(super) approvals: Approvals,
    pub(super) outbound: Outbound,
    pub(super) sessions: Sessions,
    pub(super) waiting: Waiting,
    pub(super) revocations: Arc<dyn Revocations>,
    pub(super) folded: FoldedIds,
    /// By id: what is one for all our names.
    pub(super) each: HashMap<String, Each>,
    /// With whose keys it is signed who calls.
    pub(super) ring: Arc<KeyRing>,
    /// What is said of them beside.
    pub(super) addresses: Arc<Addresses>,
    pub(super) outages: Arc<Outages>,
    /// Ends the streams that stay open when the broker drains.
    pub(super) closing: CancellationToken,
}

/// What tokens for them are held against.
type Believed = (Option<Arc<Verifier>>, Arc<dyn Revocations>, FoldedIds);

/// What is one for all our names of a server.
#[derive(Clone, Debug)]
pub(super) struct Each {
    watch: Arc<Watch>,
    era: Arc<Eras>,
    credential: Credential,
    reach: Reach,
    /// Ends the streams that stay open: with the broker, and with the server where it comes and goes.
    closing: CancellationToken,
}

impl Each {
    /// Of a server that comes and goes while we run.
    pub(super) fn registered(
        url: Url,
        (watch, era): (Watch, Era),
        credential: Credential,
        closing: CancellationToken,
    ) -> Self {
        let (watch, era) = (Arc::new(watch), Arc::new(Eras::new(era)));
        Self { watch, era, credential, reach: Reach::Http(url), closing }
    }

    /// Reads to what its tools are held, unless that is of this version.
    pub(super) async fn follow(&self, version: Option<i64>) -> Result<(), StoreError> {
        self.watch.follow(version).await
    }

    /// It is a server of ours no more.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }
}

/// A server under one of our names.
#[derive(Debug)]
pub(super) struct Described<'a> {
    pub(super) id: &'a str,
    /// For people.
    pub(super) title: &'a str,
    pub(super) resource: Url,
    /// Tokens name one of these.
    pub(super) audiences: Vec<String>,
    /// What clients are told to ask for.
    pub(super) scopes: Scope,
    pub(super) identity: Option<Identity>,
    pub(super) timeout: Duration,
    pub(super) max_response_bytes: usize,
    /// The name it is reached by, and whether it asks by itself for tokens that are bound to a key.
    pub(super) binding: (Url, bool),
}

/// The guarded endpoint of a server, and its metadata.
pub(super) fn endpoint(
    doors: &Doors,
    behind: &Shared,
    (verifier, issuers): (Arc<Verifier>, Vec<String>),
    (described, each): (Described<'_>, &Each),
) -> Result<ServerEndpoint, AppError> {
    let metadata_url = well_known_url(&described.resource);
    let token = RequireTokenLayer::new(verifier, &metadata_url)
        .scope_hint(&described.scopes)
        .only_for(described.audiences);
    let (base, bound) = &described.binding;
    let token = doors.binding.of(token, (base, *bound));
    let server = Server {
        identity: described.identity,
        timeout: described.timeout,
        max_response_bytes: described.max_response_bytes,
        ..server(described.id, each, (behind, doors.to(metadata_url, *bound)))
    };
    let mut metadata = ResourceMetadata::new(described.resource, issuers);
    metadata.scopes_supported = described.scopes;
    metadata.dpop = doors.binding.shown(*bound);
    metadata.resource_name = Some(described.title.to_owned());
    let endpoint = upstream::endpoint(server, token, doors.recorder());
    Ok(ServerEndpoint { endpoint, metadata: metadata.publish()? })
}

/// A server about which nothing special is said.
pub(super) fn server(id: &str, each: &Each, (behind, door): (&Shared, Door)) -> Server {
    Server {
        id: id.into(),
        reach: each.reach.clone(),
        credential: each.credential.clone(),
        watch: Arc::clone(&each.watch),
        era: Arc::clone(&each.era),
        folded: false,
        identity: None,
        door,
        decider: Decider { policy: behind.policy.clone(), server: id.into(), beside: None },
        approvals: behind.approvals.clone(),
        closing: each.closing.clone(),
        revocations: Arc::clone(&behind.revocations),
        outages: Arc::clone(&behind.outages),
        outbound: behind.outbound.clone(),
        sessions: behind.sessions.clone(),
        waiting: behind.waiting.clone(),
        timeout: TIMEOUT,
        max_response_bytes: MAX_RESPONSE_BYTES,
    }
}

impl Shared {
    /// The child processes among them.
    pub(super) fn children(&self) -> Vec<(String, Arc<Hosted>)> {
        let children = self.each.iter().filter_map(|(id, each)| match &each.reach {
            Reach::Child(child) => Some((id.clone(), Arc::clone(child))),
            Reach::Http(_) => None,
        });
        children.collect()
    }

    pub(super) fn new(
        materials: &Materials<'_>,
        (store, (verifier, revocations, folded)): (&Arc<dyn Database>, Believed),
        (policy, approvals, (outages, closing)): (
            &Live,
            &Approvals,
            (&Arc<Outages>, &CancellationToken),
        ),
        encryption: &ServerSecret,
    ) -> Result<Self, AppError> {
        let Materials { outbound, ring, addresses, .. } = materials;
        let mut each = HashMap::new();
        for server in &materials.config.upstream.servers {
            // Where there is none, the settings' check has said so.
            let Some(credential) = materials.credential(server)? else { continue };
            let reach = match &server.transport {
                UpstreamTransport::Http(url) => Reach::Http(url.clone()),
                UpstreamTransport::Child(command) => {
                    let settings = child(server, command, materials);
                    Reach::Child(Arc::new(Hosted::new(settings, Arc::clone(materials.clock))))
                }
            };
            let kept = (server.id.as_str(), Arc::clone(materials.clock));
            let watch = watch(server).kept_in(Arc::clone(store) as _, kept);
            let watch = Arc::new(watch);
            let era = Arc::new(Eras::new(era(server.era)));
            let closing = closing.clone();
            each.insert(server.id.clone(), Each { watch, era, credential, reach, closing });
        }
        Ok(Self {
            each,
            verifier,
            changing: Changing::default(),
            policy: policy.clone(),
            approvals: approvals.clone(),
            // Their calls are steps of their own, with what is known of them. Each has a connection: whoever reads a stream
            // slowly must not stop the others at the same origin.
            outbound: outbound.unwatched().with_a_connection_for_each_call()?,
            sessions: Sessions::new(&encryption.text()),
            waiting: Waiting::new(Arc::clone(materials.random)),
            revocations,
            folded,
            ring: Arc::clone(ring),
            addresses: Arc::clone(addresses),
            outages: Arc::clone(outages),
            closing: closing.clone(),
        })
    }
}

impl Mounting<'_> {
    /// Each server that can be served under one of our names; those that are registered come and go.
    pub(super) fn servers(
        &self,
        name: &Name,
        registered: RegisteredServers,
    ) -> Result<ServerEndpoints, AppError> {
        let mut endpoints = HashMap::new();
        for settings in &self.config.upstream.servers {
            let Some(verifier) = &self.behind.verifier else { continue };
            let Some(each) = self.behind.each.get(&settings.id) else { continue };
            let resource = name.server(&settings.id);
            let described = Described {
                id: &settings.id,
                title: &settings.id,
                audiences: audiences_of(settings, &resource),
                resource,
                scopes: scopes(settings),
                identity: identity(self.config, &self.behind, &self.doors, settings)?,
                timeout: settings.timeout,
                max_response_bytes: settings.max_response_bytes,
                binding: (name.base.clone(), settings.dpop_required),
            };
            let known = (Arc::clone(verifier), token_issuers(self.config));
            let endpoint = endpoint(&self.doors, &self.behind, known, (described, each))?;
            endpoints.insert(settings.id.clone(), endpoint);
        }
        Ok(ServerEndpoints::new(endpoints, registered))
    }
}

/// What tells a server who calls.
pub(super) fn identity(
    config: &Config,
    behind: &Shared,
    doors: &Doors,
    settings: &UpstreamServer,
) -> Result<Option<Identity>, AppError> {
    let UpstreamTransport::Http(url) = &settings.transport else { return Ok(None) };
    if !settings.identity_header {
        return Ok(None);
    }
    let about = (&behind.ring, &behind.addresses);
    word_for(config, about, (&doors.clock, &doors.random), url.as_str()).map(Some)
}

const fn era(settings: UpstreamEra) -> Era {
    match settings {
        UpstreamEra::Auto => Era::Auto,
        UpstreamEra::Old => Era::Old,
        UpstreamEra::New => Era::New,
        UpstreamEra::Both => Era::Both,
    }
}

fn watch(settings: &UpstreamServer) -> Watch {
    let on = |flaw| match flaw {
        OnToolFlaw::Alert => OnFlaw::Alert,
        OnToolFlaw::Hide => OnFlaw::Hide,
    };
    let pins = settings.pins.iter().map(|pin| (pin.tool.clone(), pin.digest.clone()));
    Watch::new(pins.collect(), (on(settings.on_change), on(settings.on_hidden_text)))
}

/// A process comes from the settings file alone: nothing else leads here (N117).
fn child(
    settings: &UpstreamServer,
    command: &UpstreamCommand,
    materials: &Materials<'_>,
) -> ChildSettings {
    let environment = command.environment.iter();
    ChildSettings {
        id: settings.id.as_str().into(),
        program: command.program.clone(),
        arguments: command.arguments.clone(),
        environment: environment
            .map(|(name, value)| (name.clone(), materials.held(value)))
            .collect(),
        directory: command.directory.clone(),
        start_timeout: command.start_timeout,
        max_message_bytes: settings.max_response_bytes,
        max_calls: command.max_calls,
        limits: command.limits,
        max_processes: command.max_processes,
    }
}
