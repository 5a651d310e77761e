//! How a command fails: `error: …` on stderr, causes indented, the hint last; exit code 1.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::policy::{Fault, PolicyError};

/// Why a command could not do what it was asked to.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// Of a policy, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FaultView>,
    #[serde(skip)]
    broken_pipe: bool,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            faults: Vec::new(),
            broken_pipe: false,
        }
    }

    /// An error with its chain of causes, but for those that its message says already. A message may bring its own `hint:`
    /// line; one with several faults keeps each hint with its fault.
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        let text = error.to_string();
        causes.retain(|cause: &String| !text.contains(cause.as_str()));
        let (message, mut hint) = parted(text);
        let parts = causes.into_iter().map(parted);
        let causes = parts.map(|(cause, its_hint)| {
            hint = hint.take().or(its_hint);
            cause
        });
        let (causes, faults) = (causes.collect(), faults(error));
        Self { causes, message, hint, faults, broken_pipe: false }
    }

    /// For a log and for `/ready`: the error, its causes and the hint.
    pub(super) fn in_one_line(&self) -> String {
        let hint = self.hint.iter().map(|hint| format!("hint: {hint}"));
        let parts = std::iter::once(&self.message).chain(&self.causes).cloned().chain(hint);
        let parts: Vec<_> = parts
            .flat_map(|part| part.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
            .collect();
        parts.join("; ")
    }

    /// A file that whoever runs the command named, or that the settings name.
    pub(super) fn unreadable(file: &impl fmt::Display, error: &io::Error) -> Self {
        Self::new(format!("{file} cannot be read"))
            .cause(error.to_string())
            .hint("name a file that is there, and that the user who runs this may read")
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over by value")]
    pub(super) fn output(error: io::Error) -> Self {
        // By value, as `map_err` hands it over.
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            causes: vec![error.to_string()],
            broken_pipe,
            ..Self::new("the output cannot be written")
        }
    }

    /// `broker tools | head` is no failure.
    pub(super) const fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }
}

/// One fault of a policy, for programs.
#[derive(Debug, Serialize)]
struct FaultView {
    /// The file, or what else the rules come from.
    file: String,
    line: Option<u32>,
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    message: String,
    hint: String,
}

/// Those of a policy that the error, or one behind it, is of.
fn faults(error: &(dyn std::error::Error + 'static)) -> Vec<FaultView> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(PolicyError(faults)) = error.downcast_ref() {
            return faults.iter().map(fault).collect();
        }
        next = error.source();
    }
    Vec::new()
}

fn fault(fault: &Fault) -> FaultView {
    let mut parts = fault.place.rsplitn(3, ':');
    let (column, line, file) = (parts.next(), parts.next(), parts.next());
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let (file, line, column) = match (file, number(line), number(column)) {
        (Some(file), Some(line), Some(column)) => (file, Some(line), Some(column)),
        _ => (fault.place.as_str(), None, None),
    };
    FaultView {
        file: file.to_owned(),
        line,
        column,
        rule: (fault.rule != "-").then(|| fault.rule.clone()),
        message: fault.message.clone(),
        hint: fault.hint.clone(),
    }
}

/// What is said, and the hint where there is one alone.
fn parted(text: String) -> (String, Option<String>) {
    match text.split_once("\n  hint: ") {
        Some((said, hint)) if !hint.contains('\n') => (said.to_owned(), Some(hint.to_owned())),
        Some(_) | None => (text, None),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  cause: {cause}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file has faults\n{0}")]
    struct Whole(#[source] Part);

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Part(&'static str);

    #[derive(Debug, thiserror::Error)]
    #[error("it did not start")]
    struct Around(#[source] Part);

    #[test]
    fn the_hint_of_a_cause_is_the_last_line_where_there_is_no_other() {
        let said = Failure::of(&Around(Part("no room\n  hint: make some"))).to_string();
        assert_eq!(said, "error: it did not start\n  cause: no room\nhint: make some");
    }

    #[test]
    fn each_fault_is_said_once_with_its_own_hint() {
        let one = Failure::of(&Whole(Part("a:1: is wrong\n  hint: write it so")));
        assert_eq!(one.to_string(), "error: the file has faults\na:1: is wrong\nhint: write it so");
        let two = "a:1: is wrong\n  hint: write it so\na:2: is missing\n  hint: add it";
        let said = Failure::of(&Whole(Part(two))).to_string();
        assert_eq!(said, format!("error: the file has faults\n{two}"));
    }
}
