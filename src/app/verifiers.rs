//! How the key sets of other issuers are, over everything here that verifies their tokens.

use std::sync::{Arc, Mutex, PoisonError};

use crate::resource_server::{IssuerHealth, KeyHealth, Verifier};

/// That of the servers that are registered while we run: made anew when they change. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Changing(Arc<Mutex<Option<Arc<Verifier>>>>);

impl Changing {
    pub(super) fn replace(&self, verifier: Option<Arc<Verifier>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = verifier;
    }

    fn current(&self) -> Option<Arc<Verifier>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All of them. Each fetches key sets by itself; who is made anew goes on with those of before.
#[derive(Debug)]
pub(super) struct Verifiers {
    pub(super) fixed: Vec<Arc<Verifier>>,
    pub(super) changing: Changing,
}

impl Verifiers {
    /// Each issuer once, as the worst of them finds it.
    pub(super) fn health(&self) -> Vec<IssuerHealth> {
        let mut worst: Vec<IssuerHealth> = Vec::new();
        let changing = self.changing.current();
        for health in self.fixed.iter().chain(&changing).flat_map(|verifier| verifier.health()) {
            match worst.iter_mut().find(|known| known.issuer == health.issuer) {
                Some(known) if badness(known.keys) < badness(health.keys) => *known = health,
                Some(_) => {}
                None => worst.push(health),
            }
        }
        worst
    }
}

const fn badness(keys: KeyHealth) -> u8 {
    match keys {
        KeyHealth::Unused => 0,
        KeyHealth::Good => 1,
        KeyHealth::Stale => 2,
        KeyHealth::Unavailable => 3,
    }
}
