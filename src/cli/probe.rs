//! `broker health` and `broker ready`: ask a running broker and print what it says.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use url::Url;

use crate::outbound::{Call, Limits};

use super::failure::Failure;
use super::running::Running;

/// Options of both probes.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Where the broker is [default: the configured listen address]
    #[arg(long)]
    url: Option<Url>,
    /// How long to wait for the answer, in milliseconds
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
    /// Changes nothing: JSON is the only form
    #[arg(long = "json")]
    _json: bool,
}

impl ProbeArgs {
    /// The broker that is named, if one is.
    pub(super) const fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }
}

/// Prints the JSON of `path`; exit code 0 when it answered 200, 1 otherwise.
pub(super) async fn run(
    args: &ProbeArgs,
    broker: &Running,
    path: &str,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let limits = Limits { timeout: Duration::from_millis(args.timeout_ms), max_bytes: 1024 * 1024 };
    let answer = broker.send(Call::get(broker.below(path)), limits).await?;
    out.write_all(&answer.body).and_then(|()| out.write_all(b"\n")).map_err(Failure::output)?;
    Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
