//! The keys that sign our tokens: sealed in the store, shared by every replica, changed without a leader.
//!
//! A key is *pending* (published, not used yet), *usable*, *retiring* (verifies, signs nothing) and then gone. Which
//! one signs follows from the rows and the time alone, so that replicas that never talk to each other agree.

mod algorithm;
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
pub use error::KeyError;
pub(super) use key::TokenType;
pub use ring::{KeyRing, KeySettings, Refreshed};
pub use set::SigningKeys;
