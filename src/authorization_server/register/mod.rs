//! Dynamic client registration (RFC 7591).

mod accept;
mod endpoint;
mod limits;
mod reap;
mod stateless_id;

pub use endpoint::routes;
pub(super) use limits::RegistrationLimits;
pub(super) use reap::reap;
pub(super) use stateless_id::{StatelessId, StatelessIds};
