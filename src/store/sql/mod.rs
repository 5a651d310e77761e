//! The traits on SQL that both databases understand. One file for each kind of thing.
#![expect(clippy::ptr_arg, reason = "a `Work` borrows the very type that its caller gave away")]

mod api_key;
mod approval;
mod authenticator;
mod authorization_request;
mod clean_up;
mod client;
mod clients;
mod code;
mod columns;
mod consent;
mod database;
mod device;
mod ended_account;
mod ending;
mod grant;
mod grants;
mod identity_provider;
mod lease;
mod link;
mod login;
mod logout;
mod metadata_document;
mod passkey;
mod people;
mod place;
mod provider_tokens;
mod refresh;
mod registration_token;
mod resource;
mod resources;
mod revocation;
mod sealed;
mod sealing;
mod session;
mod signing_key;
mod signing_keys;
mod tend;
mod tool_met;
mod tool_pin;
mod tool_pins;
mod upstream_account;
mod user;
mod user_removal;

pub(super) use database::SqlDatabase;
pub(super) use sealed::counts as sealed_counts;
pub(super) use sealing::find as find_sealing;

use super::page::{Page, PageRequest};

/// Rows of one page at most.
const MOST: u32 = 200;

/// How many rows to ask for: one more than are given, to know whether there are more.
fn limit(page: &PageRequest) -> i64 {
    i64::from(page.limit.clamp(1, MOST)) + 1
}

/// What was read with [`limit`], as a page.
fn page<T>(mut rows: Vec<T>, page: &PageRequest, key: fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(page.limit.clamp(1, MOST)).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(key) } else { None };
    Page { rows, next }
}
