//! One spelling for one call: what an approver sees is what the digest is made of.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::broker::execute::TOOL;
use crate::id::ToolName;

/// Arguments of the Graph tool that may differ when a call is made again: they change nothing of what it does.
const EACH_TIME: [&str; 2] = ["request_id", "timeout_ms"];
/// A part of a call that lies deeper is bound as it was spelled: each level is read once more.
const DEEPEST: usize = 32;

/// All of a call that an approval is good for, as JSON: what is sent on, number by number.
#[derive(Clone)]
pub enum Exactly {
    /// Its arguments are all that it says.
    Arguments(String),
    /// It says more to a server than its arguments: its parameters, but the tool's name.
    Parameters(String),
}

impl Exactly {
    /// In one spelling: members sorted, texts with the fewest escapes, numbers as they were sent, for a number that is read is
    /// rounded. Of the Graph tool's arguments without those that differ each time; of any other tool all are shown and bound:
    /// what `timeout_ms` means there, only that tool knows.
    pub(super) fn canonical(&self, tool: &ToolName) -> String {
        let mut text = String::new();
        match self {
            Self::Arguments(sent) if tool.as_str() == TOOL => write(sent, &EACH_TIME, 0, &mut text),
            Self::Arguments(sent) | Self::Parameters(sent) => write(sent, &[], 0, &mut text),
        }
        text
    }

    /// What tells the two from each other where they are the same text.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "mcp-auth-broker approval v1",
            Self::Parameters(_) => "mcp-auth-broker approval of parameters v1",
        }
    }
}

/// Not what it says: arguments are for approvers.
impl std::fmt::Debug for Exactly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Arguments(_) => "Arguments",
            Self::Parameters(_) => "Parameters",
        })
    }
}

/// What is no JSON, and what lies too deep, stays as it is: another spelling of it is another question.
fn write(json: &str, left_out: &[&str], depth: usize, text: &mut String) {
    let json = json.trim();
    let known = depth < DEEPEST
        && match json.as_bytes().first() {
            Some(b'{') => object(json, left_out, depth, text),
            Some(b'[') => array(json, depth, text),
            Some(b'"') => match serde_json::from_str::<String>(json) {
                Ok(read) => {
                    text.push_str(&Value::from(read).to_string());
                    true
                }
                Err(_) => false,
            },
            _ => false,
        };
    if !known {
        text.push_str(json);
    }
}

fn object(json: &str, left_out: &[&str], depth: usize, text: &mut String) -> bool {
    let Ok(members) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(json) else {
        return false;
    };
    text.push('{');
    let members = members.iter().filter(|(name, _)| !left_out.contains(&&***name));
    for (place, (name, value)) in members.enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(&**name).to_string());
        text.push(':');
        write(value.get(), &[], depth + 1, text);
    }
    text.push('}');
    true
}

fn array(json: &str, depth: usize, text: &mut String) -> bool {
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) else { return false };
    text.push('[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write(item.get(), &[], depth + 1, text);
    }
    text.push(']');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tool: &str, sent: &str) -> String {
        Exactly::Arguments(sent.to_owned()).canonical(&tool.parse().unwrap())
    }

    #[test]
    fn of_another_tool_nothing_is_left_out() {
        let sent = r#"{ "b": 1, "timeout_ms": 9, "request_id": "x", "a": { "timeout_ms": 2 } }"#;
        assert_eq!(of(TOOL, sent), r#"{"a":{"timeout_ms":2},"b":1}"#);
        let all = r#"{"a":{"timeout_ms":2},"b":1,"request_id":"x","timeout_ms":9}"#;
        assert_eq!(of("kubernetes.delete", sent), all);
    }

    #[test]
    fn numbers_that_are_one_when_rounded_are_two_calls() {
        let pay = |account: &str| of("bank.pay", &format!(r#"{{"to":[{{"account":{account}}}]}}"#));
        assert_ne!(pay("123456789012345678901"), pay("123456789012345678902"));
        assert_ne!(pay("0.10000000000000001"), pay("0.1"));
        assert_eq!(pay("123456789012345678901"), r#"{"to":[{"account":123456789012345678901}]}"#);
    }

    #[test]
    fn the_same_call_in_other_words_is_the_same() {
        let (first, second) =
            (r#"{"a":"é","b":[1,{}]}"#, "{ \"b\" : [ 1 , { } ],\n\"\\u0061\":\"\\u00e9\" }");
        assert_eq!(of("t", first), of("t", second));
    }

    #[test]
    fn what_lies_deep_is_bound_as_it_was_spelled() {
        let deep = |inner: &str| [&"[".repeat(100), inner, &"]".repeat(100)].concat();
        assert_ne!(of("t", &deep("1")), of("t", &deep("2")));
        assert_ne!(
            of("t", &deep("12345678901234567890123")),
            of("t", &deep("12345678901234567890124"))
        );
    }
}
