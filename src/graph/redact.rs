//! Takes credentials out of what Graph answered: by the names of fields, and by values we know.

use base64::Engine as _;
use base64::engine::GeneralPurposeConfig;
use base64::engine::general_purpose::GeneralPurpose;
use base64::{alphabet, engine::DecodePaddingMode};
use serde_json::Value;

use crate::secret_text::SecretText;

use super::reply::Redaction;

const REDACTED: &str = "[redacted]";
/// A shorter value would be found by chance; the secrets of an app have 32 characters and more.
const SHORTEST_KNOWN: usize = 8;

/// Fields whose value gives access to something, lower case.
const CREDENTIALS: [&str; 15] = [
    "@microsoft.graph.downloadurl",
    "@content.downloadurl",
    "downloadurl",
    "uploadurl",
    "secrettext",
    "passwordprofile",
    "temporaryaccesspass",
    "clientstate",
    "recoverykey",
    "personalrecoverykey",
    "passwordbase64",
    "accesstoken",
    "refreshtoken",
    "clientsecret",
    "presharedkey",
];

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const ENGINES: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];

/// Cleans one answer and lists what it took away.
pub(super) struct Redactor<'a> {
    known: Vec<&'a SecretText>,
    /// Where paging links may point: Graph's origin, and the resource's.
    origins: [&'a str; 2],
    reveal_links: bool,
    /// In the `recoveryKeys` of `BitLocker` the field is just called `key`.
    recovery_keys: bool,
    found: Vec<Redaction>,
}

impl<'a> Redactor<'a> {
    pub(super) fn new(
        known: impl Iterator<Item = &'a SecretText>,
        origins: [&'a str; 2],
        reveal_links: bool,
        segments: &[String],
    ) -> Self {
        let recovery_keys = segments.iter().any(|part| part.eq_ignore_ascii_case("recoveryKeys"));
        let known = known.filter(|value| value.len() >= SHORTEST_KNOWN).collect();
        Self { known, origins, reveal_links, recovery_keys, found: Vec::new() }
    }

    pub(super) const fn reveals_links(&self) -> bool {
        self.reveal_links
    }

    pub(super) fn list(&mut self, redaction: Redaction) {
        self.found.push(redaction);
    }

    pub(super) fn into_redactions(self) -> Vec<Redaction> {
        self.found
    }

    /// Whether one of the known values is in `bytes`.
    pub(super) fn knows_any_of(&self, bytes: &[u8]) -> bool {
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        self.known.iter().any(|value| holds(value.expose().as_bytes()))
    }

    /// `text` without known values, as they are or inside base64.
    pub(super) fn scrub(&mut self, text: &str, field: &str) -> String {
        let mut clean = text.to_owned();
        for value in &self.known {
            clean = clean.replace(value.expose(), REDACTED);
        }
        if self.hides_known(&clean) {
            REDACTED.clone_into(&mut clean);
        }
        if clean != text {
            self.list(Redaction::known_secret(field.to_owned()));
        }
        clean
    }

    fn hides_known(&self, text: &str) -> bool {
        if text.len() < SHORTEST_KNOWN {
            return false;
        }
        let packed: String = text.split_ascii_whitespace().collect();
        let decoded = |engine: &GeneralPurpose| engine.decode(&packed).ok();
        ENGINES.iter().filter_map(decoded).any(|bytes| self.knows_any_of(&bytes))
    }

    /// Cleans a JSON value in place. `at` is its path, for the list.
    pub(super) fn clean(&mut self, value: &mut Value, at: &mut String) {
        let length = at.len();
        match value {
            Value::String(text) => *text = self.scrub(text, at),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    at.push('[');
                    at.push_str(&index.to_string());
                    at.push(']');
                    self.clean(item, at);
                    at.truncate(length);
                }
            }
            Value::Object(fields) => {
                let old = std::mem::take(fields);
                for (name, mut item) in old {
                    let name = self.scrub(&name, at);
                    at.push('.');
                    at.push_str(&name);
                    self.clean_field(&name, &mut item, at);
                    at.truncate(length);
                    fields.insert(name, item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn clean_field(&mut self, name: &str, item: &mut Value, at: &mut String) {
        let lower = name.to_ascii_lowercase();
        let link = ["@odata.nextlink", "@odata.deltalink"].iter().any(|end| lower.ends_with(end));
        if self.is_credential(&lower) && !item.is_null() {
            *item = REDACTED.into();
            self.list(Redaction::credential(at.clone()));
        } else if let (true, Value::String(text)) = (link, &*item) {
            if let Some(path) = self.relative(text) {
                *item = self.scrub(&path, at).into();
            } else {
                *item = REDACTED.into();
                self.list(Redaction::foreign_origin(at.clone()));
            }
        } else {
            self.clean(item, at);
        }
    }

    fn is_credential(&self, lower: &str) -> bool {
        !self.reveal_links
            && (CREDENTIALS.contains(&lower) || (self.recovery_keys && lower == "key"))
    }

    /// The path of a paging link, query verbatim, to be asked for again and decided again.
    fn relative(&self, link: &str) -> Option<String> {
        let after = |origin: &&str| {
            let start = link.get(..origin.len())?;
            let rest = link.get(origin.len()..)?;
            (start.eq_ignore_ascii_case(origin) && rest.starts_with('/')).then_some(rest)
        };
        let own = link.starts_with('/') && !link.starts_with("//");
        let path = if own { Some(link) } else { self.origins.iter().find_map(after) };
        path.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "CANARY-token-1234";

    fn clean(body: &Value, reveal: bool, segments: &[&str]) -> (Value, Vec<String>) {
        let known = [SecretText::new(TOKEN.to_owned()), SecretText::new("short".to_owned())];
        let segments: Vec<String> = segments.iter().map(|part| (*part).to_owned()).collect();
        let origins = ["http://127.0.0.1:9002", "https://graph.microsoft.com"];
        let mut redactor = Redactor::new(known.iter(), origins, reveal, &segments);
        let mut body = body.clone();
        redactor.clean(&mut body, &mut "body".to_owned());
        (
            body,
            redactor
                .into_redactions()
                .into_iter()
                .map(|r| format!("{} {}", r.field, r.reason))
                .collect(),
        )
    }

    #[test]
    fn fields_that_are_credentials_are_taken_out_at_every_depth() {
        let body = json!({"value": [{"id": "1", "@microsoft.graph.downloadUrl": "https://x"},
            {"SecretText": "s", "passwordProfile": {"password": "p"}, "clientState": null}]});
        let (body, listed) = clean(&body, false, &[]);
        assert_eq!(
            body,
            json!({"value": [{"id": "1", "@microsoft.graph.downloadUrl": "[redacted]"},
                {"SecretText": "[redacted]", "passwordProfile": "[redacted]", "clientState": null}]})
        );
        assert_eq!(listed.len(), 3);
        assert!(
            listed.contains(&"body.value[0].@microsoft.graph.downloadUrl credential".to_owned())
        );
    }

    #[test]
    fn a_rule_can_reveal_links_but_never_our_own_token() {
        let body = json!({"uploadUrl": "https://up", "note": TOKEN});
        let (body, listed) = clean(&body, true, &[]);
        assert_eq!(body, json!({"uploadUrl": "https://up", "note": "[redacted]"}));
        assert_eq!(listed, ["body.note known_secret"]);
    }

    #[test]
    fn known_values_are_found_inside_text_keys_and_base64() {
        let packed = STANDARD.encode(format!("before {TOKEN} after"));
        let body = json!({"a": format!("x {TOKEN} y"), TOKEN: 1, "b": packed, "c": "short"});
        let (body, listed) = clean(&body, false, &[]);
        assert!(!body.to_string().contains("CANARY") && !body.to_string().contains(&packed));
        assert_eq!(body["a"], "x [redacted] y");
        assert_eq!(body["c"], "short");
        assert_eq!(listed.len(), 3);
    }

    #[test]
    fn paging_links_become_paths_and_foreign_ones_vanish() {
        let link = |text: &str| {
            clean(&json!({"@odata.nextLink": text}), false, &[]).0["@odata.nextLink"].clone()
        };
        assert_eq!(
            link("https://graph.microsoft.com/v1.0/users?$skiptoken=a%20b"),
            "/v1.0/users?$skiptoken=a%20b"
        );
        assert_eq!(link("http://127.0.0.1:9002/v1.0/users"), "/v1.0/users");
        for bad in [
            "https://graph.microsoft.com.evil.example/v1.0",
            "https://graph.microsoft.com@evil.example/v1.0",
            "//evil.example/v1.0",
            "https://evil.example/",
            "",
        ] {
            assert_eq!(link(bad), "[redacted]", "{bad}");
        }
    }

    #[test]
    fn a_key_is_secret_where_recovery_keys_are_asked_for() {
        let body = json!({"key": "123"});
        assert_eq!(
            clean(&body, false, &["informationProtection", "bitlocker", "recoveryKeys"]).0["key"],
            "[redacted]"
        );
        assert_eq!(clean(&body, false, &["users"]).0["key"], "123");
    }
}
