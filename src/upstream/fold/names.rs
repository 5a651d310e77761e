//! What a server's things are called in the lists of all: `weather.get`, `weather.day`, `weather+city:paris`.
//!
//! A server's id has neither dot nor plus, so that the first of them ends it. What a server says of its resources elsewhere, in
//! results of tools and prompts and in what is read, is written in the same way: else a client would follow a link to nowhere, or
//! to another server's resource of that name.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};

use crate::guard::{LONGEST_PROMPT, LONGEST_URI, List, spelling};

type Members = BTreeMap<String, Box<RawValue>>;

/// Between the server and a tool or prompt, and between the server and a resource.
pub(super) const NAME: char = '.';
pub(super) const URI: char = '+';

/// Whether what begins with this id and a plus is a URI (RFC 3986 §3.1), which every client reads alike: of other servers the resources
/// are at their own addresses alone.
pub(super) fn begins_a_uri(server: &str) -> bool {
    server.starts_with(|first: char| first.is_ascii_lowercase())
        && server.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn members(text: &RawValue) -> Option<Members> {
    serde_json::from_str(text.get()).ok()
}

fn text(members: &Members, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

fn set(members: &mut Members, name: &str, value: &str) -> Option<()> {
    members.insert(name.to_owned(), to_raw_value(value).ok()?);
    Some(())
}

/// An entry of a list under the name that it has here. `None`: nobody could ask for it under that.
pub(super) fn prefixed(server: &str, list: List, entry: &RawValue) -> Option<Box<RawValue>> {
    let (member, between) = match list {
        List::Tools | List::Prompts => ("name", NAME),
        List::Resources => ("uri", URI),
        List::Templates => ("uriTemplate", URI),
    };
    let mut members = members(entry)?;
    let own = text(&members, member)?;
    let named = format!("{server}{between}{own}");
    let can_be_asked_for = match list {
        List::Tools => true,
        List::Prompts => named.len() <= LONGEST_PROMPT,
        List::Resources => {
            let plain = spelling::is_plain(&named) && spelling::is_plain(&own);
            named.len() <= LONGEST_URI && plain
        }
        List::Templates => named.len() <= LONGEST_URI,
    };
    if between == URI && !begins_a_uri(server) {
        return None;
    }
    if !can_be_asked_for {
        return None;
    }
    set(&mut members, member, &named)?;
    to_raw_value(&members).ok()
}

/// The server's own name of an entry.
pub(super) fn own(list: List, entry: &RawValue) -> Option<String> {
    let member = match list {
        List::Tools | List::Prompts => "name",
        List::Resources => "uri",
        List::Templates => "uriTemplate",
    };
    text(&members(entry)?, member)
}

/// A request under the server's own name of what it is about; everything else as it was.
pub(super) fn renamed(body: &[u8], method: &str, own: &str) -> Option<Bytes> {
    let mut message: Members = serde_json::from_slice(body).ok()?;
    let mut params = members(message.get("params")?)?;
    match method {
        "resources/read" => set(&mut params, "uri", own)?,
        "completion/complete" => {
            let mut reference = members(params.get("ref")?)?;
            let member = if reference.contains_key("uri") { "uri" } else { "name" };
            set(&mut reference, member, own)?;
            params.insert("ref".to_owned(), to_raw_value(&reference).ok()?);
        }
        _ => set(&mut params, "name", own)?,
    }
    message.insert("params".to_owned(), to_raw_value(&params).ok()?);
    serde_json::to_vec(&message).ok().map(Bytes::from)
}

/// A result of a tool, a prompt or a resource with the URIs of the server's resources as they are known here. `None`: it has none.
pub(in crate::upstream) fn outward(server: &str, result: &RawValue) -> Option<Box<RawValue>> {
    if !begins_a_uri(server) {
        return None;
    }
    // Most have none. An escaped name would be one all the same.
    if !result.get().contains("\"uri\"") && !result.get().contains("\\u") {
        return None;
    }
    let mut all = members(result)?;
    let content = each(&mut all, "content", |item| of_content(server, item));
    let messages = each(&mut all, "messages", |message| {
        let mut message = members(message)?;
        let changed = each(&mut message, "content", |item| of_content(server, item));
        changed.then(|| to_raw_value(&message).ok()).flatten()
    });
    let contents = each(&mut all, "contents", |one| located(server, one));
    (content || messages || contents).then(|| to_raw_value(&all).ok()).flatten()
}

/// Changes what stands there, one or a list of them. Whether any was changed.
fn each(
    members: &mut Members,
    name: &str,
    change: impl Fn(&RawValue) -> Option<Box<RawValue>>,
) -> bool {
    let Some(value) = members.get(name) else { return false };
    let changed = match serde_json::from_str::<Vec<Box<RawValue>>>(value.get()) {
        Err(_) => change(value),
        Ok(mut items) => {
            let mut any = false;
            for item in &mut items {
                if let Some(changed) = change(item) {
                    *item = changed;
                    any = true;
                }
            }
            any.then(|| to_raw_value(&items).ok()).flatten()
        }
    };
    let any = changed.is_some();
    if let Some(changed) = changed {
        members.insert(name.to_owned(), changed);
    }
    any
}

/// A link to a resource, or one that is embedded (MCP 2026-07-28 server/tools, Tool Result).
fn of_content(server: &str, item: &RawValue) -> Option<Box<RawValue>> {
    let mut item_members = members(item)?;
    match text(&item_members, "type")?.as_str() {
        "resource_link" => located(server, item),
        "resource" => {
            let resource = located(server, item_members.get("resource")?)?;
            item_members.insert("resource".to_owned(), resource);
            to_raw_value(&item_members).ok()
        }
        _ => None,
    }
}

fn located(server: &str, one: &RawValue) -> Option<Box<RawValue>> {
    let mut members = members(one)?;
    let uri = text(&members, "uri")?;
    set(&mut members, "uri", &format!("{server}{URI}{uri}"))?;
    to_raw_value(&members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_name_is_another_in_the_list_and_in_the_call() {
        let tool = raw(r#"{"x":1.50,"name":"get","inputSchema":{}}"#);
        let shown = prefixed("weather", List::Tools, &tool).unwrap();
        assert_eq!(shown.get(), r#"{"inputSchema":{},"name":"weather.get","x":1.50}"#);
        let call = br#"{"id":1,"method":"tools/call","params":{"name":"weather.get","arguments":{"n":1.50}},"jsonrpc":"2.0"}"#;
        let sent = renamed(call, "tools/call", "get").unwrap();
        assert_eq!(
            sent,
            r#"{"id":1,"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"n":1.50},"name":"get"}}"#
        );
        let asked = br#"{"params":{"ref":{"type":"ref/resource","uri":"weather+city:{name}"},"argument":{}}}"#;
        let sent = renamed(asked, "completion/complete", "city:{name}").unwrap();
        assert_eq!(
            sent,
            r#"{"params":{"argument":{},"ref":{"type":"ref/resource","uri":"city:{name}"}}}"#
        );
    }

    #[test]
    fn what_could_not_be_asked_for_is_not_listed() {
        let long = format!(r#"{{"name":"{}"}}"#, "p".repeat(LONGEST_PROMPT - 7));
        assert!(prefixed("weather", List::Prompts, &raw(&long)).is_none());
        assert!(prefixed("w", List::Prompts, &raw(&long)).is_some());
        for (uri, listed) in [("city:paris", true), ("file:///a/../b", false), ("file:/a", false)] {
            let entry = raw(&format!(r#"{{"uri":"{uri}","name":"r"}}"#));
            assert_eq!(prefixed("weather", List::Resources, &entry).is_some(), listed, "{uri}");
        }
    }

    #[test]
    fn links_to_resources_lead_to_their_server() {
        let changed =
            |result: &str| outward("w", &raw(result)).map(|result| result.get().to_owned());
        for (result, expected) in [
            (
                r#"{"content":[{"type":"text","text":"a"},{"type":"resource_link","uri":"x:1","name":"n"}]}"#,
                r#"{"content":[{"type":"text","text":"a"},{"name":"n","type":"resource_link","uri":"w+x:1"}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"x:1","text":"t"}}}]}"#,
                r#"{"messages":[{"content":{"resource":{"text":"t","uri":"w+x:1"},"type":"resource"},"role":"user"}]}"#,
            ),
            (r#"{"contents":[{"\u0075ri":"x:1"}]}"#, r#"{"contents":[{"uri":"w+x:1"}]}"#),
        ] {
            assert_eq!(changed(result).as_deref(), Some(expected));
        }
        for server in ["W", "1w", "w_x", ""] {
            assert!(outward(server, &raw(r#"{"contents":[{"uri":"x:1"}]}"#)).is_none());
            let entry = raw(r#"{"uri":"x:1","name":"r"}"#);
            assert!(prefixed(server, List::Resources, &entry).is_none(), "{server}: no URI");
        }
        for same in [
            r#"{"content":[{"type":"text","text":"\"uri\""}],"structuredContent":{"uri":"x:1"}}"#,
            r#"{"content":"uri"}"#,
            r#"{"uri":"x:1"}"#,
        ] {
            assert_eq!(changed(same), None, "{same}");
        }
    }
}
