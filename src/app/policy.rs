//! Where the rules come from.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::config::{Config, Deployment, GraphMode};
use crate::policy::{CallLimits, Facts, Fault, Granted, Policy, PolicyError};

use super::error::AppError;
use super::graph::flat_rules;

/// A policy file that is larger is none.
const LARGEST: u64 = 16 * 1024 * 1024;
const NO_FILE: ErrorKind = ErrorKind::Unsupported;
const TOO_LARGE: ErrorKind = ErrorKind::FileTooLarge;

/// The rules of a broker that has none: what plain `broker` starts with.
const DEVELOPMENT_RULES: &str = include_str!("../../docs/examples/policy.dev.toml");

/// Everything a policy is made of, so that it can be made again.
#[derive(Clone, Debug)]
pub struct Source {
    /// `policy.file`
    pub file: Option<PathBuf>,
    /// `policy.shadow_file`
    pub shadow_file: Option<PathBuf>,
    label: Option<String>,
    facts: Facts,
    limits: CallLimits,
    /// By the flat permissions, and by the servers behind us.
    granted: Vec<Granted>,
    deployment: Deployment,
    mode: GraphMode,
}

impl Source {
    pub(super) fn new(config: &Config, facts: Facts) -> Self {
        let profile = facts.profiles.first().map(|(name, _)| name.as_str().to_owned());
        Self {
            file: config.policy.file.clone(),
            shadow_file: config.policy.shadow_file.clone(),
            label: config.policy.version.clone(),
            granted: vec![
                flat_rules(&config.graph, profile.as_deref()),
                super::server_grants::grants(config),
            ],
            facts,
            limits: super::call_limits::named(config),
            deployment: config.deployment,
            mode: config.graph.mode,
        }
    }

    /// What rules are checked against.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The rules that a start would put in force, and the shadow rules or what is wrong with them: that stops no start.
    ///
    /// # Errors
    ///
    /// [`AppError::PolicyFile`], or [`AppError::Policy`] with every fault.
    pub fn load(&self) -> Result<Loaded, AppError> {
        self.load_contents(&self.contents())
    }

    /// The rules in force alone, whatever the shadow file holds.
    pub(super) fn load_in_force(&self) -> Result<Policy, AppError> {
        self.load_live(self.contents().live.as_ref())
    }

    /// Both of what the files held when they were looked at. Shadow rules answer nobody: a fault of theirs is told beside the
    /// rules in force, and keeps them from nothing.
    pub(super) fn load_contents(&self, contents: &Contents) -> Result<Loaded, AppError> {
        Ok((self.load_live(contents.live.as_ref())?, self.load_shadow(contents)))
    }

    fn load_shadow(&self, contents: &Contents) -> Result<Option<Policy>, AppError> {
        match (&self.shadow_file, &contents.shadow) {
            (Some(path), Some(found)) => Ok(Some(self.compile_found((path, found), None)?)),
            _ => Ok(None),
        }
    }

    /// What takes the place of so many rules in force. Refuses a file without rules where it had some: it is one that is being
    /// written, and would deny everything.
    pub(super) fn load_next(
        &self,
        contents: &Contents,
        in_force: usize,
    ) -> Result<Loaded, AppError> {
        let loaded = self.load_contents(contents)?;
        let granted: usize = self.granted.iter().map(|granted| granted.rules.len()).sum();
        match &self.file {
            Some(path) if in_force > granted && loaded.0.rule_ids().count() <= granted => {
                Err(AppError::NoRules { path: path.clone() })
            }
            _ => Ok(loaded),
        }
    }

    /// The rules of one file, with what other parts of the product grant beside them.
    ///
    /// # Errors
    ///
    /// As for [`Source::load`].
    pub fn load_file(&self, path: &Path, label: Option<&str>) -> Result<Policy, AppError> {
        self.compile_found((path, &found(path)), label)
    }

    fn compile_found(
        &self,
        (path, found): (&Path, &Found),
        label: Option<&str>,
    ) -> Result<Policy, AppError> {
        let bytes = found.as_deref().map_err(|kind| {
            // In the system's own words, as far as it says them once more.
            let source = match *kind {
                NO_FILE => std::io::Error::new(*kind, "it is no regular file"),
                TOO_LARGE => std::io::Error::new(*kind, "it is larger than 16 MiB"),
                kind => std::fs::File::open(path).err().unwrap_or_else(|| kind.into()),
            };
            AppError::PolicyFile { path: path.to_owned(), source }
        })?;
        let text = std::str::from_utf8(bytes).map_err(|error| {
            AppError::Policy(PolicyError(vec![no_utf8(path, bytes, error.valid_up_to())]))
        })?;
        self.compile(&path.display().to_string(), text, label, &self.granted)
    }

    fn compile(
        &self,
        name: &str,
        text: &str,
        label: Option<&str>,
        granted: &[Granted],
    ) -> Result<Policy, AppError> {
        let policy = Policy::load(name, text, label, granted, self.facts.clone());
        Ok(policy.map_err(AppError::Policy)?.under(&self.limits))
    }

    /// The file's, the flat permissions', or in development the built-in ones.
    fn load_live(&self, found: Option<&Found>) -> Result<Policy, AppError> {
        const BUILT_IN: &str = "the built-in rules";
        let label = self.label.as_deref();
        let flat = &self.granted;
        let flat_graph =
            flat.iter().flat_map(|granted| &granted.rules).any(|rule| rule.graph.is_some());
        if let (Some(path), Some(found)) = (&self.file, found) {
            self.compile_found((path, found), label)
        } else if self.deployment != Deployment::Dev {
            self.compile(BUILT_IN, "version = \"none\"", label, flat)
        } else if self.mode == GraphMode::Simulated && !flat_graph {
            self.compile(BUILT_IN, DEVELOPMENT_RULES, label, flat)
        } else {
            // What opens the simulated Graph never opens a live one, nor more than the flat permissions name.
            let mut granted =
                Granted::parse(BUILT_IN, DEVELOPMENT_RULES).map_err(AppError::Policy)?;
            granted.rules.retain(|rule| rule.graph.is_none());
            let all: Vec<Granted> =
                std::iter::once(granted).chain(self.granted.iter().cloned()).collect();
            self.compile(BUILT_IN, "version = \"dev\"", label, &all)
        }
    }

    /// What the files hold now.
    pub(super) fn contents(&self) -> Contents {
        Contents {
            live: self.file.as_deref().map(watched),
            shadow: self.shadow_file.as_deref().map(watched),
        }
    }
}

/// The rules in force, and the shadow rules or why there are none.
pub(super) type Loaded = (Policy, Result<Option<Policy>, AppError>);

/// What the files held at one look; `None` for one that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) live: Option<Found>,
    pub(super) shadow: Option<Found>,
}

/// The bytes of a file, or why they cannot be read.
pub(super) type Found = Result<Vec<u8>, ErrorKind>;

/// Of a file that is read again and again: a pipe would hold up the broker, and so would a file without an end.
fn watched(path: &Path) -> Found {
    let metadata = std::fs::metadata(path).map_err(|error| error.kind())?;
    if !metadata.is_file() {
        return Err(NO_FILE);
    }
    let file = std::fs::File::open(path).map_err(|error| error.kind())?;
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.kind())?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        Err(TOO_LARGE)
    } else {
        Ok(bytes)
    }
}

/// `end`: where it is none any more.
fn no_utf8(path: &Path, bytes: &[u8], end: usize) -> Fault {
    let before = bytes.get(..end).and_then(|before| std::str::from_utf8(before).ok());
    let before = before.unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let what = if is_utf16 { "is UTF-16, not UTF-8" } else { "is not UTF-8" };
    Fault {
        place: format!("{}:{line}:{column}", path.display()),
        rule: "-".to_owned(),
        message: what.to_owned(),
        hint: "save it as UTF-8; what `>` of Windows PowerShell writes is UTF-16".to_owned(),
    }
}

fn found(path: &Path) -> Found {
    std::fs::read(path).map_err(|error| error.kind())
}
