//! The traits on SQL that both databases understand. One file for each kind of thing.

mod api_key;
mod authorization_request;
mod clean_up;
mod client;
mod code;
mod consent;
mod database;
mod grant;
mod grants;
mod link;
mod login;
mod metadata_document;
mod people;
mod refresh;
mod resource;
mod revocation;
mod session;
mod signing_key;
mod tend;
mod user;

pub(super) use database::SqlDatabase;
