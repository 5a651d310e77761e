//! One spelling for one call: what an approver sees is what the digest is made of.

use serde_json::Value;

use crate::broker::execute::TOOL;
use crate::id::{ClientId, RuleId, Subject, ToolName};
use crate::store::{Digest, Requester};

/// Arguments of the Graph tool that may differ when a call is made again: they change nothing of what it does.
const EACH_TIME: [&str; 2] = ["request_id", "timeout_ms"];

/// The arguments with sorted members, of the Graph tool without those that differ each time. Of any other tool all are
/// shown and bound: what `timeout_ms` means there, only that tool knows.
pub(super) fn arguments(tool: &ToolName, arguments: &Value) -> String {
    let mut text = String::new();
    match arguments {
        Value::Object(members) => {
            let ours = tool.as_str() == TOOL;
            let each_time = |name: &str| ours && EACH_TIME.contains(&name);
            let lasting = members.iter().filter(|(name, _)| !each_time(name));
            object(lasting, &mut text);
        }
        other => write(other, &mut text),
    }
    text
}

/// SHA-256 of everything an answer is about. Each part is preceded by its length, so that no two different
/// lists of parts are the same bytes.
pub(super) fn digest(
    requester: &Requester,
    tool: &ToolName,
    rule: &RuleId,
    policy_version: &str,
    arguments: &str,
) -> Digest {
    let parts = [
        Some("mcp-auth-broker approval v1"),
        Some(requester.issuer.as_str()),
        Some(requester.subject.as_str()),
        requester.client_id.as_ref().map(ClientId::as_str),
        requester.asserted.as_ref().map(Subject::as_str),
        Some(tool.as_str()),
        Some(rule.as_str()),
        Some(policy_version),
        Some(arguments),
    ];
    let mut bytes = Vec::new();
    for part in parts {
        // An absent part is not an empty one.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        bytes.extend(length.to_be_bytes());
        bytes.extend(part.unwrap_or_default().as_bytes());
    }
    Digest::of_bytes(&bytes)
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => object(members.iter(), text),
        Value::Array(elements) => {
            text.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(element, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn object<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, text: &mut String) {
    let mut members: Vec<_> = members.collect();
    members.sort_unstable_by_key(|(name, _)| name.as_str());
    text.push('{');
    for (place, (name, value)) in members.into_iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        write(value, text);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_another_tool_nothing_is_left_out() {
        let written = |tool: &str| {
            let sent =
                json!({ "b": 1, "timeout_ms": 9, "request_id": "x", "a": { "timeout_ms": 2 } });
            arguments(&tool.parse().unwrap(), &sent)
        };
        assert_eq!(written(TOOL), r#"{"a":{"timeout_ms":2},"b":1}"#);
        let all = r#"{"a":{"timeout_ms":2},"b":1,"request_id":"x","timeout_ms":9}"#;
        assert_eq!(written("kubernetes.delete"), all);
    }
}
