//! Microsoft Graph as it is configured: live, or the built-in simulation behind the same client.

use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::broker;
use crate::graph::simulated::Simulation;
use crate::graph::{self, Catalog, Cloud, CustomCloud, Operation};
use crate::outbound::{Outbound, OutboundSettings};
use crate::policy::{Effect, Granted, GraphSpec, RuleSpec};
use crate::random::Random;
use crate::secret;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::Clock;
use crate::token::{Authority, Credential, ProfileSettings};

use super::error::AppError;
use super::settings::{Graph, GraphMode, Profile, Settings};

/// The variable under which the simulation's client secret is known. No environment can set it: `=` is no part of a name.
const SIMULATED_SECRET: &str = "SIMULATED_GRAPH_CLIENT_SECRET";

/// What the rest of the product needs to know of Graph.
pub(super) struct GraphParts {
    pub(super) cloud: Cloud,
    pub(super) profiles: Vec<broker::Profile>,
    pub(super) allowed_resources: Vec<String>,
    pub(super) simulation: Option<Simulation>,
}

/// Starts the simulation where it is configured, and puts its secret where `env:` references find it.
pub(super) async fn parts(
    settings: &mut Settings,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<GraphParts, AppError> {
    match settings.graph.mode.clone() {
        GraphMode::Live { cloud, allowed_resources, profiles } => {
            let profiles = profiles
                .into_iter()
                .map(|profile| live(profile, &cloud))
                .collect::<Result<_, _>>()?;
            let allowed_resources = match allowed_resources.as_slice() {
                [] => vec![cloud.resource().to_string()],
                _ => allowed_resources,
            };
            Ok(GraphParts { cloud, profiles, allowed_resources, simulation: None })
        }
        GraphMode::Simulated => {
            let started = Simulation::start(Arc::clone(clock), Arc::clone(random)).await;
            simulated(settings, started.map_err(AppError::Simulation)?)
        }
    }
}

fn simulated(settings: &mut Settings, simulation: Simulation) -> Result<GraphParts, AppError> {
    let origin = Url::parse(&simulation.origin())
        .map_err(|_| AppError::Simulation(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let cloud = CustomCloud::new(
        origin.clone(),
        origin,
        Url::parse(graph::simulated::RESOURCE).ok().as_ref(),
    )
    .map(Cloud::Custom)
    .map_err(|_| AppError::Simulation(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let profile = Profile {
        name: "simulated".parse()?,
        tenant: graph::simulated::TENANT.parse()?,
        client_id: graph::simulated::CLIENT_ID.to_owned(),
        credential: Credential::ClientSecret,
        secret: Some(SecretRef::Env(SIMULATED_SECRET.to_owned())),
    };
    settings.variables = with_secret(&settings.variables, simulation.client_secret());
    settings.outbound.allow_private.extend("127.0.0.1".parse());
    Ok(GraphParts {
        profiles: vec![live(profile, &cloud)?],
        allowed_resources: vec![graph::simulated::RESOURCE.to_owned()],
        cloud,
        simulation: Some(simulation),
    })
}

fn with_secret(variables: &secret::Environment, client_secret: &SecretText) -> secret::Environment {
    variables.with(SIMULATED_SECRET, client_secret.clone())
}

fn live(profile: Profile, cloud: &Cloud) -> Result<broker::Profile, AppError> {
    let authority = Authority { cloud: cloud.name().into(), login: cloud.login() };
    let Profile { name, tenant, client_id, credential, secret } = profile;
    let settings = ProfileSettings::new(name, tenant, &client_id, authority, credential)?;
    Ok(broker::Profile { settings, secret })
}

/// The client for managed identities: it reaches their endpoints and nothing else, and never through a proxy.
pub(super) fn platform() -> Result<Outbound, AppError> {
    let allow_private = ["169.254.169.254", "127.0.0.1", "localhost"];
    let allow_private = allow_private.iter().flat_map(|target| target.parse()).collect();
    Ok(Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() })?)
}

/// The built-in catalogue, or the one an operator imported.
pub(super) fn catalog(path: Option<&Path>) -> Result<Catalog, AppError> {
    let Some(path) = path else {
        return Ok(Catalog::built_in());
    };
    let read = std::fs::read(path);
    let bytes = read.map_err(|source| AppError::CatalogFile { path: path.to_owned(), source })?;
    Ok(Catalog::import(&bytes)?)
}

/// The predecessor's flat permissions as rules: one for each, over the catalogue's operations for it.
pub(super) fn flat_rules(graph: &Graph, catalog: &Catalog, profile: Option<&str>) -> Granted {
    let rules = graph.flat_permissions.iter().flat_map(|permission| {
        let name = graph::application_permission(permission.as_str());
        let operations: Vec<&Operation> = catalog
            .list()
            .iter()
            .filter(|operation| operation.permissions.iter().any(|known| known.as_str() == name))
            .collect();
        let reads = operations.iter().all(|operation| operation.risk == graph::Risk::Read);
        let methods = unique(operations.iter().map(|operation| operation.method.to_string()));
        // A rule is about every pair of its methods and paths, so each method has a rule of its own.
        let several = methods.len() > 1;
        methods.into_iter().map(move |method| {
            let of_method =
                operations.iter().filter(|operation| operation.method == method.as_str());
            let paths =
                unique(of_method.map(|operation| format!("/v1.0{}", operation.path_template)));
            let suffix =
                if several { format!(".{}", method.to_ascii_lowercase()) } else { String::new() };
            RuleSpec {
                id: format!("graph.{}{suffix}", rule_name(name)),
                effect: Effect::Allow,
                tools: vec![
                    regex::escape(crate::mcp::GRAPH_EXECUTE),
                    regex::escape(crate::mcp::GRAPH_LIST),
                ],
                scopes: vec![if reads { "graph:read" } else { "graph:write" }.to_owned()],
                graph: Some(GraphSpec {
                    profile: profile.map(str::to_owned),
                    methods: vec![method],
                    paths,
                    permissions: vec![name.to_owned()],
                    ..GraphSpec::default()
                }),
                ..RuleSpec::default()
            }
        })
    });
    Granted { source: "MCP_AUTH_BROKER_ALLOWED_SCOPES".to_owned(), rules: rules.collect() }
}

/// `User.Read.All` is `user.read`: the rule id that the contract's reason codes show.
fn rule_name(permission: &str) -> String {
    permission.trim_end_matches(".All").to_ascii_lowercase()
}

fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}
