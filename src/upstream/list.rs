//! A server's list, with what its reader may not see left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::guard::{List, Thing};

use super::fault::Fault;

/// What is handed on beside the list itself (MCP 2026-07-28 server/utilities/pagination, caching).
const BESIDE: [&str; 5] = ["_meta", "cacheScope", "nextCursor", "resultType", "ttlMs"];

/// A list as it is handed on.
#[derive(Debug)]
pub(super) struct Filtered {
    pub(super) result: Box<RawValue>,
    pub(super) listed: usize,
    pub(super) hidden: usize,
}

/// By what an entry is known.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    uri: Cow<'a, str>,
    #[serde(borrow, default, rename = "uriTemplate")]
    template: Cow<'a, str>,
}

/// Keeps of `result` the entries that `shown` says yes to, told what each is and what it says. What cannot be read is not shown.
///
/// A list that differs from caller to caller is theirs alone, so no cache may keep it for others (RS-27).
pub(super) fn filter(
    list: List,
    result: &RawValue,
    shown: impl Fn(Thing<'_>, &RawValue) -> bool,
) -> Result<Filtered, Fault> {
    let mut members: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(result.get()).map_err(|_| Fault::NotAList)?;
    let member = list.member();
    // A client may find `toolſ` where it looks for `tools`, and nobody has looked at those.
    members.retain(|name, _| *name == member || BESIDE.contains(&&**name));
    let all: Vec<&RawValue> = members
        .get(member)
        .and_then(|list| serde_json::from_str(list.get()).ok())
        .ok_or(Fault::NotAList)?;
    let kept: Vec<&RawValue> =
        all.iter().copied().filter(|entry| is_shown(list, entry, &shown)).collect();
    let (listed, hidden) = (kept.len(), all.len() - kept.len());
    let raw =
        |value: Result<Box<RawValue>, _>| value.map_err(|_: serde_json::Error| Fault::NotAList);
    let kept = raw(to_raw_value(&kept))?;
    let private = raw(to_raw_value("private"))?;
    members.insert(member.into(), &kept);
    if let Some(scope) = members.get_mut("cacheScope") {
        *scope = &private;
    }
    let result = raw(to_raw_value(&members))?;
    Ok(Filtered { result, listed, hidden })
}

fn is_shown(list: List, text: &RawValue, shown: impl Fn(Thing<'_>, &RawValue) -> bool) -> bool {
    let Ok(entry) = serde_json::from_str::<Entry<'_>>(text.get()) else { return false };
    let thing = match list {
        List::Tools => Thing::Tool(&entry.name),
        List::Prompts => Thing::Prompt(&entry.name, None),
        List::Resources => Thing::Resource(&entry.uri),
        List::Templates => Thing::Resource(&entry.template),
    };
    shown(thing, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(list: List, result: &str, wanted: &str) -> String {
        let result = RawValue::from_string(result.to_owned()).unwrap();
        let shown = |thing: Thing<'_>, _: &RawValue| match thing {
            Thing::Tool(name) | Thing::Prompt(name, _) | Thing::Resource(name) => name == wanted,
        };
        filter(list, &result, shown).unwrap().result.get().to_owned()
    }

    #[test]
    fn only_what_is_shown_is_left_and_the_rest_is_as_it_was() {
        let list = r#"{"tools":[{"name":"a","x":1.50},{"name":"b"},{"name":"b","name":"a"},7],"nextCursor":"c","cacheScope":"public"}"#;
        assert_eq!(
            filtered(List::Tools, list, "a"),
            r#"{"cacheScope":"private","nextCursor":"c","tools":[{"name":"a","x":1.50}]}"#
        );
    }

    #[test]
    fn what_a_laxer_reader_would_take_for_the_list_is_left_out() {
        let list = r#"{"tools":[{"name":"a"}],"tool\u017f":[{"name":"b"}],"Tools":[{"name":"b"}],"resources":[],"ttlMs":5,"_meta":{},"resultType":"complete"}"#;
        assert_eq!(
            filtered(List::Tools, list, "a"),
            r#"{"_meta":{},"resultType":"complete","tools":[{"name":"a"}],"ttlMs":5}"#
        );
    }

    #[test]
    fn resources_are_known_by_their_uri_not_by_their_name() {
        let list = r#"{"resources":[{"name":"a","uri":"x:1"},{"name":"x:2","uri":"a"}]}"#;
        assert_eq!(
            filtered(List::Resources, list, "x:1"),
            r#"{"resources":[{"name":"a","uri":"x:1"}]}"#
        );
    }
}
