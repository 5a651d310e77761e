//! MCP servers behind the broker: what reaches them, and what comes back.

mod alive;
mod asked_back;
mod asking;
mod authority;
pub(crate) mod behind;
mod credentials;
mod cross_app;
mod decided;
mod draining;
mod entra;
mod eras;
mod failed;
mod faults;
mod in_session;
mod limited;
mod listening;
mod lost;
mod named;
mod one_era;
mod passing;
mod pinned;
mod raw_server;
mod recorded;
mod rmcp_client;
mod schemas;
mod sessions;
mod shown;
mod streams;
mod told;
mod unread;
mod watched;

pub(crate) use behind::{Behind, GET, PATH, token};
pub(crate) use draining::server as never_ending;
