//! Which backends failed when they were last asked. For `/ready`; nothing is asked here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::code::Code;
use crate::time::Timestamp;

use super::error::{Detail, SecretError};
use super::provider::Backend;

/// A backend whose last answer was a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BackendStatus {
    pub backend: Backend,
    pub code: Code,
    pub detail: Option<Detail>,
    /// When it failed last.
    pub failed_at: Timestamp,
}

/// The last failure of each backend; the next success takes it away.
#[derive(Debug, Default)]
pub(super) struct StatusBoard(Mutex<BTreeMap<Backend, BackendStatus>>);

impl StatusBoard {
    pub(super) fn note(&self, backend: Backend, error: Option<&SecretError>, now: Timestamp) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            None => board.remove(&backend),
            Some(error) => {
                let (code, detail) = (error.code(), error.detail());
                board.insert(backend, BackendStatus { backend, code, detail, failed_at: now })
            }
        };
    }

    pub(super) fn list(&self) -> Vec<BackendStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }
}
