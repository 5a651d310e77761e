//! `broker health` and `broker ready`: ask a running broker and print what it says.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use url::Url;

use crate::outbound::{Call, Limits, Outbound, OutboundSettings, PrivateTarget};

use super::failure::Failure;

/// Options of both probes.
#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Where the broker is [default: the configured listen address]
    #[arg(long)]
    url: Option<Url>,
    /// How long to wait for the answer, in milliseconds
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
}

/// Prints the JSON of `path`; exit code 0 when it answered 200, 1 otherwise.
pub(super) async fn run(
    args: &ProbeArgs,
    configured: &Url,
    path: &str,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let base = args.url.as_ref().unwrap_or(configured);
    let url = below(base, path);
    let limits = Limits { timeout: Duration::from_millis(args.timeout_ms), max_bytes: 1024 * 1024 };
    let client = client(&url)?;
    let answer = client.send(Call::get(url), limits).await.map_err(|error| {
        Failure::new(error.to_string())
            .hint("is the broker running? Name another address with --url")
    })?;
    out.write_all(&answer.body).and_then(|()| out.write_all(b"\n")).map_err(Failure::output)?;
    Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `path` below `base`, which may have a path of its own.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// A client for a host that the operator names: whatever its address is, it is meant.
pub(super) fn client(url: &Url) -> Result<Outbound, Failure> {
    let host = url.host_str().unwrap_or_default();
    let allow_private =
        [host, "0.0.0.0/0", "::/0"].into_iter().flat_map(str::parse::<PrivateTarget>).collect();
    let settings = OutboundSettings { allow_private, ..OutboundSettings::default() };
    Outbound::new(&settings).map_err(|error| Failure::of(&error))
}
