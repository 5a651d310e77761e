//! Takes out whom and what a text names. The same name becomes the same word, so that what belongs together can be seen.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// Hosts that name nobody.
const KNOWN: [&str; 8] = [
    "127.0.0.1",
    "::1",
    "localhost",
    "graph.microsoft.com",
    "login.microsoftonline.com",
    "169.254.169.254",
    "www.rfc-editor.org",
    "collector",
];

/// One pattern, so that what one finds is no longer there for the next. In order of preference where they meet.
static FOUND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?P<pem>-----BEGIN[^-]*-----[\s\S]*?(?:-----END[^-]*-----|$))",
        r"|(?P<jwt>\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4})",
        r"|(?P<bearer>(?i:\b(?:bearer|basic|dpop) )[A-Za-z0-9._~+/=-]{6,})",
        r"|(?P<person>[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)",
        r"|(?P<guid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)",
        r"|(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^/\s@]*@)?(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?P<port>:[0-9]+)?(?P<path>/[^\s\x22'<>`,]*)?",
        r"|(?P<domain>\b(?:[A-Za-z0-9-]+\.)+(?:com|net|org|io|dev|internal|local|example|cloud|app|de|eu|uk)\b)",
        r"|(?P<home>/(?:home|Users)/)[^/\s]+",
        r"|(?P<long>\b[A-Za-z0-9+/_-]{32,}={0,2})",
    ))
    .ok()
});

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    names: HashMap<(&'static str, String), usize>,
}

impl Redactor {
    /// Every text in `value`, members' names among them.
    pub(super) fn redact(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(item)),
            Value::Object(members) => {
                let all = std::mem::take(members);
                for (name, mut value) in all {
                    self.redact(&mut value);
                    members.insert(self.text(&name), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> String {
        // Without the pattern nothing may pass.
        let Some(pattern) = FOUND.as_ref() else { return "[left out]".to_owned() };
        pattern.replace_all(text, |found: &Captures<'_>| self.replacement(found)).into_owned()
    }

    fn replacement(&mut self, found: &Captures<'_>) -> String {
        let group = |name: &str| found.name(name).map(|found| found.as_str());
        if let (Some(scheme), Some(host)) = (group("scheme"), group("host")) {
            // A path may hold a tenant, a query anything.
            let path = if group("path").is_some_and(|path| path.len() > 1) { "/…" } else { "" };
            return format!(
                "{scheme}{}{}{path}",
                self.host(host),
                group("port").unwrap_or_default()
            );
        }
        if let Some(home) = group("home") {
            return format!("{home}user");
        }
        if let Some(domain) = group("domain") {
            return self.host(domain);
        }
        if let Some(person) = group("person") {
            return self.word("person", person);
        }
        if let Some(guid) = group("guid") {
            return self.word("guid", guid);
        }
        let kind = ["pem", "jwt", "bearer", "long"].into_iter().find(|kind| group(kind).is_some());
        match kind {
            Some("pem") => "[PEM]".to_owned(),
            Some("jwt" | "bearer") => "[token]".to_owned(),
            _ if is_word(&found[0]) => found[0].to_owned(),
            _ => "[long text]".to_owned(),
        }
    }

    fn host(&mut self, host: &str) -> String {
        let bare = host.trim_matches(['[', ']']);
        if KNOWN.contains(&bare) { host.to_owned() } else { self.word("host", host) }
    }

    fn word(&mut self, kind: &'static str, name: &str) -> String {
        let next = self.names.keys().filter(|(known, _)| *known == kind).count() + 1;
        let number = *self.names.entry((kind, name.to_ascii_lowercase())).or_insert(next);
        format!("{kind}-{number}")
    }
}

/// A name of ours may be long, and is made of words.
fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::default().text(text)
    }

    #[test]
    fn tokens_and_keys_are_taken_out() {
        for (text, left) in [
            ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", "[token]"),
            ("Bearer abc.def-ghi", "[token]"),
            ("x -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- y", "x [PEM] y"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[PEM]"),
            ("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "[long text]"),
            (
                "authorization_server.client_metadata_documents",
                "authorization_server.client_metadata_documents",
            ),
        ] {
            assert_eq!(redacted(text), left, "{text}");
        }
    }

    #[test]
    fn names_become_words_and_the_same_name_the_same_word() {
        let text = "ada@contoso.example at https://u:p@db.contoso.example/x and https://DB.contoso.example, \
            8A7E3F2C-5b1d-4c6e-9f0a-1b2c3d4e5f60 8a7e3f2c-5b1d-4c6e-9f0a-1b2c3d4e5f60 /home/ada/x http://localhost:1";
        assert_eq!(
            redacted("https://login.microsoftonline.com/contoso/v2.0"),
            "https://login.microsoftonline.com/…"
        );
        assert_eq!(
            redacted(text),
            "person-1 at https://host-1/… and https://host-1, guid-1 guid-1 /home/user/x http://localhost:1"
        );
        assert_eq!(redacted("broker.contoso.com is 10.0.0.1"), "host-1 is 10.0.0.1");
    }
}
