//! MCP servers behind the broker: what reaches them, and what comes back.

mod authority;
mod behind;
mod credentials;
mod decided;
mod faults;
mod passing;
mod sessions;
mod watched;
