//! What is wrong with the settings: a line for people, an object for programs. Never the value of a secret.

use serde::Serialize;

use super::key::Key;
use super::origin::Origin;

/// Whether the broker starts with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// What kind of thing is wrong. Stable across releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FindingCode {
    #[serde(rename = "config.syntax")]
    Syntax,
    #[serde(rename = "config.unreadable")]
    Unreadable,
    #[serde(rename = "config.unknown_key")]
    UnknownKey,
    #[serde(rename = "config.wrong_type")]
    WrongType,
    #[serde(rename = "config.not_allowed")]
    NotAllowed,
    #[serde(rename = "config.missing")]
    Missing,
    #[serde(rename = "config.conflict")]
    Conflict,
    #[serde(rename = "config.weak")]
    Weak,
    #[serde(rename = "config.not_in_force")]
    NotInForce,
    #[serde(rename = "config.not_read")]
    NotRead,
    /// What the setting names cannot be used.
    #[serde(rename = "config.unusable")]
    Unusable,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub code: FindingCode,
    /// The setting, such as `graph.profile[0].tenant_id`, or the name of a variable or file.
    pub key: String,
    /// What is there: the value, or for secrets and unknown settings only its shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    pub problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What the setting names is not there, and may come: the setting itself may be right.
    #[serde(skip)]
    pub(super) may_come: bool,
    #[serde(skip)]
    pub(super) at: Key,
    /// The line of the settings file; the largest number for what is not in it.
    #[serde(skip)]
    pub(super) line: usize,
}

impl Finding {
    pub(super) fn error(code: FindingCode, at: &Key, problem: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            key: at.to_string(),
            found: None,
            problem: problem.into(),
            allowed: None,
            hint: None,
            origin: None,
            may_come: false,
            at: at.clone(),
            line: usize::MAX,
        }
    }

    /// A fault in something that a setting names, such as the policy file.
    #[must_use]
    pub fn of_part(key: &str, problem: String, hint: Option<String>) -> Self {
        let error = Self::about(key, FindingCode::Unusable, problem);
        Self { hint, ..error }
    }

    /// The same, of something that stops no start.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    pub(super) fn warning(code: FindingCode, at: &Key, problem: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, problem) }
    }

    /// About something that is not a setting: a file, a variable.
    pub(super) fn about(name: &str, code: FindingCode, problem: impl Into<String>) -> Self {
        Self { key: name.to_owned(), ..Self::error(code, &Key::default().name(name), problem) }
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub(super) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn origin(mut self, origin: &Origin) -> Self {
        self.origin = (*origin != Origin::Default).then(|| origin.to_string());
        if let Origin::File { line, .. } = origin {
            self.line = *line;
        }
        self
    }
}

/// What to do about it where nothing nearer is known.
fn usual_hint(finding: &Finding) -> Option<String> {
    let key = &finding.key;
    match finding.code {
        FindingCode::Missing => Some(format!("set {key}; `broker config reference` describes it")),
        FindingCode::WrongType | FindingCode::NotAllowed | FindingCode::Conflict => Some(format!(
            // The reference has no indexes.
            "`broker config reference` describes {}, and what holds where it is left out",
            finding.at.generic()
        )),
        FindingCode::Syntax if key.starts_with(".env") => {
            Some("each line is NAME=value, or begins with #".to_owned())
        }
        FindingCode::Syntax => Some("texts are in quotes, lists in brackets (TOML 1.0)".to_owned()),
        FindingCode::Unreadable => Some("the broker's user has to be able to read it".to_owned()),
        FindingCode::UnknownKey
        | FindingCode::Weak
        | FindingCode::NotInForce
        | FindingCode::NotRead
        | FindingCode::Unusable => None,
    }
}

/// Everything found so far. At most one error for a setting: what follows from the first is not news.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        let known = self.0.iter().any(|earlier| {
            earlier.severity == Severity::Error && earlier.at.is_within(&finding.at)
                || earlier.at == finding.at && earlier.code == finding.code
        });
        if !known || finding.at == Key::default() {
            self.0.push(finding);
        }
    }

    /// Errors first, in the order of the settings file, then what is not in it in the order in which it was found.
    pub(super) fn into_sorted(self) -> Vec<Finding> {
        let mut findings = self.0;
        for finding in &mut findings {
            finding.hint = finding.hint.take().or_else(|| usual_hint(finding));
        }
        findings.sort_by_key(|finding| (finding.severity, finding.line));
        findings
    }
}
