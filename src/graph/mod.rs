//! Microsoft Graph: paths, requests, answers, the operation catalogue and the simulation.

mod catalog;
mod client;
mod cloud;
mod error;
mod hint;
mod path;
mod redact;
mod reply;
mod request;
pub mod simulated;
#[cfg(test)]
mod tests;

pub use catalog::{Catalog, ImportError, Operation, Risk, application_permission};
pub use client::{Attempt, AttemptObserver, AttemptOutcome, Graph, Settings};
pub use cloud::{Cloud, CloudError, CustomCloud};
pub use error::{Detail, GraphError, Problem};
pub use path::{GraphPath, MAX_PATH_BYTES, PathError, QueryOption, Version};
pub use reply::{GraphReply, Redaction};
pub use request::{GraphRequest, RequestError, UnverifiedRequest};
