//! The authorization server as clients and browsers meet it: over a socket, with everything behind it.

mod approvals;
mod authorize;
mod browser;
mod canary;
mod client;
mod faults;
mod flow;
mod metadata;
