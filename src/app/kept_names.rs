//! Which names the store has: of people, groups, clients, scopes and servers, to hold rules against.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use crate::admin::ProviderSettings;
use crate::config::{ClientMetadataDocuments, Config, DynamicRegistration};
use crate::policy::People;
use crate::scope::Scope;
use crate::store::{ClientKind, Database, Found, PageRequest, StoreError};
use crate::time::{Clock, SystemClock};

use super::error::AppError;
use super::keys;

/// The names that a store has.
#[derive(Debug, Default)]
pub struct KeptNames {
    /// `None` where there are too many to look at.
    pub people: Option<People>,
    /// What clients that an operator made, and servers, name.
    pub scopes: Scope,
    /// Whether no token of ours can have another one: clients are known beforehand, and each names its scopes.
    pub scopes_are_all: bool,
    /// Ids of registered servers.
    pub servers: BTreeSet<String>,
    /// Whether an identity provider of the store names roles; `None`: nobody looked.
    pub roles: Option<bool>,
}

/// Pages of users and of clients; of more it is not known who there is.
const MOST_PAGES: usize = 500;
const PAGE: u32 = 200;

/// Reads the names, and changes nothing. `None` where the store is an older one; where there is none yet, there are no names.
///
/// # Errors
///
/// [`AppError`] where the store cannot be read.
pub async fn kept_names(config: &Config) -> Result<Option<KeptNames>, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    match crate::store::look(&keys::store_settings(config), clock).await? {
        Found::Older { .. } => Ok(None),
        Found::Nothing => Ok(Some(KeptNames { roles: Some(false), ..KeptNames::default() })),
        Found::Store(store) => {
            let read = read(config, &*store).await;
            read.map(Some).map_err(AppError::StoreFault)
        }
    }
}

/// The first of these ids that is a registered server which stays where it is, so that proxies ask us about it; with the
/// scopes it was registered with. `None`: each is nobody's, disabled, or a server that is reached through us.
///
/// # Errors
///
/// [`AppError`] where the store cannot be read.
pub async fn gate_of(config: &Config, ids: &[&str]) -> Result<Option<(String, Scope)>, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Found::Store(store) = crate::store::look(&keys::store_settings(config), clock).await?
    else {
        return Ok(None);
    };
    for id in ids {
        let row = store.find_resource(id).await.map_err(AppError::StoreFault)?;
        if let Some(row) = row.filter(|row| row.url.is_none() && row.disabled_at.is_none()) {
            return Ok(Some((row.id, row.scopes)));
        }
    }
    Ok(None)
}

async fn read(config: &Config, store: &dyn Database) -> Result<KeptNames, StoreError> {
    let mut names = KeptNames {
        people: Some(of_settings(config)),
        scopes_are_all: knows_clients(config),
        ..KeptNames::default()
    };
    let (mut page, mut pages) = (first(), 0);
    loop {
        let found = store.list_users(&page).await?;
        for user in found.rows.into_iter().filter(|user| user.disabled_at.is_none()) {
            let Some(people) = &mut names.people else { break };
            people.administrator |= user.administrator;
            people.groups.extend(user.groups);
            people.users.insert(user.id.to_string(), user.username);
        }
        pages += 1;
        let Some(after) = found.next else { break };
        if pages == MOST_PAGES {
            names.people = None;
            break;
        }
        page.after = Some(after);
    }
    let providers = store.list_identity_providers().await?;
    if let Some(people) = &mut names.people {
        people.elsewhere |= !providers.is_empty();
    }
    // What cannot be read may name some.
    let names_roles =
        |row| ProviderSettings::of(row).map_or(true, |it| !it.claims.roles.is_empty());
    names.roles = Some(providers.iter().any(names_roles));
    clients(store, &mut names).await?;
    servers(store, &mut names).await?;
    Ok(names)
}

async fn clients(store: &dyn Database, names: &mut KeptNames) -> Result<(), StoreError> {
    /// What is of interest here.
    #[derive(Deserialize)]
    struct Metadata {
        scope: Option<String>,
    }
    let (mut page, mut pages) = (first(), 0);
    loop {
        let found = store.list_clients(&page).await?;
        for client in found.rows {
            let metadata: Option<Metadata> = serde_json::from_str(&client.metadata).ok();
            let scope: Option<Scope> = metadata.and_then(|metadata| metadata.scope?.parse().ok());
            names.scopes_are_all &= scope.is_some();
            // Strangers register whatever they like.
            if let Some(scope) = scope.filter(|_| client.kind == ClientKind::Static) {
                names.scopes = names.scopes.union(&scope);
            }
            if let Some(people) = &mut names.people {
                people.clients.insert(client.id.to_string());
            }
        }
        pages += 1;
        let Some(after) = found.next else { return Ok(()) };
        if pages == MOST_PAGES {
            names.people = None;
            return Ok(());
        }
        page.after = Some(after);
    }
}

async fn servers(store: &dyn Database, names: &mut KeptNames) -> Result<(), StoreError> {
    let mut page = first();
    loop {
        let found = store.list_resources(&page).await?;
        for server in found.rows {
            names.scopes = names.scopes.union(&server.scopes);
            names.servers.insert(server.id);
        }
        let Some(after) = found.next else { return Ok(()) };
        page.after = Some(after);
    }
}

/// Whether nobody is a client whom no operator made one, or whose scopes nobody said.
fn knows_clients(config: &Config) -> bool {
    let settings = &config.authorization_server;
    settings.dynamic_registration == DynamicRegistration::Off
        && settings.client_metadata_documents == ClientMetadataDocuments::Off
        && config.resource_server.issuers.is_empty()
        && settings.clients.iter().all(|client| !client.scopes.is_empty())
}

/// What the settings say of who there is.
fn of_settings(config: &Config) -> People {
    let settings = &config.authorization_server;
    People {
        clients: settings.clients.iter().map(|client| client.client_id.to_string()).collect(),
        // Documents, and registrations that are their own row.
        unlisted_clients: vec!["https://", "http://", "dcr1."],
        elsewhere: !settings.identity_providers.is_empty()
            || !config.resource_server.issuers.is_empty(),
        ..People::default()
    }
}

const fn first() -> PageRequest {
    PageRequest { after: None, limit: PAGE }
}
