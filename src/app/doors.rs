//! What a request comes through before any endpoint.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::audit::Auditor;
use crate::config::Config;
use crate::guard::{Door, Recorder};
use crate::limits::Limits;
use crate::random::Random;
use crate::time::Clock;

use super::dpop::Binding;

/// What stands before every endpoint.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    limits: Limits,
    pub(super) binding: Binding,
    auditor: Auditor,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    max_body_bytes: usize,
    body_timeout: Duration,
}

impl Doors {
    pub(super) fn new(
        config: &Config,
        (limits, binding): (Limits, Binding),
        auditor: &Auditor,
        (clock, random): &(Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Self {
        Self {
            limits,
            binding,
            auditor: auditor.clone(),
            clock: Arc::clone(clock),
            random: Arc::clone(random),
            max_body_bytes: config.server.max_body_bytes,
            body_timeout: config.server.request_timeout,
        }
    }

    /// Before the endpoint with this metadata, which may require by itself tokens that are bound to keys.
    pub(super) fn to(&self, metadata_url: Url, bound: bool) -> Door {
        Door {
            limits: self.limits.clone(),
            auditor: self.auditor.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            metadata_url,
            dpop: self.binding.shown(bound),
            max_body_bytes: self.max_body_bytes,
            body_timeout: self.body_timeout,
        }
    }

    pub(super) fn recorder(&self) -> Recorder {
        Recorder {
            auditor: self.auditor.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        }
    }
}
