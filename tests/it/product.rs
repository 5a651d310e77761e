//! The whole product through its socket: what a client, an agent or an attacker sees.

mod agreement;
mod agreement_graph;
mod approvals;
mod approvals_api;
mod audit_failure;
mod audit_trail;
mod authority;
mod canary;
mod challenge;
mod conditions;
mod defaults;
mod faults;
mod gateways;
mod graph_tool;
mod http2;
mod limits;
mod limits_shared;
mod names;
mod policy_reload;
mod serving;
mod strangers;
mod tools;
mod wire;
