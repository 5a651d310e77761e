//! What is known of a request beside what it waits for.

use std::fmt;

/// A request as HTTP has it, each a word of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    pub method: &'static str,
    /// `None`: no route of ours.
    pub route: Option<&'static str>,
    /// `None` where a caller's text is in it.
    pub path: Option<&'static str>,
    pub scheme: &'static str,
    pub version: &'static str,
    /// The revision of MCP that its header names, if that is one that there is.
    pub mcp_version: Option<&'static str>,
    /// Of its JSON-RPC message, where that is a number: a text may say anything.
    pub rpc_id: Option<i64>,
    /// Of the answer, once that is known.
    pub status: Option<u16>,
}

type Answered = dyn FnOnce(Option<&Over>) + Send;

/// What is to be done once the head of the answer is known.
pub(super) struct WhenAnswered(pub(super) Box<Answered>);

impl fmt::Debug for WhenAnswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WhenAnswered")
    }
}
