//! The one place where allowed and refused are told apart. Pure: no I/O, and the time is an input.
//!
//! [`Policy::decide`] makes a [`Decision`]; the tool list, the call, the 403 challenge and the audit
//! event all print it. A [`Permit`] is the proof that a decision was `allow`.

mod decision;
mod permit;

pub use decision::{Decision, Effect, Reason};
pub use permit::{GraphGrant, Permit};
