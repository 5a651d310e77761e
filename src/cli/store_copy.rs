//! `broker store copy`: a store moves to another database.

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::secret_text::SecretText;
use crate::store::{Copied, CopyProgress, CopyStep, StoreSettings, copy};

use super::failure::Failure;
use super::settings::Ready;

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The store to copy from, which is not changed: `sqlite:PATH`, `postgres://user@host/database`, or where that is
    /// written: `env:NAME`, `file:PATH` (others of this machine see a command line, and a password in it)
    #[arg(long, value_name = "STORE")]
    from: String,
    /// The store to copy to: an empty database, a file that is not there yet, or what an earlier run began
    #[arg(long, value_name = "STORE")]
    to: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &CopyArgs, ready: &Ready, key: &str) -> Result<String, Failure> {
    let from = settings("--from", &args.from, ready)?;
    let to = settings("--to", &args.to, ready)?;
    let mut err = std::io::stderr();
    let mut shown = Shown { bar: err.is_terminal(), last: None };
    let copied = copy(&from, &to, &mut |progress| shown.show(&progress, &mut err)).await;
    shown.end(&mut err);
    let copied = copied.map_err(|error| Failure::of(&error))?;
    if args.json {
        let value = json!({
            "tables": copied.tables, "rows": total(&copied), "resumed_rows": copied.resumed_rows, "same": true,
        });
        return Ok(value.to_string());
    }
    Ok(describe(&copied, key))
}

/// A store as `store.url` names it, or where that is written.
fn settings(option: &str, text: &str, ready: &Ready) -> Result<StoreSettings, Failure> {
    let wrong = || {
        Failure::new(format!("{option} names no database this broker knows"))
            .hint("sqlite:PATH, postgres://user@host/database, env:NAME or file:PATH")
    };
    let text: SecretText = match text.split_once(':') {
        Some(("env", name)) => {
            let value = ready.environment.get(name).ok_or_else(|| {
                Failure::new(format!("{option} names the variable {name}, which is not set"))
                    .hint(format!("export {name}=…, in the shell that runs this command"))
            })?;
            value.to_owned().into()
        }
        Some(("file", path)) => {
            let read = std::fs::read_to_string(path);
            let read =
                read.map_err(|error| Failure::unreadable(&format!("{option} {path}"), &error))?;
            read.into()
        }
        _ => text.to_owned().into(),
    };
    let text = text.expose().trim();
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() && path != ":memory:" => {
            Ok(StoreSettings::Sqlite(PathBuf::from(path)))
        }
        Some(("postgres" | "postgresql", _))
            if url::Url::parse(text).is_ok_and(|url| url.has_host()) =>
        {
            Ok(StoreSettings::Postgres(text.to_owned().into()))
        }
        _ => Err(wrong()),
    }
}

fn total(copied: &Copied) -> u64 {
    copied.tables.iter().map(|table| table.rows).fold(0, u64::saturating_add)
}

fn describe(copied: &Copied, key: &str) -> String {
    let full = copied.tables.iter().filter(|table| table.rows > 0);
    let lines: Vec<_> = full
        .map(|table| format!("{:<24}{:>10}  sha256 {}\n", table.name, table.rows, table.sha256))
        .collect();
    let resumed = match copied.resumed_rows {
        0 => String::new(),
        rows => format!(", {rows} of them in an earlier run"),
    };
    format!(
        "{}{} rows{resumed}; read back from both stores and found the same\n\
         Point store.url at the new store, and start no broker on the old one any more\n{key}",
        lines.concat(),
        total(copied)
    )
}

/// How far it is, on standard error: a bar on a terminal, else a line for each table.
struct Shown {
    bar: bool,
    /// What was drawn or written last.
    last: Option<String>,
}

impl Shown {
    fn show(&mut self, progress: &CopyProgress<'_>, err: &mut dyn Write) {
        let step = match progress.step {
            CopyStep::Copying => "copying",
            CopyStep::Comparing => "comparing",
        };
        let CopyProgress { table, done, of, .. } = *progress;
        let percent = if of == 0 { 100 } else { done.saturating_mul(100).div_euclid(of).min(100) };
        let now = if self.bar {
            let full = usize::try_from(percent.div_euclid(5)).unwrap_or(20).min(20);
            let bar = format!("{:<20}", "#".repeat(full));
            format!("[{bar}] {percent:>3} %  {step} {table:<24}")
        } else {
            format!("{step} {table}")
        };
        if self.last.as_ref() == Some(&now) {
            return;
        }
        // What cannot be shown is copied all the same.
        let _ = if self.bar {
            write!(err, "\r{now}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{now} ({percent} % of {of} rows done)")
        };
        self.last = Some(now);
    }

    fn end(&self, err: &mut dyn Write) {
        if self.bar && self.last.is_some() {
            let _ = writeln!(err);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bar: bool) -> String {
        let (mut shown, mut err) = (Shown { bar, last: None }, Vec::new());
        for (table, done) in [("clients", 0), ("clients", 500), ("grants", 500), ("grants", 1000)] {
            let step = CopyStep::Copying;
            shown.show(&CopyProgress { step, table, done, of: 1000 }, &mut err);
        }
        shown.end(&mut err);
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn a_terminal_sees_a_bar_and_a_log_a_line_for_each_table() {
        let bar = shown(true);
        assert!(bar.contains("\r[##########          ]  50 %  copying clients"), "{bar}");
        assert!(bar.contains("100 %  copying grants") && bar.ends_with('\n'), "{bar}");
        let log =
            "copying clients (0 % of 1000 rows done)\ncopying grants (50 % of 1000 rows done)\n";
        assert_eq!(shown(false), log);
    }
}
