//! One MCP message as far as authorization must read it: does it call a tool, and which?

use serde_json::{Map, Value};

use crate::resource_server::strict_json_object;

/// A JSON-RPC message that every reader reads alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    id: Value,
    tool: Option<String>,
}

/// Why a body is not one message. Such a body must not reach a server: it might read what we did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAMessage {
    /// No JSON object, or a member is repeated at some depth.
    #[error("the body is not one JSON object without repeated members")]
    Json,
    /// A member that decides has another case (`Method`), another type, or is missing: readers would differ.
    #[error("the body is not one JSON-RPC message")]
    Shape,
    /// Longer than what is read.
    #[error("the body is too large")]
    TooLarge,
    /// The body did not arrive.
    #[error("the body did not arrive whole")]
    Broken,
}

impl NotAMessage {
    /// The JSON-RPC error code: -32700 or -32600.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Json => -32700,
            Self::Shape | Self::TooLarge | Self::Broken => -32600,
        }
    }
}

impl Message {
    /// Reads a body as strictly as the loosest server behind might be lax: a batch, a repeated member and a member
    /// such as `Method`, which some readers take for `method`, are refused.
    ///
    /// Does *not* check the message otherwise; that is the server's business.
    ///
    /// # Errors
    ///
    /// [`NotAMessage`]
    pub fn parse(unverified_body: &[u8]) -> Result<Self, NotAMessage> {
        let members = strict_json_object(unverified_body).ok_or(NotAMessage::Json)?;
        exact(&members, &["jsonrpc", "id", "method", "params"])?;
        let id = members.get("id").cloned().unwrap_or_default();
        let tool = match members.get("method") {
            Some(Value::String(method)) if method == "tools/call" => Some(tool_name(&members)?),
            // Some routers fold case or trim; no method of MCP is written like this.
            Some(Value::String(method)) if method.trim().eq_ignore_ascii_case("tools/call") => {
                return Err(NotAMessage::Shape);
            }
            Some(Value::String(_)) | None => None, // a response has no method
            Some(_) => return Err(NotAMessage::Shape),
        };
        Ok(Self { id, tool })
    }

    /// The tool that a `tools/call` names.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        self.tool.as_deref()
    }

    /// The request's id; null where it has none.
    #[must_use]
    pub const fn id(&self) -> &Value {
        &self.id
    }
}

fn tool_name(members: &Map<String, Value>) -> Result<String, NotAMessage> {
    let params = members.get("params").and_then(Value::as_object).ok_or(NotAMessage::Shape)?;
    exact(params, &["name", "arguments"])?;
    let name = params.get("name").and_then(Value::as_str).ok_or(NotAMessage::Shape)?;
    Ok(name.to_owned())
}

/// No member may be one of `names` in another case: Go's `encoding/json` would take it for that one. It folds
/// U+017F and U+212A as well, which is why all of Unicode is lowered.
fn exact(members: &Map<String, Value>, names: &[&str]) -> Result<(), NotAMessage> {
    let folded = |name: &str| name.to_lowercase().replace('\u{17f}', "s");
    let other_case =
        |member: &String| !names.contains(&member.as_str()) && names.contains(&&*folded(member));
    if members.keys().any(other_case) { Err(NotAMessage::Shape) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_of_a_call_is_found() {
        let body = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"send","arguments":{}}}"#;
        let message = Message::parse(body).unwrap();
        assert_eq!((message.tool(), message.id()), (Some("send"), &Value::from(7)));
    }

    #[test]
    fn a_message_that_calls_no_tool_names_none() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        ] {
            assert_eq!(Message::parse(body.as_bytes()).unwrap().tool(), None, "{body}");
        }
    }

    // N118: what is decided on must be what the server reads
    #[test]
    fn a_body_that_two_readers_could_read_differently_is_refused() {
        for body in [
            r#"[{"method":"tools/call","params":{"name":"a"}}]"#,
            r#"{"method":"tools/list","method":"tools/call","params":{"name":"a"}}"#,
            r#"{"method":"tools/list","Method":"tools/call","params":{"name":"a"}}"#,
            r#"{"method":"tools/call","params":{"name":"a","NAME":"b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a"},"param\u017f":{"name":"b"}}"#,
            r#"{"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"method":"TOOLS/call","params":{"name":"a"}}"#,
            r#"{"method":"tools/call ","params":{"name":"a"}}"#,
            r#"{"method":"tools/call","params":["a"]}"#,
            r#"{"method":"tools/call","params":{"name":["a"]}}"#,
            r#"{"method":"tools/call"}"#,
            r#"{"method":["tools/call"]}"#,
            r#"{"method":"tools/list"} {"method":"tools/call"}"#,
            "\u{feff}{\"method\":\"tools/list\"}",
            "",
        ] {
            assert!(Message::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
