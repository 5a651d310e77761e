//! `broker audit`: follow the log, verify its chain, export a part of it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::audit::{Anchor, Report, segments, verify};

use super::failure::Failure;

/// Look at the audit log.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The log file; default: the first file sink of the configuration.
    #[arg(long, global = true)]
    pub file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the last events.
    Tail(TailArgs),
    /// Check the hash chain. Exit 0: intact; 1: broken, the first bad line named.
    Verify(VerifyArgs),
    /// Print the events of a span of time.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct TailArgs {
    /// How many events to begin with.
    #[arg(long, short = 'n', default_value_t = 10)]
    pub lines: usize,
    /// Go on with events as they come.
    #[arg(long, short)]
    pub follow: bool,
    /// Changes nothing: events are JSON, one a line.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[arg(long)]
    pub json: bool,
    /// A line noted earlier, as SEQ:HASH: shows lines cut off the end, and a chain made anew.
    #[arg(long)]
    pub anchor: Option<Anchor>,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// From this time on, such as 2026-11-21T00:00:00Z.
    #[arg(long)]
    pub from: Option<jiff::Timestamp>,
    /// Up to, not including, this time.
    #[arg(long)]
    pub to: Option<jiff::Timestamp>,
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// The same as `--format jsonl`.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Jsonl,
    Csv,
}

/// Where a command writes, and whether a person reads it.
#[expect(missing_debug_implementations, reason = "writers have no Debug")]
pub struct Console<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    pub out_is_terminal: bool,
    pub err_is_terminal: bool,
}

/// Runs one command. `configured` is the path of the configured file sink.
pub fn run(args: &AuditArgs, configured: Option<&Path>, console: &mut Console<'_>) -> ExitCode {
    let Some(path) = args.file.as_deref().or(configured) else {
        let failure = Failure::new("no audit log file is configured").hint("name one with --file");
        writeln!(console.err, "{failure}").ok();
        return ExitCode::FAILURE;
    };
    let result = match &args.command {
        AuditCommand::Tail(tail) => run_tail(path, tail, console),
        AuditCommand::Verify(verify) => run_verify(path, verify, console),
        AuditCommand::Export(export) => run_export(path, export, console),
    };
    match result {
        Ok(code) => code,
        // `broker audit tail | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(console.err, "{}", Failure::unreadable(&path.display(), &error)).ok();
            ExitCode::FAILURE
        }
    }
}

fn run_tail(path: &Path, args: &TailArgs, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let mut current = File::open(path)?;
    let mut last = std::collections::VecDeque::new();
    let mut reader = BufReader::new(&mut current);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        last.push_back(std::mem::take(&mut line));
        if last.len() > args.lines {
            last.pop_front();
        }
    }
    for line in last {
        print_line(console, &line)?;
    }
    if args.follow { follow(path, current, line, console) } else { Ok(ExitCode::SUCCESS) }
}

/// Prints whole lines as they come, across rotations, until it is interrupted.
fn follow(
    path: &Path,
    mut file: File,
    mut rest: Vec<u8>,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    loop {
        // Looked at before reading: what was added to a file just before it was replaced is read too.
        let moved = fs::metadata(path).map_or(0, |now| now.ino()) != file.metadata()?.ino();
        file.read_to_end(&mut rest)?;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            print_line(console, &line)?;
        }
        console.out.flush()?;
        match File::open(path) {
            Ok(next) if moved => (file, rest) = (next, Vec::new()),
            Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// As it is for programs; on a terminal, what could steer it or turn the text around is escaped.
fn print_line(console: &mut Console<'_>, line: &[u8]) -> io::Result<()> {
    if !console.out_is_terminal {
        return console.out.write_all(line);
    }
    for c in String::from_utf8_lossy(line).chars() {
        let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n') || bidi {
            write!(console.out, "{}", c.escape_unicode())?;
        } else {
            write!(console.out, "{c}")?;
        }
    }
    Ok(())
}

fn run_verify(path: &Path, args: &VerifyArgs, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let files = files(path)?;
    let total: u64 = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|m| m.len()).sum();
    let (mut read, mut shown) = (0_u64, 0);
    let show = console.err_is_terminal && total > 64 << 20;
    let report = verify(path, args.anchor, &mut |bytes| {
        read += bytes;
        let percent = read.saturating_mul(100) / total.max(1);
        if show && percent > shown {
            shown = percent;
            write!(console.err, "\rverifying {percent:3} %").ok();
        }
    })?;
    if show {
        writeln!(console.err).ok();
    }
    if args.json {
        serde_json::to_writer(&mut *console.out, &report)?;
        writeln!(console.out)?;
    } else {
        print_report(&report, args.anchor.is_some(), console.out)?;
    }
    Ok(if report.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The log with what was rotated out of it; a name that nothing has is no empty log.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let files = segments(path)?;
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such file"));
    }
    Ok(files)
}

fn print_report(report: &Report, anchored: bool, out: &mut dyn Write) -> io::Result<()> {
    for repair in &report.repaired {
        let (file, bytes) = (repair.file.display(), repair.torn_bytes);
        writeln!(out, "note: {file} ends in a torn line of {bytes} bytes, noted by the broker")?;
    }
    if let Some(first) = report.first_seq.filter(|first| *first > 1) {
        writeln!(out, "note: the log begins at seq {first}; what was before is gone")?;
    }
    if let Some(bad) = &report.bad {
        return writeln!(out, "broken: {}:{}: {}", bad.file.display(), bad.line, bad.fault);
    }
    if !report.intact && anchored {
        return writeln!(out, "broken: the anchored line is not in the log");
    }
    let (lines, files) = (report.lines, report.files);
    writeln!(out, "intact: {lines} lines in {files} files")?;
    match (report.last_seq, &report.last_hash) {
        (Some(seq), Some(hash)) => writeln!(out, "anchor: {seq}:{hash}"),
        _ => Ok(()),
    }
}

/// The columns of the CSV form; the rest of an event is in `payload`, as JSON.
const COLUMNS: [&str; 9] = [
    "occurred_at",
    "event_type",
    "request_id",
    "trace_id",
    "requester_id",
    "client_id",
    "environment",
    "event_id",
    "payload",
];

fn run_export(path: &Path, args: &ExportArgs, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let files = files(path)?;
    if args.format == ExportFormat::Csv {
        writeln!(console.out, "{}", COLUMNS.join(","))?;
    }
    let mut skipped = 0_u64;
    for file in files {
        for line in BufReader::new(File::open(file)?).split(b'\n') {
            let line = line?;
            let Ok(event) = serde_json::from_slice::<Value>(&line) else {
                skipped += 1;
                continue;
            };
            if !is_within(&event, args) {
                continue;
            }
            match args.format {
                ExportFormat::Jsonl => {
                    console.out.write_all(&line)?;
                    writeln!(console.out)?;
                }
                ExportFormat::Csv => write_row(console.out, &event)?,
            }
        }
    }
    console.out.flush()?;
    if skipped > 0 {
        writeln!(console.err, "warning: {skipped} lines are not JSON and were left out")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_within(event: &Value, args: &ExportArgs) -> bool {
    if args.from.is_none() && args.to.is_none() {
        return true;
    }
    let time = event.get("occurred_at").and_then(Value::as_str);
    let time = time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time.is_some_and(|time| {
        args.from.is_none_or(|from| time >= from) && args.to.is_none_or(|to| time < to)
    })
}

fn write_row(out: &mut dyn Write, event: &Value) -> io::Result<()> {
    let cells = COLUMNS.map(|column| match event.get(column) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cell(text),
        Some(other) => cell(&other.to_string()),
    });
    writeln!(out, "{}", cells.join(","))
}

/// One quoted CSV cell (RFC 4180 §2) that no spreadsheet takes for a formula (OWASP, CSV injection):
/// callers choose some of these texts.
fn cell(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(log: &str, args: &ExportArgs) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, log).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            out_is_terminal: false,
            err_is_terminal: false,
        };
        run_export(&path, args, &mut console).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_exported_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r1", "＝1"] {
            assert!(cell(text).starts_with("\"'"), "{text}");
        }
        assert_eq!(cell("say \"hi\", ada"), "\"say \"\"hi\"\", ada\"");
    }

    #[test]
    fn an_export_is_from_a_time_up_to_another() {
        let log = "{\"occurred_at\":\"2026-11-21T00:00:00.000Z\",\"n\":1}\n\
                   {\"occurred_at\":\"2026-11-22T00:00:00.000Z\",\"n\":2}\n";
        let from = "2026-11-21T00:00:00Z".parse().ok();
        let to = "2026-11-22T00:00:00Z".parse().ok();
        let found = export(log, &ExportArgs { from, to, format: ExportFormat::Jsonl, json: true });
        assert!(found.contains("\"n\":1") && !found.contains("\"n\":2"), "{found}");
    }

    #[test]
    fn a_terminal_is_not_steered_by_a_logged_text() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console =
            Console { out: &mut out, err: &mut err, out_is_terminal: true, err_is_terminal: true };
        print_line(&mut console, "a\u{9b}31m\u{202e}b\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\\u{9b}31m\\u{202e}b\n");
    }
}
