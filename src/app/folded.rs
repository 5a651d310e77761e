//! The servers whose tools stand beside ours at `/mcp`.

use std::sync::Arc;

use crate::config::Config;
use crate::guard::Beside;
use crate::mcp::Toolbox;
use crate::resource_server::well_known_url;
use crate::upstream::{Folded, Server};

use super::build::Doors;
use super::endpoints::Name;
use super::error::AppError;
use super::servers::{Shared, identity, server};

/// The servers whose tools stand beside ours, as every list shows them.
///
/// # Errors
///
/// [`AppError::FoldedName`]
pub(super) fn beside(
    config: &Config,
    behind: &Shared,
    doors: &Doors,
    (names, toolbox): (&[Name], &Toolbox),
) -> Result<Option<Arc<dyn Beside>>, AppError> {
    refuse_collisions(config, toolbox)?;
    match names.first() {
        Some(name) => folded(config, behind, doors, name),
        None => Ok(None),
    }
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

/// The servers whose tools stand beside ours, as the endpoint under this name sees them. `None`: there are none.
pub(super) fn folded(
    config: &Config,
    behind: &Shared,
    doors: &Doors,
    name: &Name,
) -> Result<Option<Arc<dyn Beside>>, AppError> {
    let mut servers = Vec::new();
    for settings in config.upstream.servers.iter().filter(|server| server.fold) {
        let Some(each) = behind.each.get(&settings.id) else { continue };
        let door = doors.to(well_known_url(&name.resource));
        servers.push(Server {
            folded: true,
            identity: identity(config, behind, doors, settings)?,
            timeout: settings.timeout,
            max_response_bytes: settings.max_response_bytes,
            ..server(&settings.id, each, (behind, door))
        });
    }
    if servers.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Folded::new(servers))))
}
