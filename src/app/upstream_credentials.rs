//! What the broker shows each server behind it, from the settings.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use url::Url;

use crate::authorization_server::{KeyRing, NewIdentityToken};
use crate::broker::Profile;
use crate::config::{Config, SecretSource, UpstreamCredential, UpstreamExchange, UpstreamServer};
use crate::id::{Issuer, ProfileName};
use crate::oauth_client::{Authentication, Held, TokenEndpoint};
use crate::outbound::Outbound;
use crate::random::Random;
use crate::scope::Scope;
use crate::secret::{Detail, Secret, SecretError, Secrets};
use crate::secret_ref::SecretRef;
use crate::time::{Budget, Clock};
use crate::token::{CredentialSource, Freshness, ProviderTokens};
use crate::upstream::{
    CallerTokens, ClientCredentials, Credential, How, Identity, OnBehalfOf, TokenExchange,
};

use super::endpoints::issuer;
use super::error::AppError;
use super::map;

/// How long reading a secret may take.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What credentials are made with.
pub(super) struct Materials<'a> {
    pub(super) config: &'a Config,
    pub(super) secrets: &'a Arc<Secrets>,
    pub(super) outbound: &'a Outbound,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) random: &'a Arc<dyn Random>,
    pub(super) ring: &'a Arc<KeyRing>,
    pub(super) profiles: &'a [Profile],
}

impl Materials<'_> {
    /// `None` for a kind that is not in force.
    pub(super) fn credential(&self, server: &UpstreamServer) -> Result<Option<Credential>, AppError> {
        let made = match &server.credential {
            UpstreamCredential::None => Credential::None,
            UpstreamCredential::Bearer(source) => Credential::bearer(self.held(source)),
            UpstreamCredential::Header { name, value } => {
                let Ok(header) = name.parse() else { return Ok(None) };
                Credential::Fixed { header, bearer: false, value: self.held(value) }
            }
            UpstreamCredential::ClientCredentials { token_url, client_id, client_secret, scopes } => {
                let endpoint = self.endpoint(token_url, client_id, client_secret);
                Credential::ClientCredentials(client_credentials(endpoint, scopes))
            }
            UpstreamCredential::TokenExchange(exchange) => {
                self.for_caller(How::Exchange(self.exchange(server, exchange)?))
            }
            UpstreamCredential::EntraObo { profile, scopes } => {
                let Some(flow) = self.on_behalf_of(profile, scopes) else { return Ok(None) };
                self.for_caller(How::OnBehalfOf(flow))
            }
            UpstreamCredential::PerUser { .. } => return Ok(None),
        };
        Ok(Some(made))
    }

    fn held(&self, source: &SecretSource) -> Held {
        match source {
            SecretSource::Literal(text) => Held::Text(text.clone()),
            SecretSource::Ref(reference) => {
                Held::Reference(reference.clone(), Arc::clone(self.secrets))
            }
        }
    }

    fn endpoint(&self, url: &Url, client_id: &str, secret: &SecretSource) -> TokenEndpoint {
        TokenEndpoint {
            url: url.clone(),
            client_id: client_id.to_owned(),
            authentication: Authentication::Basic(self.held(secret)),
            outbound: self.outbound.clone(),
            clock: Arc::clone(self.clock),
        }
    }

    fn for_caller(&self, how: How) -> Credential {
        Credential::ForCaller(Arc::new(CallerTokens::new(how, Arc::clone(self.clock))))
    }

    fn exchange(
        &self,
        server: &UpstreamServer,
        settings: &UpstreamExchange,
    ) -> Result<TokenExchange, AppError> {
        let UpstreamExchange { token_url, client_id, client_secret, .. } = settings;
        let endpoint = self.endpoint(token_url, client_id, client_secret);
        let audience = settings.issuer.as_ref().map_or(token_url.as_str(), |issuer| issuer.as_str());
        let actor = settings.actor.then(|| client_credentials(endpoint.clone(), &Scope::empty()));
        Ok(TokenExchange {
            vouch: word_for(self.config, self.ring, (self.clock, self.random), audience)?,
            endpoint,
            issuer: settings.issuer.clone(),
            resource: server.url.clone(),
            audience: settings.audience.clone(),
            scope: settings.scopes.to_string(),
            actor,
        })
    }

    /// `None` where the settings' check has said that the profile cannot be used.
    fn on_behalf_of(&self, profile: &ProfileName, scopes: &Scope) -> Option<OnBehalfOf> {
        let found = self.profiles.iter().find(|known| known.settings.name() == profile)?;
        let around = (Arc::clone(self.clock), Arc::clone(self.random));
        // No managed identity exchanges tokens, so nothing asks the platform.
        let platform = self.outbound.clone();
        let tokens = ProviderTokens::new(
            self.outbound.clone(),
            platform,
            around.0,
            around.1,
            map::tokens(self.config),
        );
        let secrets = ProfileSecret {
            secrets: Arc::clone(self.secrets),
            reference: found.secret.clone(),
            clock: Arc::clone(self.clock),
        };
        Some(OnBehalfOf {
            tokens: Arc::new(tokens),
            profile: found.settings.clone(),
            secrets: Arc::new(secrets),
            scope: scopes.to_string(),
            clock: Arc::clone(self.clock),
        })
    }
}

/// Our word about callers, for one reader: a JWT for `audience`, good for a minute.
///
/// # Errors
///
/// [`AppError`] where `server.public_url` is no issuer.
pub(super) fn word_for(
    config: &Config,
    ring: &Arc<KeyRing>,
    (clock, random): (&Arc<dyn Clock>, &Arc<dyn Random>),
    audience: &str,
) -> Result<Identity, AppError> {
    let issuer: Issuer = issuer(&config.server.public_url).parse()?;
    let (audience, ring) = (audience.to_owned(), Arc::clone(ring));
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    Ok(Identity::new(move |principal| {
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
    }))
}

fn client_credentials(endpoint: TokenEndpoint, scopes: &Scope) -> Arc<ClientCredentials> {
    Arc::new(ClientCredentials {
        endpoint,
        scope: scopes.to_string(),
        resource: None,
        token: tokio::sync::Mutex::default(),
    })
}

/// The secret of a profile, for what every caller of one server shares: no permit names one of them.
struct ProfileSecret {
    secrets: Arc<Secrets>,
    reference: Option<SecretRef>,
    clock: Arc<dyn Clock>,
}

impl ProfileSecret {
    async fn read(&self, freshness: Freshness) -> Result<Secret, SecretError> {
        let Some(reference) = &self.reference else {
            // A profile without a secret (a federated one) never asks.
            let reference = SecretRef::Env("unset".to_owned());
            return Err(SecretError::NotFound { reference, detail: Some(Detail::NotConfigured) });
        };
        let budget = Budget::start(Arc::clone(&self.clock), LIMIT);
        let known = self.secrets.read_own(reference, &budget).await?;
        match freshness {
            Freshness::Cached => Ok(known),
            Freshness::Reread => self.secrets.reread_own(&known, &budget).await,
        }
    }
}

impl CredentialSource for ProfileSecret {
    fn secret(&self, freshness: Freshness) -> BoxFuture<'_, Result<Secret, SecretError>> {
        self.read(freshness).boxed()
    }
}
