//! The cache of provider tokens: one mint at a time per key, early refresh, a gate where we are throttled.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::Permission;
use crate::metrics::Tally;
use crate::outbound::Outbound;
use crate::policy::{GraphGrant, Permit};
use crate::random::Random;
use crate::secret_text::SecretText;
use crate::time::{Budget, Clock};

use super::assertion;
use super::credential::{Credential, CredentialSource};
use super::error::{Diagnostics, TokenError};
use super::mint::{Asking, Mint, Minted};
use super::profile::ProfileSettings;
use super::provider_token::{ProviderToken, TokenSource};
use super::slot::{Held, Slot};

/// A managed identity's token that lives this long or longer is refreshed at half its life.
const LONG_LIVED: Duration = Duration::from_hours(2);
/// The most that a call waits for an early refresh, which it does not need; and no more than a quarter of what it has left.
const EARLY: Duration = Duration::from_secs(1);

/// `graph.token_*`
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long before its end a token is no longer used.
    pub skew: Duration,
    /// The longest that a token is used, whatever its own lifetime: permissions change only with a new one.
    pub max_ttl: Duration,
    /// One attempt at the token endpoint.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            skew: Duration::from_mins(1),
            max_ttl: Duration::from_mins(50),
            timeout: Duration::from_secs(3),
        }
    }
}

/// What a token is remembered under. Not under Graph permissions: every token carries all of the app's.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    app: App,
    /// Each profile has its own secret, which its name stands for here.
    profile: Arc<str>,
    credential: String,
    resource: Arc<str>,
}

/// What the identity provider throttles.
#[derive(Clone, PartialEq, Eq, Hash)]
struct App {
    cloud: Arc<str>,
    tenant: String,
    client_id: String,
}

/// Obtains tokens and remembers them, in memory only.
pub struct ProviderTokens {
    outbound: Outbound,
    platform: Outbound,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    settings: Settings,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    gates: Mutex<HashMap<App, Duration>>,
    counts: Counts,
}

/// How tokens for Graph were come by since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Used again.
    pub held: Tally,
    /// Minted, an early refresh included.
    pub minted: Tally,
    /// The provider gave none.
    pub failed: Tally,
}

impl ProviderTokens {
    /// `platform` is used for managed identities alone: it must reach nothing but their endpoint, without a proxy.
    #[must_use]
    pub fn new(
        outbound: Outbound,
        platform: Outbound,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: Settings,
    ) -> Self {
        let (slots, gates) = (Mutex::default(), Mutex::default());
        let counts = Counts::default();
        Self { outbound, platform, clock, random, settings, slots, gates, counts }
    }

    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A token for what `permit` allows.
    ///
    /// Past the time at which the provider would like it refreshed, one caller refreshes while the
    /// others are served the old one; if that fails, or takes more than a small part of that caller's
    /// time, the old one stays in use until it ends.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: every row of the outcome table in `docs/graph.md`. A refusal is remembered for
    /// a minute, or until a file holds another secret; a request to wait until it is over; neither stands in the way of a token already held.
    pub async fn obtain(
        &self,
        permit: &Permit<GraphGrant>,
        profile: &ProfileSettings,
        secrets: &dyn CredentialSource,
        budget: &Budget,
    ) -> Result<ProviderToken, TokenError> {
        let grant = permit.operation();
        if grant.profile != *profile.name() || grant.tenant != *profile.tenant() {
            return Err(TokenError::PermitMismatch);
        }
        let slot = self.slot(profile, &grant.resource);
        let wanted = Wanted { tokens: self, slot: &slot, grant, profile, secrets, budget };
        let now = self.clock.monotonic();
        match slot.current(now) {
            Some(held) if now < held.refresh_at => {
                self.counts.held.add();
                Ok(wanted.token(held, TokenSource::Cache))
            }
            Some(held) => Ok(wanted.refresh(held).await),
            None => wanted.mint_once().await,
        }
    }

    /// Mints a token for `resource` and forgets it: whether a profile works, asked without a call and so without a permit.
    /// Gives the application permissions that it names, which nobody has verified; `None` where it is opaque.
    ///
    /// # Errors
    ///
    /// As for [`ProviderTokens::obtain`]. Nothing is remembered.
    pub async fn probe(
        &self,
        profile: &ProfileSettings,
        resource: &str,
        secrets: &dyn CredentialSource,
        budget: &Budget,
    ) -> Result<Option<Vec<String>>, TokenError> {
        let mint = Mint {
            outbound: &self.outbound,
            platform: &self.platform,
            clock: &*self.clock,
            random: &*self.random,
            timeout: self.settings.timeout,
            profile,
            asking: Asking::App { resource },
            secrets,
            budget,
        };
        let minted = mint.run().await?;
        Ok(unverified_roles(minted.granted.access_token.expose()))
    }

    /// A token for a person, in exchange for one of theirs that is for the app: Entra's on-behalf-of flow. With it, for how
    /// long it is good. Keeps nothing: whoever asks knows for whom.
    ///
    /// Does *not* look at `assertion`: whether it may be sent to this profile's tenant is the caller's to know.
    ///
    /// # Errors
    ///
    /// As for [`ProviderTokens::obtain`]; what the provider wants the person to do is in [`Diagnostics::claims`].
    pub async fn on_behalf_of(
        &self,
        profile: &ProfileSettings,
        (assertion, scope): (&SecretText, &str),
        secrets: &dyn CredentialSource,
        budget: &Budget,
    ) -> Result<(SecretText, Duration), TokenError> {
        if let Some(retry_after) = self.gate(profile) {
            let diagnostics = Diagnostics::default();
            return Err(TokenError::RateLimited { retry_after, diagnostics });
        }
        let mint = Mint {
            outbound: &self.outbound,
            platform: &self.platform,
            clock: &*self.clock,
            random: &*self.random,
            timeout: self.settings.timeout,
            profile,
            asking: Asking::OnBehalfOf { assertion, scope },
            secrets,
            budget,
        };
        let minted = mint.run().await;
        if let Err(TokenError::RateLimited { retry_after, .. }) = &minted {
            self.close_gate(profile, *retry_after);
        }
        let Minted { granted, .. } = minted?;
        Ok((granted.access_token, granted.expires_in.min(self.settings.max_ttl)))
    }

    /// Forgets a token that Graph refused with 401, so that the next one is new.
    ///
    /// `false` if this profile's token was dropped less than five minutes ago: then a new one will
    /// not help either, and the caller must not try again.
    #[must_use]
    pub fn drop_token(&self, token: &ProviderToken) -> bool {
        token.slot.forget(token.generation, self.clock.monotonic())
    }

    fn slot(&self, profile: &ProfileSettings, resource: &Arc<str>) -> Arc<Slot> {
        let key = Key {
            app: App::of(profile),
            profile: profile.name().as_str().into(),
            credential: profile.credential().fingerprint(),
            resource: Arc::clone(resource),
        };
        Arc::clone(lock(&self.slots).entry(key).or_default())
    }

    /// How long the app must still leave the endpoint alone.
    fn gate(&self, profile: &ProfileSettings) -> Option<Duration> {
        let now = self.clock.monotonic();
        let until = lock(&self.gates).get(&App::of(profile)).copied()?;
        Some(until.saturating_sub(now)).filter(|left| !left.is_zero())
    }

    fn close_gate(&self, profile: &ProfileSettings, wait: Duration) {
        let until = self.clock.monotonic().saturating_add(wait);
        lock(&self.gates).insert(App::of(profile), until);
    }
}

impl App {
    fn of(profile: &ProfileSettings) -> Self {
        Self {
            cloud: Arc::clone(&profile.authority().cloud),
            tenant: profile.tenant().as_str().to_ascii_lowercase(),
            client_id: profile.client_id().to_ascii_lowercase(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ProviderTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderTokens").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// `roles` of an access token of Entra, which its recipient alone may rely on: only names leave this function.
fn unverified_roles(token: &str) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Claims {
        #[serde(default)]
        roles: Vec<String>,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let named = |role: &String| role.parse::<Permission>().is_ok();
    Some(claims.roles.into_iter().filter(named).collect())
}

/// One call of [`ProviderTokens::obtain`].
struct Wanted<'a> {
    tokens: &'a ProviderTokens,
    slot: &'a Arc<Slot>,
    grant: &'a GraphGrant,
    profile: &'a ProfileSettings,
    secrets: &'a dyn CredentialSource,
    budget: &'a Budget,
}

impl Wanted<'_> {
    /// Refreshes early, unless somebody does already. Never fails: the old token is still good.
    async fn refresh(&self, old: Held) -> ProviderToken {
        let Ok(_minting) = self.slot.minting.try_lock() else {
            return self.token(old, TokenSource::Cache);
        };
        let patience = (self.budget.remaining() / 4).min(EARLY);
        match tokio::time::timeout(patience, self.mint()).await {
            Ok(Ok(new)) => return self.token(new, TokenSource::Minted),
            Ok(Err(_counted)) => {}
            Err(_elapsed) => self.tokens.counts.failed.add(),
        }
        self.slot.postpone_refresh(self.tokens.clock.monotonic());
        self.token(old, TokenSource::Cache)
    }

    /// Mints, or waits for whoever is minting and takes that token.
    async fn mint_once(&self) -> Result<ProviderToken, TokenError> {
        let failures_before = self.slot.failures();
        let turn = tokio::time::timeout(self.budget.remaining(), self.slot.minting.lock());
        let timeout = || TokenError::Timeout { diagnostics: Diagnostics::default() };
        let _minting = turn.await.map_err(|_elapsed| timeout())?;
        let now = self.tokens.clock.monotonic();
        if let Some(held) = self.slot.current(now) {
            return Ok(self.token(held, TokenSource::Cache));
        }
        let proof = self.proof_at_hand().await;
        if let Some(error) = self.slot.refusal(now, failures_before, proof.as_ref()) {
            return Err(error);
        }
        let minted = self.mint().await;
        if let Err(error) = &minted {
            self.slot.failed(self.tokens.clock.monotonic(), error, proof);
        }
        minted.map(|held| self.token(held, TokenSource::Minted))
    }

    /// What would prove us now, where a look costs nothing.
    async fn proof_at_hand(&self) -> Option<SecretText> {
        match self.profile.credential() {
            Credential::FederatedTokenFile(path) => assertion::federated(path).await.ok(),
            credential if credential.has_secret() => {
                Some(self.secrets.at_hand().await?.text().clone())
            }
            _ => None,
        }
    }

    async fn mint(&self) -> Result<Held, TokenError> {
        if let Some(retry_after) = self.tokens.gate(self.profile) {
            let diagnostics = Diagnostics::default();
            return Err(TokenError::RateLimited { retry_after, diagnostics });
        }
        let mint = Mint {
            outbound: &self.tokens.outbound,
            platform: &self.tokens.platform,
            clock: &*self.tokens.clock,
            random: &*self.tokens.random,
            timeout: self.tokens.settings.timeout,
            profile: self.profile,
            asking: Asking::App { resource: &self.grant.resource },
            secrets: self.secrets,
            budget: self.budget,
        };
        let minted = mint.run().await;
        if let Err(TokenError::RateLimited { retry_after, .. }) = &minted {
            self.tokens.close_gate(self.profile, *retry_after);
        }
        match &minted {
            Ok(_) => self.tokens.counts.minted.add(),
            Err(_) => self.tokens.counts.failed.add(),
        }
        minted.map(|minted| self.slot.keep(self.held(minted)))
    }

    /// When to stop using the token, counted from before it was asked for.
    fn held(&self, minted: Minted) -> Held {
        let Settings { skew, max_ttl, .. } = self.tokens.settings;
        let Minted { granted, proof, asked_at } = minted;
        let usable = granted.expires_in.saturating_sub(skew).min(max_ttl);
        let managed = matches!(self.profile.credential(), Credential::ManagedIdentity(_));
        let half = (managed && granted.expires_in >= LONG_LIVED).then(|| granted.expires_in / 2);
        let refresh = granted.refresh_in.or(half).unwrap_or(usable).min(usable);
        Held {
            text: Arc::new(granted.access_token),
            authorization: granted.authorization,
            proof,
            refresh_at: asked_at.saturating_add(refresh),
            ends: asked_at.saturating_add(usable),
            generation: 0,
        }
    }

    fn token(&self, held: Held, source: TokenSource) -> ProviderToken {
        ProviderToken {
            expires_in: held.ends.saturating_sub(self.tokens.clock.monotonic()),
            text: held.text,
            authorization: held.authorization,
            proof: held.proof,
            source,
            profile: self.profile.name().clone(),
            tenant: self.profile.tenant().clone(),
            resource: Arc::clone(&self.grant.resource),
            slot: Arc::clone(self.slot),
            generation: held.generation,
        }
    }
}
