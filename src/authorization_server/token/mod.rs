//! `/token` (RFC 6749 §3.2, OAuth 2.1 §3.2): what a client proves becomes an access token.
//!
//! One file for each grant and one row for it in [`endpoint`]; what all grants share is in the others.

mod authorization_code;
mod client_credentials;
mod device_code;
mod doubt;
mod endpoint;
mod exchange;
mod flight;
mod issue;
mod jwt_bearer;
mod person;
mod refresh_reply;
mod refresh_token;
mod resource;
mod state;
mod token_exchange;

pub(super) use device_code::NAME as DEVICE_CODE;
pub(super) use endpoint::routes;
pub(super) use jwt_bearer::{AssertionIssuers, ID_JAG_PROFILE, NAME as JWT_BEARER};
pub(super) use refresh_token::{Holder, holder as holder_of_refresh_token};
pub(super) use state::TokenState;
pub(super) use token_exchange::NAME as TOKEN_EXCHANGE;
