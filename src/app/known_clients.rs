//! The documents of well-known clients: those that are shipped, or those of a file.

use crate::authorization_server::KnownClients;
use crate::config::Config;
use crate::outbound::Outbound;

use super::error::AppError;
use super::map;

/// # Errors
///
/// [`AppError::KnownClientsFile`], [`AppError::KnownClients`]: a file that is named has to be there, and whole.
pub fn known_clients(config: &Config) -> Result<KnownClients, AppError> {
    let Some(path) = &config.authorization_server.known_clients_file else {
        return Ok(KnownClients::shipped());
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| AppError::KnownClientsFile { path: path.clone(), source })?;
    Ok(KnownClients::parse(&text)?)
}

/// The way to the hosts of clients' documents, under the same guard as when a client comes.
///
/// # Errors
///
/// [`AppError::Outbound`]
pub fn outbound_to_clients(config: &Config) -> Result<Outbound, AppError> {
    Ok(Outbound::new(&map::outbound_to_clients(config))?)
}
