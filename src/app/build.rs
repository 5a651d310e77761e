//! Putting it together, in the order in which the parts need each other.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::audit::Auditor;
use crate::broker::{Approvals, Broker, Outages};
use crate::config::{Config, GraphMode};
use crate::graph;
use crate::http::Health;
use crate::mcp::{Decider, Documents, McpService, ServerHandler, Toolbox};
use crate::outbound::Outbound;
use crate::policy::{Facts, Live};
use crate::random::Random;
use crate::secret::{Memory, Secrets};
use crate::store::Database;
use crate::time::Clock;
use crate::token::ProviderTokens;

use super::App;
use super::addresses::Addresses;
use super::approvals::{approvals, courier, rules_in_force};
use super::begun::{Begun, Tries};
use super::connections::connections;
use super::doors::Doors;
use super::endpoints::names;
use super::error::AppError;
use super::folded::FoldedIds;
use super::follow_keys::{Follower, KeyStatus};
use super::graph::{GraphParts, parts};
use super::issuing::{Materials as ForIssuing, mount};
use super::mounting::Mounting;
use super::registered::ForCallers;
use super::revoked::revocations;
use super::sealing::SealStatus;
use super::trust::Trust;
use super::upstream_credentials::Materials;
use super::verifiers::Verifiers;
use super::watched::{self, Watching};
use super::{beside, call_steps, folded, map, platform, readiness, servers};

impl App {
    /// Builds a broker. Reaches loopback (the simulated Graph), our own files, and the backends of the
    /// broker's own credentials; nothing else.
    ///
    /// # Errors
    ///
    /// [`AppError`]: the first part that cannot be made. `broker check` reports all faults of the settings at once.
    pub async fn build(
        config: Config,
        variables: crate::secret::Environment,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, AppError> {
        Box::pin(Self::build_around(config, variables, clock, random, |service| service)).await
    }

    /// The same as one of several `tries`: what backends of secrets said to those before counts still.
    ///
    /// # Errors
    ///
    /// As for [`App::build`].
    pub async fn try_build(
        tries: &Tries,
        config: Config,
        variables: crate::secret::Environment,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, AppError> {
        let around = (clock, random);
        Box::pin(Self::begin(tries, config, variables, around, |service| service)).await
    }

    /// The same with another MCP handler behind the guard: `handler` gets ours, and may leave it.
    ///
    /// # Errors
    ///
    /// As for [`App::build`].
    pub async fn build_around<H>(
        config: Config,
        variables: crate::secret::Environment,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        handler: impl FnOnce(McpService) -> H,
    ) -> Result<Self, AppError>
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let tries = Tries::default();
        Box::pin(Self::begin(&tries, config, variables, (clock, random), handler)).await
    }

    async fn begin<H>(
        tries: &Tries,
        config: Config,
        variables: crate::secret::Environment,
        around: (Arc<dyn Clock>, Arc<dyn Random>),
        handler: impl FnOnce(McpService) -> H,
    ) -> Result<Self, AppError>
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let begun = Begun::default();
        let memory = tries.memory(&config, &variables);
        let known = (&begun, memory);
        let built = Box::pin(Self::put_together(config, variables, around, handler, known)).await;
        match built {
            Ok(app) => Ok(app),
            Err(error) => Err(begun.failed(error).await),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one list, in the order in which the parts need each other"
    )]
    async fn put_together<H>(
        config: Config,
        variables: crate::secret::Environment,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
        handler: impl FnOnce(McpService) -> H,
        (begun, memory): (&Begun, Memory),
    ) -> Result<Self, AppError>
    where
        H: ServerHandler + Clone + Send + Sync + 'static,
    {
        let auditor = Auditor::open(map::audit(&config), Arc::clone(&clock), Arc::clone(&random))?;
        let mut graph = parts(&config.graph, variables, &clock, &random).await?;
        let (outbound, secrets) = reaching(&config, &graph, (&clock, memory))?;
        begun.reads_with(&secrets);
        let names = names(&config.server.public_url);
        let alone = super::alone::Alone::with(&config)?;
        let around = (Arc::clone(&clock), Arc::clone(&random));
        let trust = Trust::establish(&config, &names, &secrets, &outbound, &around, begun).await?;
        let Trust { store, encryption, announcer, ring, local, verifier, servers: for_servers } =
            trust;
        // Not before the store answers: a backend that is asked at each try of a start that waits for it gives its quota away.
        let tls = super::tls::load(&config, &secrets, &clock).await?;
        let toolbox = Toolbox::new(config.tools.sample);
        let limits = map::limits_of(&config, &toolbox, &store, (&clock, &*random))?;
        let catalog = Arc::new(super::parts::catalog(&config)?);
        let facts = facts(&config, &graph, &toolbox);
        let source = super::policy::Source::new(&config, facts);
        let Watching { watched, traces, tools: shown } =
            watched::watch(&config, &toolbox, &auditor, &around)?;
        let (policy, reloader) = super::reload::start(source, auditor.clone(), around.clone())?;
        super::flat_permissions::at_start(&config, policy.current().policy())?;
        let decider = Decider { policy: policy.clone(), max_timeout: config.graph.timeout };
        let documents = documents(&config, &clock).await?;
        let rules = rules_in_force(&policy);
        let mut approvals = approvals(&config, &store, &encryption, (&auditor, rules), &around);
        let courier = courier(&config, &secrets, &outbound, &mut approvals).await?;
        let kept = (&store, &encryption);
        let connected = connections(&config, kept, (&secrets, &outbound), &around)?;
        let (proofs, binding) = super::dpop::parts(&config, (&store, &encryption), &clock);
        let beside_ours = FoldedIds::of(&config);
        let mounted = Box::pin(mount(ForIssuing {
            config: &config,
            names: &names,
            secrets: &secrets,
            store: Arc::clone(&store),
            keys: (Arc::clone(&ring), Arc::clone(&local)),
            encryption: encryption.clone(),
            page: watched::on_main(&config, watched.as_ref()),
            approvals: approvals.clone(),
            connections: connected.clone(),
            policy: policy.clone(),
            reloader: reloader.clone(),
            outbound: outbound.clone(),
            auditor: auditor.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            dpop: proofs,
            folded: beside_ours.clone(),
        }))
        .await?;
        let known = (Arc::clone(&store), Arc::clone(&local), policy.clone());
        let gate = beside::gate(&config, known, (limits.clone(), auditor.clone()), &around)?;
        let outages = Arc::new(Outages::new(Arc::clone(&clock)));
        let closing = CancellationToken::new();
        let from = (&config, &ring, graph.profiles.as_slice());
        let addresses = Arc::new(Addresses::new(&store));
        let theirs = (connected.as_ref(), &addresses, mounted.server.as_ref());
        let materials = Materials::new(from, (&secrets, &outbound), &around, theirs);
        let (profiles, connections) = (graph.profiles.clone(), connected.clone());
        let for_callers = ForCallers { profiles, connections, server: mounted.server.clone() };
        let rules = (&policy, &approvals, (&outages, &closing));
        let known = (for_servers, revocations(&config, &store)?, beside_ours);
        let behind = servers::Shared::new(&materials, (&store, known), rules, &encryption)?;
        let others = [mounted.verifier, behind.verifier.clone()].into_iter().flatten();
        let verifiers: Vec<_> = others.chain([Arc::clone(&verifier)]).collect();
        let believed = Verifiers { fixed: verifiers.clone(), changing: behind.changing.clone() };
        let keys = Follower::new((ring, Arc::clone(&local)), verifiers, &auditor, &around);
        let doors = Doors::new(&config, (limits.clone(), binding), &auditor, &around);
        let (behind, simulation) = (Arc::new(behind), graph.simulation.take());
        let made = (policy.clone(), catalog, approvals, Arc::clone(&outages));
        let reaching = (Arc::clone(&secrets), outbound.clone());
        let folded = folded::under_each(&config, &behind, &doors, (&names, &toolbox))?;
        let service = McpService::new(crate::mcp::Parts {
            toolbox: toolbox.clone(),
            beside: folded.first().map(|first| Arc::clone(first) as _),
            documents,
            decider: decider.clone(),
            clock,
            broker: broker(&config, graph, reaching, made, &around)?,
        });
        let children: Arc<[_]> = behind.children().into();
        let (parts, closing) = parts_of(
            &config,
            (&auditor, believed, (keys.status(), announcer.status()), &service),
            (&policy, &reloader),
            (&store, &children),
            (outages, closing),
        );
        if let Some(watched) = &watched {
            watched.show(Arc::clone(&parts), &config, traces.as_ref());
        }
        let health = Health::new(parts, closing);
        let drain = CancellationToken::new();
        let mounting = Mounting {
            config: &config,
            verifier,
            decider,
            toolbox: &toolbox,
            doors,
            drain: &drain,
            behind,
        };
        let routes = beside::routes(&config, &gate, (mounted.public, mounted.private));
        let registered = mounting
            .registered((names, folded, for_callers, shown), (&store, local), (secrets, outbound))
            .await;
        let meters = watched.as_ref().map(|watched| watched.meters.clone());
        let seen = (health.clone(), meters);
        let lost = mounted.server.as_ref().map(crate::authorization_server::lost_routes);
        let front = mounting.front(&registered, &handler(service), seen, (routes, lost))?;
        Ok(Self {
            config,
            tls,
            front,
            health,
            auditor,
            keys,
            announcer,
            registered,
            providers: mounted.providers,
            toolbox,
            policy,
            reloader,
            courier,
            children,
            connected,
            store: (store, around.0),
            limits,
            watched,
            traces,
            admin: None,
            authorization_server: mounted.server,
            drain,
            _simulation: simulation,
            _alone: alone,
        })
    }
}

/// The ways out: to other hosts, and to the backends of secrets.
fn reaching(
    config: &Config,
    graph: &GraphParts,
    (clock, memory): (&Arc<dyn Clock>, Memory),
) -> Result<(Outbound, Arc<Secrets>), AppError> {
    let outbound = call_steps::watched(outbound(config, graph)?, config, (clock, true));
    let settings = map::secrets(config);
    let around = (Arc::clone(clock), memory);
    let secrets = Secrets::going_on(settings, &graph.variables, &outbound, around)?;
    Ok((outbound, Arc::new(secrets)))
}

/// What `/health`, `/ready` and `/metrics` ask.
fn parts_of(
    config: &Config,
    (auditor, verifiers, (keys, seal), service): (
        &Auditor,
        Verifiers,
        (KeyStatus, SealStatus),
        &McpService,
    ),
    (policy, reloader): (&Live, &super::reload::Reloader),
    (store, children): (&Arc<dyn Database>, &readiness::Children),
    (outages, closing): (Arc<Outages>, CancellationToken),
) -> (Arc<readiness::Parts>, CancellationToken) {
    let parts = readiness::Parts {
        auditor: auditor.clone(),
        verifiers,
        keys,
        seal,
        issues: config.authorization_server.enabled || config.resource_server.issuers.is_empty(),
        service: service.clone(),
        policy: policy.clone(),
        reload: reloader.status(),
        store: Arc::clone(store),
        outages,
        children: Arc::clone(children),
        facts: facts_for_people(config),
    };
    (Arc::new(parts), closing)
}

/// The one HTTP client. The simulated Graph is on loopback.
fn outbound(config: &Config, graph: &GraphParts) -> Result<Outbound, AppError> {
    let mut settings = map::outbound(config);
    if graph.simulation.is_some() {
        settings.allow_private.extend("127.0.0.1".parse());
    }
    Ok(Outbound::new(&settings)?)
}

/// What executes Graph operations.
fn broker(
    config: &Config,
    graph: GraphParts,
    (secrets, outbound): (Arc<Secrets>, Outbound),
    (policy, catalog, approvals, outages): (Live, Arc<graph::Catalog>, Approvals, Arc<Outages>),
    (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<Broker, AppError> {
    let around = (Arc::clone(clock), Arc::clone(random));
    let platform = platform::client(&graph.variables)?;
    let settings = map::tokens(config);
    let (clock, random) = around.clone();
    Ok(Broker {
        policy,
        profiles: graph.profiles,
        secrets,
        tokens: ProviderTokens::new(
            outbound.clone(),
            platform,
            Arc::clone(&clock),
            random,
            settings,
        ),
        graph: graph::Graph::new(
            outbound.unwatched(), // its attempts are in the audit log, and in traces from there
            &graph.cloud,
            graph_settings(config),
            Arc::clone(&catalog),
            around,
        ),
        catalog,
        approvals,
        outages,
        clock,
        simulated: config.graph.mode == GraphMode::Simulated,
    })
}

/// What policy is compiled against.
fn facts(config: &Config, graph: &GraphParts, toolbox: &Toolbox) -> Facts {
    let profiles = graph.profiles.iter().map(|profile| &profile.settings);
    Facts {
        issuer: super::parts::issuer(config),
        profiles: profiles
            .map(|profile| (profile.name().clone(), profile.tenant().clone()))
            .collect(),
        resource: graph.cloud.resource().to_string(),
        allowed_resources: graph.allowed_resources.clone(),
        allowed_permissions: config.graph.allowed_permissions.clone(),
        tools: toolbox.names(),
        reading_tools: toolbox.reading_names(),
    }
}

const fn graph_settings(config: &Config) -> graph::Settings {
    graph::Settings {
        attempt_timeout: config.graph.attempt_timeout,
        max_response_bytes: config.graph.max_response_bytes,
    }
}

/// What the sample tools read.
async fn documents(config: &Config, clock: &Arc<dyn Clock>) -> Result<Documents, AppError> {
    let Some(path) = &config.documents.dir else { return Ok(Documents::BuiltIn) };
    Ok(Documents::directory(path.clone(), Arc::clone(clock)).await?)
}

/// What an operator should see in `/ready` at a glance.
fn facts_for_people(config: &Config) -> serde_json::Value {
    json!({
        "environment": config.deployment,
        "graph": config.graph.mode,
    })
}
