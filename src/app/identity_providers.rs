//! Identity providers that were added while brokers run: read from the store again and again, by every replica.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, ProviderControl, ProviderFault, ProviderSettings};
use crate::authorization_server::{
    ClaimMap, Endpoints, IdentityProviderSettings, IdentityProviders, Prefixes,
};
use crate::config::Config;
use crate::outbound::Outbound;
use crate::secret::{Environment, Secrets};
use crate::store::{Database, IdentityProviderRow, StoreError};
use crate::time::{Clock, SystemClock};

use super::error::AppError;
use super::{issuers, map, operations, people};

/// How soon every replica knows of a provider.
const EVERY: Duration = Duration::from_secs(3);

/// What makes a provider of a row.
#[derive(Debug)]
struct Maker {
    config: Config,
    /// What the settings say against, or for, a provider of the store.
    settings: admin::Settings,
    secrets: Arc<Secrets>,
    prefixes: Prefixes,
}

/// The providers at which people log in, kept as the settings and the store have them.
#[derive(Debug)]
pub(super) struct ProviderFollower {
    maker: Maker,
    store: Arc<dyn Database>,
    providers: IdentityProviders,
    /// As they were last read; `None` before that.
    known: Mutex<Option<Vec<IdentityProviderRow>>>,
}

impl ProviderFollower {
    /// Serves those of the settings until it looks.
    pub(super) fn new(
        config: &Config,
        (secrets, store): (&Arc<Secrets>, &Arc<dyn Database>),
        (outbound, clock): (&Outbound, &Arc<dyn Clock>),
    ) -> Self {
        let maker = Maker::new(config, secrets);
        let providers = IdentityProviders::new(&config.server.public_url, outbound, clock);
        providers.replace(maker.all(&[]));
        Self { maker, store: Arc::clone(store), providers, known: Mutex::default() }
    }

    /// Where people log in, now and later.
    pub(super) fn providers(&self) -> IdentityProviders {
        self.providers.clone()
    }

    /// Which groups and roles are whose, now and later.
    pub(super) const fn prefixes(&self) -> &Prefixes {
        &self.maker.prefixes
    }

    /// What administration must know of the settings. Which groups administer follows the store.
    pub(super) const fn settings(&self) -> &admin::Settings {
        &self.maker.settings
    }

    /// Looks at the store until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let due = Instant::now() + EVERY;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due) => self.follow().await,
            }
        }
    }

    /// One look at a time, so that an older one never undoes a newer one.
    async fn look(&self) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        let rows = self.store.list_identity_providers().await?;
        if known.as_ref() == Some(&rows) {
            return Ok(());
        }
        for row in rows.iter().filter(|row| row.disabled_at.is_none()) {
            if !self.maker.settings.serves(row) {
                tracing::warn!(idp.id = row.id, "identity_provider.stored_not_served");
            }
        }
        let groups = &self.maker.settings.administrators.groups;
        for row in &rows {
            for group in groups.beginning_with(&row.groups_prefix) {
                tracing::warn!(idp.id = row.id, group, "administrators.group_of_stored_provider");
            }
        }
        groups.leave_out(rows.iter().map(|row| row.groups_prefix.clone()));
        self.maker.reserve(&rows);
        self.providers.replace(self.maker.all(&rows));
        if known.is_some() || !rows.is_empty() {
            tracing::info!(stored = rows.len(), "identity_provider.stored");
        }
        *known = Some(rows);
        Ok(())
    }
}

#[async_trait]
impl ProviderControl for ProviderFollower {
    async fn look_at(&self, row: &IdentityProviderRow) -> Result<(), ProviderFault> {
        self.maker.look_at(row, &self.providers).await
    }

    /// What cannot be read stays as it was.
    async fn follow(&self) {
        if let Err(error) = self.look().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "identity_provider.unread");
        }
    }
}

impl Maker {
    fn new(config: &Config, secrets: &Arc<Secrets>) -> Self {
        let maker = Self {
            config: config.clone(),
            settings: operations::settings(config),
            secrets: Arc::clone(secrets),
            prefixes: Prefixes::default(),
        };
        maker.reserve(&[]);
        maker
    }

    /// Which groups and roles are whose from now on, also those of a provider that is disabled, or that the settings stand against.
    fn reserve(&self, rows: &[IdentityProviderRow]) {
        let settled = || self.config.authorization_server.identity_providers.iter();
        let stored = || rows.iter().map(|row| row.groups_prefix.clone());
        let groups = settled().map(|known| known.claims.groups_prefix.clone());
        self.prefixes.groups.replace(groups.chain(stored()));
        let roles = settled().map(|known| known.claims.roles_prefix.clone());
        self.prefixes.roles.replace(roles.chain(stored()));
    }

    /// Those of the settings, then those of the store that may be served.
    fn all(&self, rows: &[IdentityProviderRow]) -> Vec<IdentityProviderSettings> {
        let mut all = people::identity_providers(&self.config, (&self.secrets, &self.prefixes));
        let served = rows.iter().filter(|row| row.disabled_at.is_none());
        all.extend(served.filter(|row| self.settings.serves(row)).filter_map(|row| self.one(row)));
        all
    }

    /// `None` where it cannot be read, or lacks its secret.
    fn one(&self, row: &IdentityProviderRow) -> Option<IdentityProviderSettings> {
        let settings = ProviderSettings::of(row).ok()?;
        let claims = settings.claims;
        let client_secret = match &settings.client_secret {
            None => None,
            Some(wanted) => {
                let mut known = self.config.authorization_server.identity_provider_secrets.iter();
                let known = known
                    .find(|known| known.name == *wanted && known.issuers.contains(&row.issuer))?;
                Some(issuers::own_secret(&known.secret, &self.secrets))
            }
        };
        Some(IdentityProviderSettings {
            id: row.id.clone(),
            name: settings.name,
            issuer: row.issuer.clone(),
            client_id: settings.client_id.parse().ok()?,
            client_secret,
            scopes: settings.scopes.parse().ok()?,
            endpoints: Endpoints::Discovered,
            claims: ClaimMap {
                subject: claims.subject,
                username: claims.username,
                name: claims.name,
                email: claims.email,
                groups: claims.groups,
                groups_prefix: row.groups_prefix.clone(),
                roles: claims.roles,
                roles_prefix: row.groups_prefix.clone(),
                prefixes: self.prefixes.clone(),
            },
            require: settings.require,
            stored: true,
            standing: settings.standing,
        })
    }

    async fn look_at(
        &self,
        row: &IdentityProviderRow,
        providers: &IdentityProviders,
    ) -> Result<(), ProviderFault> {
        let unusable =
            || ProviderFault(Box::new(StoreError::Corrupt("identity_providers.settings")));
        let settings = self.one(row).ok_or_else(unusable)?;
        providers.look_at(&settings).await.map_err(|error| ProviderFault(Box::new(error)))
    }
}

/// What each of the store says, as a broker would ask it; and which of them no broker with these settings serves.
pub(super) async fn live(
    config: &Config,
    store: &Arc<dyn Database>,
    (secrets, outbound, clock): (&Arc<Secrets>, &Outbound, &Arc<dyn Clock>),
) -> Vec<Result<(), AppError>> {
    let rows = match store.list_identity_providers().await {
        Ok(rows) => rows,
        Err(error) => return vec![Err(error.into())],
    };
    let maker = Maker::new(config, secrets);
    let providers = IdentityProviders::new(&config.server.public_url, outbound, clock);
    let mut results = Vec::new();
    for row in rows.into_iter().filter(|row| row.disabled_at.is_none()) {
        results.push(if maker.settings.serves(&row) {
            let looked = maker.look_at(&row, &providers).await;
            looked.map_err(|source| AppError::StoredProvider { id: row.id, source })
        } else {
            Err(AppError::StoredProviderUnserved { id: row.id })
        });
    }
    results
}

/// A command's hold on identity providers: brokers that serve see what came of it at their next look at the store.
#[derive(Debug)]
pub struct ProviderCheck {
    maker: Maker,
    providers: IdentityProviders,
}

impl ProviderCheck {
    /// # Errors
    ///
    /// [`AppError`] where nobody can be reached with these settings.
    pub fn new(config: &Config, variables: &Environment) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let outbound = Outbound::new(&map::outbound(config))?;
        let secrets = Secrets::new(map::secrets(config), variables, &outbound, Arc::clone(&clock))?;
        let maker = Maker::new(config, &Arc::new(secrets));
        let providers = IdentityProviders::new(&config.server.public_url, &outbound, &clock);
        Ok(Self { maker, providers })
    }
}

#[async_trait]
impl ProviderControl for ProviderCheck {
    async fn look_at(&self, row: &IdentityProviderRow) -> Result<(), ProviderFault> {
        self.maker.look_at(row, &self.providers).await
    }

    async fn follow(&self) {}
}
