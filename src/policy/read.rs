//! Reads a policy file key by key, so that one fault does not hide another.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use super::decision::Effect;
use super::fault::{Fault, Source, one_line};
use super::file::{GraphSpec, RuleSpec};
use super::rule::Principals;

const POLICY: [&str; 4] = ["version", "default", "may_assert_requester", "rule"];
const RULE: [&str; 12] = [
    "id",
    "effect",
    "tools",
    "scopes",
    "principals",
    "graph",
    "arguments",
    "when",
    "approvers",
    "valid_for_seconds",
    "self_approval",
    "description",
];
const GRAPH: [&str; 6] = ["profile", "methods", "paths", "permissions", "query", "reveal_links"];
const PRINCIPALS: [&str; 7] =
    ["clients", "subjects", "groups", "roles", "issuers", "assurance", "max_auth_age_seconds"];

/// It stands in every decision, in terminals and as a label of metrics.
const MAX_LABEL: usize = 64;

/// A client by its name at this broker, or at another issuer: names of clients mean something within their issuer alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "neither the id of a client of this broker nor { client, issuer }")]
pub(super) enum Trusted {
    Ours(String),
    Of(Foreign),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Foreign {
    pub(super) client: String,
    pub(super) issuer: String,
}

/// The whole file.
pub(super) struct RawPolicy<'t> {
    /// A label for people; the digest of the rules is added to it.
    pub(super) version: Option<String>,
    /// Clients that may say for whom they act (`requester.requester_id`).
    pub(super) may_assert_requester: Vec<Trusted>,
    pub(super) rules: Vec<(RuleSpec, Spanned<DeValue<'t>>)>,
}

/// Reads the text; what cannot be read is added to `faults` and left out.
pub(super) fn read<'t>(source: Source<'t>, faults: &mut Vec<Fault>) -> RawPolicy<'t> {
    let (mut table, mut errors) = DeTable::parse_recoverable(source.text);
    // What is left open swallows the rest of the file: each line of it would be told as a fault, and only the first one is.
    if errors.iter().any(|error| error.message().contains("unclosed")) {
        errors.truncate(1);
    }
    faults.extend(errors.iter().map(|error| Fault {
        place: source.place(error.span().map_or(0, |span| span.start)),
        rule: "-".to_owned(),
        message: one_line(&format!("is not TOML: {}", error.message())),
        hint: "texts and lists end where they began: look for a missing quote, bracket or comma here or just before".to_owned(),
    }));
    let repaired = Repaired(errors.iter().filter_map(|error| Some(error.span()?.start)).collect());
    let before = faults.len();
    let mut fields =
        Fields { table: table.get_ref(), at: 0, prefix: "", rule: "-", source, faults };
    fields.refuse_unknown(&POLICY);
    if let Some(default) = fields.get::<String>("default")
        && default != "deny"
    {
        let message = format!("default: `{default}`, but only `deny` is possible");
        fields.fault("default", message, "write an allow rule for what is to be allowed");
    }
    let version: Option<String> = fields.get("version");
    if let Some(label) = &version
        && (label.contains(char::is_control) || label.chars().count() > MAX_LABEL)
    {
        let message = "version: is longer than 64 characters, or has a control character";
        fields.fault("version", message, "a label for people, such as \"2026-11\"");
    }
    let may_assert_requester = fields.get("may_assert_requester").unwrap_or_default();
    if fields.value("rule").is_some_and(|rules| rules.get_ref().as_array().is_none()) {
        fields.fault("rule", "rule: is no list of tables", "begin each rule with [[rule]]");
    }
    let rules = match table.get_mut().remove("rule").map(Spanned::into_inner) {
        Some(DeValue::Array(rules)) => rules,
        Some(_) | None => DeArray::new(),
    };
    let starts: Vec<_> = rules.iter().map(|rule| rule.span().start).collect();
    if repaired.is_in(0, starts.first()) {
        faults.truncate(before);
    }
    let read = rules.into_iter().enumerate().filter_map(|(index, rule)| {
        let whole = !repaired.is_in(rule.span().start, starts.get(index + 1));
        whole.then(|| (read_rule(&rule, source, faults), rule))
    });
    RawPolicy { version, may_assert_requester, rules: read.collect() }
}

/// Where the text is no TOML. What the parser makes of a rule with such a place is a guess, and faults of it would mislead.
struct Repaired(Vec<usize>);

impl Repaired {
    /// Whether one is in what begins at `start`, or at the head of what follows: that is where a bracket is missed that was left
    /// open before.
    fn is_in(&self, start: usize, next: Option<&usize>) -> bool {
        let end = next.map_or(usize::MAX, |next| next + "[[rule]]".len());
        self.0.iter().any(|at| (start..=end).contains(at))
    }
}

fn read_rule(rule: &Spanned<DeValue<'_>>, source: Source<'_>, faults: &mut Vec<Fault>) -> RuleSpec {
    let DeValue::Table(table) = rule.get_ref() else {
        let place = source.place(rule.span().start);
        let hint = "begin each rule with [[rule]]".to_owned();
        faults.push(Fault { place, rule: "-".to_owned(), message: "is no table".to_owned(), hint });
        return RuleSpec::default();
    };
    let id = table.iter().find(|(name, _)| name.get_ref() == "id");
    let id = id.and_then(|(_, value)| value.get_ref().as_str()).unwrap_or("?");
    let at = rule.span().start;
    let mut fields = Fields { table, at, prefix: "", rule: id, source, faults };
    fields.refuse_unknown(&RULE);
    let effect = fields.required::<Effect>("effect", "allow, deny or ask");
    RuleSpec {
        id: fields.required("id", "a name, such as graph.user.read").unwrap_or_default(),
        effect: effect.unwrap_or_default(),
        tools: fields
            .required("tools", "a list of patterns, such as [\"get_.*\"]")
            .unwrap_or_default(),
        scopes: fields.get("scopes").unwrap_or_default(),
        principals: fields
            .table("principals")
            .map(|mut table| principals(&mut table))
            .unwrap_or_default(),
        graph: fields.table("graph").map(|mut table| graph(&mut table)),
        arguments: fields.get("arguments").unwrap_or_default(),
        when: fields.get("when"),
        approvers: fields.get("approvers").unwrap_or_default(),
        valid_for_seconds: fields.get("valid_for_seconds"),
        self_approval: fields.get("self_approval").unwrap_or_default(),
        description: fields.get("description"),
    }
}

fn principals(fields: &mut Fields<'_, '_, '_>) -> Principals {
    fields.refuse_unknown(&PRINCIPALS);
    Principals {
        clients: fields.get("clients"),
        subjects: fields.get("subjects"),
        groups: fields.get("groups"),
        roles: fields.get("roles"),
        issuers: fields.get("issuers"),
        assurance: fields.get("assurance"),
        max_auth_age_seconds: fields.get("max_auth_age_seconds"),
    }
}

fn graph(fields: &mut Fields<'_, '_, '_>) -> GraphSpec {
    fields.refuse_unknown(&GRAPH);
    GraphSpec {
        profile: fields.get("profile"),
        methods: fields.get("methods").unwrap_or_default(),
        paths: fields.get("paths").unwrap_or_default(),
        permissions: fields.get("permissions").unwrap_or_default(),
        query: fields.get("query"),
        reveal_links: fields.get("reveal_links").unwrap_or_default(),
    }
}

/// What each key is, for hints.
fn shape(key: &str) -> &'static str {
    match key {
        "version" => "a label in quotes, such as \"2026-11\"",
        "default" => "\"deny\"",
        "may_assert_requester" => {
            "a list of clients, such as [\"gateway\"] or [{ client = \"gateway\", issuer = \"https://login.example\" }]"
        }
        "id" => "a name in quotes, such as \"graph.user.read\"",
        "effect" => "\"allow\", \"deny\" or \"ask\"",
        "tools" => "a list of patterns for whole names, such as [\"get_.*\"]",
        "scopes" => "a list of scopes, such as [\"graph:read\"]",
        "when" => "a condition in quotes, such as \"claims.oid == path.id\"",
        "arguments" => "a table of lists, such as { \"operation.body.kind\" = [\"report\"] }",
        "valid_for_seconds" | "max_auth_age_seconds" => "a whole number of seconds, such as 600",
        "self_approval" | "reveal_links" => "true or false",
        "description" | "profile" => "a text in quotes",
        "methods" => "a list, such as [\"GET\"]",
        "paths" => "a list of templates, such as [\"/v1.0/users/{id}\"]",
        "permissions" => "a list of Graph permissions, such as [\"User.Read.All\"]",
        "query" => "a list of options, such as [\"$select\"]",
        _ => "a list of texts, such as [\"one\"]",
    }
}

/// One table that is being read.
struct Fields<'a, 't, 'f> {
    table: &'a DeTable<'t>,
    at: usize,
    /// Of the keys in messages, such as `graph.`.
    prefix: &'static str,
    rule: &'a str,
    source: Source<'a>,
    faults: &'f mut Vec<Fault>,
}

impl<'a, 't> Fields<'a, 't, '_> {
    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    fn get<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.value(key)?;
        match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(read) => Some(read),
            Err(error) => {
                let at = error.span().map_or(value.span().start, |span| span.start);
                // As people count: the reader names its own kind of number.
                let said = error
                    .message()
                    .replace("expected u32", "expected a whole number from 0 to 4294967295");
                let message = format!("{}{key}: {said}", self.prefix);
                self.add(at, &message, format!("{key} is {}", shape(key)));
                None
            }
        }
    }

    fn required<T: DeserializeOwned>(&mut self, key: &str, expected: &str) -> Option<T> {
        if self.value(key).is_none() {
            let message = format!("{}{key} is missing: {expected}", self.prefix);
            self.add(self.at, &message, format!("add {key}: {}", shape(key)));
            return None;
        }
        self.get(key)
    }

    fn table(&mut self, key: &'static str) -> Option<Fields<'a, 't, '_>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            let hint = format!("write {key} = {{ … }}");
            self.add(value.span().start, &format!("{key}: is no table"), hint);
            return None;
        };
        let prefix = if key == "graph" { "graph." } else { "principals." };
        let (at, source) = (value.span().start, self.source);
        Some(Fields { table, at, prefix, rule: self.rule, source, faults: self.faults })
    }

    fn refuse_unknown(&mut self, known: &[&str]) {
        for (name, _) in self.table {
            if known.contains(&name.get_ref().as_ref()) {
                continue;
            }
            let near = known.iter().map(|key| (strsim::jaro_winkler(key, name.get_ref()), *key));
            let near = near.max_by(|one, other| one.0.total_cmp(&other.0));
            let hint = match near {
                Some((likeness, key)) if likeness > 0.8 => format!("did you mean `{key}`?"),
                _ => format!("the keys are {}", known.join(", ")),
            };
            let message = format!("{}{} is not a key", self.prefix, name.get_ref());
            self.add(name.span().start, &message, hint);
        }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>, hint: &str) {
        let at = self.value(key).map_or(self.at, |value| value.span().start);
        self.add(at, &message.into(), hint.to_owned());
    }

    fn add(&mut self, at: usize, message: &str, hint: String) {
        let (place, rule) = (self.source.place(at), self.rule.to_owned());
        self.faults.push(Fault { place, rule, message: one_line(message), hint });
    }
}
