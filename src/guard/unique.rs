//! JSON that no two readers read differently: no object has a member twice, at any depth (RFC 8259 §4, RFC 7493 §2.3).
//!
//! Parsers differ in which of two members they keep, so what one of them decided on may not be what another one runs. Some
//! find members whatever the case of their names (Go's `encoding/json`), so names that differ in that alone are the same.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Proof that a text was read as JSON without a repeated member. Holds nothing.
#[derive(Debug)]
pub struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Place::Anywhere.deserialize(deserializer)
    }
}

/// The same of a JSON-RPC message: what is decided on in its parameters is written as MCP writes it.
pub(super) struct Unmistakable;

impl<'de> Deserialize<'de> for Unmistakable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Place::Message.deserialize(deserializer).map(|Unique| Self)
    }
}

/// Which member of a message two readers could read as two, for its sender. `None` where there is none.
pub(super) fn mistakable(text: &[u8]) -> Option<String> {
    let error =
        serde_json::from_slice::<Unmistakable>(text).err().filter(serde_json::Error::is_data)?;
    let told = error.to_string();
    told.rsplit_once(" at line ").map(|(told, _)| told.to_owned())
}

/// Names that are compared one by one; the others are hashed.
const FEW: usize = 16;

/// A member's name, unescaped only where it has to be.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Which object of a message it is.
#[derive(Clone, Copy)]
enum Place {
    Message,
    Params,
    /// `ref` of `completion/complete`
    Reference,
    /// `notifications` of `subscriptions/listen`
    Filter,
    /// Another object of which members are looked at: `_meta`, and what `completion/complete` completes.
    Looked,
    Anywhere,
}

impl Place {
    /// Names that are not to stand here in another case: a reader that minds it would not see them, another one would.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Params => &[
                "_meta",
                "argument",
                "arguments",
                "capabilities",
                "clientInfo",
                "context",
                "cursor",
                "inputResponses",
                "level",
                "name",
                "notifications",
                "progressToken",
                "protocolVersion",
                "ref",
                "requestId",
                "requestState",
                "task",
                "uri",
            ],
            Self::Reference => &["name", "type", "uri"],
            Self::Filter => &[
                "promptsListChanged",
                "resourceSubscriptions",
                "resourcesListChanged",
                "toolsListChanged",
            ],
            // The names of a message are looked at where it is read: it has no others.
            Self::Message | Self::Looked | Self::Anywhere => &[],
        }
    }

    fn of_member(self, name: &str) -> Self {
        match (self, name) {
            (Self::Message, "params") => Self::Params,
            (Self::Params, "ref") => Self::Reference,
            (Self::Params, "notifications") => Self::Filter,
            (Self::Params, "_meta" | "argument" | "context") => Self::Looked,
            _ => Self::Anywhere,
        }
    }

    /// `Err`: it could be taken for another.
    fn folded(self, name: Cow<'_, str>) -> Result<Cow<'_, str>, Cow<'_, str>> {
        let known = self.names();
        let as_written = known.contains(&&*name);
        let name = folded(name);
        if as_written || !known.iter().any(|known| same(known, &name)) {
            Ok(name)
        } else {
            Err(name)
        }
    }
}

/// Two members that some readers take for one.
struct Repeated<'a>(&'a str, &'a str);

impl fmt::Display for Repeated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, other) = (printable(self.0), printable(self.1));
        if one == other {
            write!(f, "`{one}` is there twice in one object")
        } else {
            write!(f, "`{one}` and `{other}` are one name in one object")
        }
    }
}

/// A member of the protocol that some readers find and others do not.
struct Misspelt<'a>(&'a str);

impl fmt::Display for Misspelt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not how the protocol writes it", printable(self.0))
    }
}

/// Short and plain enough to be shown: the name is its sender's.
fn printable(name: &str) -> String {
    name.chars().filter(|one| (' '..='~').contains(one) && *one != '`').take(64).collect()
}

/// Two folded names.
const fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// A name as readers see it that do not mind its case. Those fold over the whole of Unicode, so that `ſ` is `s`. A name of ASCII alone, as nearly
/// all are, is left as it is: [`same`] does not mind its case.
fn folded(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.is_ascii() {
        return name;
    }
    let fold = |character: char| {
        let mut upper = character.to_uppercase();
        let upper = upper.next().filter(|_| upper.next().is_none()).unwrap_or(character);
        upper.to_lowercase().next().unwrap_or(upper)
    };
    Cow::Owned(name.chars().map(fold).collect())
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Unique;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut seen: Vec<Cow<'de, str>> = Vec::new();
        let mut more = HashSet::new();
        while let Some(Name(name)) = members.next_key::<Name<'de>>()? {
            let place = self.of_member(&name);
            let name = self.folded(name).map_err(|name| A::Error::custom(Misspelt(&name)))?;
            // Objects are small: looking through a few names costs less than hashing them.
            if let Some(first) = seen.iter().find(|seen| same(seen, &name)) {
                return Err(A::Error::custom(Repeated(first, &name)));
            }
            if seen.len() == FEW && !more.insert(name.to_ascii_lowercase()) {
                return Err(A::Error::custom(Repeated(&name, &name)));
            }
            if seen.len() < FEW {
                seen.push(name);
            }
            members.next_value_seed(place)?;
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        let mut any = false;
        while items.next_element::<Unique>()?.is_some() {
            any = true;
        }
        // Our readers would take the items of an array for the members; others find no such members, or a batch.
        if !any || matches!(self, Self::Anywhere) {
            Ok(Unique)
        } else {
            Err(A::Error::custom("an array stands where an object has to"))
        }
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E: Error>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_unique(text: &str) -> bool {
        serde_json::from_str::<Unique>(text).is_ok()
    }

    #[test]
    fn names_that_differ_in_case_alone_are_one() {
        for (one, other) in [
            ("path", "Path"),
            ("path", "PATH"),
            ("args", "arg\u{17f}"),
            ("key", "\u{212a}ey"),
            ("\u{e4}", "\u{c4}"),
            ("\u{3c3}", "\u{3c2}"),
            ("id", "\u{130}d"),
        ] {
            for text in [
                format!(r#"{{"{one}":1,"{other}":2}}"#),
                format!(r#"[{{"x":{{"{other}":1,"y":0,"{one}":2}}}}]"#),
            ] {
                assert!(!is_unique(&text), "{text}");
            }
        }
        assert!(is_unique(r#"{"a":{"b":1},"b":{"B":1},"stra\u00dfe":1,"strasse":2,"A1":3}"#));
    }

    #[test]
    fn the_last_of_many_members_is_compared_too() {
        let many: Vec<_> = (0..40).map(|number| format!(r#""a{number}":0"#)).collect();
        let object = |last: &str| format!(r#"{{{},"{last}":0}}"#, many.join(","));
        assert!(is_unique(&object("a40")));
        assert!(!is_unique(&object("A0")) && !is_unique(&object("A39")));
    }
}
