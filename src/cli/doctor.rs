//! `broker doctor`: a deployment from the outside in, and what to do about what is not well.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::app::{self, Area, Client, Step, Verdict};
use crate::config::{Finding, Severity, Sources, load};
use crate::time::SystemClock;

use super::failure::Failure;
use super::settings::secret_variables;

/// Run it where the broker runs, with its settings and variables.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Instead, take the steps that this client takes until it would ask a person, and explain the first that fails
    #[arg(long, value_name = "CLIENT", value_parser = clients())]
    as_client: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints every step. Exit code 0: nothing is bad; 1: something is.
pub(super) async fn run(
    args: &DoctorArgs,
    sources: Sources,
    out: &mut dyn Write,
    colour: bool,
) -> Result<ExitCode, Failure> {
    let loaded = load(sources);
    let findings = loaded.findings.iter();
    let mut steps: Vec<Told> = findings.map(Told::finding).collect();
    if let Some(config) = &loaded.config {
        if steps.is_empty() {
            steps.push(Told::good(format!("good, for {}", config.deployment.as_str())));
        }
        let variables = secret_variables(&loaded.environment);
        let found = match &args.as_client {
            Some(name) => {
                let known = Client::all().find(|known| known.name == name);
                let client = known.ok_or_else(|| {
                    Failure::new("there is no such client").hint("broker doctor --help lists them")
                })?;
                app::as_client(config, client, &SystemClock).await
            }
            None => app::doctor(config, variables, Arc::new(SystemClock)).await,
        };
        steps.extend(found.into_iter().map(Told::step));
    }
    let colour = colour && !loaded.environment.no_color();
    let written = if args.json { print_json(out, &steps) } else { print(out, &steps, colour) };
    written.map_err(Failure::output)?;
    let bad = steps.iter().any(|told| told.step.verdict == Verdict::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn clients() -> PossibleValuesParser {
    PossibleValuesParser::new(Client::all().map(|client| client.name))
}

/// A step, and the setting that it is about in the words of the settings file.
struct Told {
    step: Step,
    key: Option<String>,
}

impl Told {
    fn step(step: Step) -> Self {
        Self { key: step.key.as_deref().map(str::to_owned), step }
    }

    fn good(found: String) -> Self {
        Self::step(Step::of_settings(Verdict::Good, found, None, None))
    }

    fn finding(finding: &Finding) -> Self {
        let verdict = match finding.severity {
            Severity::Error => Verdict::Bad,
            Severity::Warning => Verdict::Warning,
        };
        let found = match &finding.found {
            Some(found) => format!("{found} {}", finding.problem),
            None => finding.problem.clone(),
        };
        let (allowed, hint) = (finding.allowed.clone(), finding.hint.clone());
        let step = Step::of_settings(verdict, found, allowed, hint);
        Self { step, key: Some(finding.key.clone()) }
    }
}

fn print_json(out: &mut dyn Write, steps: &[Told]) -> io::Result<()> {
    let shown = steps.iter().map(|Told { step, key }| {
        let mut shown = serde_json::to_value(step).unwrap_or_default();
        if let (Some(members), Some(key)) = (shown.as_object_mut(), key) {
            members.insert("key".to_owned(), json!(key));
        }
        shown
    });
    let shown: Vec<_> = shown.collect();
    let good = steps.iter().all(|told| told.step.verdict != Verdict::Bad);
    writeln!(out, "{:#}", json!({ "good": good, "steps": shown }))
}

fn print(out: &mut dyn Write, steps: &[Told], colour: bool) -> io::Result<()> {
    for Told { step, key } in steps {
        let (word, code) = match step.verdict {
            Verdict::Good => ("good", "\x1b[32m"),
            Verdict::Warning => ("warning", "\x1b[1;33m"),
            Verdict::Bad => ("BAD", "\x1b[1;31m"),
            Verdict::Skipped => ("-", "\x1b[2m"),
        };
        let (on, off) = if colour { (code, "\x1b[0m") } else { ("", "") };
        let gap = " ".repeat(8_usize.saturating_sub(word.len()));
        writeln!(out, "{on}{word}{off}{gap} {:<18} {}", words(step.area), step.found)?;
        let more = [
            ("setting:", key.as_deref()),
            ("allowed:", step.allowed.as_deref()),
            ("hint:", step.hint.as_deref()),
            ("then:", step.then.as_deref()),
        ];
        let good = step.verdict == Verdict::Good;
        for (name, text) in more.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            if !good {
                writeln!(out, "{:28}{name:<9}{text}", "")?;
            }
        }
    }
    let count = |verdict| steps.iter().filter(|told| told.step.verdict == verdict).count();
    let (bad, warnings) = (count(Verdict::Bad), count(Verdict::Warning));
    writeln!(out, "\n{bad} bad, {warnings} to be seen to, {} good", count(Verdict::Good))
}

const fn words(area: Area) -> &'static str {
    match area {
        Area::Settings => "settings",
        Area::Dns => "DNS",
        Area::PublicUrl => "public URL",
        Area::ProxyHeaders => "proxy headers",
        Area::Tls => "TLS",
        Area::Clock => "clock",
        Area::Store => "store",
        Area::Keys => "keys",
        Area::Policy => "policy",
        Area::Secrets => "secrets",
        Area::IdentityProviders => "identity providers",
        Area::Servers => "servers",
        Area::Graph => "Graph",
        Area::Disk => "disk",
        Area::Limits => "limits",
        Area::Client => "client",
    }
}
