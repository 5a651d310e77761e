//! Takes out whom and what a text names. The same name becomes the same word, so that what belongs together can be seen.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
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

/// What no text has.
const NEVER: &str = r"[^\s\S]";

/// One pattern, so that what one finds is no longer there for the next. In order of preference where they meet. `hosts`:
/// those that are known to be some, as a pattern.
fn found(hosts: &str) -> Option<Regex> {
    let pattern = [
        r"(?P<pem>-----BEGIN[^-]*-----[\s\S]*?(?:-----END[^-]*-----|$))",
        r"|(?P<jwt>\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4})",
        r"|(?P<bearer>(?i:\b(?:bearer|basic|dpop) )[A-Za-z0-9._~+/=-]{6,})",
        r"|(?P<person>[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)",
        r"|(?P<guid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)",
        r"|(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^/?#\s@]*@)?(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+)(?P<port>:[0-9]+)?(?P<path>[/?#](?:[^\s\x22<>`,]|,[^\s\x22<>`,])*)?",
        r"|(?P<known>(?i:",
        hosts,
        r"))",
        r"|(?P<ip>\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3})?)",
        r"|(?P<domain>\b(?:[A-Za-z0-9-]+\.)+(?:com|net|org|io|dev|internal|local|example|cloud|app|de|eu|uk)\b(?:\.[\w-]+)*)",
        r"|(?P<home>/(?:home|Users)/)[^/\s]+",
        r"|(?P<long>\b[A-Za-z0-9+/_-]{32,}={0,2})",
    ];
    Regex::new(&pattern.concat()).ok()
}

/// A host with a dot in it, wherever it stands.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\w-]+(?:\.[\w-]+)+").ok());

/// The host of a URL.
static REACHED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[a-z][a-z0-9+.-]*://(?:[^/?#\s@]*@)?(?P<host>[\w.-]+)").ok());

/// The last part of each setting whose value names hosts or tenants outside of a URL.
const NAMING: [&str; 9] = [
    "allowed_hosts",
    "allow_private",
    "no_proxy",
    "trusted_proxies",
    "tenant_id",
    "tenant",
    "url",
    "issuer",
    "public_url",
];

/// What was found so far.
#[derive(Debug)]
pub(super) struct Redactor {
    names: HashMap<(&'static str, String), usize>,
    /// `None`: nothing may pass.
    pattern: Option<Regex>,
}

/// Hosts, in lower case.
#[derive(Debug, Default)]
struct Hosts(BTreeSet<String>);

impl Hosts {
    /// What holds another goes before it.
    fn pattern(&self) -> String {
        let mut hosts: Vec<&String> = self.0.iter().collect();
        hosts.sort_by_key(|host| std::cmp::Reverse(host.len()));
        let hosts: Vec<String> = hosts.into_iter().map(|host| regex::escape(host)).collect();
        if hosts.is_empty() { NEVER.to_owned() } else { hosts.join("|") }
    }

    fn collect(&mut self, value: &Value, named: bool) {
        match value {
            Value::String(text) => self.collect_from(text, named),
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, named)),
            Value::Object(members) => {
                for (name, value) in members {
                    let last = name.rsplit('.').next().unwrap_or_default();
                    let last = last.split('[').next().unwrap_or_default();
                    self.collect_from(name, false);
                    self.collect(value, named || NAMING.contains(&last));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn collect_from(&mut self, text: &str, named: bool) {
        let reached = REACHED.as_ref().into_iter().flat_map(|pattern| pattern.captures_iter(text));
        let reached = reached.filter_map(|found| found.name("host"));
        let named = NAMED.as_ref().filter(|_| named);
        let named = named.into_iter().flat_map(|pattern| pattern.find_iter(text));
        let hosts = reached.chain(named).map(|host| host.as_str().trim_end_matches('.'));
        // A name without a dot is a word, too; it is taken out where it stands in a URL.
        let hosts = hosts.filter(|host| host.contains('.') && !KNOWN.contains(host));
        let hosts = hosts.filter(|host| host.parse::<IpAddr>().is_err());
        self.0.extend(hosts.map(str::to_ascii_lowercase));
    }
}

impl Redactor {
    /// Learns the hosts of all URLs in `value`, and those that settings name there: they are taken out wherever they stand,
    /// whatever they end in.
    pub(super) fn new(value: &Value) -> Self {
        let mut hosts = Hosts::default();
        hosts.collect(value, false);
        Self { names: HashMap::new(), pattern: found(&hosts.pattern()) }
    }

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
        let Some(pattern) = self.pattern.clone() else { return "[left out]".to_owned() };
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
        if let Some(address) = group("ip") {
            return self.address(address);
        }
        if let Some(host) = group("known").or_else(|| group("domain")) {
            return self.host(host);
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

    /// What only looks like one, as a time of day does, stays.
    fn address(&mut self, text: &str) -> String {
        match text.parse::<IpAddr>() {
            Ok(address) if !address.is_loopback() && !address.is_unspecified() => self.host(text),
            Ok(_) | Err(_) => text.to_owned(),
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
    use serde_json::json;

    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::new(&Value::Null).text(text)
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
        assert_eq!(redacted("broker.contoso.com is 10.0.0.1"), "host-1 is host-2");
    }

    #[test]
    fn addresses_are_names_and_times_are_not() {
        let text =
            "2001:db8::7 [::1]:80 127.0.0.1 0.0.0.0:8080 at 2026-11-21T13:10:00.000Z, 12:30:45";
        assert_eq!(
            redacted(text),
            "host-1 [::1]:80 127.0.0.1 0.0.0.0:8080 at 2026-11-21T13:10:00.000Z, 12:30:45"
        );
    }

    #[test]
    fn a_query_goes_with_or_without_a_path_before_it() {
        for url in [
            "https://api.contoso.fr?key=SECRET",
            "https://api.contoso.fr/#SECRET",
            "https://api.contoso.fr/a,b('SECRET')?x@SECRET",
            "https://api.contoso.fr?x@SECRET",
        ] {
            assert_eq!(redacted(url), "https://host-1/…");
        }
    }

    #[test]
    fn a_host_that_was_learned_is_taken_out_whatever_it_ends_in_and_wherever_it_stands() {
        let mut value = json!({
            "server.public_url": { "value": "https://broker.contoso.fr" },
            "server.allowed_hosts": { "value": ["intern.contoso.ch", "contoso.ch"] },
            "dev": "x https://broker.dev.contoso.fr:1/", "more": "broker.dev.contoso.fr ada@contoso.ch",
            "found": "Broker.Contoso.FR has no address; xintern.contoso.ch:443, contoso.ch",
        });
        Redactor::new(&value).redact(&mut value);
        assert!(!value.to_string().to_lowercase().contains("contoso"), "{value}");
    }
}
