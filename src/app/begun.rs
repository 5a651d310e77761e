//! What a start has done that is not its own alone: where it fails, others are told, and whoever tries again knows what it costs.

use std::sync::{Arc, OnceLock};

use crate::secret::Secrets;

use super::error::AppError;
use super::sealing::Announcer;

/// Of one start, from its beginning on.
#[derive(Debug, Default)]
pub(super) struct Begun {
    secrets: OnceLock<Arc<Secrets>>,
    announced: OnceLock<Announcer>,
}

impl Begun {
    /// What it reads its own secrets with.
    pub(super) fn reads_with(&self, secrets: &Arc<Secrets>) {
        self.secrets.get_or_init(|| Arc::clone(secrets));
    }

    /// Other brokers count this one from now on.
    pub(super) fn is_announced(&self, announcer: &Announcer) {
        self.announced.get_or_init(|| announcer.clone());
    }

    /// The error that the start ends with, once nobody counts on this broker any more.
    pub(super) async fn failed(self, error: AppError) -> AppError {
        if let Some(announcer) = self.announced.get() {
            announcer.withdraw().await;
        }
        let asked = self.secrets.get().map(|secrets| secrets.counts()).unwrap_or_default();
        if asked.iter().any(|(backend, _)| backend.is_remembered()) {
            return AppError::AskedBackend(Box::new(error));
        }
        error
    }
}
