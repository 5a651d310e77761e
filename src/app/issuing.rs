//! Our own authorization server, from the settings: its store, what it may grant, and its routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tower::service_fn;

use crate::admin::{self, ProviderControl as _};
use crate::audit::Auditor;
use crate::authorization_server::{
    self, Administrators, AuthorizationServer, ConfiguredClient, ExchangeRules, Grantable, KeyRing,
    NewAuthorizationServer, OwnResource, PersonFacts, PublicKeys, Registration, SecondFactor,
    ServerSecret, Settings, UsedAt,
};
use crate::broker::Approvals;
use crate::config::{self, ClientKeys, Config, Dpop, DynamicRegistration};
use crate::connections::Connections;
use crate::guard::{Recorder, Unrecorded, try_record_refusals};
use crate::id::Issuer;
use crate::metrics::Exposition;
use crate::oauth_client;
use crate::outbound::Outbound;
use crate::policy::{Live, Reach, Who};
use crate::random::Random;
use crate::resource_server::{
    AssertionKeys, LocalKeys, ProofChecker, RequireTokenLayer, Verifier, canonical, well_known_url,
};
use crate::scope::{Scope, ScopeToken};
use crate::secret::{OwnSecret, Secrets};
use crate::store::Database;
use crate::time::Clock;

use super::call_steps;
use super::dpop::Binding;
use super::endpoints::{Name, issuer};
use super::error::AppError;
use super::explaining::explainer;
use super::folded::FoldedIds;
use super::identity_providers::ProviderFollower;
use super::key_control::Keys;
use super::logs::Logs;
use super::reload::Reloader;
use super::revoked::revocations;
use super::{assertions, client_certificates, connections, issuers, keys, map};

/// Scopes of the broker itself: for administrators alone (N115), but for [`APPROVE`].
const OWN: &str = "broker";
/// To see and answer the calls that wait for this very person. Says nothing of who may: that is looked up each time.
const APPROVE: &str = "broker:approve";

/// # Errors
///
/// [`AppError`] where a key of a client cannot be used.
pub(super) fn settings(
    config: &Config,
    names: &[Name],
    (secrets, providers): (&Arc<Secrets>, &ProviderFollower),
) -> Result<Settings, AppError> {
    let given = &config.authorization_server;
    let clients = given.clients.iter().map(|known| {
        let secret = known.secret.as_ref();
        client(known, secret.map(|source| issuers::own_secret(source, secrets)))
    });
    let clients = clients.collect::<Result<_, _>>()?;
    Ok(Settings {
        issuer: issuer(&config.server.public_url).parse()?,
        public_url: config.server.public_url.clone(),
        resources: resources(config, names),
        signing_algorithm: map::signing_algorithm(config),
        resource_signing_algorithms: map::resource_signing_algorithms(config),
        access_token_ttl: given.access_token_ttl,
        refresh_token_ttl: given.refresh_token_ttl,
        code_ttl: given.code_ttl,
        refresh_grace: given.refresh_grace,
        rates: map::token_rates(config),
        site_shares: map::site_shares(config),
        default_scopes: given.default_scopes.clone(),
        scopes_supported: given.default_scopes.clone(),
        administrators: administrators(providers),
        clients,
        identity_assertions: assertions::of_people(config, providers.prefixes()),
        registration: match given.dynamic_registration {
            DynamicRegistration::Off => Registration::Off,
            DynamicRegistration::Limited => Registration::Limited,
            DynamicRegistration::Token => Registration::Token,
            DynamicRegistration::Open => Registration::Open,
        },
        known_clients: Arc::new(super::known_clients::known_clients(config)?),
        client_metadata_documents: given.client_hosts.clone(),
        require_pushed_requests: given.require_pushed_requests,
        second_factor: match given.second_factor {
            config::SecondFactor::Optional => SecondFactor::Optional,
            config::SecondFactor::Administrators => SecondFactor::Administrators,
            config::SecondFactor::Everyone => SecondFactor::Everyone,
        },
        dpop: config.resource_server.dpop != Dpop::Off,
        client_certificates: client_certificates::asked_for(config)?,
        dpop_required: config.resource_server.dpop == Dpop::Required,
    })
}

/// The MCP endpoint, and the servers behind us. Each of its names is a resource of its own: clients compare `aud` with the URL they called.
fn resources(config: &Config, names: &[Name]) -> Vec<OwnResource> {
    let own = |name: &Name| OwnResource {
        uri: canonical(&name.resource).to_owned(),
        aliases: Vec::new(),
        behind: None,
        dpop_required: config.resource_server.dpop == Dpop::Required,
    };
    names.iter().map(own).chain(super::server_resources::resources(config, names)).collect()
}

fn administrators(providers: &ProviderFollower) -> Administrators {
    let admin::Administrators { subjects, groups } = providers.settings().administrators.clone();
    Administrators { subjects, groups }
}

/// Whether each key of each client of the settings can be used, without starting anything.
///
/// # Errors
///
/// [`AppError::ClientKeys`]
pub(super) fn check_client_keys(config: &Config) -> Result<(), AppError> {
    config.authorization_server.clients.iter().try_for_each(|known| keys(known).map(drop))
}

fn keys(known: &config::RegisteredClient) -> Result<Option<PublicKeys>, AppError> {
    let jwks = match &known.keys {
        None => return Ok(None),
        Some(ClientKeys::Remote(uri)) => return Ok(Some(PublicKeys::Remote(uri.clone()))),
        Some(ClientKeys::Inline(jwks)) => jwks.to_string(),
    };
    let client_id = || known.client_id.clone();
    let keys = AssertionKeys::whole(jwks.as_bytes())
        .map_err(|source| AppError::ClientKeys { client_id: client_id(), source })?;
    client_certificates::check(known, &keys)?;
    Ok(Some(PublicKeys::Inline(jwks)))
}

fn client(
    known: &config::RegisteredClient,
    secret: Option<OwnSecret>,
) -> Result<ConfiguredClient, AppError> {
    let name = |grant: &config::GrantType| match grant {
        config::GrantType::AuthorizationCode => "authorization_code",
        config::GrantType::RefreshToken => "refresh_token",
        config::GrantType::ClientCredentials => "client_credentials",
        config::GrantType::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        config::GrantType::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        config::GrantType::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
    };
    Ok(ConfiguredClient {
        client_id: known.client_id.clone(),
        secret,
        keys: keys(known)?,
        grant_types: known.grants.iter().map(name).collect(),
        scopes: known.scopes.clone(),
        redirect_uris: known.redirect_uris.clone(),
        refresh_grace: known.refresh_grace,
        require_pushed_requests: known.require_pushed_requests,
        dpop_bound: known.dpop_bound,
        post_logout_redirect_uris: known.post_logout_redirect_uris.clone(),
        backchannel_logout_uri: known.backchannel_logout_uri.clone(),
        exchange: ExchangeRules {
            from: known.exchange.from.iter().map(ToString::to_string).collect(),
            to: known.exchange.to.iter().map(ToString::to_string).collect(),
        },
        workload: known.workload.as_ref().map(assertions::workload),
        tls: client_certificates::of(known),
    })
}

/// What policy lets people be granted, and who may have the broker's own scopes.
#[derive(Debug)]
pub(super) struct ByPolicy {
    pub(super) policy: Live,
    pub(super) issuer: Issuer,
    pub(super) administrators: Administrators,
    pub(super) folded: FoldedIds,
}

impl Grantable for ByPolicy {
    fn grantable(&self, person: &PersonFacts, at: UsedAt<'_>, wanted: &Scope) -> Scope {
        let (own, others): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(is_own);
        let in_force = self.policy.current();
        let none = Scope::empty();
        let who = Who {
            issuer: &self.issuer,
            subject: Some(&person.subject),
            client_id: Some(&person.client_id),
            scopes: &none,
            groups: &person.groups,
            groups_incomplete: person.groups_incomplete,
            roles: &person.roles,
            roles_incomplete: person.roles_incomplete,
            claims: None,
            told: None,
        };
        let others = others.into_iter().collect();
        let of_use =
            |reach: Reach<'_>| in_force.policy().grantable(&who, reach, &others, in_force.moment());
        let granted = match at {
            // What stands there beside our own tools is called with the same token.
            UsedAt::Broker => {
                let of_server = |id: &String| of_use(Reach::Server(id));
                let folded = self.folded.current();
                let beside = folded.iter().map(of_server);
                beside.fold(of_use(Reach::Own), |all, more| all.union(&more))
            }
            // Who registered it said what it is for; rules about it say more.
            UsedAt::Elsewhere(id, named) if !in_force.policy().names_server(id) => {
                others.narrow(named)
            }
            UsedAt::Behind(id) | UsedAt::Elsewhere(id, _) => of_use(Reach::Server(id)),
        };
        if !person.trusted_client {
            return granted;
        }
        let all = self.is_administrator(person);
        let own = own.into_iter().filter(|token| all || token.as_str() == APPROVE);
        granted.union(&own.collect())
    }
}

impl ByPolicy {
    fn is_administrator(&self, person: &PersonFacts) -> bool {
        person.administrator
            || self.administrators.subjects.iter().any(|name| *name == person.subject.as_str())
            || self.administrators.groups.include(person.groups.iter().map(|group| &**group))
    }
}

fn is_own(token: &ScopeToken) -> bool {
    token.as_str().split(':').next() == Some(OWN)
}

/// The authorization server as it is mounted.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    /// For clients, with CORS.
    pub(super) public: Router,
    /// For people's browsers and for administrators: without CORS (N112).
    pub(super) private: Router,
    pub(super) server: Option<AuthorizationServer>,
    /// What the admin API verifies with.
    pub(super) verifier: Option<Arc<Verifier>>,
    /// What follows where people log in.
    pub(super) providers: Option<Arc<ProviderFollower>>,
}

/// What it is built from, beside the settings.
pub(super) struct Materials<'a> {
    pub(super) config: &'a Config,
    pub(super) names: &'a [Name],
    pub(super) secrets: &'a Arc<Secrets>,
    pub(super) store: Arc<dyn Database>,
    pub(super) keys: (Arc<KeyRing>, Arc<LocalKeys>),
    /// What seals at rest; other secrets of this deployment are derived from it.
    pub(super) encryption: ServerSecret,
    /// Of metrics, where administrators read it here.
    pub(super) page: Option<Exposition>,
    pub(super) approvals: Approvals,
    pub(super) connections: Option<Connections>,
    pub(super) policy: Live,
    pub(super) reloader: Reloader,
    pub(super) outbound: Outbound,
    pub(super) auditor: Auditor,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// Checks that tokens are sent by who they are bound to.
    pub(super) dpop: Option<ProofChecker>,
    pub(super) folded: FoldedIds,
}

/// Builds it and its routes.
///
/// # Errors
///
/// [`AppError`] where a secret cannot be read, or our own keys cannot be used.
pub(super) async fn mount(from: Materials<'_>) -> Result<Mounted, AppError> {
    let Materials { config, names, secrets, .. } = &from;
    let around = (&from.outbound, &from.clock);
    let providers = Arc::new(ProviderFollower::new(config, (secrets, &from.store), around));
    let settings = settings(config, names, (secrets, &providers))?;
    let jwks = authorization_server::routes(Arc::clone(&from.keys.0));
    if !config.authorization_server.enabled {
        return Ok(Mounted { public: jwks, ..Mounted::default() });
    }
    providers.follow().await;
    let mut people = super::people_settings(config, providers.providers());
    people.approvals = Some(from.approvals.clone());
    people.explainer = Some(explainer(config, &from.auditor, &from.policy, &from.store)?);
    people.connections.clone_from(&from.connections);
    let (admin, verifier) = admin_routes(&from, &providers)?;
    let metadata = authorization_server::metadata_routes(&settings);
    let grantable = Arc::new(ByPolicy {
        policy: from.policy.clone(),
        issuer: settings.issuer.clone(),
        administrators: settings.administrators.clone(),
        folded: from.folded.clone(),
    });
    let to_clients = Outbound::new(&super::map::outbound_to_clients(config))?;
    let to_clients = call_steps::watched(to_clients, config, (&from.clock, false));
    let (ring, _) = from.keys;
    let server = AuthorizationServer::new(NewAuthorizationServer {
        settings,
        store: from.store,
        keys: Arc::clone(&ring),
        providers: providers.providers(),
        secret: from.encryption,
        clock: from.clock,
        random: from.random,
        outbound: from.outbound,
        to_clients,
        auditor: from.auditor,
        grantable,
        dpop: from.dpop,
    });
    let clients = authorization_server::registration_routes()
        .merge(authorization_server::token_routes())
        .with_state(server.clone());
    // Without CORS (N112): no script has a key to introspect with.
    let browsers = authorization_server::authorize_routes()
        .merge(authorization_server::introspection_routes())
        .with_state(server.clone());
    let identity = identity_route(people.connections.as_ref());
    let pages = authorization_server::people_routes(&server, people);
    Ok(Mounted {
        public: jwks.merge(clients).merge(metadata).merge(identity),
        private: browsers.merge(pages).merge(admin).merge(admin::document_routes()),
        server: Some(server),
        verifier: Some(verifier),
        providers: Some(providers),
    })
}

/// Who we are as a client of others (CIMD §3), where people connect accounts.
fn identity_route(connections: Option<&Connections>) -> Router {
    let Some(connections) = connections.cloned() else { return Router::new() };
    let json = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "max-age=300")];
    // Made for each: servers come and go, and each has a redirect URI of its own.
    let answer = axum::routing::get(move || async move {
        (json, bytes::Bytes::from(oauth_client::identity_document(&connections.identity())))
    });
    Router::new().route(connections::IDENTITY_PATH, answer)
}

/// The admin API behind a token of our own issuer: no other may say who administers us.
fn admin_routes(
    from: &Materials<'_>,
    providers: &Arc<ProviderFollower>,
) -> Result<(Router, Arc<Verifier>), AppError> {
    let Materials { config, names, store, clock, random, auditor, .. } = from;
    let revocations = revocations(config, store)?;
    let verifier = issuers::own_verifier(config, &from.keys.1, names, clock)?;
    let verifier = Arc::new(verifier.revocations(revocations).build()?);
    let key_settings = keys::settings(config, Arc::clone(store), &from.encryption, clock);
    let operations = admin::Operations {
        settings: providers.settings().clone(),
        store: Arc::clone(store),
        clock: Arc::clone(clock),
        random: Arc::clone(random),
        auditor: auditor.clone(),
        serving: Some(admin::Serving {
            approvals: from.approvals.clone(),
            issuer: issuer(&config.server.public_url).parse()?,
            policy: Arc::new(from.reloader.clone()),
            logs: Arc::new(Logs),
            keys: Arc::new(Keys(key_settings)),
            providers: Arc::<ProviderFollower>::clone(providers),
            explainer: Some(explainer(config, auditor, &from.policy, store)?),
        }),
    };
    let Some(name) = names.first() else { return Ok((Router::new(), verifier)) };
    let token = RequireTokenLayer::new(Arc::clone(&verifier), &well_known_url(&name.resource));
    let binding = Binding::new(config, from.dpop.as_ref(), clock);
    let token = binding.of(token, (&config.server.public_url, false));
    let recorder =
        Recorder { auditor: auditor.clone(), clock: Arc::clone(clock), random: Arc::clone(random) };
    let beside = from.page.clone().map(crate::http::metrics_routes).unwrap_or_default();
    let routes = admin::routes(operations, beside).layer(token);
    Ok((routes.layer(from_fn_with_state(recorder, record)), verifier))
}

/// Who guesses at tokens of administrators is seen, and held back as at every other door.
async fn record(State(recorder): State<Recorder>, request: Request, next: Next) -> Response {
    let guarded = service_fn(move |request| {
        let next = next.clone();
        async move { Ok(next.run(request).await) }
    });
    match try_record_refusals(&recorder, guarded, request).await {
        Ok(response) => response,
        Err(Unrecorded) => admin::unrecorded(),
    }
}
