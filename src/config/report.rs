//! The findings as people read them: aligned, one block a finding, colour where a terminal wants it.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::finding::{Finding, FindingCode, Severity};
use super::load::Loaded;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[1;32m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Puts escape codes around text, or not.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("{code}{text}{RESET}") } else { text.to_owned() }
    }
}

/// Writes what `load` found, for people.
///
/// # Errors
///
/// Those of `out`.
pub fn write_findings(out: &mut dyn Write, loaded: &Loaded, colour: bool) -> io::Result<()> {
    let paint = Paint(colour);
    let read = if loaded.sources.is_empty() {
        "no settings: the defaults".to_owned()
    } else {
        loaded.sources.join(", ")
    };
    writeln!(out, "{} {read}", paint.with(DIM, "settings   "))?;
    writeln!(out, "{} {}\n", paint.with(DIM, "environment"), loaded.deployment)?;
    for finding in &loaded.findings {
        block(out, finding, paint)?;
    }
    writeln!(out, "{}", summary(&loaded.findings, paint))
}

fn block(out: &mut dyn Write, finding: &Finding, paint: Paint) -> io::Result<()> {
    let label = match finding.severity {
        Severity::Error => paint.with(RED, "error  "),
        Severity::Warning => paint.with(YELLOW, "warning"),
    };
    // The shape of what has an unknown name is for programs.
    let value = finding.found.as_ref().filter(|_| finding.code != FindingCode::UnknownKey);
    let value = value.map_or_else(String::new, |found| format!(" = {found}"));
    let title = format!("{}{value}", finding.key);
    write!(out, "{label}  {}", paint.with(BOLD, &title))?;
    if let Some(origin) = &finding.origin {
        let gap = 62_usize.saturating_sub(title.chars().count()).max(2);
        write!(out, "{:gap$}{}", "", paint.with(DIM, origin))?;
    }
    writeln!(out, "\n         {}", finding.problem)?;
    if let Some(allowed) = &finding.allowed {
        writeln!(out, "         {} {allowed}", paint.with(DIM, "allowed:"))?;
    }
    if let Some(hint) = &finding.hint {
        writeln!(out, "         {} {hint}", paint.with(GREEN, "hint:   "))?;
    }
    writeln!(out)
}

fn summary(findings: &[Finding], paint: Paint) -> String {
    let (errors, warnings) = counts(findings);
    let many =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => paint.with(GREEN, "All settings are good."),
        (0, _) => format!(
            "{}, {}.",
            paint.with(GREEN, "The broker would start"),
            many(warnings, "warning")
        ),
        (_, 0) => {
            format!("{}: {}.", paint.with(RED, "The broker would not start"), many(errors, "error"))
        }
        _ => format!(
            "{}: {}, {}.",
            paint.with(RED, "The broker would not start"),
            many(errors, "error"),
            many(warnings, "warning")
        ),
    }
}

fn counts(findings: &[Finding]) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

/// What `load` found, for programs.
#[must_use]
pub fn findings_json(loaded: &Loaded) -> Value {
    let (errors, warnings) = counts(&loaded.findings);
    json!({
        "ok": errors == 0,
        "environment": loaded.deployment,
        "sources": loaded.sources,
        "errors": errors,
        "warnings": warnings,
        "findings": loaded.findings,
    })
}
