//! What is wrong with a server's list of tools, told to an operator before somebody's agent reads it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::id::ToolName;

use super::definition::examine;

/// Remarks about one server: as many as a person reads.
const MOST: usize = 50;

/// One thing about a tool of a server, by the server's own name for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Remark {
    #[error(
        "an entry of the list is no definition of a tool, or one that two readers could read differently: it is never shown"
    )]
    Unreadable,
    #[error(
        "`{0}` breaks the format of names, or is too long with the server's id: it is never shown"
    )]
    Format(String),
    #[error(
        "`{0}` stands in the list more than once: what an agent reads of it need not be what it calls"
    )]
    Twice(String),
    #[error("`{0}` and `{1}` differ in case alone: an agent may take one for the other")]
    Alike(String, String),
    #[error(
        "`{tool}` is called like a tool of {of}: whoever approves a call may take one for the other"
    )]
    Pretends { tool: String, of: String },
    #[error("`{0}` says that it only reads, and that it destroys")]
    Contradicts(String),
    #[error("`{0}` hides text from people that a model reads")]
    HidesText(String),
    #[error("the pin of `{0}` is of a tool that the server does not have: it pins nothing")]
    PinOfNothing(String),
    #[error("`{tool}` is not as it was pinned; its definition is now {digest}")]
    Changed { tool: String, digest: String },
    #[error(
        "`{tool}` is another than the one that was approved, and {digest} waits for somebody to look at it"
    )]
    Waits { tool: String, digest: String },
    #[error(
        "`{tool}` is another than the one that was approved, and no broker has seen that yet; its definition is now {digest}"
    )]
    Another { tool: String, digest: String },
    #[error(
        "its id and that of the server `{0}` differ in case alone: an agent may take a tool of one for the other's"
    )]
    AlikeServer(String),
    #[error("there are more remarks than these")]
    More,
}

/// A definition, as far as it is looked at.
#[derive(Deserialize)]
struct Definition {
    name: String,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Annotations {
    read_only_hint: Option<bool>,
    destructive_hint: Option<bool>,
}

/// What is to be said about the list `tools` of `server`, beside which there are `others`; and the digests of those with names that can be
/// shown.
pub(super) fn inspect(
    (server, others): (&str, &[&str]),
    tools: &[Box<RawValue>],
    pins: &HashMap<String, String>,
) -> (Vec<Remark>, BTreeMap<String, String>) {
    let mut remarks = Vec::new();
    let mut digests = BTreeMap::new();
    let mut lower: BTreeMap<String, String> = BTreeMap::new();
    for tool in tools {
        let definition = serde_json::from_str::<Definition>(tool.get()).ok();
        let Some((definition, examined)) = definition.zip(examine(tool)) else {
            remarks.push(Remark::Unreadable);
            continue;
        };
        let name = definition.name.clone();
        remarks.extend(about(&definition, (server, others)));
        if examined.hides_text {
            remarks.push(Remark::HidesText(shown(&name)));
        }
        match lower.insert(name.to_lowercase(), name.clone()) {
            Some(other) if other == name => remarks.push(Remark::Twice(shown(&name))),
            Some(other) => remarks.push(Remark::Alike(shown(&other), shown(&name))),
            None => {}
        }
        digests.insert(name, examined.digest);
    }
    let pins: BTreeMap<_, _> = pins.iter().collect();
    remarks.extend(pins.into_iter().filter_map(|(tool, pin)| match digests.get(tool) {
        None => Some(Remark::PinOfNothing(shown(tool))),
        Some(digest) if digest != pin => {
            Some(Remark::Changed { tool: shown(tool), digest: digest.clone() })
        }
        Some(_) => None,
    }));
    let mut once = BTreeSet::new();
    remarks.retain(|remark| once.insert(remark.to_string()));
    if remarks.len() > MOST {
        remarks.truncate(MOST);
        remarks.push(Remark::More);
    }
    digests.retain(|name, _| is_name(server, name));
    (remarks, digests)
}

/// The same of definitions that were kept, with those that wait to be approved; and of tools that settings name.
#[must_use]
pub fn inspect_kept(
    (server, others): (&str, &[&str]),
    (definitions, named): (&[String], &[&str]),
    waiting: &[(&str, &str)],
) -> Vec<Remark> {
    let raw = definitions.iter().filter_map(|text| RawValue::from_string(text.clone()).ok());
    let raw: Vec<_> = raw.collect();
    let alike = others
        .iter()
        .filter(|other| **other != server && other.eq_ignore_ascii_case(server))
        .map(|other| Remark::AlikeServer((*other).to_owned()));
    let waiting = waiting
        .iter()
        .map(|(tool, digest)| Remark::Waits { tool: shown(tool), digest: (*digest).to_owned() });
    let unfit = named.iter().filter(|tool| !is_name(server, tool));
    let unfit = unfit.map(|tool| Remark::Format(shown(tool)));
    let mut remarks: Vec<_> = alike.chain(unfit).chain(waiting).collect();
    remarks.extend(inspect((server, others), &raw, &HashMap::new()).0);
    if remarks.len() > MOST {
        remarks.truncate(MOST);
        remarks.push(Remark::More);
    }
    remarks
}

/// What a server says now, beside what was approved of it: by tool, the approved digest and the one that is known to wait. Tools
/// that it does not show may be there for others.
#[must_use]
pub fn compare_kept(
    now: &BTreeMap<String, String>,
    kept: &BTreeMap<String, (String, Option<String>)>,
) -> Vec<Remark> {
    let another = kept.iter().filter_map(|(tool, (approved, waits))| {
        let digest = now.get(tool)?;
        let is_news = digest != approved && Some(digest) != waits.as_ref();
        is_news.then(|| Remark::Another { tool: shown(tool), digest: digest.clone() })
    });
    let mut remarks: Vec<_> = another.take(MOST + 1).collect();
    if remarks.len() > MOST {
        remarks.truncate(MOST);
        remarks.push(Remark::More);
    }
    remarks
}

fn about(definition: &Definition, (server, others): (&str, &[&str])) -> Vec<Remark> {
    let name = &definition.name;
    let mut remarks = Vec::new();
    if !is_name(server, name) {
        remarks.push(Remark::Format(shown(name)));
    }
    let first = name.split(['.', '/']).next().filter(|first| first.len() < name.len());
    let of = match first {
        Some("auth") => Some("the broker itself".to_owned()),
        Some(first) if others.contains(&first) => Some(format!("the server `{first}`")),
        _ => None,
    };
    remarks.extend(of.map(|of| Remark::Pretends { tool: shown(name), of }));
    let Annotations { read_only_hint, destructive_hint } = definition.annotations;
    if (read_only_hint, destructive_hint) == (Some(true), Some(true)) {
        remarks.push(Remark::Contradicts(shown(name)));
    }
    remarks
}

/// Whether policy can know it by a name (MCP 2026-07-28 server/tools, Tool Names).
fn is_name(server: &str, tool: &str) -> bool {
    [server, ".", tool].concat().parse::<ToolName>().is_ok()
}

/// A server's own words on a terminal: nothing that moves its cursor, and not much of it.
fn shown(name: &str) -> String {
    name.chars().take(128).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn remarks(tools: &Value, pins: &[(&str, &str)]) -> Vec<String> {
        let tools: Vec<Box<RawValue>> = serde_json::from_value(tools.clone()).unwrap();
        let pins = pins.iter().map(|(tool, pin)| ((*tool).to_owned(), (*pin).to_owned()));
        let (remarks, _) = inspect(("a", &["weather"]), &tools, &pins.collect());
        remarks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_with_nothing_wrong_is_passed_over_in_silence() {
        let tools = json!([{ "name": "get", "annotations": { "readOnlyHint": true } }, { "name": "set.x" }]);
        assert_eq!(remarks(&tools, &[]), [""; 0]);
    }

    #[test]
    fn what_collides_lies_or_breaks_the_format_is_named() {
        let tools = json!([
            { "name": "get" }, { "name": "get", "description": "another" }, { "name": "Get" },
            { "name": "two words" }, { "name": "weather.get" }, { "name": "auth.graph" }, 7,
            { "name": "e\u{1b}[2J" }, { "name": "x", "annotations": { "readOnlyHint": true, "destructiveHint": true } },
            { "name": "h", "description": "see\u{200b}n" }, { "name": "r", "x": 1, "X": 2 },
        ]);
        insta::assert_snapshot!(remarks(&tools, &[]).join("\n"), @r"
        `get` stands in the list more than once: what an agent reads of it need not be what it calls
        `get` and `Get` differ in case alone: an agent may take one for the other
        `two words` breaks the format of names, or is too long with the server's id: it is never shown
        `weather.get` is called like a tool of the server `weather`: whoever approves a call may take one for the other
        `auth.graph` is called like a tool of the broker itself: whoever approves a call may take one for the other
        an entry of the list is no definition of a tool, or one that two readers could read differently: it is never shown
        `e\u{1b}[2J` breaks the format of names, or is too long with the server's id: it is never shown
        `e\u{1b}[2J` hides text from people that a model reads
        `x` says that it only reads, and that it destroys
        `h` hides text from people that a model reads
        ");
    }

    #[test]
    fn a_pin_that_holds_nothing_and_one_that_holds_no_more_are_named() {
        let tools = json!([{ "name": "get" }]);
        let said = remarks(&tools, &[("get", "sha256:0"), ("gone", "sha256:0")]);
        assert_eq!(said.len(), 2);
        let digest = said[0].rsplit(' ').next().unwrap();
        assert!(said[1].starts_with("the pin of `gone` is of a tool"), "{said:?}");
        assert_eq!(remarks(&tools, &[("get", digest)]), [""; 0]);
    }

    #[test]
    fn what_was_kept_is_looked_at_as_what_a_server_says() {
        let kept = [r#"{"name":"weather.get"}"#, r#"{"name":"Set"}"#, r#"{"name":"set"}"#, "no"];
        let kept = kept.map(str::to_owned);
        let others = ["weather", "A", "b"];
        let remarks =
            inspect_kept(("a", &others), (&kept, &["two words", "set"]), &[("set", "sha256:1")]);
        let remarks: Vec<_> = remarks.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(remarks.join("\n"), @r"
        its id and that of the server `A` differ in case alone: an agent may take a tool of one for the other's
        `two words` breaks the format of names, or is too long with the server's id: it is never shown
        `set` is another than the one that was approved, and sha256:1 waits for somebody to look at it
        `weather.get` is called like a tool of the server `weather`: whoever approves a call may take one for the other
        `Set` and `set` differ in case alone: an agent may take one for the other
        ");
    }

    #[test]
    fn what_is_another_than_what_the_store_has_is_told_once() {
        let now = |tool: &str, digest: &str| (tool.to_owned(), digest.to_owned());
        let now = [now("same", "1"), now("new", "1"), now("known", "2"), now("other", "3")];
        let kept = |tool: &str, waits: Option<&str>| {
            (tool.to_owned(), ("1".to_owned(), waits.map(str::to_owned)))
        };
        let kept = [
            kept("same", Some("2")),
            kept("known", Some("2")),
            kept("other", Some("2")),
            kept("hidden", None),
        ];
        let remarks = compare_kept(&now.into(), &kept.into());
        let other = Remark::Another { tool: "other".to_owned(), digest: "3".to_owned() };
        assert_eq!(remarks, [other]);
    }

    #[test]
    fn a_list_of_ten_thousand_faults_is_no_book() {
        let tools: Vec<_> =
            (0..10_000).map(|number| json!({ "name": format!("a {number}") })).collect();
        assert_eq!(remarks(&json!(tools), &[]).len(), MOST + 1);
    }
}
