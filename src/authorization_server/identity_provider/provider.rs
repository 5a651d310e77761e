//! One provider: starting a login there, and taking its answer.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use url::Url;

use crate::login_provider::{Standing, gives_by_access_type};
use crate::outbound::Outbound;
use crate::random::Random;
use crate::scope::Scope;
use crate::secret_text::SecretText;
use crate::store::{ExternalIdentity, LoginOrigin, LogoutToken};
use crate::time::{Clock, Timestamp};

use super::UpstreamError;
use super::discovery::{Discovery, Metadata, OFFLINE_ACCESS, Who};
use super::exchange::{Callback, Exchange};
use super::freshness::Freshness;
use super::logout_token;
use super::renewal::{GivenTokens, Renewed};
use super::settings::IdentityProviderSettings;
use super::silence::{Silence, Turn};
use super::speaking::Speaking;

/// Every provider at which people log in now, in the order in which they are shown. Clones are the same.
#[derive(Clone, Debug)]
pub struct IdentityProviders {
    public_url: Url,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    now: Arc<RwLock<Vec<Arc<Provider>>>>,
}

impl IdentityProviders {
    /// None yet.
    #[must_use]
    pub fn new(public_url: &Url, outbound: &Outbound, clock: &Arc<dyn Clock>) -> Self {
        Self {
            public_url: public_url.clone(),
            outbound: outbound.clone(),
            clock: Arc::clone(clock),
            now: Arc::default(),
        }
    }

    /// These from now on. What is known of one that was there before is kept; who is in the middle of a log-in at one that
    /// is not any more is refused when they come back.
    pub fn replace(&self, settings: Vec<IdentityProviderSettings>) {
        let before = self.all();
        let provider = |settings: IdentityProviderSettings| {
            let same = |known: &&Arc<Provider>| {
                known.settings.id == settings.id && known.settings.issuer == settings.issuer
            };
            let discovery = before.iter().find(same).map(|known| Arc::clone(&known.discovery));
            Arc::new(Provider {
                redirect_uri: callback_url(&self.public_url, &settings.id),
                settings,
                discovery: discovery.unwrap_or_default(),
                silence: Silence::default(),
                outbound: self.outbound.clone(),
                clock: Arc::clone(&self.clock),
            })
        };
        let after = settings.into_iter().map(provider).collect();
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = after;
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Provider>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.iter().find(|provider| provider.settings.id == id).cloned()
    }

    /// The one whose accounts have this issuer.
    pub(crate) fn of_issuer(&self, issuer: &str) -> Option<Arc<Provider>> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.iter().find(|provider| provider.settings.issuer == issuer).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Provider>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether people could log in there: our secret can be read, and its metadata is there and names it.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`]
    pub async fn look_at(&self, settings: &IdentityProviderSettings) -> Result<(), UpstreamError> {
        if let Some(secret) = &settings.client_secret {
            secret.read().await.map_err(UpstreamError::ClientSecret)?;
        }
        let discovery = Discovery::default();
        discovery.get(settings, &self.outbound, &self.clock).await.map(drop)
    }
}

fn callback_url(public_url: &Url, id: &str) -> Url {
    let mut url = public_url.clone();
    let base = public_url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/login/callback/{id}"));
    url
}

/// A provider at which people log in.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: IdentityProviderSettings,
    redirect_uri: Url,
    discovery: Arc<Discovery>,
    silence: Silence,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
}

/// What must be known again when the browser comes back. Lives ten minutes, in the store. No `Debug`: it holds secrets.
#[derive(Serialize, Deserialize)]
pub(crate) struct LoginUnderWay {
    pub(crate) provider: String,
    /// Whose accounts it has: another provider may have its id by the time that the browser comes back. `None`: an older
    /// version wrote this.
    #[serde(default)]
    issuer: Option<String>,
    /// Digest of the browser's cookie, base64url: no other browser may bring the answer.
    pub(crate) browser: String,
    /// The authorization request that waits for the login.
    pub(crate) request: Option<String>,
    #[serde(default)]
    fresh: Freshness,
    nonce: String,
    code_verifier: String,
}

/// Somebody who logged in.
pub(crate) struct LoggedIn {
    pub(crate) identity: ExternalIdentity,
    /// When they proved who they are; `None` where the provider does not say.
    pub(crate) auth_time: Option<Timestamp>,
    /// The provider, and what it says of the log-in there.
    pub(crate) origin: LoginOrigin,
    pub(crate) given: GivenTokens,
}

/// A login that can begin.
pub(crate) struct Start {
    /// Random; names the login in the store by its digest.
    pub(crate) state: String,
    pub(crate) under_way: LoginUnderWay,
    /// Where to send the browser.
    pub(crate) url: Url,
}

impl Provider {
    pub(crate) fn id(&self) -> &str {
        &self.settings.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Its id, where it may be disabled or taken out while somebody logs in.
    pub(crate) fn stored(&self) -> Option<&str> {
        self.settings.stored.then_some(self.settings.id.as_str())
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Our client there.
    pub(crate) fn client_id(&self) -> &str {
        self.settings.client_id.as_str()
    }

    pub(crate) const fn standing(&self) -> Standing {
        self.settings.standing
    }

    /// # Errors
    ///
    /// [`UpstreamError`] where the provider's metadata cannot be had; [`UpstreamError::NotFresh`] where a fresh login is
    /// asked for, and the provider is plain OAuth and can prove none.
    pub(crate) async fn start(
        &self,
        browser: String,
        request: Option<String>,
        ((fresh, acr_values), login_hint): ((Freshness, Vec<String>), Option<String>),
        random: &dyn Random,
    ) -> Result<Start, UpstreamError> {
        let metadata = self.metadata().await?;
        let openid = matches!(metadata.who, Who::IdToken(..));
        if !openid && fresh.earliest().is_some() {
            return Err(UpstreamError::NotFresh);
        }
        let (state, nonce, verifier) = (token(random), token(random), token(random));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let scopes = self.scopes(&metadata).to_string();
        let google = self.settings.standing.keep_tokens && gives_by_access_type(self.issuer());
        let mut url = metadata.authorization.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", self.settings.client_id.as_str())
                .append_pair("redirect_uri", self.redirect_uri.as_str())
                .append_pair("scope", &scopes)
                .append_pair("state", &state)
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
            if openid {
                query.append_pair("nonce", &nonce).extend_pairs(fresh.parameters(google));
                if google {
                    query.append_pair("access_type", "offline");
                }
                if !acr_values.is_empty() {
                    query.append_pair("acr_values", &acr_values.join(" "));
                }
                if let Some(hint) = &login_hint {
                    query.append_pair("login_hint", hint);
                }
            }
        }
        let under_way = LoginUnderWay {
            provider: self.settings.id.clone(),
            issuer: Some(self.settings.issuer.clone()),
            browser,
            request,
            fresh,
            nonce,
            code_verifier: verifier,
        };
        Ok(Start { state, under_way, url })
    }

    /// Who logged in there. The caller has checked `state` and spent it.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`]
    pub(crate) async fn finish(
        &self,
        under_way: LoginUnderWay,
        callback: &Callback,
    ) -> Result<LoggedIn, UpstreamError> {
        // The code is for whom the browser was sent to, and shown to nobody else (mix-up, RFC 9700 §4.4).
        if under_way.issuer.is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(UpstreamError::WrongIssuer);
        }
        let metadata = self.metadata().await?;
        let with = self.speaking(&metadata);
        let exchange = Exchange {
            with,
            redirect_uri: &self.redirect_uri,
            nonce: &under_way.nonce,
            code_verifier: &SecretText::new(under_way.code_verifier),
        };
        let (claims, given) = exchange.claims(callback).await?;
        let auth_time = match metadata.who {
            Who::IdToken(..) => under_way.fresh.proven(&claims, with.now)?,
            // Whatever userinfo says: nothing of it is about this login.
            Who::Userinfo(_) => None,
        };
        let origin = match metadata.who {
            Who::IdToken(..) => self.settings.origin(&claims),
            Who::Userinfo(_) => self.settings.origin(&Map::new()),
        };
        Ok(LoggedIn { identity: self.settings.identity(&claims)?, auth_time, origin, given })
    }

    /// For who would ask it again. `None`: it does not answer, and somebody else looks whether it does again.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        self.silence.turn()
    }

    /// Asks it again about somebody who logged in there.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Ended`] where it stands by them no more; others where it gave no answer
    pub(crate) async fn renew(&self, refresh_token: &SecretText) -> Result<Renewed, UpstreamError> {
        let renewed = match self.metadata().await {
            Ok(metadata) => self.speaking(&metadata).renew(refresh_token).await,
            Err(error) => Err(error),
        };
        self.silence.note(&renewed);
        renewed
    }

    fn speaking<'a>(&'a self, metadata: &'a Metadata) -> Speaking<'a> {
        let (settings, outbound) = (&self.settings, &self.outbound);
        Speaking { settings, metadata, outbound, now: self.clock.now() }
    }

    /// Where its tokens are kept, and it has a scope for that, it is asked for it; Google and Cognito would refuse it.
    fn scopes(&self, metadata: &Metadata) -> Scope {
        let wanted = self.settings.standing.keep_tokens && metadata.offline_access;
        let offline = OFFLINE_ACCESS.parse::<Scope>().ok().filter(|_| wanted);
        offline.map_or_else(|| self.settings.scopes.clone(), |it| self.settings.scopes.union(&it))
    }

    /// What a logout token of this provider ends (OIDC Back-Channel Logout §2.6). Does *not* check that it was not used
    /// before: that is for who ends it.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`]; a provider that is plain OAuth signs nothing, and can send none.
    pub(crate) async fn logout_token(
        &self,
        unverified: &str,
    ) -> Result<LogoutToken, UpstreamError> {
        let metadata = self.metadata().await?;
        let Who::IdToken(keys, _) = &metadata.who else {
            return Err(UpstreamError::LogoutToken("the provider has no keys"));
        };
        let token = keys.verify(unverified).await.map_err(UpstreamError::Signature)?;
        logout_token::check(&self.settings, token, self.clock.now())
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, UpstreamError> {
        self.discovery.get(&self.settings, &self.outbound, &self.clock).await
    }
}

/// 256 random bits; also a `code_verifier` of 43 characters (RFC 7636 §4.1).
fn token(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
#[path = "provider_asked.rs"]
mod asked;
