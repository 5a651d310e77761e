//! The one integration binary: everything here goes through the crate's public interface.

// `cfg(test)` tells clippy that `unwrap` and the like are fine here.
#[cfg(test)]
mod admin_api;
#[cfg(test)]
mod administration;
#[cfg(test)]
mod arrows;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authorization_server;
#[cfg(test)]
mod check_live;
#[cfg(test)]
mod command_hints;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod compliance;
#[cfg(test)]
mod config;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod doctor_broken;
#[cfg(test)]
mod doctor_certificates;
#[cfg(test)]
mod doctor_forwarded;
#[cfg(test)]
mod doctor_names;
#[cfg(test)]
mod doctor_stand_in;
#[cfg(test)]
mod flat_permissions;
#[cfg(test)]
mod folded;
#[cfg(test)]
mod folded_changes;
#[cfg(test)]
mod folded_slow;
#[cfg(test)]
mod folded_things;
#[cfg(test)]
mod forward_auth;
#[cfg(test)]
mod graph_simulation;
#[cfg(test)]
mod hints;
#[cfg(test)]
mod hosted;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod one_broker;
#[cfg(test)]
mod operating;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod policy_lint;
#[cfg(test)]
mod product;
#[cfg(test)]
mod registered;
#[cfg(test)]
mod registered_more;
#[cfg(test)]
mod rekey;
#[cfg(test)]
mod resource_server;
#[cfg(test)]
mod resource_server_discovery;
#[cfg(test)]
mod resource_server_going_on;
#[cfg(test)]
mod resource_server_remote;
#[cfg(test)]
mod secret_connect;
#[cfg(test)]
mod secret_file;
#[cfg(test)]
mod secret_op;
#[cfg(test)]
mod secret_support;
#[cfg(test)]
mod secret_vault;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod support_bundle;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod written_secrets;
