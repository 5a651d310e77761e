//! An OAuth 2.1 resource server for any tower service, as the Model Context Protocol asks for: bearer tokens verified
//! (RFC 6750, RFC 9068, RFC 7662), metadata published (RFC 9728), and challenges that a client can follow, for a scope
//! of every request, of a route, and of a tool.
//!
//! # With axum
//!
//! ```
//! # use axum::{Router, routing::post, Extension};
//! use mcp_auth_layer::{Principal, ProtectedResource};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async fn whoami(Extension(caller): Extension<Principal>) -> String { format!("{:?}", caller.subject()) }
//! let resource = ProtectedResource::builder("https://api.example/mcp".parse()?)
//!     .authorization_server("https://broker.example").scope("files:read").build()?;
//! let app: Router = Router::new().route("/mcp", post(whoami)).layer(resource.layer());
//! # Ok(())
//! # }
//! ```
//!
//! `layer` answers `401` with a challenge where the token is missing or bad, `403` where a scope is missing, and serves
//! `/.well-known/oauth-protected-resource/mcp`. A handler finds its [`Principal`] in the extensions; the
//! `Authorization` header is gone. Put the layer around the whole router, last, so that it sees the metadata's path.
//!
//! # With plain tower
//!
//! ```
//! # use http::{Request, Response};
//! # use http_body_util::Full;
//! # use tower::{ServiceBuilder, service_fn};
//! # use mcp_auth_layer::{Principal, ProtectedResource};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mcp = service_fn(|request: Request<Full<bytes::Bytes>>| async move {
//! #     let caller = request.extensions().get::<Principal>().cloned();
//! #     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from(format!("{caller:?}"))))
//! # });
//! let resource = ProtectedResource::builder("https://api.example/mcp".parse()?)
//!     .authorization_server("https://broker.example").tool("send_email", "mail:send").build()?;
//! let service = ServiceBuilder::new().layer(resource.mcp_layer()).service(mcp);
//! # fn is_a_service<S: tower::Service<Request<Full<bytes::Bytes>>>>(_: S) {}
//! # is_a_service(service);
//! # Ok(())
//! # }
//! ```
//!
//! `mcp_layer` also reads each message and decides by the tool that it calls; tools that are not named cannot be called.
//! A scope for one route is [`ProtectedResource::require`].
//!
//! # Without a layer
//!
//! ```no_run
//! # use mcp_auth_layer::ProtectedResource;
//! # async fn handle(resource: ProtectedResource, headers: http::HeaderMap) -> http::Response<bytes::Bytes> {
//! let caller = match resource.verify(&headers).await {
//!     Ok(caller) => caller,
//!     Err(refusal) => return resource.refuse(refusal),
//! };
//! if let Err(denied) = resource.authorize("send_email", &caller) {
//!     return resource.deny(&denied);
//! }
//! # http::Response::new(bytes::Bytes::new())
//! # }
//! ```
//!
//! # What is where
//!
//! [`protect`] puts a resource together; [`resource_server`] holds the parts of which it is made, for who needs another
//! arrangement; the other modules are the types in their signatures.
//!
//! # What it does not do
//!
//! It issues no tokens and keeps no users. It limits neither the rate of requests nor their size, but for the MCP
//! messages it reads. It does not filter `tools/list`, knows no condition but scopes, and writes no audit log:
//! [`Refusal`](resource_server::Refusal) in the response's extensions says why a token was refused. A token that is
//! bound to a key (`cnf`) is refused, since the binding is not checked.

#![deny(missing_docs)]

pub mod id;
pub mod outbound;
pub mod protect;
pub mod random;
pub mod resource_server;
pub mod scope;
pub mod secret_text;
pub mod time;

pub use protect::{Denied, ProtectedResource};
pub use resource_server::Principal;
pub use scope::Scope;
