//! An OAuth 2.1 resource server for any tower service, as the Model Context Protocol asks for.
//!
//! [`resource_server`] is what you come for; the other modules hold the types in its signatures.

pub mod id;
pub mod outbound;
pub mod random;
pub mod resource_server;
pub mod scope;
pub mod secret_text;
pub mod time;
