//! What a verifier knows of issuers elsewhere, for the one that takes its place.

use std::sync::Arc;

use crate::time::Clock;

use super::introspection::{Answers, IntrospectionTiming};
use super::issuer::{IssuerSettings, KeySource};
use super::jwks::KnownKeys;
use super::verify::{Keys, Verifier};

/// Nothing of it is used for an issuer that is asked in another way: whose word it is would not be known.
#[derive(Debug)]
pub(super) struct Known {
    /// Its times are of this clock.
    clock: Arc<dyn Clock>,
    issuers: Vec<(IssuerSettings, Memory)>,
}

#[derive(Clone, Debug)]
enum Memory {
    Keys(KnownKeys),
    Answers(Arc<Answers>, IntrospectionTiming),
}

impl Known {
    pub(super) fn of(verifier: &Verifier) -> Self {
        let mut issuers = Vec::new();
        for issuer in &verifier.issuers {
            let memory = match &issuer.keys {
                Keys::Remote(keys) => Memory::Keys(keys.known()),
                Keys::Ask(asking) => Memory::Answers(asking.known(), asking.timing),
                Keys::Local(_) | Keys::Shared(_) => continue,
            };
            issuers.push((issuer.settings.clone(), memory));
        }
        Self { clock: Arc::clone(&verifier.clock), issuers }
    }

    /// Of the key set of this issuer.
    pub(super) fn keys(&self, of: &IssuerSettings, clock: &Arc<dyn Clock>) -> Option<KnownKeys> {
        let (before, memory) = self.about(of, clock)?;
        match memory {
            // A set leaves out what no algorithm goes with.
            Memory::Keys(keys) if before.algorithms == of.algorithms => Some(keys.clone()),
            Memory::Keys(_) | Memory::Answers(..) => None,
        }
    }

    /// What this issuer said of tokens.
    pub(super) fn answers(
        &self,
        of: &IssuerSettings,
        clock: &Arc<dyn Clock>,
        timing: IntrospectionTiming,
    ) -> Option<Arc<Answers>> {
        match &self.about(of, clock)?.1 {
            Memory::Answers(answers, before) if *before == timing => Some(Arc::clone(answers)),
            Memory::Answers(..) | Memory::Keys(_) => None,
        }
    }

    fn about(
        &self,
        of: &IssuerSettings,
        clock: &Arc<dyn Clock>,
    ) -> Option<&(IssuerSettings, Memory)> {
        let same = |(before, _): &&(IssuerSettings, Memory)| {
            before.issuer == of.issuer && is_same_place(&before.keys, &of.keys)
        };
        self.issuers.iter().find(same).filter(|_| Arc::ptr_eq(&self.clock, clock))
    }
}

/// Whether the same is asked, as the same client. The secret that proves it may be another by now.
fn is_same_place(one: &KeySource, other: &KeySource) -> bool {
    match (one, other) {
        (KeySource::Jwks { url }, KeySource::Jwks { url: other }) => url == other,
        (KeySource::Discovery, KeySource::Discovery) => true,
        (
            KeySource::Introspection { url, client_id, .. },
            KeySource::Introspection { url: other, client_id: other_client, .. },
        ) => url == other && client_id == other_client,
        _ => false,
    }
}
