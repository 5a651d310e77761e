//! What the user of a 2026-07-28 client is asked whose call waits for a person, whichever endpoint it came to.

/// What the client calls our request, and its answer. No server behind us would call a request of its own so.
pub const QUESTION: &str = "mcp-auth-broker/approval";
/// What the person reads beside the link.
pub const INVITATION: &str =
    "A person has to approve this call first. The page shows who may, and what exactly it is.";
/// What a caller is told whose token names nobody, whatever it asks for.
pub const NOBODY: &str = "the token names no subject";
/// What a caller is told whose user did not open our page (EL-7).
pub const DECLINED: &str = "the user declined to have this call approved; nothing was done";
