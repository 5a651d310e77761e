//! `/authorize` (RFC 6749 §3.1, OAuth 2.1 §4.1): from a client's request to a code in a person's browser.

mod decide;
mod pending;
mod redirect;

pub use decide::{DecideError, Offer, approve, deny, find, offer};
pub use pending::{Pending, Prompt};
