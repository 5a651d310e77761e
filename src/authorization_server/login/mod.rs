//! `/login` and what is under it: a password, a one-time link, or a provider elsewhere.

mod elsewhere;
mod elsewhere_limits;
mod link;
mod password;
mod throttle;

use super::pages::query_value;

pub(crate) use elsewhere::{come_back, start_elsewhere};
pub(crate) use elsewhere_limits::ElsewhereLimits;
pub use link::{first_administrator_link, new_link, one_time_link};
pub(crate) use link::{show_link, use_link};
pub(crate) use password::{log_in, show};
pub(crate) use throttle::{DEVICE_METHOD, network};

/// Where to go once logged in: on with the request, or to the account page.
fn onward(request: Option<&str>) -> String {
    match request {
        Some(handle) => format!("/consent?request={}", query_value(handle)),
        None => "/account".to_owned(),
    }
}
