//! Why a form that changes how its person logs in did nothing.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// Why nothing was done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Problem {
    Password,
    Code,
    Passkey,
    /// The question to the passkey was asked too long ago, or answered before.
    Late,
    /// What the browser made is none that is taken.
    NoPasskey,
    /// It is somebody's already, or there are enough.
    Taken,
    Name,
    /// Without it nothing opens the account.
    LastPasskey,
    /// How they log in is another by now.
    Changed,
    /// How long to wait.
    Wait(Duration),
}

impl Problem {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Password | Self::Code | Self::Passkey | Self::Late => StatusCode::FORBIDDEN,
            Self::NoPasskey | Self::Taken | Self::Name => StatusCode::BAD_REQUEST,
            Self::LastPasskey | Self::Changed => StatusCode::CONFLICT,
            Self::Wait(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Password => "The password is not right.",
            Self::Code => "The code is not right, is over, or was used before.",
            Self::Passkey => "Confirm this with a passkey of yours.",
            Self::Late => "The page had waited too long, or was sent twice. Try again.",
            Self::NoPasskey => {
                "What the browser made cannot be used here. Nothing was added; remove it there, and try again."
            }
            Self::Taken => {
                "This passkey is not added: it is in use already, you have as many as you may have, or how you log in is another by now. Try again."
            }
            Self::Name => "Give it a name that can be read.",
            Self::LastPasskey => {
                "It is not removed: you have no password, and no other passkey that logs you in. Add another passkey, or choose a password first."
            }
            Self::Changed => "How you log in is another by now. Nothing was changed.",
            Self::Wait(_) => "Too many attempts. Wait a while, then try again.",
        }
    }

    pub(crate) fn on(self, mut response: Response) -> Response {
        if let Self::Wait(wait) = self {
            let wait = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}
