//! What a start has done that is not its own alone: where it fails, others are told, and whoever tries again knows what it costs.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::{self, Config};
use crate::secret::{self, Memory, Secrets};

use super::error::AppError;
use super::map;
use super::sealing::Announcer;

/// What backends of secrets said to the tries of one start before: a start that is tried again and again asks them no more
/// often than a broker that runs. Forgotten where the settings say anything else of the backends: then it is news.
#[derive(Debug, Default)]
pub struct Tries(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    settings: secret::Settings,
    outbound: config::Outbound,
    variables: secret::Environment,
    memory: Memory,
}

impl Tries {
    pub(super) fn memory(&self, config: &Config, variables: &secret::Environment) -> Memory {
        let (settings, outbound) = (map::secrets(config), config.outbound.clone());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known
            && (&known.settings, &known.outbound, &known.variables)
                == (&settings, &outbound, variables)
        {
            return known.memory.clone();
        }
        let (memory, variables) = (Memory::of(&settings), variables.clone());
        *known = Some(Known { settings, outbound, variables, memory: memory.clone() });
        memory
    }
}

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
