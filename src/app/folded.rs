//! The servers whose tools stand beside ours at `/mcp`.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::mcp::Toolbox;
use crate::resource_server::well_known_url;
use crate::upstream::{Around, Folded, Server};

use super::doors::Doors;
use super::endpoints::Name;
use super::error::AppError;
use super::servers::{Shared, identity, server};

/// The ids of those servers, for who has to know whose scopes a token for `/mcp` may carry. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct FoldedIds {
    settled: Arc<[String]>,
    registered: Arc<Mutex<Vec<String>>>,
}

impl FoldedIds {
    /// Those of the settings; [`replace`](Self::replace) adds the others.
    pub(super) fn of(config: &Config) -> Self {
        let folded = config.upstream.servers.iter().filter(|server| server.fold);
        let settled = folded.map(|server| server.id.clone()).collect();
        Self { settled, registered: Arc::default() }
    }

    /// From now on these stand beside those of the settings, and no others.
    pub(super) fn replace(&self, registered: Vec<String>) {
        *self.registered.lock().unwrap_or_else(PoisonError::into_inner) = registered;
    }

    /// All of them now.
    pub(super) fn current(&self) -> Vec<String> {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        self.settled.iter().chain(&*registered).cloned().collect()
    }
}

/// The servers whose tools stand beside ours, as the endpoint under each of our names sees them.
///
/// # Errors
///
/// [`AppError::FoldedName`]
pub(super) fn under_each(
    config: &Config,
    behind: &Shared,
    doors: &Doors,
    (names, toolbox): (&[Name], &Toolbox),
) -> Result<Vec<Arc<Folded>>, AppError> {
    refuse_collisions(config, toolbox)?;
    names.iter().map(|name| folded(config, behind, doors, name)).collect()
}

/// Names of two tools in one list must differ.
///
/// # Errors
///
/// [`AppError::FoldedName`]
pub(super) fn refuse_collisions(config: &Config, toolbox: &Toolbox) -> Result<(), AppError> {
    for server in config.upstream.servers.iter().filter(|server| server.fold) {
        let prefix = format!("{}.", server.id);
        if let Some(tool) = toolbox.names().into_iter().find(|tool| tool.starts_with(&prefix)) {
            return Err(AppError::FoldedName { server: server.id.clone(), tool });
        }
    }
    Ok(())
}

fn folded(
    config: &Config,
    behind: &Shared,
    doors: &Doors,
    name: &Name,
) -> Result<Arc<Folded>, AppError> {
    let mut servers = Vec::new();
    for settings in config.upstream.servers.iter().filter(|server| server.fold) {
        let Some(each) = behind.each.get(&settings.id) else { continue };
        let door = doors.to(well_known_url(&name.resource), false);
        servers.push(Server {
            folded: true,
            identity: identity(config, behind, doors, settings)?,
            timeout: settings.timeout,
            max_response_bytes: settings.max_response_bytes,
            ..server(&settings.id, each, (behind, door))
        });
    }
    let around = Around {
        policy: behind.policy.clone(),
        revocations: Arc::clone(&behind.revocations),
        closing: behind.closing.clone(),
    };
    Ok(Arc::new(Folded::new(servers, around)))
}
