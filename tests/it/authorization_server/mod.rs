//! The authorization server as clients and browsers meet it: over a socket, with everything behind it.

mod approvals;
mod authorize;
mod base_path;
mod behind;
mod browser;
mod canary;
mod client;
mod connections;
mod cors;
mod crash;
mod device;
mod dpop;
mod exchange;
mod faults;
mod flow;
mod logout;
mod metadata;
mod other_servers;
mod pace;
mod private_key_jwt;
mod pushed;
mod races;
mod replicas;
mod rmcp_client;
mod rotation;
mod signing;
