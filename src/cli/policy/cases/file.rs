//! The file of cases: who calls, what, and what is expected. Every fault in it is told at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use crate::id::{ClientId, Issuer, Subject};
use crate::policy::Effect;
use crate::scope::Scope;
use crate::time::Timestamp;

use crate::cli::failure::Failure;
use crate::cli::policy::question::{Asker, Wanted, time};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Expect {
    Allow,
    Deny,
    Ask,
    /// A refusal that names the scopes which undo it.
    StepUp,
}

impl Expect {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::StepUp => "step_up",
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    /// Beside this file.
    policy: Option<PathBuf>,
    #[serde(default)]
    who: BTreeMap<String, RawWho>,
    #[serde(default)]
    case: Vec<Spanned<RawCase>>,
}

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
    at: Option<String>,
    expect: Option<Expect>,
    rule: Option<String>,
    missing: Option<Scope>,
    listed: Option<bool>,
}

/// The callers of a file, by name.
pub(in crate::cli::policy) fn callers(
    path: &Path,
    issuer: &Issuer,
) -> Result<Vec<(String, Asker)>, Failure> {
    let (_, raw) = raw(path)?;
    Ok(raw.who.iter().map(|(name, who)| (name.clone(), asker(who, issuer))).collect())
}

fn raw(path: &Path) -> Result<(String, RawFile), Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{name} cannot be read")).cause(error.to_string()))?;
    let raw = toml::from_str(&text).map_err(|error| {
        Failure::new(format!("{name} is no file of cases")).cause(error.to_string())
    })?;
    Ok((text, raw))
}

impl Cases {
    pub(super) fn read(path: &Path, issuer: &Issuer) -> Result<Self, Failure> {
        let (text, raw) = raw(path)?;
        let name = path.display();
        let mut faults = Vec::new();
        let mut cases = Vec::new();
        for case in raw.case {
            let line = line(&text, case.span().start);
            match read(case.into_inner(), line, &raw.who, issuer) {
                Ok(case) => cases.push(case),
                Err(fault) => faults.push(format!("{name}:{line}: {fault}")),
            }
        }
        if cases.is_empty() && faults.is_empty() {
            return Err(
                Failure::new(format!("{name} has no case")).hint("begin each with [[case]]")
            );
        }
        if !faults.is_empty() {
            return Err(Failure::new(faults.join("\n")));
        }
        let policy = raw.policy.map(|policy| path.parent().unwrap_or(Path::new("")).join(policy));
        Ok(Self { policy, cases })
    }
}

fn read(
    raw: RawCase,
    line: usize,
    people: &BTreeMap<String, RawWho>,
    issuer: &Issuer,
) -> Result<Case, String> {
    let Some(who) = people.get(&raw.who) else {
        let known: Vec<&str> = people.keys().map(String::as_str).collect();
        return Err(format!("who is `{}`, but [who] has {}", raw.who, known.join(", ")));
    };
    let expects =
        [raw.expect.is_some(), raw.rule.is_some(), raw.missing.is_some(), raw.listed.is_some()];
    if !expects.contains(&true) {
        return Err("expects nothing: write expect = \"allow\", \"deny\", \"ask\" or \"step_up\""
            .to_owned());
    }
    let mut asker = asker(who, issuer);
    asker.scopes = raw.scopes.unwrap_or(asker.scopes);
    Ok(Case {
        name: raw.name,
        line,
        asker,
        wanted: Wanted::parse(&raw.call, raw.arguments.as_ref())
            .map_err(|fault| fault.message().to_owned())?,
        at: time(raw.at.as_deref().unwrap_or(NOON)).map_err(|fault| format!("at {fault}"))?,
        expect: raw.expect,
        rule: raw.rule,
        missing: raw.missing.map(|scopes| scopes.to_string()),
        listed: raw.listed,
    })
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
        claims,
    }
}

/// The line of a byte, from one.
fn line(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}
