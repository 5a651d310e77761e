//! The broker as an OAuth client of others: of the authorization servers that stand before the servers behind it.
//!
//! Client roles of MCP authorization (2026-07-28): from a server's 401 to its metadata (RFC 9728), from that to its
//! authorization server's (RFC 8414), to a client id there (CIMD, RFC 7591), to a person's consent (OAuth 2.1 with PKCE,
//! RFC 8707, RFC 9207) and to tokens. Every URL that another side names is reached through `outbound`, with its guard.

mod at;
mod authorization;
mod challenge;
mod discovery;
mod forced;
mod held;
mod identity;
mod no_token;
mod registration;
mod token_endpoint;
mod unusable;

pub use at::At;
pub use authorization::{Authorization, Callback, Request};
pub use challenge::BearerChallenge;
pub use discovery::{Discovered, ServerMetadata, discover};
pub use forced::{FORCED_PAUSE, Forced};
pub use held::Held;
pub use identity::{ClientIdentity, identity_document};
pub use no_token::NoToken;
pub use registration::{Registered, register};
pub use token_endpoint::{Authentication, Granted, TokenEndpoint};
pub use unusable::Unusable;
