//! What `broker check --live` reaches: secret backends, other issuers, login endpoints, Graph, and servers behind us. Each once, no call of anybody.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::broker::Profile;
use crate::config::{
    self, Config, Deployment, GraphMode, IssuerKeys, SecretSource, UpstreamCredential,
    UpstreamTransport,
};
use crate::id::{Issuer, ProfileName};
use crate::outbound::{Call, Limits, Outbound, OutboundError};
use crate::policy::Policy;
use crate::random::SystemRandom;
use crate::resource_server::{LocalKeys, TokenError, Verifier, discover};
use crate::secret::{Environment, Secret, SecretError, Secrets};
use crate::secret_ref::SecretRef;
use crate::store::Database;
use crate::time::{Budget, Clock};
use crate::token::{CredentialSource, Freshness, ProviderTokens};

use super::check::CheckFault;
use super::check_key::CheckKey;
use super::error::AppError;
use super::graph::{self, GraphParts};
use super::{check_servers, identity_providers, issuers, map, platform};

/// For each step: whoever runs the check waits for it.
const LIMIT: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 256 * 1024;

/// The rules and the store, as far as they can be had.
type Known<'a> = (Option<&'a Policy>, Option<&'a Arc<dyn Database>>);

/// Everything that cannot be reached or does not answer as it should, each named.
pub(super) async fn faults(
    config: &Config,
    (variables, known): (&Environment, Known<'_>),
    clock: &Arc<dyn Clock>,
) -> Vec<CheckFault> {
    let reach = match Reach::new(config, variables, clock) {
        Ok(reach) => reach,
        Err(error) => return vec![CheckFault::new(CheckKey::Outbound, error)],
    };
    let mut faults = Vec::new();
    let mut note = |key, result: Result<(), AppError>| {
        if let Err(error) = result {
            faults.push(CheckFault::new(key, error));
        }
    };
    for issuer in &config.resource_server.issuers {
        note(CheckKey::Issuer, reach.issuer(config, issuer).await);
    }
    for provider in &config.authorization_server.identity_providers {
        note(CheckKey::IdentityProvider, reach.provider(provider).await);
    }
    if let (_, Some(store)) = known {
        let with = (&reach.secrets, &reach.outbound, clock);
        for result in identity_providers::live(config, store, with).await {
            note(CheckKey::IdentityProvider, result);
        }
    }
    for (key, source) in own_secrets(config) {
        note(key, reach.own(source).await);
    }
    match config.graph.mode {
        GraphMode::Simulated => {
            for reference in config.graph.profiles.iter().filter_map(reference) {
                note(CheckKey::Secrets, reach.secret(reference).await);
            }
        }
        GraphMode::Live => match graph::live(&config.graph, variables.clone()) {
            Err(error) => note(CheckKey::GraphProfile, Err(error)),
            Ok(live) => {
                note(CheckKey::GraphCloud, reach.graph(&live).await);
                match reach.with(config, &live.variables) {
                    Err(error) => note(CheckKey::GraphProfile, Err(error)),
                    Ok(reach) => {
                        for profile in &live.profiles {
                            note(
                                CheckKey::GraphProfile,
                                reach.token(config, &live, profile).await.map(drop),
                            );
                        }
                    }
                }
            }
        },
    }
    let with = (&reach.secrets, &reach.outbound, clock);
    faults.extend(check_servers::live(config, known, with).await);
    faults
}

/// The application permissions of each profile, as a token for it names them; `None` where it names none that can be read.
/// A profile that gets no token is left out: [`faults`] has told why.
pub(super) async fn permissions(
    config: &Config,
    variables: &Environment,
    clock: &Arc<dyn Clock>,
) -> Vec<(ProfileName, Option<Vec<String>>)> {
    let Ok(live) = graph::live(&config.graph, variables.clone()) else { return Vec::new() };
    let Ok(reach) = Reach::new(config, &live.variables, clock) else { return Vec::new() };
    let mut found = Vec::new();
    for profile in &live.profiles {
        if let Ok(roles) = reach.token(config, &live, profile).await {
            found.push((profile.settings.name().clone(), roles));
        }
    }
    found
}

/// What everything is reached with.
struct Reach {
    outbound: Outbound,
    secrets: Arc<Secrets>,
    clock: Arc<dyn Clock>,
}

impl Reach {
    fn new(
        config: &Config,
        variables: &Environment,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let outbound = Outbound::new(&map::outbound(config))?;
        let clock = Arc::clone(clock);
        let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(&clock))?;
        Ok(Self { outbound, secrets: Arc::new(secrets), clock })
    }

    /// The same with the secrets that profiles hold themselves.
    fn with(&self, config: &Config, variables: &Environment) -> Result<Self, AppError> {
        Self::new(config, variables, &self.clock)
    }

    fn budget(&self) -> Budget {
        Budget::start(Arc::clone(&self.clock), LIMIT)
    }

    async fn own(&self, source: &SecretSource) -> Result<(), AppError> {
        issuers::own(source, &self.secrets, &self.budget()).await.map(drop)
    }

    /// Reads our secret for the provider, and looks whether its metadata is there, or what it has instead.
    async fn provider(&self, provider: &config::IdentityProvider) -> Result<(), AppError> {
        if let Some(secret) = &provider.client_secret {
            self.own(secret).await?;
        }
        let limits = Limits { timeout: LIMIT, max_bytes: MAX_BYTES };
        match &provider.endpoints {
            None => {
                let issuer: Issuer = provider.issuer.parse()?;
                let found = discover(&issuer, &self.outbound, LIMIT).await;
                found.map(drop).map_err(|source| AppError::Discovery { issuer, source })
            }
            // Without a code it refuses; whether it is there is all that is asked.
            Some(endpoints) => {
                match self.outbound.send(Call::get(endpoints.token.clone()), limits).await {
                    Ok(_) | Err(OutboundError::TooLarge { .. }) => Ok(()),
                    Err(source) => {
                        let id = provider.id.clone();
                        Err(AppError::ProviderUnreachable { id, source })
                    }
                }
            }
        }
    }

    async fn secret(&self, reference: &SecretRef) -> Result<(), AppError> {
        self.secrets.read_own(reference, &self.budget()).await?;
        Ok(())
    }

    /// Mints one token as the profile would, and forgets it.
    async fn token(
        &self,
        config: &Config,
        live: &GraphParts,
        profile: &Profile,
    ) -> Result<Option<Vec<String>>, AppError> {
        let tokens = ProviderTokens::new(
            self.outbound.clone(),
            platform::client(&live.variables)?,
            Arc::clone(&self.clock),
            Arc::new(SystemRandom::new()),
            map::tokens(config),
        );
        let budget = self.budget();
        let source = OwnSecret { reach: self, reference: profile.secret.as_ref(), budget: &budget };
        let minted =
            tokens.probe(&profile.settings, &live.cloud.resource(), &source, &budget).await;
        minted.map_err(|source| AppError::ProfileToken {
            profile: profile.settings.name().clone(),
            source: Box::new(source),
        })
    }

    /// Asks Graph for its root without a token: any answer but an outage will do, 401 most of all.
    async fn graph(&self, live: &GraphParts) -> Result<(), AppError> {
        let mut url = live.cloud.graph();
        url.set_path("/v1.0/");
        let limits = Limits { timeout: LIMIT, max_bytes: MAX_BYTES };
        match self.outbound.send(Call::get(url), limits).await {
            Ok(answer) if answer.status.is_server_error() => {
                Err(AppError::GraphStatus(answer.status))
            }
            Ok(_) | Err(OutboundError::TooLarge { .. } | OutboundError::Compressed { .. }) => {
                Ok(())
            }
            Err(source) => Err(AppError::GraphUnreachable(source)),
        }
    }

    async fn issuer(&self, config: &Config, configured: &config::Issuer) -> Result<(), AppError> {
        match &configured.keys {
            IssuerKeys::JwksUri(url) => self.key_set(configured, url.clone()).await,
            IssuerKeys::Discovery => {
                let found = discover(&configured.issuer, &self.outbound, LIMIT).await;
                let issuer = configured.issuer.clone();
                let url = found.map_err(|source| AppError::Discovery { issuer, source })?;
                self.key_set(configured, url).await
            }
            IssuerKeys::Introspection(_) => self.introspection(config, configured).await,
            IssuerKeys::Secret(source) => {
                let secret = issuers::own(source, &self.secrets, &self.budget()).await?;
                match config::weakness(&secret).filter(|_| config.deployment != Deployment::Dev) {
                    Some(problem) => {
                        Err(AppError::WeakSecret { issuer: configured.issuer.clone(), problem })
                    }
                    None => Ok(()),
                }
            }
        }
    }

    async fn key_set(&self, configured: &config::Issuer, url: url::Url) -> Result<(), AppError> {
        let issuer = || configured.issuer.clone();
        let limits = Limits { timeout: LIMIT, max_bytes: MAX_BYTES };
        let answer = self.outbound.send(Call::get(url), limits).await;
        let answer = answer.map_err(|source| AppError::KeySet { issuer: issuer(), source })?;
        if !answer.status.is_success() {
            return Err(AppError::KeySetStatus { issuer: issuer(), status: answer.status });
        }
        let parsed = LocalKeys::new(&answer.body);
        parsed.map(drop).map_err(|source| AppError::KeySetContent { issuer: issuer(), source })
    }

    /// Asks about a token that is none: a good endpoint knows our credentials, and says that it is not active.
    async fn introspection(
        &self,
        config: &Config,
        configured: &config::Issuer,
    ) -> Result<(), AppError> {
        if let IssuerKeys::Introspection(asked) = &configured.keys {
            issuers::own(&asked.client_secret, &self.secrets, &self.budget()).await?;
        }
        let audience = [configured.issuer.to_string()];
        let mut settings = issuers::foreign(config, configured, &audience, &self.secrets);
        settings.opaque_tokens = true;
        let verifier =
            Verifier::builder().outbound(self.outbound.clone()).issuer(settings).build()?;
        match verifier.verify("broker-check").await {
            Err(refusal) if refusal.error() == TokenError::IssuerUnavailable => {
                Err(AppError::Introspection(configured.issuer.clone()))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// What a child process gets in its environment.
fn variables(server: &config::UpstreamServer) -> impl Iterator<Item = &SecretSource> {
    let command = match &server.transport {
        UpstreamTransport::Child(command) => Some(command),
        UpstreamTransport::Http(_) => None,
    };
    command.into_iter().flat_map(|command| command.environment.values())
}

/// Every secret that the settings name and that is read when somebody needs it, beside those of issuers, identity
/// providers and Graph profiles.
fn own_secrets(config: &Config) -> Vec<(CheckKey, &SecretSource)> {
    let clients = config.authorization_server.clients.iter();
    let clients = clients.filter_map(|client| client.secret.as_ref());
    let clients = clients.map(|source| (CheckKey::ClientSecret, source));
    let providers = config.authorization_server.identity_provider_secrets.iter();
    let providers = providers.map(|known| (CheckKey::IdentityProviderSecret, &known.secret));
    let clients = clients.chain(providers);
    let servers = config.upstream.servers.iter();
    let servers = servers.flat_map(|server| secrets_of(&server.credential));
    let servers = servers.map(|source| (CheckKey::ServerCredential, source));
    let named = config.upstream.credentials.iter();
    let named = named.flat_map(|named| secrets_of(&named.credential));
    let servers = servers.chain(named.map(|source| (CheckKey::NamedCredential, source)));
    let children = config.upstream.servers.iter().flat_map(variables);
    let children = children.map(|source| (CheckKey::ServerEnvironment, source));
    let webhook = config.approvals.webhook.iter();
    let webhook = webhook.map(|webhook| (CheckKey::WebhookSecret, &webhook.secret));
    clients.chain(servers).chain(children).chain(webhook).collect()
}

fn secrets_of(credential: &UpstreamCredential) -> Vec<&SecretSource> {
    match credential {
        UpstreamCredential::Bearer(source)
        | UpstreamCredential::Header { value: source, .. }
        | UpstreamCredential::ClientCredentials { client_secret: source, .. } => vec![source],
        UpstreamCredential::TokenExchange(exchange) => vec![&exchange.client_secret],
        UpstreamCredential::IdJag(flow) => vec![&flow.client_secret, &flow.server.client_secret],
        UpstreamCredential::PerUser(accounts) => {
            accounts.client.iter().filter_map(|(_, secret)| secret.as_ref()).collect()
        }
        UpstreamCredential::None | UpstreamCredential::EntraObo { .. } => Vec::new(),
    }
}

/// The secret of a profile, read as one of the broker's own: nobody calls, so there is no permit.
struct OwnSecret<'a> {
    reach: &'a Reach,
    reference: Option<&'a SecretRef>,
    budget: &'a Budget,
}

impl CredentialSource for OwnSecret<'_> {
    fn secret(&self, _freshness: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>> {
        async {
            let unset = SecretRef::Env("unset".to_owned());
            let reference = self.reference.unwrap_or(&unset);
            self.reach.secrets.read_own(reference, self.budget).await
        }
        .boxed()
    }

    fn at_hand(&self) -> BoxFuture<'_, Option<Secret>> {
        async { self.reach.secrets.at_hand(self.reference?, self.budget).await }.boxed()
    }
}

fn reference(profile: &config::GraphProfile) -> Option<&SecretRef> {
    use crate::config::GraphCredential::{
        Certificate, ClientSecret, FederatedTokenFile, ManagedIdentity,
    };

    let source = match &profile.credential {
        ClientSecret(source) | Certificate { private_key: source, .. } => source,
        FederatedTokenFile(_) | ManagedIdentity => return None,
    };
    match source {
        SecretSource::Ref(reference) => Some(reference),
        SecretSource::Literal(_) => None,
    }
}
