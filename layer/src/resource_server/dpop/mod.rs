//! Tokens that are bound to a key (RFC 9449): whoever presents one proves with every request that they hold the key.
//!
//! Used by resource servers, through [`RequireTokenLayer::dpop`](super::RequireTokenLayer::dpop), and by authorization
//! servers, which check the same proofs at their token endpoint with a [`ProofChecker`].

mod checker;
mod guard;
mod nonce;
mod proof;
mod replay;

pub use checker::{ProofChecker, ProofError, ProofRequest, ProvenKey};
pub(super) use guard::DpopGuard;
pub use guard::DpopSettings;
pub use nonce::DpopNonces;
pub use proof::PROOF_ALGORITHMS;
pub use replay::{MemoryReplay, ProofReplay, ReplayUnavailable};

/// The header of proofs.
pub(super) const HEADER: &str = "dpop";
/// The header of nonces.
pub(super) const NONCE_HEADER: &str = "dpop-nonce";
