//! Runs a helper program as if it were hostile: no inherited environment, no shell, bounded in time and output.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use zeroize::Zeroizing;

use crate::process::{self, Group};

use super::error::{Detail, Fault};
use super::value::MAX_BYTES;

/// How much of what a helper complains is looked at.
const MAX_COMPLAINT_BYTES: usize = 8 * 1024;

/// What to run. There is no `Debug`: the environment holds a token.
pub(super) struct Program<'a> {
    pub(super) path: &'a Path,
    pub(super) arguments: &'a [&'a str],
    /// The whole environment; nothing is inherited.
    pub(super) environment: &'a [(&'a str, &'a std::ffi::OsStr)],
}

/// What came out of it. Either text may hold a secret: neither is ever shown.
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Zeroizing<Vec<u8>>,
    /// The first 8 KiB; the rest was read and thrown away.
    pub(super) stderr: Zeroizing<Vec<u8>>,
}

/// Runs a program to its end. It and whatever it started die when this ends, however it ends:
/// finished, out of time, too loud, or dropped.
///
/// # Errors
///
/// - [`Detail::CliEnvironment`]: it cannot be started
/// - [`Fault::Timeout`]: it did not finish
/// - [`Detail::Malformed`]: it wrote more than 64 KiB (and one line end)
pub(super) async fn run(program: &Program<'_>, limit: Duration) -> Result<Output, Fault> {
    let mut child = spawn(program)?;
    let _group = Group::of(&child);
    match tokio::time::timeout(limit, finish(&mut child)).await {
        Ok(output) => output,
        Err(_elapsed) => Err(Fault::Timeout(limit)),
    }
}

fn spawn(program: &Program<'_>) -> Result<Child, Fault> {
    let arguments = program.arguments.iter().copied();
    let environment = program.environment.iter().copied();
    let mut command = process::command(program.path, arguments, environment, Path::new("/"));
    process::spawn(&mut command).map_err(|_error| Fault::Unavailable(Detail::CliEnvironment, None))
}

async fn finish(child: &mut Child) -> Result<Output, Fault> {
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Fault::Unavailable(Detail::CliEnvironment, None));
    };
    let said = async {
        let said = start_of(&mut stdout, MAX_BYTES + 2).await?;
        if said.len() > MAX_BYTES + 1 { Err(Fault::MALFORMED) } else { Ok(said) }
    };
    let complained = async {
        let start = start_of(&mut stderr, MAX_COMPLAINT_BYTES).await?;
        // A helper that blocks on a full pipe would never end.
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.map_err(broken)?;
        Ok(start)
    };
    let (stdout, stderr) = tokio::try_join!(said, complained)?;
    let status = child.wait().await.map_err(broken)?;
    Ok(Output { status, stdout, stderr })
}

/// Reads up to `most` bytes into memory that is zeroed, allocated once so that no copy stays behind.
async fn start_of(
    stream: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    while bytes.len() < most {
        let mut rest = (&mut *stream).take((most - bytes.len()) as u64);
        if rest.read_buf(&mut *bytes).await.map_err(broken)? == 0 {
            break;
        }
    }
    Ok(bytes)
}

fn broken(_error: std::io::Error) -> Fault {
    Fault::Unavailable(Detail::CliEnvironment, None)
}
