//! The one place where allowed and refused are told apart. Pure: no I/O, and the time is an input.
//!
//! [`Policy::decide`] makes a [`Decision`]; the tool list, the call, the 403 challenge and the audit
//! event all print it. A [`Permit`] is the proof that a decision was `allow`.

#[cfg(test)]
mod agreement;
mod ask;
mod below;
mod beside;
mod compile;
mod condition;
mod decide;
mod decision;
mod differences;
mod example;
mod explain;
mod fault;
mod file;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod generated;
mod grant;
mod grantable;
mod index;
mod judge;
mod limited;
mod lint;
mod live;
mod load;
mod login;
mod names;
mod operations;
mod order;
mod permit;
mod quoted;
mod read;
mod recorded;
mod replay;
mod rule;
mod template;
#[cfg(test)]
mod tests;
mod tools;

pub use ask::{Arguments, Ask, GraphAsk, Moment, Operation, Who};
pub use beside::{About, BesideAsk};
pub use compile::Facts;
pub use condition::{Looked, Truth};
pub use decide::Policy;
pub use decision::{Approval, Decision, Effect, LoginNeeded, Obligations, Outcome, Reason, Step};
pub use differences::{DifferenceKind, Differences, FirstOfKind};
pub use explain::{Compared, Explanation, RuleExplanation};
pub use fault::{Fault, PolicyError};
pub use file::{GraphSpec, RuleSpec};
pub use grantable::Reach;
pub use limited::{CallLimit, CallLimits, CountedIn};
pub use lint::{Lint, LintKind, Needs, People, World};
pub use live::{Difference, InForce, Live};
pub use load::Granted;
pub use login::Login;
pub use names::{Names, Told};
pub use operations::OperationView;
pub use permit::{Approved, GraphGrant, Permit};
pub use recorded::{Recorded, RecordedOperation, RecordedServer};
pub use replay::{Again, Made, Replay};
pub use rule::Principals;
pub use template::TemplateError;
