//! `broker policy test`: cases in a file, what each expects, and which rules and conditions they reach.

mod coverage;
mod file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::app::{self, PolicySource};
use crate::id::Issuer;
use crate::policy::{Decision, Explanation, Moment, Policy};

use super::{Console, print, rules, source};
use crate::cli::failure::Failure;
use crate::cli::settings::Ready;

use coverage::Coverage;
use file::{Case, Cases, Expect};

pub(in crate::cli::policy) use file::callers;

/// Which cases, and of which rules.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Files of cases
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The rules to test [default: those that the file names, else the configured ones]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Fail unless the cases reach every rule, and each part of each condition both true and false
    #[arg(long)]
    full_coverage: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What became of one case.
#[derive(Serialize)]
struct Verdict {
    name: String,
    line: usize,
    passed: bool,
    said: String,
    reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<String>,
}

/// What became of one file.
struct Tested {
    file: PathBuf,
    verdicts: Vec<Verdict>,
    coverage: Coverage,
}

pub(super) fn run(
    args: &TestArgs,
    ready: &Ready,
    console: &mut Console<'_>,
) -> Result<ExitCode, Failure> {
    let source = source(ready)?;
    let issuer = app::issuer(&ready.config).parse().map_err(|error| Failure::of(&error))?;
    let mut passed = true;
    let mut all = Vec::new();
    for file in &args.files {
        let tested = test(args, &source, &issuer, file)?;
        passed &= tested.verdicts.iter().all(|verdict| verdict.passed);
        passed &= !args.full_coverage || tested.coverage.is_full();
        if args.json {
            all.push(as_json(&tested));
        } else {
            print(console, for_people(&tested).trim_end())?;
        }
    }
    if args.json {
        let all = json!({ "passed": passed, "files": all });
        print(console, &serde_json::to_string_pretty(&all).unwrap_or_default())?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn test(
    args: &TestArgs,
    source: &PolicySource,
    issuer: &Issuer,
    file: &Path,
) -> Result<Tested, Failure> {
    let cases = Cases::read(file, issuer)?;
    let policy = rules(source, args.policy.as_deref().or(cases.policy.as_deref()))?;
    let mut coverage = Coverage::of(&policy);
    let verdicts = cases
        .cases
        .iter()
        .map(|case| {
            let explanation = decide(&policy, case);
            coverage.add(&explanation);
            verdict(&policy, case, &explanation.decision)
        })
        .collect();
    Ok(Tested { file: file.to_owned(), verdicts, coverage })
}

fn decide(policy: &Policy, case: &Case) -> Explanation {
    case.wanted.ask(case.asker.who(), Moment::at(case.at), |ask| policy.explain(ask))
}

fn verdict(policy: &Policy, case: &Case, decision: &Decision) -> Verdict {
    let said = said(decision);
    let mut differences = Vec::new();
    let mut compare = |what: &str, expected: Option<&str>, found: &str| {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            differences.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    // A refusal that another log-in undoes is one that no scope undoes.
    let expected = match (case.expect, said) {
        (Some(Expect::Deny), Expect::Login) => Some(said),
        (expected, _) => expected,
    };
    compare("decision", expected.map(Expect::as_str), said.as_str());
    let rule = decision.matched_rule_id.as_ref().map_or("none", |rule| rule.as_str());
    compare("rule", case.rule.as_deref(), rule);
    let missing = decision.missing_scopes.to_string();
    compare("missing", case.missing.as_deref(), &missing);
    if let Some(listed) = case.listed {
        let found = case.wanted.is_listed(policy, case.asker.who(), Moment::at(case.at));
        compare("listed", Some(&listed.to_string()), &(found == Some(true)).to_string());
    }
    Verdict {
        name: case.name.clone(),
        line: case.line,
        passed: differences.is_empty(),
        said: said.as_str().to_owned(),
        reason: decision.reason.to_string(),
        differences,
    }
}

/// What the caller meets: a step-up, or another log-in, is a refusal that it can undo.
fn said(decision: &Decision) -> Expect {
    if decision.can_step_up() {
        Expect::StepUp
    } else if decision.needs_login() {
        Expect::Login
    } else {
        decision.effect.into()
    }
}

fn for_people(tested: &Tested) -> String {
    use std::fmt::Write as _;

    let file = tested.file.display();
    let mut text = String::new();
    for verdict in tested.verdicts.iter().filter(|verdict| !verdict.passed) {
        writeln!(text, "{file}:{}: {}: failed", verdict.line, verdict.name).ok();
        for difference in &verdict.differences {
            writeln!(text, "  {difference}").ok();
        }
        writeln!(text, "  decided: {} by {}", verdict.said, verdict.reason).ok();
    }
    let passed = tested.verdicts.iter().filter(|verdict| verdict.passed).count();
    let total = tested.verdicts.len();
    writeln!(text, "{file}: {passed} of {total} cases passed; {}", tested.coverage.summary()).ok();
    for gap in tested.coverage.gaps() {
        writeln!(text, "  not reached: {gap}").ok();
    }
    text
}

fn as_json(tested: &Tested) -> serde_json::Value {
    json!({
        "file": tested.file,
        "cases": tested.verdicts,
        "coverage": tested.coverage.as_json(),
    })
}
