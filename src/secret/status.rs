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

/// How often a backend was asked since the start, and how often without success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounts {
    pub asked: u64,
    pub failed: u64,
}

/// The last failure of each backend; the next success takes it away. And how often each was asked.
#[derive(Debug, Default)]
pub(super) struct StatusBoard {
    failures: Mutex<BTreeMap<Backend, BackendStatus>>,
    counts: Mutex<BTreeMap<Backend, BackendCounts>>,
}

impl StatusBoard {
    pub(super) fn note(&self, backend: Backend, error: Option<&SecretError>, now: Timestamp) {
        self.count(backend, error.is_some());
        let mut board = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            None => board.remove(&backend),
            Some(error) => {
                let (code, detail) = (error.code(), error.detail());
                board.insert(backend, BackendStatus { backend, code, detail, failed_at: now })
            }
        };
    }

    pub(super) fn list(&self) -> Vec<BackendStatus> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    fn count(&self, backend: Backend, failed: bool) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(backend).or_default();
        counts.asked = counts.asked.saturating_add(1);
        counts.failed = counts.failed.saturating_add(failed.into());
    }

    pub(super) fn counts(&self) -> Vec<(Backend, BackendCounts)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(backend, counts)| (*backend, *counts)).collect()
    }
}
