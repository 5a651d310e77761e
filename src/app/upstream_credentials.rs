//! What the broker shows each server behind it, from the settings.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use url::Url;

use crate::authorization_server::{AuthorizationServer, KeyRing, NewIdentityToken};
use crate::broker::Profile;
use crate::config::{
    Config, SecretSource, UpstreamCredential, UpstreamExchange, UpstreamIdJag, UpstreamServer,
    UpstreamTokenPlace, UpstreamTransport,
};
use crate::connections::Connections;
use crate::id::{Issuer, ProfileName};
use crate::oauth_client::{At, Authentication, Held, TokenEndpoint};
use crate::outbound::Outbound;
use crate::random::Random;
use crate::resource_server::Principal;
use crate::scope::Scope;
use crate::secret::{Detail, Secret, SecretError, Secrets};
use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};
use crate::token::{CredentialSource, Freshness, ProviderTokens};
use crate::upstream::{
    CallerTokens, ClientCredentials, Credential, How, IdJag, IdTokens, Identity, OnBehalfOf,
    PerUser, Subject, TokenExchange, Vouch,
};

use super::addresses::Addresses;
use super::endpoints::issuer;
use super::error::AppError;
use super::id_tokens::KeptIdTokens;
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
    /// `None` where people connect no accounts.
    pub(super) connections: Option<&'a Connections>,
    pub(super) addresses: &'a Arc<Addresses>,
    /// `None` where nobody logs in here.
    pub(super) server: Option<&'a AuthorizationServer>,
}

impl<'a> Materials<'a> {
    pub(super) const fn new(
        (config, ring, profiles): (&'a Config, &'a Arc<KeyRing>, &'a [Profile]),
        (secrets, outbound): (&'a Arc<Secrets>, &'a Outbound),
        (clock, random): &'a (Arc<dyn Clock>, Arc<dyn Random>),
        (connections, addresses, server): (
            Option<&'a Connections>,
            &'a Arc<Addresses>,
            Option<&'a AuthorizationServer>,
        ),
    ) -> Self {
        Self {
            config,
            secrets,
            outbound,
            clock,
            random,
            ring,
            profiles,
            connections,
            addresses,
            server,
        }
    }
}

impl Materials<'_> {
    /// `None` for a kind that is not in force.
    pub(super) fn credential(
        &self,
        server: &UpstreamServer,
    ) -> Result<Option<Credential>, AppError> {
        self.shown(&server.credential, (&server.id, url_of(server)))
    }

    /// What the server `id` there is shown. `None` for a kind that is not in force.
    pub(super) fn shown(
        &self,
        credential: &UpstreamCredential,
        (id, url): (&str, Option<&Url>),
    ) -> Result<Option<Credential>, AppError> {
        let made = match credential {
            UpstreamCredential::None
            | UpstreamCredential::Bearer(_)
            | UpstreamCredential::Header { .. }
            | UpstreamCredential::ClientCredentials { .. } => {
                let with = (self.secrets, self.outbound, self.clock);
                return Ok(own_credential((credential, url), with));
            }
            UpstreamCredential::TokenExchange(exchange) => {
                let Some(url) = url else { return Ok(None) };
                self.for_caller(How::Exchange(self.exchange(url, exchange)?))
            }
            UpstreamCredential::IdJag(settings) => {
                let Some(url) = url else { return Ok(None) };
                self.for_caller(How::IdJag(Box::new(self.id_jag(url, settings)?)))
            }
            UpstreamCredential::EntraObo { profile, scopes } => {
                let Some(flow) = self.on_behalf_of(profile, scopes) else { return Ok(None) };
                self.for_caller(How::OnBehalfOf(flow))
            }
            UpstreamCredential::PerUser(_) => {
                let (Some(connections), Some(url)) = (self.connections, url) else {
                    return Ok(None);
                };
                Credential::PerUser(PerUser {
                    connections: connections.clone(),
                    server: id.to_owned(),
                    url: url.clone(),
                    issuer: issuer(&self.config.server.public_url).parse()?,
                })
            }
        };
        Ok(Some(made))
    }

    pub(super) fn held(&self, source: &SecretSource) -> Held {
        held(source, self.secrets)
    }

    fn endpoint(&self, at: At, client_id: &str, secret: &SecretSource) -> TokenEndpoint {
        token_endpoint(at, (client_id, secret), (self.secrets, self.outbound, self.clock))
    }

    fn for_caller(&self, how: How) -> Credential {
        Credential::ForCaller(Arc::new(CallerTokens::new(how, Arc::clone(self.clock))))
    }

    fn exchange(&self, url: &Url, settings: &UpstreamExchange) -> Result<TokenExchange, AppError> {
        let UpstreamExchange { token_url, client_id, client_secret, .. } = settings;
        let endpoint = self.endpoint(At::Url(token_url.clone()), client_id, client_secret);
        let actor =
            settings.actor.then(|| client_credentials(endpoint.clone(), (&Scope::empty(), None)));
        Ok(TokenExchange {
            subject: self.subject(token_url, settings.issuer.as_ref())?,
            endpoint,
            resource: url.clone(),
            audience: settings.audience.clone(),
            scope: settings.scopes.to_string(),
            actor,
        })
    }

    /// What says who calls to the authorization server whose token endpoint this is.
    fn subject(&self, token_url: &Url, issuer: Option<&Issuer>) -> Result<Subject, AppError> {
        let audience = issuer.map_or(token_url.as_str(), |issuer| issuer.as_str());
        Ok(Subject {
            vouch: word_for(
                self.config,
                (self.ring, self.addresses),
                (self.clock, self.random),
                audience,
            )?,
            issuer: issuer.cloned(),
            id_tokens: None,
        })
    }

    /// What people's log-ins at the provider gave, where that is who exchanges.
    fn id_tokens(&self, settings: &UpstreamIdJag) -> Result<Option<Arc<dyn IdTokens>>, AppError> {
        let (Some(server), Some(provider)) = (self.server, &settings.issuer) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(KeptIdTokens {
            server: server.clone(),
            ours: issuer(&self.config.server.public_url).parse()?,
            issuer: provider.as_str().to_owned(),
            client_id: settings.client_id.clone(),
        })))
    }

    fn id_jag(&self, url: &Url, settings: &UpstreamIdJag) -> Result<IdJag, AppError> {
        let UpstreamIdJag { token_url, client_id, client_secret, server, .. } = settings;
        let subject = self.subject(token_url, settings.issuer.as_ref())?;
        Ok(IdJag {
            subject: Subject { id_tokens: self.id_tokens(settings)?, ..subject },
            provider: self.endpoint(At::Url(token_url.clone()), client_id, client_secret),
            server: self.endpoint(at(&server.at()), &server.client_id, &server.client_secret),
            audience: server.issuer.clone(),
            resource: url.clone(),
            scope: settings.scopes.to_string(),
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

/// What a server is shown whoever calls. `None` for a credential that is obtained for each caller.
pub(super) fn own_credential(
    (credential, url): (&UpstreamCredential, Option<&Url>),
    with: (&Arc<Secrets>, &Outbound, &Arc<dyn Clock>),
) -> Option<Credential> {
    Some(match credential {
        UpstreamCredential::None => Credential::None,
        UpstreamCredential::Bearer(source) => Credential::bearer(held(source, with.0)),
        UpstreamCredential::Header { name, value } => {
            let (header, value) = (name.parse().ok()?, held(value, with.0));
            Credential::Fixed { header, bearer: false, value }
        }
        UpstreamCredential::ClientCredentials { at, client_id, client_secret, scopes } => {
            let endpoint = token_endpoint(self::at(at), (client_id, client_secret), with);
            // An authorization server by its issuer is one of MCP's, and is told for what the token is (RFC 8707 §2).
            let resource = url.filter(|_| matches!(at, UpstreamTokenPlace::Issuer(_)));
            let resource = resource.map(Url::to_string);
            Credential::ClientCredentials(client_credentials(endpoint, (scopes, resource)))
        }
        _ => return None,
    })
}

fn token_endpoint(
    at: At,
    (client_id, secret): (&str, &SecretSource),
    (secrets, outbound, clock): (&Arc<Secrets>, &Outbound, &Arc<dyn Clock>),
) -> TokenEndpoint {
    TokenEndpoint {
        at,
        client_id: client_id.to_owned(),
        authentication: Authentication::Basic(held(secret, secrets)),
        outbound: outbound.clone(),
        clock: Arc::clone(clock),
    }
}

fn at(place: &UpstreamTokenPlace) -> At {
    match place {
        UpstreamTokenPlace::Url(url) => At::Url(url.clone()),
        UpstreamTokenPlace::Issuer(issuer) => At::issuer(issuer),
    }
}

/// Our word about callers, for one reader: a JWT for `audience`, good for a minute.
///
/// # Errors
///
/// [`AppError`] where `server.public_url` is no issuer.
pub(super) fn word_for(
    config: &Config,
    (ring, addresses): (&Arc<KeyRing>, &Arc<Addresses>),
    (clock, random): (&Arc<dyn Clock>, &Arc<dyn Random>),
    audience: &str,
) -> Result<Identity, AppError> {
    Ok(Identity::new(Word {
        issuer: issuer(&config.server.public_url).parse()?,
        audience: audience.to_owned(),
        ring: Arc::clone(ring),
        addresses: Arc::clone(addresses),
        clock: Arc::clone(clock),
        random: Arc::clone(random),
    }))
}

struct Word {
    issuer: Issuer,
    audience: String,
    ring: Arc<KeyRing>,
    addresses: Arc<Addresses>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

#[async_trait]
impl Vouch for Word {
    async fn sign(&self, principal: &Principal) -> Option<SecretText> {
        let ours = self.addresses.of(principal, &self.issuer).await;
        let ours = ours
            .inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "upstream.caller_unknown");
            })
            .ok()?;
        let claim = |name| principal.claims().get(name);
        let token = NewIdentityToken {
            issuer: &self.issuer,
            audience: &self.audience,
            caller_issuer: principal.issuer(),
            subject: principal.subject(),
            client_id: principal.client_id(),
            scope: principal.scopes(),
            email: ours.as_deref().or_else(|| claim("email")?.as_str()),
            email_verified: claim("email_verified").is_some_and(|said| *said == true),
            issued_at: self.clock.now(),
        };
        token.sign(&self.ring.current(), &*self.random).ok()
    }
}

/// A child process is reached without any of this.
pub(super) const fn url_of(server: &UpstreamServer) -> Option<&Url> {
    match &server.transport {
        UpstreamTransport::Http(url) => Some(url),
        UpstreamTransport::Child(_) => None,
    }
}

pub(super) fn held(source: &SecretSource, secrets: &Arc<Secrets>) -> Held {
    match source {
        SecretSource::Literal(text) => Held::Text(text.clone()),
        SecretSource::Ref(reference) => Held::Reference(reference.clone(), Arc::clone(secrets)),
    }
}

fn client_credentials(
    endpoint: TokenEndpoint,
    (scopes, resource): (&Scope, Option<String>),
) -> Arc<ClientCredentials> {
    Arc::new(ClientCredentials {
        endpoint,
        scope: scopes.to_string(),
        resource,
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

    fn at_hand(&self) -> BoxFuture<'_, Option<Secret>> {
        let budget = Budget::start(Arc::clone(&self.clock), LIMIT);
        async move { self.secrets.at_hand(self.reference.as_ref()?, &budget).await }.boxed()
    }
}
