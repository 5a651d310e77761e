//! Microsoft Graph: paths, requests, answers, the operation catalogue and the simulation.

mod cloud;
mod path;

pub use cloud::{Cloud, CloudError, CustomCloud};
pub use path::{GraphPath, MAX_PATH_BYTES, PathError, QueryOption, Version};
