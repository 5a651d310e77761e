//! Where people log in: as the settings have it, which is changed in the settings file, and as the store has it.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::error::AdminError;
use crate::admin::input;
use crate::audit::{AdminAction, AdminObject};
use crate::login_provider::{Standing, is_open_to_all};
use crate::store::{IdentityProviderRow, LoggedOut, StoreError};
use crate::time::Timestamp;

use super::provider_settings::{
    IdentityProviderChange, NewIdentityProvider, ProviderClaimNames, ProviderSettings, is_for,
};
use super::{Actor, Operations, Settings, found};

/// Each has a button on the page where people log in.
const MOST: usize = 50;
const WHAT: &str = "identity provider";
const TAKEN: AdminError = AdminError::Taken {
    field: "id, issuer or groups_prefix",
    hint: "each provider has its own; broker identity-provider list shows them",
};
const OF_THE_SETTINGS: AdminError = AdminError::Forbidden {
    problem: "it is of the settings file",
    hint: "change it there, in [[authorization_server.identity_provider]], and start the broker anew",
};
const CHANGED_MEANWHILE: AdminError = AdminError::Taken {
    field: "identity provider",
    hint: "somebody else changed it meanwhile: try again",
};
const TOO_MANY: AdminError = AdminError::Forbidden {
    problem: "there are 50 of them",
    hint: "take one out that nobody uses",
};

const UNREADABLE: &str = "this version cannot read its settings: a newer one wrote them";

/// An identity provider. Never its secret.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct IdentityProviderView {
    /// Part of the callback's path.
    pub id: String,
    /// What people read on the button.
    pub name: String,
    pub issuer: String,
    /// `settings`: written in the settings file, and changed there. `store`: added by a command or over this API.
    pub source: &'static str,
    /// Whether people can log in there: not where it is disabled, or the settings file stands against it.
    pub served: bool,
    /// Why nothing more can be said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
    /// Our client there.
    pub client_id: String,
    /// Whether that client has a secret.
    pub confidential: bool,
    /// The name of that secret in the settings file; none where the settings file has the provider.
    pub client_secret: Option<String>,
    /// What is asked for at a login.
    pub scopes: String,
    /// Whether its endpoints come from its discovery document.
    pub discovered: bool,
    /// What must be registered there as our redirect URI.
    pub callback: String,
    pub claims: ProviderClaimNames,
    /// What the names of its groups begin with here; of one of the store also those of its roles.
    pub groups_prefix: String,
    /// What the names of its roles begin with here.
    pub roles_prefix: String,
    /// Claims that an account must have.
    pub required_claims: Vec<String>,
    /// Those claims, with the values that do.
    pub require: BTreeMap<String, Vec<String>>,
    /// For how long what it says of people is enough.
    pub standing: Standing,
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    pub disabled_at: Option<Timestamp>,
}

/// What ended with a provider.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub struct ProviderEnded {
    pub sessions: u64,
    /// What its people had allowed.
    pub grants: u64,
}

impl From<LoggedOut> for ProviderEnded {
    fn from(LoggedOut { sessions, grants }: LoggedOut) -> Self {
        Self { sessions, grants }
    }
}

/// Why nobody could log in there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ProviderFault(pub Box<dyn std::error::Error + Send + Sync>);

/// A seam, because providers are spoken to by the authorization server, which administration does not know.
#[async_trait]
pub trait ProviderControl: Send + Sync + fmt::Debug {
    /// Whether people could log in there.
    ///
    /// # Errors
    ///
    /// [`ProviderFault`]
    async fn look_at(&self, row: &IdentityProviderRow) -> Result<(), ProviderFault>;

    /// The store has others now: this process serves them when this returns. Other processes follow by themselves.
    async fn follow(&self);
}

impl Settings {
    /// Whether the settings file lets a provider of the store be served: rather not at all than in place of one of its own,
    /// or without the secret that it asks for.
    #[must_use]
    pub fn serves(&self, row: &IdentityProviderRow) -> bool {
        let Ok(settings) = ProviderSettings::of(row) else { return false };
        if check_open(&row.issuer, &settings).is_err() || self.administers(&row.groups_prefix) {
            return false;
        }
        let secret = settings.client_secret;
        let known = secret.is_none_or(|name| is_for(&name, &row.issuer, &self.provider_secrets));
        known && !self.identity_providers.iter().any(|settled| clash(settled, row))
    }

    /// Whether a group of administrators begins so: these are named for a provider of the settings file, and nobody comes to
    /// administer this broker through one of the store.
    fn administers(&self, prefix: &str) -> bool {
        self.administrators.groups.beginning_with(prefix).next().is_some()
    }
}

fn clash(known: &IdentityProviderView, row: &IdentityProviderRow) -> bool {
    known.id == row.id
        || same_issuer(&known.issuer, &row.issuer)
        || known.groups_prefix == row.groups_prefix
        || known.roles_prefix == row.groups_prefix
}

/// People would not tell them apart, and a document that has the one may mean the other.
fn same_issuer(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

impl Operations {
    /// Those of the settings first, in their order. None: people have an account of our own.
    ///
    /// # Errors
    ///
    /// [`AdminError::Store`]
    pub async fn list_identity_providers(&self) -> Result<Vec<IdentityProviderView>, AdminError> {
        let mut all = self.settings.identity_providers.clone();
        for row in self.store.list_identity_providers().await? {
            all.push(self.provider_view(row));
        }
        Ok(all)
    }

    /// # Errors
    ///
    /// [`AdminError::NotFound`]
    pub async fn find_identity_provider(
        &self,
        id: &str,
    ) -> Result<IdentityProviderView, AdminError> {
        let settled = self.settings.identity_providers.iter().find(|known| known.id == id);
        match settled {
            Some(known) => Ok(known.clone()),
            None => Ok(self.provider_view(self.stored_provider(id).await?)),
        }
    }

    /// Adds a provider, after a look at it. People can log in there at once, and at other replicas within seconds.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]; [`AdminError::Taken`]; [`AdminError::Provider`] where nobody could log in there
    pub async fn add_identity_provider(
        &self,
        actor: &Actor,
        control: &dyn ProviderControl,
        new: NewIdentityProvider,
    ) -> Result<IdentityProviderView, AdminError> {
        let row = self.provider_row(&new)?;
        self.change(actor, (AdminObject::IdentityProvider, AdminAction::Add, &row.id), async {
            if self.settings.identity_providers.iter().any(|known| clash(known, &row)) {
                return Err(TAKEN);
            }
            let known = self.store.list_identity_providers().await?;
            if known.iter().any(|known| same_issuer(&known.issuer, &row.issuer)) {
                return Err(TAKEN);
            }
            if known.len() >= MOST {
                return Err(TOO_MANY);
            }
            if !new.no_check {
                control
                    .look_at(&row)
                    .await
                    .map_err(|ProviderFault(why)| AdminError::Provider(why))?;
            }
            if self.store.add_identity_provider(&row).await? { Ok(()) } else { Err(TAKEN) }
        })
        .await?;
        control.follow().await;
        Ok(self.provider_view(row))
    }

    /// Changes a provider of the store. Who is in the middle of a log-in there comes back to what it is by then.
    ///
    /// # Errors
    ///
    /// [`AdminError::Invalid`]; [`AdminError::Taken`]; [`AdminError::Forbidden`] for one of the settings
    pub async fn change_identity_provider(
        &self,
        actor: &Actor,
        control: &dyn ProviderControl,
        (id, change): (&str, IdentityProviderChange),
    ) -> Result<IdentityProviderView, AdminError> {
        let row = self.stored_provider(id).await?;
        let settings = kept(&row)?.changed(change)?;
        let settings = settings.checked(&row.issuer, &self.settings.provider_secrets)?;
        check_open(&row.issuer, &settings)?;
        let settings = settings.text();
        let what = (AdminObject::IdentityProvider, AdminAction::Change, &*row.id);
        self.change(actor, what, async {
            let changed = self.store.change_identity_provider(&row, &settings).await?;
            if changed { Ok(()) } else { Err(CHANGED_MEANWHILE) }
        })
        .await?;
        control.follow().await;
        Ok(self.provider_view(IdentityProviderRow { settings, ..row }))
    }

    /// Disables a provider of the store: nobody logs in there, its people's sessions end, and what they allowed is revoked,
    /// so that no refresh token of theirs is good for anything either. They stay, and come back as themselves once it is
    /// enabled again.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for one of the settings
    pub async fn disable_identity_provider(
        &self,
        actor: &Actor,
        control: &dyn ProviderControl,
        id: &str,
    ) -> Result<ProviderEnded, AdminError> {
        let end = self.store.disable_identity_provider(id, self.clock.now());
        self.end_provider((actor, AdminAction::Disable), control, id, end).await
    }

    /// Lets people log in there again.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for one of the settings
    pub async fn enable_identity_provider(
        &self,
        actor: &Actor,
        control: &dyn ProviderControl,
        id: &str,
    ) -> Result<(), AdminError> {
        let row = self.stored_provider(id).await?;
        let what = (AdminObject::IdentityProvider, AdminAction::Enable, &*row.id);
        self.change(actor, what, async {
            found(self.store.enable_identity_provider(&row.id).await?, WHAT)
        })
        .await?;
        control.follow().await;
        Ok(())
    }

    /// Takes a provider of the store out, and ends what disabling it ends. The people stay, and nobody of them can log in
    /// unless they have a password here: `broker user remove` takes them out.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotFound`]; [`AdminError::Forbidden`] for one of the settings
    pub async fn remove_identity_provider(
        &self,
        actor: &Actor,
        control: &dyn ProviderControl,
        id: &str,
    ) -> Result<ProviderEnded, AdminError> {
        let end = self.store.delete_identity_provider(id, self.clock.now());
        self.end_provider((actor, AdminAction::Delete), control, id, end).await
    }

    /// Does `end`, once it is known that this is one of the store.
    async fn end_provider(
        &self,
        (actor, action): (&Actor, AdminAction),
        control: &dyn ProviderControl,
        id: &str,
        end: impl Future<Output = Result<Option<LoggedOut>, StoreError>> + Send,
    ) -> Result<ProviderEnded, AdminError> {
        let row = self.stored_provider(id).await?;
        let ended = self.change(actor, (AdminObject::IdentityProvider, action, &*row.id), async {
            end.await?.ok_or(AdminError::NotFound(WHAT))
        });
        let ended = ended.await?;
        control.follow().await;
        Ok(ended.into())
    }

    fn provider_row(&self, new: &NewIdentityProvider) -> Result<IdentityProviderRow, AdminError> {
        let id = input::provider_id(&new.id)?;
        let issuer = input::provider_issuer(&new.issuer, &self.settings.names)?;
        let groups_prefix = self.groups_prefix(&new.groups_prefix)?;
        let settings =
            ProviderSettings::new(new).checked(&issuer, &self.settings.provider_secrets)?;
        check_open(&issuer, &settings)?;
        let created_at = self.clock.now();
        let settings = settings.text();
        Ok(IdentityProviderRow {
            id,
            issuer,
            groups_prefix,
            settings,
            created_at,
            disabled_at: None,
        })
    }

    fn groups_prefix(&self, text: &str) -> Result<String, AdminError> {
        let prefix = input::groups_prefix(text)?;
        if self.settings.administers(&prefix) {
            return Err(AdminError::Invalid {
                field: "groups_prefix",
                problem: "begins the name of a group of administrators",
                allowed: "another prefix; a provider whose groups administer this broker is for the settings file",
            });
        }
        Ok(prefix)
    }

    /// What cannot be the id of a provider goes neither to the store nor, as somebody's text, into the audit log.
    async fn stored_provider(&self, id: &str) -> Result<IdentityProviderRow, AdminError> {
        let id = input::provider_id(id).map_err(|_| AdminError::NotFound(WHAT))?;
        if let Some(row) = self.store.find_identity_provider(&id).await? {
            return Ok(row);
        }
        let settled = self.settings.identity_providers.iter().any(|known| known.id == id);
        Err(if settled { OF_THE_SETTINGS } else { AdminError::NotFound(WHAT) })
    }

    /// One that this version cannot read is shown, too, as far as it goes: it can be taken out, and stands before no other.
    fn provider_view(&self, row: IdentityProviderRow) -> IdentityProviderView {
        let read = ProviderSettings::of(&row);
        let problem = read.is_err().then_some(UNREADABLE);
        let settings = read.unwrap_or_else(|_| ProviderSettings::unread(&row.id));
        let base = self.settings.public_url.as_str().trim_end_matches('/');
        IdentityProviderView {
            source: "store",
            problem,
            served: row.disabled_at.is_none() && self.settings.serves(&row),
            callback: format!("{base}/login/callback/{}", row.id),
            id: row.id,
            name: settings.name,
            issuer: row.issuer,
            client_id: settings.client_id,
            confidential: settings.client_secret.is_some(),
            client_secret: settings.client_secret,
            scopes: settings.scopes,
            discovered: true,
            claims: settings.claims,
            roles_prefix: row.groups_prefix.clone(),
            groups_prefix: row.groups_prefix,
            required_claims: settings.require.keys().cloned().collect(),
            require: settings.require,
            standing: settings.standing,
            created_at: Some(row.created_at),
            disabled_at: row.disabled_at,
        }
    }
}

fn kept(row: &IdentityProviderRow) -> Result<ProviderSettings, AdminError> {
    let corrupt = |_| AdminError::Store(StoreError::Corrupt("identity_providers.settings"));
    ProviderSettings::of(row).map_err(corrupt)
}

/// Whoever likes has an account there.
fn check_open(issuer: &str, settings: &ProviderSettings) -> Result<(), AdminError> {
    if settings.require.is_empty() && is_open_to_all(issuer) {
        return Err(AdminError::Invalid {
            field: "require",
            problem: "is missing: anybody who has an account there could log in here",
            allowed: "a claim that yours alone have, such as hd=your-domain.example for Google",
        });
    }
    Ok(())
}
