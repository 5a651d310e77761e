//! The keys that sign our tokens: sealed in the store, shared by every replica, changed without a leader.
//!
//! A key is *pending* (published, not used yet), *usable*, *retiring* (verifies, signs nothing) and then gone. Which
//! one signs follows from the rows, the settings and the time alone, so that replicas that never talk to each other agree.
//! Where resources want other algorithms than the general one, there is such a succession for each of them.

mod algorithm;
mod chain;
mod error;
mod import;
mod key;
mod ring;
mod set;
mod signer;
mod stored;
#[cfg(test)]
mod tests;

pub use algorithm::SigningAlgorithm;
pub use chain::Algorithms;
pub use error::KeyError;
pub(super) use key::{SigningKey, TokenType};
pub use ring::{KeyRing, KeySettings, Refreshed};
pub use set::SigningKeys;
pub(super) use stored::opens;
pub use stored::signing_key_context;
