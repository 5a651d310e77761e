//! The results of our MCP methods, in rmcp's words.

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ErrorCode, Implementation, MetaObject};
use serde_json::Value;

use crate::broker::{Failure, Reply};
use crate::id::RequestId;

/// What a caller is told whom policy refuses.
pub(super) const DENIED: &str = "policy does not allow this call";

/// Why a tool that is listed is not run: for programs, and for clients that read text alone.
pub(super) fn refused(request: RequestId, failure: Failure) -> CallToolResult {
    tool_result(&Reply::refusal(request, failure))
}

/// The contract's answer, as structured content and, for clients that read no such thing, as text.
pub(super) fn tool_result(reply: &Reply) -> CallToolResult {
    let value = serde_json::to_value(reply).unwrap_or(Value::Null);
    if reply.error_code().is_some() {
        CallToolResult::structured_error(value)
    } else {
        CallToolResult::structured(value)
    }
}

pub(super) fn unavailable() -> ErrorData {
    ErrorData::new(
        ErrorCode::INTERNAL_ERROR,
        "broker.unavailable: the audit log cannot take this call; retry later",
        None,
    )
}

pub(super) fn implementation() -> Implementation {
    Implementation::new("mcp-auth-broker", env!("CARGO_PKG_VERSION")).with_title("MCP Auth Broker")
}

/// TR-18: every result names the server; rmcp does it for two of them.
pub(super) fn server_info_meta() -> MetaObject {
    static META: std::sync::LazyLock<MetaObject> = std::sync::LazyLock::new(|| {
        let info = serde_json::to_value(implementation()).unwrap_or(Value::Null);
        MetaObject([("io.modelcontextprotocol/serverInfo".to_owned(), info)].into_iter().collect())
    });
    META.clone()
}
