//! Remembers verified tokens for a short while, by their SHA-256.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;

use crate::time::{Clock, Timestamp};

use super::principal::Principal;

/// The SHA-256 of a token: what it is looked up by, so that no token is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// 8 hex digits: enough to find a token in a log, useless to present.
    pub(super) fn name(&self) -> String {
        hex(self.0.get(..4).unwrap_or_default())
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 0xf)]);
        text
    })
}

#[derive(Clone)]
struct Entry {
    principal: Principal,
    /// Monotonic.
    until: Duration,
    /// `exp` and the issuer's skew.
    dead_at: Timestamp,
    length: usize,
    generation: Generation,
}

/// Counts how often everything was forgotten. Taken before a token is checked: what was checked with keys that are gone by
/// then is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// Bounded in number and in the size of the tokens: one over 1 KiB counts as several.
pub(super) struct VerifiedTokens {
    entries: moka::sync::Cache<TokenHash, Entry>,
    keep: Duration,
    generation: AtomicU64,
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedTokens({} entries)", self.entries.entry_count())
    }
}

impl VerifiedTokens {
    pub(super) fn new(entries: u64, keep: Duration) -> Self {
        let weight = |_: &TokenHash, entry: &Entry| {
            u32::try_from(entry.length.div_ceil(1024)).unwrap_or(u32::MAX)
        };
        let entries = moka::sync::Cache::builder()
            .max_capacity(entries)
            .weigher(weight)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        Self { entries, keep, generation: AtomicU64::new(0) }
    }

    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// The caller behind a token that was verified a short while ago and has not expired since.
    pub(super) fn get(&self, hash: &TokenHash, clock: &dyn Clock) -> Option<Principal> {
        let entry = self.entries.get(hash)?;
        let late = clock.monotonic() >= entry.until || clock.now() >= entry.dead_at;
        if late || entry.generation != self.generation() {
            self.entries.invalidate(hash);
            return None;
        }
        Some(entry.principal)
    }

    /// Remembers `principal` for no longer than `keep`, its expiry and the configured bound.
    pub(super) fn insert(
        &self,
        hash: TokenHash,
        token: &str,
        (principal, generation): (&Principal, Generation),
        keep: Keep,
        clock: &dyn Clock,
    ) {
        let until = clock.monotonic().saturating_add(self.keep.min(keep.at_most));
        let dead_at = principal.expires_at().plus(keep.skew);
        let principal = principal.remembered();
        self.entries
            .insert(hash, Entry { principal, until, dead_at, length: token.len(), generation });
    }

    pub(super) fn clear(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.entries.invalidate_all();
    }
}

/// The issuer's own limits on remembering.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) at_most: Duration,
    pub(super) skew: Duration,
}
