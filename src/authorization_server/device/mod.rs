//! Device authorization (RFC 8628): a terminal shows a code, and its person types it in a browser where they log in.
//!
//! Whoever is lured into typing somebody else's code gives their rights away (RFC 8628 §5.4; N83, N84). So there is no
//! link with the code in it (`verification_uri_complete`): the person types it, in a session that is then the only one
//! that may answer; sees who asks, for what, from which address and whether that is where they are themselves; and says
//! yes to exactly that. Only clients of the settings file may ask at all.

mod answer;
mod endpoint;
mod page;
mod question;
mod user_code;
mod whence;

pub(super) use answer::answer;
pub(super) use endpoint::{PATH, routes};
pub(super) use page::{show, type_code};
pub(super) use user_code::UserCodes;

/// Stands for the redirect URI that there is none of.
pub(super) const DEVICE_CLASS: &str = "device:";

/// What a code of ours that a device redeems has instead of a challenge and a redirect URI. No verifier answers to it:
/// whoever has a device code gets nothing for it as an authorization code.
pub(super) const NO_CHALLENGE: &str = "device";

/// How long the tokens wait for the device's next poll, which may be slow by then.
pub(super) const TIME_TO_POLL: std::time::Duration = std::time::Duration::from_mins(5);
