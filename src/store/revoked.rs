//! What is revoked, in memory: asked on every request.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::id::GrantId;
use crate::time::Timestamp;

/// One line of the table `revocations`.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    pub(super) sequence: i64,
    pub(super) grant_id: Option<GrantId>,
    pub(super) jti: Option<String>,
    /// Every token of this client that was issued up to then (seconds since 1970, `iat`).
    pub(super) client: Option<(String, i64)>,
    pub(super) expires_at: Timestamp,
}

#[derive(Default)]
struct Known {
    /// Everything up to this one has been read.
    sequence: i64,
    grants: HashMap<GrantId, Timestamp>,
    tokens: HashMap<String, Timestamp>,
    clients: HashMap<String, (i64, Timestamp)>,
}

/// Grants and tokens that are revoked, until the last of their tokens has expired by itself.
#[derive(Default)]
pub(super) struct Revoked(RwLock<Known>);

impl Revoked {
    pub(super) fn contains(&self, grant_id: Option<GrantId>, jti: Option<&str>) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        grant_id.is_some_and(|id| known.grants.contains_key(&id))
            || jti.is_some_and(|jti| known.tokens.contains_key(jti))
    }

    pub(super) fn contains_client(&self, client_id: &str, issued_at: i64) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.clients.get(client_id).is_some_and(|(until, _)| issued_at <= *until)
    }

    /// Where to read on.
    pub(super) fn sequence(&self) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).sequence
    }

    /// What was read from the table, in its order.
    pub(super) fn read(&self, revocations: &[Revocation]) {
        self.add(revocations);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let last = revocations.iter().map(|revocation| revocation.sequence).max();
        known.sequence = known.sequence.max(last.unwrap_or(0));
    }

    /// What this process wrote itself. Others may have written before it, so reading goes on from where it was.
    pub(super) fn add(&self, revocations: &[Revocation]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            if let Some(id) = revocation.grant_id {
                known.grants.insert(id, revocation.expires_at);
            }
            if let Some(jti) = &revocation.jti {
                known.tokens.insert(jti.clone(), revocation.expires_at);
            }
            if let Some((id, until)) = &revocation.client {
                let (known, end) = known.clients.entry(id.clone()).or_default();
                (*known, *end) = ((*known).max(*until), (*end).max(revocation.expires_at));
            }
        }
    }

    /// Forgets what has expired by itself.
    pub(super) fn forget(&self, now: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.grants.retain(|_, end| *end > now);
        known.tokens.retain(|_, end| *end > now);
        known.clients.retain(|_, (_, end)| *end > now);
    }
}
