//! Microsoft Graph as it is configured: live, or the built-in simulation behind the same client.

use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::broker;
use crate::config::{self, GraphCredential, GraphMode, GraphProfile, SecretSource};
use crate::graph::simulated::{self, Simulation};
use crate::graph::{self, Catalog, Cloud, CustomCloud, Operation};
use crate::policy::{Effect, Granted, GraphSpec, RuleSpec};
use crate::random::Random;
use crate::secret;
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::Clock;
use crate::token::{Authority, CertificateChain, Credential, ProfileSettings};

use super::error::AppError;
use super::platform;

/// What the rest of the product needs to know of Graph.
pub(super) struct GraphParts {
    pub(super) cloud: Cloud,
    pub(super) profiles: Vec<broker::Profile>,
    pub(super) allowed_resources: Vec<String>,
    pub(super) simulation: Option<Simulation>,
    /// The environment's variables, and those secrets that the settings hold themselves.
    pub(super) variables: secret::Environment,
}

/// Starts the simulation where it is configured, else maps clouds and profiles.
pub(super) async fn parts(
    config: &config::Graph,
    variables: secret::Environment,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<GraphParts, AppError> {
    match config.mode {
        GraphMode::Live => live(config, variables),
        GraphMode::Simulated => {
            let started = Simulation::start(Arc::clone(clock), Arc::clone(random)).await;
            simulation(started.map_err(AppError::Simulation)?, &variables)
        }
    }
}

fn simulation(
    simulation: Simulation,
    variables: &secret::Environment,
) -> Result<GraphParts, AppError> {
    let unusable = || AppError::Simulation(std::io::ErrorKind::AddrNotAvailable.into());
    let origin = Url::parse(&simulation.origin()).map_err(|_| unusable())?;
    let resource = Url::parse(simulated::RESOURCE).ok();
    let cloud =
        CustomCloud::new(origin.clone(), origin, resource.as_ref()).map_err(|_| unusable())?;
    let cloud = Cloud::Custom(cloud);
    let (name, tenant) = ("simulated".parse()?, simulated::TENANT.parse()?);
    let settings = ProfileSettings::new(
        name,
        tenant,
        simulated::CLIENT_ID,
        authority(&cloud),
        Credential::ClientSecret,
    )?;
    let (reference, variables) = hold(variables, "simulated", simulation.client_secret().clone());
    Ok(GraphParts {
        cloud,
        profiles: vec![broker::Profile { settings, secret: Some(reference) }],
        allowed_resources: vec![simulated::RESOURCE.to_owned()],
        simulation: Some(simulation),
        variables,
    })
}

/// Clouds and profiles as they are configured.
pub(super) fn live(
    config: &config::Graph,
    mut variables: secret::Environment,
) -> Result<GraphParts, AppError> {
    let cloud = match config.cloud.clone() {
        config::Cloud::Global => Cloud::Global,
        config::Cloud::UsGov => Cloud::UsGov,
        config::Cloud::UsGovDod => Cloud::UsGovDod,
        config::Cloud::China => Cloud::China,
        config::Cloud::Custom(custom) => Cloud::Custom(CustomCloud::new(
            custom.login_url,
            custom.graph_url,
            custom.resource.as_ref(),
        )?),
    };
    let mut profiles = Vec::new();
    for configured in &config.profiles {
        let (profile, held) = profile(configured, &cloud, &variables)?;
        profiles.push(profile);
        variables = held;
    }
    let allowed_resources =
        config.allowed_resources.clone().unwrap_or_else(|| vec![cloud.resource().to_string()]);
    Ok(GraphParts { cloud, profiles, allowed_resources, simulation: None, variables })
}

fn profile(
    configured: &GraphProfile,
    cloud: &Cloud,
    variables: &secret::Environment,
) -> Result<(broker::Profile, secret::Environment), AppError> {
    let (credential, source) = match configured.credential.clone() {
        GraphCredential::ClientSecret(secret) => (Credential::ClientSecret, Some(secret)),
        GraphCredential::Certificate { certificate, private_key, send_chain } => {
            let chain = chain(&certificate)?;
            (Credential::Certificate { chain, send_chain }, Some(private_key))
        }
        GraphCredential::FederatedTokenFile(path) => (Credential::FederatedTokenFile(path), None),
        GraphCredential::ManagedIdentity => {
            let client_id = Some(configured.client_id.clone()).filter(|id| !id.is_empty());
            let identity = platform::managed_identity(variables, client_id)?;
            (Credential::ManagedIdentity(identity), None)
        }
    };
    let (name, tenant) = (configured.name.clone(), configured.tenant_id.clone());
    let client_id = match (&credential, configured.client_id.as_str()) {
        (Credential::ManagedIdentity(_), "") => "managed-identity",
        (_, id) => id,
    };
    let settings = ProfileSettings::new(name, tenant, client_id, authority(cloud), credential)?;
    let (secret, variables) = match source {
        None => (None, variables.clone()),
        Some(SecretSource::Ref(reference)) => (Some(reference), variables.clone()),
        Some(SecretSource::Literal(text)) => {
            let (reference, variables) = hold(variables, configured.name.as_str(), text);
            (Some(reference), variables)
        }
    };
    Ok((broker::Profile { settings, secret }, variables))
}

pub(super) fn chain(file: &Path) -> Result<CertificateChain, AppError> {
    let path = file.to_owned();
    match std::fs::read(file) {
        Ok(pem) => CertificateChain::from_pem(&pem)
            .map_err(|source| AppError::CertificateContent { path, source }),
        Err(source) => Err(AppError::Certificate { path, source }),
    }
}

fn authority(cloud: &Cloud) -> Authority {
    Authority { cloud: cloud.name().into(), login: cloud.login() }
}

/// Keeps a secret that is no reference where references find it. `=` is no part of a variable's name, so
/// no environment can hold or replace it.
fn hold(
    variables: &secret::Environment,
    profile: &str,
    text: SecretText,
) -> (SecretRef, secret::Environment) {
    let name = format!("graph.profile={profile}");
    (SecretRef::Env(name.clone()), variables.with(&name, text))
}

/// The predecessor's flat permissions as rules: one for each, over the built-in catalogue's operations for it.
///
/// Never over an imported catalogue: that is data of others, which feeds hints and decides nothing.
pub(super) fn flat_rules(graph: &config::Graph, profile: Option<&str>) -> Granted {
    let catalog = Catalog::built_in();
    let names = graph.flat_permissions.iter();
    let names = unique(names.map(|name| graph::application_permission(name.as_str()).to_owned()));
    let rules = names.iter().flat_map(|name| flat_rules_of(name, &catalog, profile)).collect();
    Granted { source: "MCP_AUTH_BROKER_ALLOWED_SCOPES".to_owned(), rules }
}

/// Whether such a permission becomes a rule.
pub(super) fn opens_something(name: &str, catalog: &Catalog) -> bool {
    !flat_rules_of(graph::application_permission(name), catalog, None).is_empty()
}

fn flat_rules_of(name: &str, catalog: &Catalog, profile: Option<&str>) -> Vec<RuleSpec> {
    let sufficient =
        |operation: &&Operation| operation.permissions.iter().any(|known| known.as_str() == name);
    let operations: Vec<&Operation> =
        catalog.list().iter().filter(sufficient).filter(|one| opens(name, one)).collect();
    let reads = operations.iter().all(|operation| operation.risk == graph::Risk::Read);
    let methods = unique(operations.iter().map(|operation| operation.method.to_string()));
    // A rule is about every pair of its methods and paths, so each method has a rule of its own.
    let several = methods.len() > 1;
    let rule = |method: String| {
        let of_method = operations.iter().filter(|operation| operation.method == method.as_str());
        let paths = unique(of_method.map(|operation| template(&operation.path_template)));
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
    };
    methods.into_iter().map(rule).collect()
}

/// `User.Read` opened users and nothing around them; the permission that it is read as would do for more.
fn opens(permission: &str, operation: &Operation) -> bool {
    permission != "User.Read.All" || matches!(&*operation.path_template, "/users" | "/users/{id}")
}

/// The template of a rule: in the catalogue's all placeholders are called `{id}`, in a rule's each has a name of its own.
fn template(path: &str) -> String {
    let mut placeholders = 0_u32;
    let named = path.split('/').map(|segment| {
        if segment != "{id}" {
            return segment.to_owned();
        }
        placeholders += 1;
        if placeholders == 1 { segment.to_owned() } else { format!("{{id{placeholders}}}") }
    });
    format!("/v1.0{}", named.collect::<Vec<_>>().join("/"))
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
