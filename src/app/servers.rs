//! The servers behind us, from the settings: each with a token check of its own audience, and the grants that they make.

use std::collections::HashMap;
use std::sync::Arc;

use crate::authorization_server::{BehindUs, KeyRing, NewIdentityToken, OwnResource};
use crate::broker::{Approvals, Outages};
use crate::config::{
    Config, OnToolFlaw, SecretSource, UpstreamCredential, UpstreamEra, UpstreamServer,
};
use crate::http::{ServerEndpoint, ServerEndpoints};
use crate::id::Issuer;
use crate::outbound::Outbound;
use crate::policy::{Effect, Granted, Live, RuleSpec};
use crate::resource_server::{
    RequireTokenLayer, ResourceMetadata, Verifier, canonical, well_known_url,
};
use crate::scope::{Scope, ScopeToken};
use crate::secret::Secrets;
use crate::secret_text::SecretText;
use crate::time::Clock;
use crate::upstream::{
    self, ClientCredentials, Credential, Decider, Era, Eras, Held, Identity, OnFlaw, Server,
    Sessions, Watch,
};

use super::build::Mounting;
use super::endpoints::{Name, issuer};
use super::error::AppError;

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
    pub(super) outages: Arc<Outages>,
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
        (config, clock): (&Config, &Arc<dyn Clock>),
        (verifier, ring): (Option<Arc<Verifier>>, &Arc<KeyRing>),
        (policy, approvals, outages): (&Live, &Approvals, &Arc<Outages>),
        (outbound, secrets): (&Outbound, &Arc<Secrets>),
        encryption: &SecretText,
    ) -> Self {
        let servers = config.upstream.servers.iter();
        let each = servers.filter_map(|server| {
            // Where there is none, the settings' check has said so.
            let credential = credential(&server.credential, secrets, (outbound, clock))?;
            let era = Arc::new(Eras::new(era(server.era)));
            Some((server.id.clone(), Each { watch: Arc::new(watch(server)), era, credential }))
        });
        Self {
            each: each.collect(),
            verifier,
            policy: policy.clone(),
            approvals: approvals.clone(),
            outbound: outbound.clone(),
            sessions: Sessions::new(encryption),
            ring: Arc::clone(ring),
            outages: Arc::clone(outages),
        }
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
        let token = RequireTokenLayer::new(verifier, &metadata_url)
            .scope_hint(&scopes)
            .only_for([canonical(&resource)]);
        let server = Server {
            id: settings.id.as_str().into(),
            url: settings.url.clone(),
            credential: each.credential.clone(),
            watch: Arc::clone(&each.watch),
            era: Arc::clone(&each.era),
            closing: self.closing.clone(),
            outages: Arc::clone(&self.behind.outages),
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
        let issuer: Issuer = issuer(&self.config.server.public_url).parse()?;
        let audience = settings.url.to_string();
        let ring = Arc::clone(&self.behind.ring);
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        Ok(Some(Identity::new(move |principal| {
            let token = NewIdentityToken {
                issuer: &issuer,
                audience: &audience,
                caller_issuer: principal.issuer(),
                subject: principal.subject(),
                client_id: principal.client_id(),
                scope: principal.scopes(),
                email: principal.claims().get("email").and_then(serde_json::Value::as_str),
                issued_at: clock.now(),
            };
            token.sign(&ring.current(), &*random).ok()
        })))
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

/// `None` for a kind that is not in force.
fn credential(
    settings: &UpstreamCredential,
    secrets: &Arc<Secrets>,
    (outbound, clock): (&Outbound, &Arc<dyn Clock>),
) -> Option<Credential> {
    match settings {
        UpstreamCredential::None => Some(Credential::None),
        UpstreamCredential::Bearer(source) => Some(Credential::bearer(held(source, secrets))),
        UpstreamCredential::Header { name, value } => Some(Credential::Fixed {
            header: name.parse().ok()?,
            bearer: false,
            value: held(value, secrets),
        }),
        UpstreamCredential::ClientCredentials { token_url, client_id, client_secret, scopes } => {
            Some(Credential::ClientCredentials(Arc::new(ClientCredentials {
                token_url: token_url.clone(),
                client_id: client_id.clone(),
                client_secret: held(client_secret, secrets),
                scope: scopes.to_string(),
                outbound: outbound.clone(),
                clock: Arc::clone(clock),
                token: tokio::sync::Mutex::default(),
            })))
        }
        UpstreamCredential::TokenExchange { .. }
        | UpstreamCredential::EntraObo { .. }
        | UpstreamCredential::PerUser { .. } => None,
    }
}

fn held(source: &SecretSource, secrets: &Arc<Secrets>) -> Held {
    match source {
        SecretSource::Literal(text) => Held::Text(text.clone()),
        SecretSource::Ref(reference) => Held::Reference(reference.clone(), Arc::clone(secrets)),
    }
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
