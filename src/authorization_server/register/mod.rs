//! Dynamic client registration (RFC 7591), and what becomes of it (RFC 7592).

mod accept;
mod endpoint;
mod initial_access_token;
mod limits;
mod manage;
mod reap;
mod stateless_id;

pub use endpoint::routes;
pub(super) use limits::RegistrationLimits;
pub(super) use reap::reap;
pub(super) use stateless_id::{StatelessId, StatelessIds};
