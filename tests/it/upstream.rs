//! MCP servers behind the broker: what reaches them, and what comes back.

mod authority;
mod behind;
mod decided;
mod draining;
mod faults;
mod passing;
mod sessions;
mod watched;
