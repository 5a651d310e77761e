//! What explains refusals, for the page and the API of a broker that serves, and for the command.

use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::Auditor;
use crate::broker::{Explainer, Records, Rules};
use crate::config::Config;
use crate::policy::{Live, Policy};
use crate::store::Database;
use crate::time::{Clock, SystemClock};

use super::endpoints::issuer;
use super::error::AppError;
use super::keys;

/// # Errors
///
/// [`AppError`] where `server.public_url` is no issuer.
pub(super) fn explainer(
    config: &Config,
    auditor: &Auditor,
    policy: &Live,
    store: &Arc<dyn Database>,
) -> Result<Explainer, AppError> {
    let (records, rules) = (Records::Of(auditor.clone()), Rules::Live(policy.clone()));
    made(config, records, rules, Some(Arc::clone(store)))
}

/// The same of a log that a broker writes or has written. The store is opened where there is one: it has the names.
///
/// # Errors
///
/// [`AppError`] where `server.public_url` is no issuer, or the store that is there cannot be opened.
pub async fn command_explainer(
    config: &Config,
    log: PathBuf,
    policy: Policy,
) -> Result<Explainer, AppError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = keys::store(config, &clock).await?;
    made(config, Records::File(log), Rules::Loaded(Arc::new(policy)), Some(store))
}

fn made(
    config: &Config,
    records: Records,
    rules: Rules,
    store: Option<Arc<dyn Database>>,
) -> Result<Explainer, AppError> {
    let clients = config.authorization_server.clients.iter();
    Ok(Explainer {
        records,
        rules,
        store,
        issuer: issuer(&config.server.public_url).parse()?,
        configured: clients.map(|client| client.client_id.clone()).collect(),
        turn: Arc::default(),
    })
}
