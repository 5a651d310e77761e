//! Turns typed texts into parsed values, and collects everything that cannot be.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::{Host, Url};

use super::environment::Environment;
use super::finding::{Finding, FindingCode, Findings, Severity};
use super::key::Key;
use super::mask::quoted;
use super::model::Deployment;
use super::origin::Origin;
use super::tree::{Node, Shape};
use super::walk::Kept;
use crate::scope::{Scope, ScopeToken};

/// What parsing a section needs to know, and where it reports to.
pub(super) struct Checker<'a> {
    pub(super) deployment: Deployment,
    /// Where relative paths of the environment and flags begin.
    pub(super) directory: &'a Path,
    pub(super) environment: &'a Environment,
    pub(super) tree: &'a Node,
    pub(super) kept: Kept,
    pub(super) backends: Backends,
    pub(super) findings: Findings,
    /// Variables that settings read through `env:`.
    pub(super) variables_read: Vec<String>,
}

/// Which secret backends are configured.
#[derive(Default)]
pub(super) struct Backends {
    pub(super) one_password: bool,
    pub(super) vault: bool,
    pub(super) exec: Vec<String>,
}

impl Checker<'_> {
    /// Reports a finding, with where the setting was written.
    pub(super) fn add(&mut self, finding: Finding) {
        let origin = self.origin(&finding.at);
        self.findings.add(finding.origin(&origin));
    }

    /// Where a setting was written, or the nearest table that holds it.
    pub(super) fn origin(&self, key: &Key) -> Origin {
        self.tree.get(key).map_or(Origin::Default, |node| node.origin.clone())
    }

    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.tree.get(key).is_some()
    }

    /// How many elements the list at `key` has; `None` where there is no list.
    pub(super) fn length(&self, key: &Key) -> Option<usize> {
        match &self.tree.get(key)?.value {
            Shape::Array(array) => Some(array.len()),
            _ => None,
        }
    }

    /// The key of the element that is now at `place`, which it may not have been before faulty ones were cut out.
    pub(super) fn item(&self, list: &Key, place: usize) -> Key {
        let places = self.kept.get(list);
        list.index(places.and_then(|places| places.get(place)).copied().unwrap_or(place))
    }

    /// Reports an error about a value that may be shown.
    pub(super) fn refuse(&mut self, key: &Key, text: &str, problem: impl Display, allowed: &str) {
        let finding = Finding::error(FindingCode::NotAllowed, key, problem.to_string());
        self.add(finding.found(quoted(text)).allowed(allowed));
    }

    /// Refused in prod, a warning in staging, silent in dev.
    pub(super) fn weak(&mut self, finding: Finding) {
        match self.deployment {
            Deployment::Dev => {}
            Deployment::Staging => {
                let problem = format!("{} (prod refuses this)", finding.problem);
                self.add(Finding { severity: Severity::Warning, problem, ..finding });
            }
            Deployment::Prod => self.add(finding),
        }
    }

    pub(super) fn parse<T>(&mut self, key: &Key, text: &str, allowed: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|error| self.refuse(key, text, error, allowed)).ok()
    }

    /// Each element of a list that parses.
    pub(super) fn parse_all<T>(&mut self, key: &Key, texts: &[String], allowed: &str) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let parse = |(place, text): (usize, &String)| {
            let at = self.item(key, place);
            self.parse(&at, text, allowed)
        };
        texts.iter().enumerate().filter_map(parse).collect()
    }

    pub(super) fn scopes(&mut self, key: &Key, texts: &[String]) -> Scope {
        let tokens: Vec<ScopeToken> = self.parse_all(key, texts, "a scope such as graph:read");
        let text = tokens.iter().map(ScopeToken::as_str).collect::<Vec<_>>().join(" ");
        self.parse(key, &text, "at most 256 scopes").unwrap_or_default()
    }

    /// An https URL without user and fragment; http on a loopback address too.
    pub(super) fn endpoint(&mut self, key: &Key, text: &str) -> Option<Url> {
        const ALLOWED: &str =
            "an https URL such as https://idp.example/keys; http on loopback only";
        let url = self.url(key, text, ALLOWED)?;
        if url.scheme() == "http" && !is_loopback(&url) {
            self.refuse(
                key,
                text,
                "is not https: whoever is on the way can read and change it",
                ALLOWED,
            );
            return None;
        }
        if url.scheme() == "http" {
            let finding = Finding::error(FindingCode::Weak, key, "is http on loopback");
            self.weak(finding.found(quoted(text)).hint("in production it has to be https"));
        }
        Some(url)
    }

    /// An http or https URL without user and fragment.
    pub(super) fn url(&mut self, key: &Key, text: &str, allowed: &str) -> Option<Url> {
        let problem = match Url::parse(text) {
            Err(error) => error.to_string(),
            Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                "is neither http nor https".to_owned()
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "holds a user or a password".to_owned()
            }
            Ok(url) if url.fragment().is_some() => "has a fragment".to_owned(),
            Ok(url) => return Some(url),
        };
        self.refuse(key, text, problem, allowed);
        None
    }

    /// Scheme, host and port alone.
    pub(super) fn origin_url(&mut self, key: &Key, text: &str, allowed: &str) -> Option<Url> {
        let url = self.url(key, text, allowed)?;
        if url.path() != "/" || url.query().is_some() {
            self.refuse(key, text, "has a path or a query", allowed);
            return None;
        }
        Some(url)
    }

    /// A file to read. A relative path begins at the settings file that names it, else at the working directory.
    pub(super) fn input(&mut self, key: &Key, path: &Path) -> PathBuf {
        self.readable(Finding::error, (key, path), "a file that can be read")
    }

    /// The same of one without which the broker starts all the same.
    pub(super) fn spare_input(&mut self, key: &Key, path: &Path) -> PathBuf {
        self.readable(Finding::warning, (key, path), "a file that can be read")
    }

    /// The same for a folder.
    pub(super) fn input_folder(&mut self, key: &Key, path: &Path) -> PathBuf {
        self.readable(Finding::error, (key, path), "a folder that can be read")
    }

    fn readable(
        &mut self,
        finding: fn(FindingCode, &Key, String) -> Finding,
        (key, path): (&Key, &Path),
        allowed: &str,
    ) -> PathBuf {
        let path = match self.origin(key) {
            Origin::File { path: file, .. } => file.parent().unwrap_or(Path::new("")).join(path),
            _ => self.directory.join(path),
        };
        if let Err(error) = std::fs::metadata(&path) {
            let finding = finding(FindingCode::Unreadable, key, reason(&error).to_string());
            let finding = Finding { may_come: true, ..finding };
            let finding = finding.found(quoted(&path.to_string_lossy())).allowed(allowed);
            self.add(finding.hint(remedy(&error)));
        }
        path
    }

    /// Exactly one of several ways may be given.
    pub(super) fn one_of<T>(
        &mut self,
        key: &Key,
        given: Vec<(&'static str, T)>,
        ways: &str,
    ) -> Option<T> {
        let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
        let count = names.len();
        let mut ways_given = given.into_iter();
        match (ways_given.next(), count) {
            (Some((_, only)), 1) => return Some(only),
            (None, _) => {
                self.add(Finding::error(FindingCode::Missing, key, "names no way").allowed(ways));
            }
            _ => {
                let problem = format!("names {count} ways: {}", names.join(", "));
                self.add(
                    Finding::error(FindingCode::Conflict, key, problem)
                        .allowed(format!("one of {ways}")),
                );
            }
        }
        None
    }

    /// Names that must differ.
    pub(super) fn distinct<'n>(
        &mut self,
        list: &Key,
        member: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let mut seen = std::collections::BTreeSet::new();
        for (place, name) in names.enumerate() {
            if !seen.insert(name.to_owned()) {
                let key = self.item(list, place).name(member);
                let finding =
                    Finding::error(FindingCode::Conflict, &key, "is taken by an earlier one");
                self.add(finding.found(quoted(name)));
            }
        }
    }
}

/// Why a file cannot be used, in words that do not depend on the platform.
pub(super) fn reason(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist",
        std::io::ErrorKind::PermissionDenied => "may not be read by this user",
        _ => "cannot be read",
    }
}

/// What to do about that.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "make it, or correct the path: a relative one begins at the folder of the settings file that names it"
        }
        _ => "the broker's user has to be able to read it",
    }
}

/// Whether a URL can only mean this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
