//! The servers behind us, from the settings: each with a token check of its own audience, and the grants that they make.

use std::collections::HashMap;
use std::sync::Arc;

use crate::authorization_server::{BehindUs, KeyRing, OwnResource};
use crate::broker::Approvals;
use crate::config::{Config, OnToolFlaw, UpstreamEra, UpstreamServer};
use crate::http::{ServerEndpoint, ServerEndpoints};
use crate::outbound::Outbound;
use crate::policy::{Effect, Granted, Live, RuleSpec};
use crate::resource_server::{
    RequireTokenLayer, ResourceMetadata, Verifier, canonical, well_known_url,
};
use crate::scope::{Scope, ScopeToken};
use crate::secret_text::SecretText;
use crate::upstream::{
    self, Credential, Decider, Era, Eras, Identity, OnFlaw, Server, Sessions, Watch,
};

use super::build::Mounting;
use super::endpoints::Name;
use super::error::AppError;
use super::upstream_credentials::{Materials, word_for};

/// What all of them share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Accepts tokens for any of them; each endpoint then takes its own alone. `None`: there are none.
    pub(super) verifier: Option<Arc<Verifier>>,
    pub(super) policy: Live,
    pub(super) approvals: Approvals,
    pub(super) outbound: Outbound,
    pub(super) sessions: Sessions,
    /// By id: what is one for all our names.
    each: HashMap<String, Each>,
    /// With whose keys it is signed who calls.
    pub(super) ring: Arc<KeyRing>,
}

/// What is one for all names of a server.
#[derive(Debug)]
struct Each {
    watch: Arc<Watch>,
    era: Arc<Eras>,
    credential: Credential,
}

impl Shared {
    pub(super) fn new(
        materials: &Materials<'_>,
        verifier: Option<Arc<Verifier>>,
        (policy, approvals): (&Live, &Approvals),
        encryption: &SecretText,
    ) -> Result<Self, AppError> {
        let Materials { outbound, ring, .. } = materials;
        let mut each = HashMap::new();
        for server in &materials.config.upstream.servers {
            // Where there is none, the settings' check has said so.
            if let Some(credential) = materials.credential(server)? {
                let era = Arc::new(Eras::new(era(server.era)));
                let one = Each { watch: Arc::new(watch(server)), era, credential };
                each.insert(server.id.clone(), one);
            }
        }
        Ok(Self {
            each,
            verifier,
            policy: policy.clone(),
            approvals: approvals.clone(),
            outbound: (*outbound).clone(),
            sessions: Sessions::new(encryption),
            ring: Arc::clone(ring),
        })
    }
}

/// What tokens for the servers name, under each of our names.
pub(super) fn audiences(config: &Config, names: &[Name]) -> Vec<String> {
    resources(config, names).into_iter().map(|resource| resource.uri).collect()
}

/// The servers as resources, under each of our names.
pub(super) fn resources(config: &Config, names: &[Name]) -> Vec<OwnResource> {
    let of = |name: &Name| {
        let servers = config.upstream.servers.iter();
        let resource = |server: &UpstreamServer| OwnResource {
            uri: canonical(&name.server(&server.id)).to_owned(),
            aliases: Vec::new(),
            behind: Some(BehindUs { id: server.id.clone(), scopes: scopes(server) }),
        };
        servers.map(resource).collect::<Vec<_>>()
    };
    names.iter().flat_map(of).collect()
}

/// What else tokens of other issuers may name for them.
pub(super) fn other_audiences(config: &Config) -> Vec<String> {
    config.upstream.servers.iter().flat_map(|server| server.audiences.clone()).collect()
}

impl Mounting<'_> {
    /// Each server that can be served under one of our names.
    pub(super) fn servers(&self, name: &Name) -> Result<ServerEndpoints, AppError> {
        let mut endpoints = HashMap::new();
        for settings in &self.config.upstream.servers {
            let Some(verifier) = &self.behind.verifier else { continue };
            let Some(own) = self.behind.each.get(&settings.id) else { continue };
            let endpoint = self.server(name, settings, (Arc::clone(verifier), own))?;
            endpoints.insert(settings.id.clone(), endpoint);
        }
        Ok(ServerEndpoints::new(endpoints))
    }

    fn server(
        &self,
        name: &Name,
        settings: &UpstreamServer,
        (verifier, each): (Arc<Verifier>, &Each),
    ) -> Result<ServerEndpoint, AppError> {
        let resource = name.server(&settings.id);
        let metadata_url = well_known_url(&resource);
        let scopes = scopes(settings);
        let others = settings.audiences.iter().map(String::as_str);
        let token = RequireTokenLayer::new(verifier, &metadata_url)
            .scope_hint(&scopes)
            .only_for([canonical(&resource)].into_iter().chain(others));
        let server = Server {
            id: settings.id.as_str().into(),
            url: settings.url.clone(),
            credential: each.credential.clone(),
            watch: Arc::clone(&each.watch),
            era: Arc::clone(&each.era),
            identity: self.identity(settings)?,
            door: self.door(metadata_url),
            decider: Decider {
                policy: self.behind.policy.clone(),
                server: settings.id.as_str().into(),
            },
            approvals: self.behind.approvals.clone(),
            outbound: self.behind.outbound.clone(),
            sessions: self.behind.sessions.clone(),
            timeout: settings.timeout,
            max_response_bytes: settings.max_response_bytes,
        };
        let mut metadata = ResourceMetadata::new(resource, self.issuers());
        metadata.scopes_supported = scopes;
        metadata.resource_name = Some(settings.id.clone());
        let endpoint = upstream::endpoint(server, token, self.recorder());
        Ok(ServerEndpoint { endpoint, metadata: metadata.publish()? })
    }
}

impl Mounting<'_> {
    /// What tells a server who calls.
    fn identity(&self, settings: &UpstreamServer) -> Result<Option<Identity>, AppError> {
        if !settings.identity_header {
            return Ok(None);
        }
        let around = (&self.clock, &self.random);
        word_for(self.config, &self.behind.ring, around, settings.url.as_str()).map(Some)
    }
}

/// Every scope that one of the server's grants asks for.
fn scopes(settings: &UpstreamServer) -> Scope {
    let grants = settings.tools.iter().chain(&settings.prompts).chain(&settings.resources);
    grants.fold(Scope::empty(), |all, grant| all.union(&grant.scopes))
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

/// The rules that `[[upstream.server.tool]]` and its kin stand for: `upstream.{id}.tool.{number}`, counted from 1.
pub(super) fn grants(config: &Config) -> Granted {
    let rules = config.upstream.servers.iter().flat_map(|server| {
        let kinds = [
            ("tool", ".", &server.tools),
            ("prompt", "/prompts/", &server.prompts),
            ("resource", "/resources/", &server.resources),
        ];
        kinds.into_iter().flat_map(move |(kind, between, grants)| {
            grants.iter().zip(1..).map(move |(grant, number): (_, usize)| RuleSpec {
                id: format!("upstream.{}.{kind}.{number}", server.id),
                effect: Effect::Allow,
                tools: vec![pattern(&server.id, between, &grant.name)],
                scopes: grant.scopes.iter().map(|scope: &ScopeToken| scope.to_string()).collect(),
                ..RuleSpec::default()
            })
        })
    });
    Granted { source: "upstream.server".to_owned(), rules: rules.collect() }
}

/// A name alone needs no group, and so no regular expression when it is compared.
fn pattern(server: &str, between: &str, name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let prefix = regex::escape(&[server, between].concat());
    if name.bytes().all(plain) { prefix + name } else { format!("{prefix}(?:{name})") }
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_grant_is_about_its_own_server_alone() {
        assert_eq!(pattern("a-b", ".", "get"), r"a\-b\.get");
        assert_eq!(pattern("a", ".", "x|y"), r"a\.(?:x|y)");
        assert_eq!(pattern("a", "/resources/", ".*"), "a/resources/(?:.*)");
    }
}
