//! Puts the layers together: settings file, `.env`, environment, flags; later wins. Then checks all of it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use super::ancestors;
use super::checker::{Checker, reason};
use super::dotenv;
use super::environment::Environment;
use super::finding::{Finding, FindingCode, Findings, Severity};
use super::flat::{self, FlatSettings};
use super::key::{Key, Step};
use super::model::{Config, RawConfig};
use super::origin::Origin;
use super::schema;
use super::toml_file;
use super::tree::{Node, Shape};
use super::variables::{self, Assignment};
use super::walk::Walk;

/// The settings file that is read where none is named and it exists.
const DEFAULT_FILE: &str = "broker.toml";

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`
    pub file: Option<PathBuf>,
    /// The working directory; empty for that of the process.
    pub directory: PathBuf,
    pub environment: Environment,
    /// Flags as `key=value`, such as `server.listen=127.0.0.1:0`.
    pub overrides: Vec<String>,
}

/// Settings as they were found: the parsed ones if nothing is wrong, and everything that is.
#[derive(Clone)]
pub struct Loaded {
    /// `None` if there is an error among the findings.
    pub config: Option<Config>,
    /// The settings where all errors are that files and variables which they name are not there.
    pub unmet: Option<Config>,
    /// The settings with what stands in for those that cannot be used: only to look at tables that [`Loaded::reads`].
    pub partial: Config,
    /// Errors first.
    pub findings: Vec<Finding>,
    /// The environment, with the variables of the `.env` file below it.
    pub environment: Environment,
    /// What was read: files, and how many variables.
    pub sources: Vec<String>,
    pub(super) tree: Node,
    pub(super) deployment: &'static str,
}

impl std::fmt::Debug for Loaded {
    /// Without the tree, whose texts may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("findings", &self.findings)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    /// Adds what was found in the things that the settings name.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| finding.severity);
        if self.has_errors() {
            self.config = None;
        }
    }

    /// Whether all that is written of these tables could be read, and nothing may have been meant for them that could not.
    #[must_use]
    pub fn reads(&self, tables: &[&str]) -> bool {
        let known = schema::schema();
        let known: Vec<&str> = schema::names(&known).collect();
        let errors = self.findings.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|error| error.at.steps().first()).all(|first| match first {
            Some(Step::Name(name)) => {
                known.contains(&name.as_str()) && !tables.contains(&name.as_str())
            }
            Some(Step::Index(_)) | None => false,
        })
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Reads and checks all settings. Never fails as such: what is wrong is in [`Loaded::findings`].
///
/// Does *not* read the policy, ask a secret backend or open the store.
#[must_use]
pub fn load(sources: Sources) -> Loaded {
    let schema = schema::schema();
    let mut findings = Findings::default();
    let mut read = Vec::new();
    let mut environment = sources.environment;
    add_dotenv(&mut environment, &sources.directory, &mut read, &mut findings);
    let mut tree =
        settings_file(sources.file, &sources.directory, &environment, &mut read, &mut findings);
    let flat = lay_environment(
        &mut tree,
        &environment,
        &sources.directory,
        &schema,
        &mut read,
        &mut findings,
    );
    lay_flags(&mut tree, &sources.overrides, &schema, &mut read, &mut findings);
    let whole = tree.clone();
    let mut walk = Walk { findings: &mut findings, kept: std::collections::BTreeMap::new() };
    walk.check(&mut tree, &schema, &Key::default());
    let kept = walk.kept;
    let raw = typed(&tree, &mut findings);
    let mut checker = Checker {
        deployment: raw.deployment(),
        directory: &sources.directory,
        environment: &environment,
        tree: &whole,
        kept,
        backends: raw.backends(),
        findings,
        variables_read: Vec::new(),
    };
    let deployment = checker.deployment.as_str();
    let partial = raw.parse(&mut checker, &flat);
    let Checker { mut findings, variables_read, .. } = checker;
    ancestors::check(&environment, &variables_read, &mut findings);
    let findings = findings.into_sorted();
    let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let (config, unmet) = match errors.next() {
        None => (Some(partial.clone()), None),
        Some(first) if first.may_come && errors.all(|finding| finding.may_come) => {
            (None, Some(partial.clone()))
        }
        Some(_) => (None, None),
    };
    let sources = read;
    Loaded { config, unmet, partial, findings, environment, sources, tree: whole, deployment }
}

fn add_dotenv(
    environment: &mut Environment,
    directory: &Path,
    read: &mut Vec<String>,
    findings: &mut Findings,
) {
    let text = match std::fs::read_to_string(directory.join(".env")) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            return findings.add(Finding::about(".env", FindingCode::Unreadable, reason(&error)));
        }
    };
    read.push(".env".to_owned());
    match dotenv::parse(&text) {
        Ok(variables) => {
            for variable in variables {
                environment.add_below(variable.name, variable.value, variable.line);
            }
        }
        Err(lines) => {
            for line in lines {
                let problem = "is neither NAME=value nor a comment";
                findings.add(Finding::about(&format!(".env:{line}"), FindingCode::Syntax, problem));
            }
        }
    }
}

fn settings_file(
    named: Option<PathBuf>,
    directory: &Path,
    environment: &Environment,
    read: &mut Vec<String>,
    findings: &mut Findings,
) -> Node {
    let named = named.or_else(|| {
        environment.get("BROKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
    });
    let required = named.is_some();
    let path = directory.join(named.unwrap_or_else(|| DEFAULT_FILE.into()));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {
            return Node::empty();
        }
        Err(error) => {
            let problem = if error.kind() == std::io::ErrorKind::InvalidData {
                "is not UTF-8"
            } else {
                reason(&error)
            };
            let finding =
                Finding::about(&path.display().to_string(), FindingCode::Unreadable, problem);
            findings.add(finding.hint("name the settings file with --config or BROKER_CONFIG"));
            return Node::empty();
        }
    };
    read.push(path.display().to_string());
    toml_file::parse(&path, &text).unwrap_or_else(|errors| {
        for error in errors {
            findings.add(error);
        }
        Node::empty()
    })
}

fn lay_environment(
    tree: &mut Node,
    environment: &Environment,
    directory: &Path,
    schema: &Value,
    read: &mut Vec<String>,
    findings: &mut Findings,
) -> FlatSettings {
    let mut assignments = variables::read(environment, directory, schema, findings);
    let count = assignments.nested.len() + assignments.flat.len();
    if count > 0 {
        read.push(format!("{count} variable{}", if count == 1 { "" } else { "s" }));
    }
    // Lists before their elements: `…__PROFILE` before `…__PROFILE__0__NAME`.
    assignments.nested.sort_by(|a, b| a.key.cmp(&b.key));
    for assignment in assignments.nested {
        lay(tree, assignment, findings);
    }
    let mut flat = flat::read(assignments.flat, tree, schema, findings);
    for assignment in std::mem::take(&mut flat.assignments) {
        if let Some(nested) = disagreeing(tree, &assignment) {
            let name = assignment.node.origin.to_string();
            let problem = format!("and {name} disagree");
            let finding =
                Finding::error(FindingCode::Conflict, &assignment.key, problem).origin(&nested);
            findings.add(finding.hint(format!("unset {name}, the older name")));
        } else {
            lay(tree, assignment, findings);
        }
    }
    flat
}

/// Where a nested name sets something else than the flat one. A settings file is a lower layer and may differ,
/// but not within one Graph profile, half of which would then come from elsewhere.
fn disagreeing(tree: &Node, flat: &Assignment) -> Option<Origin> {
    let nested = tree.get(&flat.key)?;
    let below = matches!(nested.origin, Origin::File { .. })
        && !flat.key.is_within(&Key::dotted("graph.profile"));
    (!below && !nested.sets_the_same_as(&flat.node)).then(|| nested.origin.clone())
}

fn lay(tree: &mut Node, Assignment { key, node }: Assignment, findings: &mut Findings) {
    let origin = node.origin.clone();
    if !tree.set(&key, node) {
        let problem = "is an index past the end of the list, or names what is no table";
        findings.add(
            Finding::error(FindingCode::NotAllowed, &key, problem)
                .origin(&origin)
                .hint("lists are numbered from 0"),
        );
    }
}

fn lay_flags(
    tree: &mut Node,
    overrides: &[String],
    schema: &Value,
    read: &mut Vec<String>,
    findings: &mut Findings,
) {
    if !overrides.is_empty() {
        read.push("command line".to_owned());
    }
    for text in overrides {
        let Some((name, value)) = text.split_once('=') else {
            // Not the value, which may be a secret that was meant to follow.
            let finding =
                Finding::about("--set", FindingCode::Syntax, "is given what is not KEY=VALUE");
            findings.add(finding.hint("--set server.listen=127.0.0.1:9000"));
            continue;
        };
        let key = Key::dotted(name.trim());
        let node = variables::coerce(value, schema::at(schema, &key), &Origin::Flag);
        lay(tree, Assignment { key, node }, findings);
    }
}

/// What passed the walk fits the types; where it does not, schema and types have come apart.
fn typed(tree: &Node, findings: &mut Findings) -> RawConfig {
    if !matches!(tree.value, Shape::Table(_)) {
        return RawConfig::default();
    }
    serde_json::from_value(tree.to_json()).unwrap_or_else(|_| {
        // Its own words may quote a value.
        let problem =
            "do not fit their types, although they fit the schema: this is a defect of the broker";
        findings.add(Finding::about("settings", FindingCode::WrongType, problem));
        RawConfig::default()
    })
}
