//! Proofs that were used (RFC 9449 §11.1): each is good once.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::future::{BoxFuture, ready};

use crate::time::{Clock, Timestamp};

/// Remembers proofs for as long as they could be used again. Servers that clients cannot tell apart share one: a proof
/// that one has seen is of no use at another.
pub trait ProofReplay: Send + Sync + fmt::Debug {
    /// Whether nobody has used this proof before; from then on somebody has. Of two at the same time one is the first.
    ///
    /// `proof` names key and proof, in characters of base64url. After `until` it would be refused anyway.
    ///
    /// # Errors
    ///
    /// [`ReplayUnavailable`]: it cannot be told; the request is not let through.
    fn first_use<'a>(
        &'a self,
        proof: &'a str,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>>;
}

/// It cannot be told whether a proof was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be told whether a proof was used before")]
pub struct ReplayUnavailable;

/// In memory, for one process. Of a bounded size: when it is full nobody is let through for a while, rather than a proof
/// twice.
#[derive(Debug)]
pub struct MemoryReplay {
    clock: Arc<dyn Clock>,
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    begun: Duration,
    /// Since `begun`, and in the time as long before it.
    now: HashSet<[u8; 16]>,
    before: HashSet<[u8; 16]>,
}

/// Longer than any proof can be used for.
const KEPT: Duration = Duration::from_mins(3);
/// In each half: some 5500 new proofs a second.
const MOST: usize = 1_000_000;

impl MemoryReplay {
    /// Empty. A proof that was used before the process began could be used again for two minutes; where that matters,
    /// ask for nonces, under a key of this process.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_room_for(MOST, clock)
    }

    /// The same with room for `most` proofs in three minutes.
    #[must_use]
    pub fn with_room_for(most: usize, clock: Arc<dyn Clock>) -> Self {
        Self { clock, most, seen: Mutex::default() }
    }

    fn take(&self, proof: &str) -> Result<bool, ReplayUnavailable> {
        let mut name = [0; 16];
        let hash = digest(&SHA256, proof.as_bytes());
        name.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        let at = self.clock.monotonic();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let age = at.saturating_sub(seen.begun);
        if age >= KEPT {
            let last = std::mem::take(&mut seen.now);
            seen.before = if age >= KEPT.saturating_mul(2) { HashSet::new() } else { last };
            seen.begun = at;
        }
        if seen.before.contains(&name) || seen.now.contains(&name) {
            return Ok(false);
        }
        if seen.now.len() >= self.most {
            return Err(ReplayUnavailable);
        }
        seen.now.insert(name);
        Ok(true)
    }
}

impl ProofReplay for MemoryReplay {
    fn first_use<'a>(
        &'a self,
        proof: &'a str,
        _until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, ReplayUnavailable>> {
        Box::pin(ready(self.take(proof)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SystemClock;

    // RFC 9449 §11.1 — N88
    #[test]
    fn a_proof_is_good_once_and_a_full_memory_lets_nobody_through() {
        let replay = MemoryReplay::with_room_for(2, Arc::new(SystemClock));
        assert_eq!(replay.take("a"), Ok(true));
        assert_eq!(replay.take("a"), Ok(false));
        assert_eq!(replay.take("b"), Ok(true));
        assert_eq!(replay.take("c"), Err(ReplayUnavailable));
        assert_eq!(replay.take("a"), Ok(false));
    }
}
