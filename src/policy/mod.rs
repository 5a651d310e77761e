//! The one place where allowed and refused are told apart. Pure: no I/O, and the time is an input.
//!
//! [`Policy::decide`] makes a [`Decision`]; the tool list, the call, the 403 challenge and the audit
//! event all print it. A [`Permit`] is the proof that a decision was `allow`.

mod ask;
mod compile;
mod decide;
mod decision;
mod file;
mod load;
mod operations;
mod permit;
mod rule;
mod template;
#[cfg(test)]
mod tests;

pub use ask::{Ask, GraphAsk, Operation, Who};
pub use compile::{Facts, Fault, PolicyError};
pub use decide::Policy;
pub use decision::{Decision, Effect, Reason};
pub use file::{GraphSpec, RuleSpec};
pub use load::Granted;
pub use operations::OperationView;
pub use permit::{GraphGrant, Permit};
pub use rule::Principals;
pub use template::TemplateError;
