//! What stands before every MCP endpoint, ours at `/mcp` and those of the servers behind us.
//!
//! Not the decision itself (that is policy's), and not what is asked (that is each endpoint's): reading one message,
//! counting, recording, and the answers that every endpoint gives in the same words.

mod answer;
mod asking;
mod beside;
mod door;
mod endpoint;
mod jsonrpc;
mod limit;
mod mirror;
mod named;
mod presented;
mod refusal;
pub mod spelling;
mod things;
mod unique;

pub use answer::{method_name, plain, unavailable};
pub use asking::{DECLINED, INVITATION, NOBODY, QUESTION};
pub use beside::{Answered, Beside, BesideCall, Listening, Own, OwnLimit, Shown};
pub use door::{Door, Unrecorded, call, millis, record_difference, record_policy};
pub use endpoint::{Answer, Endpoint};
pub use jsonrpc::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, Message, PARSE_ERROR, ToolCall,
    UNSUPPORTED_PROTOCOL_VERSION, Unreadable, error,
};
pub use mirror::{Mirrored, PARAMETER};
pub use named::{LONGEST_PROMPT, LONGEST_URI, List, MOST_RESOURCES, Named};
pub use presented::Presented;
pub use refusal::{Recorder, record_refusals, try_record_refusals};
pub use things::{Decider, Deciding, Thing};
pub use unique::Unique;
