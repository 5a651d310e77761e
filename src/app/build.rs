//! Putting it together, in the order in which the parts need each other.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::audit::Auditor;
use crate::authorization_server::{self, SigningKeys};
use crate::broker::Broker;
use crate::graph::{self, Catalog};
use crate::http::{AllowedOrigins, Endpoint, Health, Routes};
use crate::id::{Issuer, ProfileName, TenantId};
use crate::mcp::{
    Decider, Documents, GuardLayer, GuardSettings, McpService, Mount, Recorder, Toolbox,
};
use crate::outbound::Outbound;
use crate::policy::{Facts, Policy};
use crate::random::Random;
use crate::resource_server::{
    IssuerSettings, KeySource, LocalKeys, RequireTokenLayer, ResourceMetadata, Verifier, canonical,
    well_known_url,
};
use crate::secret::Secrets;
use crate::time::Clock;
use crate::token::ProviderTokens;

use super::App;
use super::endpoints::{Name, issuer, names};
use super::error::AppError;
use super::graph::{GraphParts, catalog, flat_rules, parts, platform};
use super::readiness;
use super::settings::{Environment, GraphMode, PolicySource, Settings};

/// The rules of a broker that has none: what plain `broker` starts with.
const DEVELOPMENT_RULES: &str = include_str!("../../docs/examples/policy.dev.toml");

impl App {
    /// Builds a broker. Reaches nothing but loopback (the simulated Graph) and our own files.
    ///
    /// # Errors
    ///
    /// [`AppError`]: the first part that cannot be made. `broker check` reports all faults of the settings at once.
    pub async fn build(
        mut settings: Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, AppError> {
        let algorithm = settings.signing_algorithm;
        let keys = Arc::new(SigningKeys::load_or_create(&settings.data_dir, algorithm, &*clock)?);
        let auditor =
            Auditor::open(settings.audit.clone(), Arc::clone(&clock), Arc::clone(&random))?;
        let GraphParts { cloud, profiles, allowed_resources, simulation } =
            parts(&mut settings, &clock, &random).await?;
        let outbound = Outbound::new(&settings.outbound)?;
        let toolbox = Toolbox::new(settings.sample_tools);
        let catalog = Arc::new(catalog(settings.graph.catalog.as_deref())?);
        let acting = profiles.iter().map(|profile| &profile.settings);
        let facts = Facts {
            profiles: acting
                .map(|profile| (profile.name().clone(), profile.tenant().clone()))
                .collect(),
            resource: cloud.resource().to_string(),
            allowed_resources,
            allowed_permissions: settings.graph.allowed_permissions.clone(),
            tools: toolbox.names(),
        };
        let policy = Arc::new(policy(&settings, facts, &catalog)?);
        let shared = (Arc::clone(&clock), Arc::clone(&random));
        let broker = Broker {
            policy: Arc::clone(&policy),
            profiles,
            secrets: Secrets::new(
                settings.secrets.clone(),
                &settings.variables,
                &outbound,
                Arc::clone(&clock),
            )?,
            tokens: ProviderTokens::new(
                outbound.clone(),
                platform()?,
                Arc::clone(&clock),
                Arc::clone(&random),
                settings.graph.tokens.clone(),
            ),
            graph: graph::Graph::new(
                outbound.clone(),
                &cloud,
                graph_settings(&settings),
                Arc::clone(&catalog),
                shared,
            ),
            catalog,
            clock: Arc::clone(&clock),
            simulated: simulation.is_some(),
        };
        let names = names(&settings.server.public_url);
        let verifier = Arc::new(verifier(&settings, &keys, &names, outbound, Arc::clone(&clock))?);
        let decider = Decider { policy: Arc::clone(&policy), max_timeout: settings.graph.timeout };
        let documents = match &settings.documents {
            Some(path) => Documents::directory(path.clone()).await?,
            None => Documents::BuiltIn,
        };
        let service = McpService::new(crate::mcp::Parts {
            toolbox: toolbox.clone(),
            documents,
            decider: decider.clone(),
            broker,
            clock: Arc::clone(&clock),
        });
        let health = Health::new(Arc::new(readiness::Parts {
            auditor: auditor.clone(),
            verifier: Arc::clone(&verifier),
            service: service.clone(),
            facts: facts_of(&settings, &policy),
        }));
        let drain = CancellationToken::new();
        let mounting = Mounting {
            settings: &settings,
            verifier: &verifier,
            decider: &decider,
            toolbox: &toolbox,
            auditor: &auditor,
            clock: &clock,
            random: &random,
            drain: &drain,
        };
        let endpoints = names
            .iter()
            .map(|name| mounting.endpoint(name, &names, &service))
            .collect::<Result<_, _>>()?;
        let router = crate::http::router(Routes {
            health: health.clone(),
            origins: origins(&settings),
            endpoints,
            authorization_server: authorization_server::routes(&keys),
            allowed_hosts: settings.server.allowed_hosts.clone(),
        });
        Ok(Self {
            settings,
            router,
            health,
            auditor,
            keys,
            toolbox,
            policy,
            drain,
            _simulation: simulation,
        })
    }
}

/// The rules in force: the file's, the flat permissions', or in development the built-in ones.
///
/// # Errors
///
/// [`AppError::PolicyFile`], or [`AppError::Policy`] with every fault.
pub fn policy(settings: &Settings, facts: Facts, catalog: &Catalog) -> Result<Policy, AppError> {
    let profile =
        facts.profiles.first().map(|(name, _): &(ProfileName, TenantId)| name.as_str().to_owned());
    let flat = flat_rules(&settings.graph, catalog, profile.as_deref());
    let loaded = match &settings.policy {
        PolicySource::File { path, label } => {
            let read = std::fs::read_to_string(path);
            let text =
                read.map_err(|source| AppError::PolicyFile { path: path.clone(), source })?;
            Policy::load(&path.display().to_string(), &text, label.as_deref(), &[flat], facts)
        }
        PolicySource::BuiltIn => {
            let development = settings.environment == Environment::Dev
                && matches!(settings.graph.mode, GraphMode::Simulated);
            let text = if development { DEVELOPMENT_RULES } else { "version = \"none\"" };
            Policy::load("the built-in rules", text, None, &[flat], facts)
        }
    };
    loaded.map_err(AppError::Policy)
}

/// Our own issuer first, then the configured ones. All audiences are our resource URLs.
fn verifier(
    settings: &Settings,
    keys: &SigningKeys,
    names: &[Name],
    outbound: Outbound,
    clock: Arc<dyn Clock>,
) -> Result<Verifier, AppError> {
    let jwks = serde_json::to_vec(&keys.jwks()).unwrap_or_default();
    let own: Issuer = issuer(&settings.server.public_url).parse()?;
    let audiences = names.iter().map(|name| canonical(&name.resource).to_owned()).collect();
    let mut ours =
        IssuerSettings::new(own, audiences, KeySource::Local(Arc::new(LocalKeys::new(&jwks)?)));
    ours.token_types = vec!["at+jwt".to_owned()]; // RFC 9068 §4: our id_tokens are not access tokens
    let builder = Verifier::builder().outbound(outbound).clock(clock).issuer(ours);
    let builder = settings
        .issuers
        .iter()
        .cloned()
        .fold(builder, crate::resource_server::VerifierBuilder::issuer);
    Ok(builder.build()?)
}

fn graph_settings(settings: &Settings) -> graph::Settings {
    graph::Settings {
        attempt_timeout: settings.graph.attempt_timeout,
        max_response_bytes: settings.graph.max_response_bytes,
    }
}

/// Pages of our own origin, the configured ones, and in development those of any loopback port.
fn origins(settings: &Settings) -> AllowedOrigins {
    let mut exact = settings.server.allowed_origins.clone();
    exact.push(settings.server.public_url.clone());
    AllowedOrigins::new(&exact, settings.environment == Environment::Dev)
}

/// What an operator should see in `/ready` at a glance.
fn facts_of(settings: &Settings, policy: &Policy) -> serde_json::Value {
    let graph = match settings.graph.mode {
        GraphMode::Simulated => "simulated",
        GraphMode::Live { .. } => "live",
    };
    json!({
        "environment": settings.environment.as_str(),
        "graph": graph,
        "policy_version": policy.version(),
    })
}

/// What every endpoint shares.
struct Mounting<'a> {
    settings: &'a Settings,
    verifier: &'a Arc<Verifier>,
    decider: &'a Decider,
    toolbox: &'a Toolbox,
    auditor: &'a Auditor,
    clock: &'a Arc<dyn Clock>,
    random: &'a Arc<dyn Random>,
    drain: &'a CancellationToken,
}

impl Mounting<'_> {
    fn endpoint(
        &self,
        name: &Name,
        all: &[Name],
        service: &McpService,
    ) -> Result<Endpoint, AppError> {
        let metadata_url = well_known_url(&name.resource);
        let server = &self.settings.server;
        let token = RequireTokenLayer::new(Arc::clone(self.verifier), &metadata_url)
            .scope_hint(&self.settings.default_scopes);
        let guard = GuardLayer::new(GuardSettings {
            decider: self.decider.clone(),
            toolbox: self.toolbox.clone(),
            auditor: self.auditor.clone(),
            clock: Arc::clone(self.clock),
            random: Arc::clone(self.random),
            metadata_url,
            max_body_bytes: server.max_body_bytes,
            body_timeout: server.body_timeout,
        });
        let recorder = Recorder {
            auditor: self.auditor.clone(),
            clock: Arc::clone(self.clock),
            random: Arc::clone(self.random),
        };
        let hosts =
            all.iter().map(|name| name.host.clone()).chain(server.allowed_hosts.clone()).collect();
        let mount = Mount {
            token,
            guard,
            recorder,
            hosts,
            max_body_bytes: server.max_body_bytes,
            drain: self.drain.clone(),
        };
        let mut metadata = ResourceMetadata::new(
            name.resource.clone(),
            vec![issuer(&self.settings.server.public_url)],
        );
        metadata.scopes_supported = self.settings.default_scopes.clone();
        metadata.resource_name = Some("MCP Auth Broker".to_owned());
        let mcp = crate::mcp::routes(service.clone(), mount);
        Ok(Endpoint { authority: name.authority.clone(), mcp, metadata: metadata.publish()? })
    }
}
