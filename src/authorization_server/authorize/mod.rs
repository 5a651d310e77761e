//! `/authorize` (RFC 6749 §3.1, OAuth 2.1 §4.1): from a client's request to a code in a person's browser.

mod decide;
mod endpoint;
mod likely;
mod limits;
mod pending;
mod pushed;
mod redirect;
mod reference;
mod refusal;
mod request;

pub(super) use decide::is_asked_always;
pub use decide::{Answered, DecideError, Offer, approve, deny, find, offer};
pub(super) use decide::{grantable, new_grant};
pub use endpoint::routes;
pub(super) use limits::RequestLimits;
pub use pending::{Pending, Prompt};
pub(super) use pushed::{PATH as PUSHED_PATH, routes as pushed_routes};
pub(super) use redirect::appended;
pub(super) use refusal::asked_resource;
pub(super) use request::asked_scope;

/// Scopes about the person themself, or about the grant: no policy rule is about these.
pub(super) const OWN_SCOPES: [&str; 4] = ["openid", "profile", "email", OFFLINE_ACCESS];

/// Asks for a refresh token, whatever grants the client is registered for (OIDC Core §11).
pub(super) const OFFLINE_ACCESS: &str = "offline_access";
