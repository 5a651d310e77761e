//! `/login` and what is under it: a password, a passkey, a one-time link, or a provider elsewhere.

mod elsewhere;
mod elsewhere_limits;
mod enrolment;
mod first_step;
mod link;
mod link_passkey;
mod new_passkey;
mod passkey;
mod password;
mod problem;
mod second_step;
mod throttle;

use crate::id::{ApprovalId, RequestId};

use super::pages::query_value;

pub(crate) use elsewhere::{come_back, start_elsewhere};
pub(crate) use elsewhere_limits::ElsewhereLimits;
pub(crate) use enrolment::{APP, Offer, PASSKEY, Unconfirmed, enrol, offer_first, show_codes};
pub(crate) use first_step::FIRST_STEP;
pub use link::{first_administrator_link, new_link, one_time_link};
pub(crate) use link::{show_link, use_link};
pub(crate) use link_passkey::{begin_by_passkey, finish_by_passkey, to_link};
pub(crate) use new_passkey::Making;
pub(crate) use passkey::{PasskeyForm, Shows, again, log_in_with_passkey, take_passkey};
pub(crate) use password::{Again, log_in, password_again, show};
pub(crate) use problem::Problem;
pub(crate) use second_step::{SecondStep, ask_code, second_step, take_code};
#[cfg(test)]
pub(crate) use throttle::Attempt;
pub(in crate::authorization_server) use throttle::Bound;
#[cfg(test)]
pub(in crate::authorization_server) use throttle::{CODE, Guessed, RECOVERY_CODE};
pub(crate) use throttle::{DEVICE_METHOD, KnownBrowser, know_browser_at_codes};

/// What waits for a login. Never a path of somebody's choosing: from a log-in page nobody is led elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits<'a> {
    Nothing,
    /// An authorization request, by its handle.
    Request(&'a str),
    /// The page of a call.
    Approval(ApprovalId),
    /// The page where the code of a device is typed.
    Device,
    /// The page that says why a request was refused.
    Explanation(RequestId),
}

/// As `request` carries it: handles have no full stop.
const APPROVAL: &str = "approval.";
const DEVICE: &str = "device.";
const EXPLANATION: &str = "explain.";

impl<'a> Waits<'a> {
    fn read(request: Option<&'a str>) -> Self {
        match request {
            None => Self::Nothing,
            Some(DEVICE) => Self::Device,
            Some(text) => {
                let approval = text.strip_prefix(APPROVAL).and_then(|id| id.parse().ok());
                let explained = text.strip_prefix(EXPLANATION).and_then(|id| id.parse().ok());
                let page = approval.map(Self::Approval).or(explained.map(Self::Explanation));
                page.unwrap_or(Self::Request(text))
            }
        }
    }

    /// The handle of an authorization request.
    const fn request(self) -> Option<&'a str> {
        match self {
            Self::Request(handle) => Some(handle),
            Self::Nothing | Self::Approval(_) | Self::Device | Self::Explanation(_) => None,
        }
    }
}

/// Where to go once logged in: on with the request, back to the call, or to the account page.
fn onward(request: Option<&str>) -> String {
    match Waits::read(request) {
        Waits::Request(handle) => format!("/consent?request={}", query_value(handle)),
        Waits::Approval(id) => format!("/approvals/{id}"),
        Waits::Explanation(id) => format!("/explain/{id}"),
        Waits::Device => "/device".to_owned(),
        Waits::Nothing => "/account".to_owned(),
    }
}

/// The page at `path`, with what waits for the login.
fn with_request(path: &str, request: Option<&str>) -> String {
    match request {
        Some(request) => format!("{path}?request={}", query_value(request)),
        None => path.to_owned(),
    }
}

/// The log-in page that leads back to where the code of a device is typed.
pub(crate) fn for_device() -> String {
    format!("/login?request={DEVICE}")
}

/// The log-in page that leads back to this call.
pub(crate) fn for_approval(id: ApprovalId) -> String {
    format!("/login?request={APPROVAL}{id}")
}

/// The log-in page that leads back to why this request was refused.
pub(crate) fn for_explanation(id: RequestId) -> String {
    format!("/login?request={EXPLANATION}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_a_request_or_a_call_and_no_other_place() {
        let id = "01930000-0000-7000-8000-000000000000";
        assert_eq!(onward(Some(&format!("approval.{id}"))), format!("/approvals/{id}"));
        assert_eq!(onward(Some(&format!("explain.{id}"))), format!("/explain/{id}"));
        assert_eq!(onward(None), "/account");
        assert_eq!(onward(Some("device.")), "/device");
        for text in [
            "approval.//evil.example",
            "approval.",
            "device./x",
            "https://evil.example",
            "approval./x",
            "explain.//evil.example",
            "explain.",
        ] {
            assert!(onward(Some(text)).starts_with("/consent?request="), "{text}");
        }
    }
}
