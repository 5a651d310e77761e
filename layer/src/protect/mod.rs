//! The whole of a protected resource in one value: who is believed, what is needed, where the metadata is.
//!
//! The parts are in [`resource_server`](crate::resource_server); this module puts them together as most services want
//! them. See the [crate] for examples.

mod builder;
mod deny;
mod layer;
mod message;
mod resource;
mod scope;
mod tool;
mod tools;

pub use self::builder::{BuildError, ProtectedResourceBuilder};
pub use self::deny::Denied;
pub use self::layer::{Protect, ProtectFuture, ProtectLayer};
pub use self::message::{Message, NotAMessage};
pub use self::resource::ProtectedResource;
pub use self::scope::{RequireScope, RequireScopeFuture, RequireScopeLayer};
pub use self::tool::{RequireToolScope, RequireToolScopeFuture, RequireToolScopeLayer};
