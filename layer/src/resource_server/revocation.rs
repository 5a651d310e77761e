//! The question asked about every request: has this token, grant, client or user been revoked?

use std::fmt;

use super::principal::Principal;

/// Says whether a verified caller has been revoked since the token was issued.
///
/// Asked on *every* request, whether the token was found in the cache or not, so it must answer from memory.
pub trait Revocations: Send + Sync + fmt::Debug {
    /// Whether the token, its grant, client or user was revoked.
    fn is_revoked(&self, principal: &Principal) -> bool;
}

/// Nothing is ever revoked: tokens end with their `exp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRevocations;

impl Revocations for NoRevocations {
    fn is_revoked(&self, _principal: &Principal) -> bool {
        false
    }
}
