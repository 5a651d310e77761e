//! The file of cases: who calls, what, and what is expected. Every fault in it is told at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::id::{ClientId, Issuer, Subject};
use crate::policy::Effect;
use crate::scope::Scope;
use crate::time::Timestamp;

use crate::cli::failure::Failure;
use crate::cli::policy::question::{Asker, Gate, Wanted, time};

/// When a case happens that does not say: a working day, noon in London.
const NOON: &str = "2026-11-20T12:00:00Z";

/// The cases of one file.
pub(super) struct Cases {
    /// The rules they are about, where the file names some.
    pub(super) policy: Option<PathBuf>,
    pub(super) cases: Vec<Case>,
}

pub(super) struct Case {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) asker: Asker,
    pub(super) wanted: Wanted,
    pub(super) at: Timestamp,
    pub(super) expect: Option<Expect>,
    /// The rule that decides; `none` where no rule does.
    pub(super) rule: Option<String>,
    /// The scopes that a challenge names.
    pub(super) missing: Option<String>,
    /// Whether the tool is in the caller's list.
    pub(super) listed: Option<bool>,
}

/// What the caller meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Allow,
    Deny,
    Ask,
    /// A refusal that names the scopes which undo it.
    StepUp,
    /// A refusal that names the log-in which undoes it.
    Login,
}

impl Expect {
    const ALL: [Self; 5] = [Self::Allow, Self::Deny, Self::Ask, Self::StepUp, Self::Login];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::StepUp => "step_up",
            Self::Login => "login",
        }
    }
}

impl From<Effect> for Expect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Allow,
            Effect::Deny => Self::Deny,
            Effect::Ask => Self::Ask,
        }
    }
}

#[derive(Default)]
struct RawFile {
    /// Beside this file.
    policy: Option<PathBuf>,
    who: BTreeMap<String, RawWho>,
    /// With where each begins.
    cases: Vec<(RawCase, usize)>,
}

const EXPECT: &str = "write expect = \"allow\", \"deny\", \"ask\", \"step_up\" or \"login\"";
const CALL: &str = "write a tool's name, or a method and a path: \"GET /v1.0/users/ada\"";
const GATE: &str = "write ID.TOOL, ID/prompts/NAME, ID/resources/URI, or ID for the whole server, with the ID of gate";
/// What the tables of the file hold, for hints.
const KEYS: &str = "the file has policy, [who] and [[case]]";
const WHO_KEYS: &str = "who has subject, client, issuer, scopes (\"a b\"), groups, groups_incomplete, roles, roles_incomplete and claims";
const CASE_KEYS: &str = "a case has name, who, call, and scopes, arguments, gate ({ id, scopes }), at, expect, rule, missing and listed as needed";

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawWho {
    subject: Option<Subject>,
    client: Option<ClientId>,
    issuer: Option<Issuer>,
    scopes: Scope,
    groups: Vec<Arc<str>>,
    /// The issuer could not name all groups.
    groups_incomplete: bool,
    roles: Vec<Arc<str>>,
    /// Nor all roles.
    roles_incomplete: bool,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    /// A name of `[who]`.
    who: String,
    /// Scopes instead of the caller's own.
    scopes: Option<Scope>,
    /// A tool, or a method and a path.
    call: String,
    arguments: Option<Value>,
    /// A proxy asks, before this server.
    gate: Option<RawGate>,
    at: Option<String>,
    /// Parsed with the rest of the case, so that it hides no other fault.
    expect: Option<String>,
    rule: Option<String>,
    missing: Option<Scope>,
    listed: Option<bool>,
}

/// A server that was registered with these scopes, and is not reached through us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGate {
    id: String,
    #[serde(default)]
    scopes: Scope,
}

/// The callers of a file, by name.
pub(in crate::cli::policy) fn callers(
    path: &Path,
    issuer: &Issuer,
) -> Result<Vec<(String, Asker)>, Failure> {
    let raw = Reader::read(path)?.whole()?;
    Ok(raw.who.iter().map(|(name, who)| (name.clone(), asker(who, issuer))).collect())
}

/// Reads a file part by part, so that one fault does not hide another.
struct Reader {
    name: String,
    text: String,
    raw: RawFile,
    /// Callers that cannot be read.
    broken: Vec<String>,
    faults: Vec<String>,
}

impl Reader {
    fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| Failure::unreadable(&name, &error))?;
        let (raw, broken, faults) = (RawFile::default(), Vec::new(), Vec::new());
        let mut reader = Self { name, text: text.clone(), raw, broken, faults };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.fault(at, &format!("is not TOML: {}", error.message()), QUOTES);
        }
        for (key, value) in table.get_ref() {
            match (&**key.get_ref(), value.get_ref()) {
                ("policy", _) => {
                    reader.raw.policy = reader.part(value, "policy is a file's name in quotes");
                }
                ("who", DeValue::Table(people)) => {
                    for (name, who) in people {
                        let name = name.get_ref().to_string();
                        match reader.part(who, WHO_KEYS) {
                            Some(who) => drop(reader.raw.who.insert(name, who)),
                            None => reader.broken.push(name),
                        }
                    }
                }
                ("case", DeValue::Array(cases)) => {
                    for case in cases {
                        if let Some(read) = reader.part(case, CASE_KEYS) {
                            reader.raw.cases.push((read, case.span().start));
                        }
                    }
                }
                (key, _) => {
                    let what = match key {
                        "who" => "who is no table".to_owned(),
                        "case" => "case is no list of tables".to_owned(),
                        other => format!("{other} is not a key"),
                    };
                    reader.fault(value.span().start, &what, KEYS);
                }
            }
        }
        Ok(reader)
    }

    fn part<T: DeserializeOwned>(&mut self, value: &Spanned<DeValue<'_>>, hint: &str) -> Option<T> {
        match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(read) => Some(read),
            Err(error) => {
                let at = error.span().map_or(value.span().start, |span| span.start);
                self.fault(at, error.message(), hint);
                None
            }
        }
    }

    fn fault(&mut self, at: usize, message: &str, hint: &str) {
        let (line, column) = place(&self.text, at);
        let message = message.lines().collect::<Vec<_>>().join("; ");
        let hint = if hint.is_empty() { String::new() } else { format!("\n  hint: {hint}") };
        self.faults.push(format!("{}:{line}:{column}: {message}{hint}", self.name));
    }

    fn whole(self) -> Result<RawFile, Failure> {
        if self.faults.is_empty() {
            Ok(self.raw)
        } else {
            Err(Failure::new(self.faults.join("\n")))
        }
    }
}

/// Where TOML is broken.
const QUOTES: &str = "look for a missing quote, bracket or comma here or just before";

impl Cases {
    pub(super) fn read(path: &Path, issuer: &Issuer) -> Result<Self, Failure> {
        let mut reader = Reader::read(path)?;
        let mut cases = Vec::new();
        for (case, at) in std::mem::take(&mut reader.raw.cases) {
            let (line, _) = place(&reader.text, at);
            match read(case, line, (&reader.raw.who, &reader.broken), issuer) {
                Ok(case) => cases.extend(case),
                Err(faults) => {
                    for (fault, hint) in faults {
                        reader.fault(at, &fault, hint);
                    }
                }
            }
        }
        let raw = reader.whole()?;
        if cases.is_empty() {
            let name = path.display();
            return Err(
                Failure::new(format!("{name} has no case")).hint("begin each with [[case]]")
            );
        }
        let policy = raw.policy.map(|policy| path.parent().unwrap_or(Path::new("")).join(policy));
        Ok(Self { policy, cases })
    }
}

/// The case, or every fault of it. `None`: all that is wrong with it is its caller, of whom that is told already.
fn read(
    raw: RawCase,
    line: usize,
    (people, broken): (&BTreeMap<String, RawWho>, &[String]),
    issuer: &Issuer,
) -> Result<Option<Case>, Vec<(String, &'static str)>> {
    let mut faults = Vec::new();
    let who = people.get(&raw.who);
    if who.is_none() && !broken.contains(&raw.who) {
        let known: Vec<&str> = people.keys().chain(broken).map(String::as_str).collect();
        let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
        let fault = format!("who is `{}`, but [who] has {known}", raw.who);
        faults.push((fault, "add the caller to [who], or name one that is there"));
    }
    let expects =
        [raw.expect.is_some(), raw.rule.is_some(), raw.missing.is_some(), raw.listed.is_some()];
    if !expects.contains(&true) {
        faults.push(("expects nothing".to_owned(), EXPECT));
    }
    let expect = raw.expect.as_deref().and_then(Expect::parse);
    if let (Some(text), None) = (&raw.expect, expect) {
        faults.push((format!("expect is `{}`", text.escape_debug()), EXPECT));
    }
    let (wanted, hint) = match raw.gate {
        None => (Wanted::parse(&raw.call, raw.arguments.as_ref()), CALL),
        Some(RawGate { id, scopes }) => {
            let gate = Gate { id, scopes };
            (Wanted::at_gate(&raw.call, raw.arguments.as_ref(), gate), GATE)
        }
    };
    let wanted = wanted.map_err(|fault| faults.push((fault.message().to_owned(), hint)));
    let at = time(raw.at.as_deref().unwrap_or(NOON)).map_err(|fault| {
        faults.push((format!("at {fault}"), "write at = \"2026-11-20T23:30:00+01:00\""));
    });
    let (Ok(wanted), Ok(at), true) = (wanted, at, faults.is_empty()) else { return Err(faults) };
    let Some(who) = who else { return Ok(None) };
    let mut asker = asker(who, issuer);
    asker.scopes = raw.scopes.unwrap_or(asker.scopes);
    Ok(Some(Case {
        name: raw.name,
        line,
        asker,
        wanted,
        at,
        expect,
        rule: raw.rule,
        missing: raw.missing.map(|scopes| scopes.to_string()),
        listed: raw.listed,
    }))
}

fn asker(who: &RawWho, issuer: &Issuer) -> Asker {
    let mut claims = Map::new();
    let named = [
        ("sub", who.subject.as_ref().map(Subject::as_str)),
        ("client_id", who.client.as_ref().map(ClientId::as_str)),
    ];
    claims.extend(
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))),
    );
    claims.extend(who.claims.clone());
    Asker {
        issuer: who.issuer.clone().unwrap_or_else(|| issuer.clone()),
        subject: who.subject.clone(),
        client_id: who.client.clone(),
        scopes: who.scopes.clone(),
        groups: who.groups.clone(),
        groups_incomplete: who.groups_incomplete,
        roles: who.roles.clone(),
        roles_incomplete: who.roles_incomplete,
        claims,
    }
}

/// The line and the column of a byte, from one.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}
