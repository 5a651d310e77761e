//! The life of a child process: started, greeted, listened to, and ended with all that it started.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::mpsc;

use crate::process::{self, Group};
use crate::secret_text::SecretText;

use super::Shared;
use super::complaints::Complaints;
use super::crowd::crowded;
use super::fault::ChildFault;
use super::greet::{self, Greeting};
use super::lines::{Lines, Next};
use super::running::{Phase, Running};
use super::too_long;
use super::wire::{self, Said};

/// Lines in a row that are no messages, until nothing more is expected of the child.
const GARBAGE: u32 = 100;
/// For a child that ended, to be read to its end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// For a child to end after its input was closed, and then after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// For a sign of life.
const PING: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug)]
enum Ending {
    /// It is not needed any more.
    Stopped,
    /// It ended by itself.
    Exited(std::process::ExitStatus),
    /// It wrote its last.
    Closed,
    /// It is of no use, for this reason.
    Useless(ChildFault),
}

/// Runs a child until it ends, and says so to everybody.
pub(super) async fn live(
    shared: Arc<Shared>,
    running: Arc<Running>,
    mut lines: mpsc::Receiver<Bytes>,
) {
    let mut probe = !shared.is_legacy();
    loop {
        let ending = run(&shared, &running, &mut lines, probe).await;
        let unknown = matches!(running.phase(), Phase::Starting);
        // Some servers of the older revisions end when the first thing that they hear is not `initialize`.
        if probe && unknown && matches!(ending, Ending::Exited(_) | Ending::Closed) {
            probe = false;
            running.desk.fail_all(ChildFault::Ended);
            while lines.try_recv().is_ok() {}
            continue;
        }
        shared.ended(&running);
        return;
    }
}

/// One process, from its start to its end.
async fn run(
    shared: &Shared,
    running: &Running,
    lines: &mut mpsc::Receiver<Bytes>,
    probe: bool,
) -> Ending {
    let (mut child, group, secrets) = match start(shared).await {
        Ok(started) => started,
        Err(fault) => {
            shared.note(running, fault, "it could not be started");
            return Ending::Useless(fault);
        }
    };
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        shared.note(running, ChildFault::NotStarted, "it has no pipes");
        return Ending::Useless(ChildFault::NotStarted);
    };
    let complaints =
        Complaints { server: &shared.settings.id, secrets: &secrets, clock: &*shared.clock };
    let mut reading = pin!(read(output, running, shared.settings.max_message_bytes));
    let ending = tokio::select! {
        () = shared.stopping.cancelled() => Ending::Stopped,
        ending = &mut reading => ending,
        ending = attend(shared, running, probe) => ending,
        status = child.wait() => status.map_or(Ending::Closed, Ending::Exited),
        () = write(&mut input, lines) => Ending::Closed,
        () = forever(complaints.listen(errors)) => Ending::Closed,
        () = crowded(group.census(), shared.settings.max_processes) => {
            Ending::Useless(ChildFault::Crowded)
        }
    };
    let retried = probe && matches!(running.phase(), Phase::Starting);
    if let Ending::Exited(_) = ending {
        // What it started holds its output open: that ends, too, and then there is an end to what can be read.
        drop(group);
        let _read_enough = tokio::time::timeout(LAST_WORDS, reading).await;
        say(shared, running, &ending, retried);
        return ending;
    }
    say(shared, running, &ending, retried);
    if let Ending::Useless(ChildFault::Crowded) = ending {
        drop(input);
        end_crowd(&mut child, group).await;
        return ending;
    }
    // Before anybody ends: of what has left the group nobody can tell afterwards whose it was.
    let census = group.census();
    let looking = tokio::task::spawn_blocking(move || census.strays());
    let found = tokio::time::timeout(LAST_WORDS, looking).await;
    let strays = found.ok().and_then(Result::ok).unwrap_or_default();
    drop(input);
    finish(&mut child, group, matches!(ending, Ending::Useless(_))).await;
    strays.kill();
    ending
}

/// Tells callers and operator, unless it is started once more at once.
fn say(shared: &Shared, running: &Running, ending: &Ending, retried: bool) {
    match ending {
        Ending::Stopped => running.end(ChildFault::Ended),
        Ending::Exited(_) | Ending::Closed if retried => {}
        Ending::Exited(status) if status.signal() == Some(process::CPU_USED_UP) => {
            shared.note(running, ChildFault::Ended, "it has used up max_cpu_seconds");
        }
        Ending::Exited(status) => shared.note(running, ChildFault::Ended, &status.to_string()),
        Ending::Closed => shared.note(running, ChildFault::Ended, "it closed its pipes"),
        Ending::Useless(fault) => shared.note(running, *fault, &fault.to_string()),
    }
}

/// Starts the program, with the secrets of its environment as they are now.
async fn start(shared: &Shared) -> Result<(Child, Group, Vec<SecretText>), ChildFault> {
    let settings = &shared.settings;
    let mut values = Vec::new();
    for (name, held) in &settings.environment {
        let value = held.read(&shared.clock).await.map_err(|_| ChildFault::NoSecret)?;
        values.push((name.as_str(), value));
    }
    let base = [("PATH", process::PATH), ("HOME", "/nonexistent"), ("LANG", "C.UTF-8")];
    let base = base.into_iter().map(|(name, value)| (name, OsStr::new(value)));
    let own = values.iter().map(|(name, value)| (*name, OsStr::new(value.expose())));
    let arguments = settings.arguments.iter().map(String::as_str);
    let (program, directory) = (&settings.program, &settings.directory);
    let mut command = process::command(program, arguments, base.chain(own), directory);
    let child = process::spawn(command.stdin(std::process::Stdio::piped()));
    let child = child.map_err(|error| {
        let server = &*settings.id;
        tracing::warn!(server, error = &error as &dyn std::error::Error, "upstream.not_started");
        ChildFault::NotStarted
    })?;
    // Where it cannot be limited it is not kept: dropped, it ends, with what it has started.
    let (group, limits) = (Group::of(&child), settings.limits);
    let census = group.census();
    let limited = match process::limit(&child, &limits) {
        // What it has started since.
        Ok(()) => tokio::task::spawn_blocking(move || census.limit(&limits)).await,
        Err(error) => Ok(Err(error)),
    };
    limited.unwrap_or_else(|error| Err(error.into())).map_err(|error| {
        let server = &*settings.id;
        tracing::warn!(server, error = &error as &dyn std::error::Error, "upstream.not_limited");
        ChildFault::NotStarted
    })?;
    let secrets = values.into_iter().zip(&settings.environment);
    let secrets = secrets.filter(|(_, (_, held))| held.is_secret()).map(|((_, value), _)| value);
    Ok((child, group, secrets.collect()))
}

/// Greets the child, and then looks whether it lives whenever somebody doubts it.
async fn attend(shared: &Shared, running: &Running, probe: bool) -> Ending {
    let limit = shared.settings.start_timeout;
    let greeted = tokio::time::timeout(limit, greet::greet(running, probe, limit / 3)).await;
    let greeting = match greeted {
        Ok(Ok(greeting)) => Arc::new(greeting),
        // It ends for another reason, which is about to be noticed.
        Ok(Err(ChildFault::Ended)) => return std::future::pending().await,
        Ok(Err(fault)) => return Ending::Useless(fault),
        Err(_elapsed) => return Ending::Useless(ChildFault::NotReady),
    };
    shared.ready(matches!(*greeting, Greeting::Legacy(_)));
    running.is_ready(Arc::clone(&greeting));
    loop {
        running.doubted.notified().await;
        let sign = tokio::time::timeout(PING.min(limit), greet::ping(running, &greeting)).await;
        if sign.is_err() {
            return Ending::Useless(ChildFault::Silent);
        }
    }
}

/// Hands each message to whom it is for.
async fn read(output: impl AsyncRead + Unpin, running: &Running, longest: usize) -> Ending {
    let mut lines = Lines::new(output, longest);
    let mut garbage = 0;
    loop {
        let line = match lines.next().await {
            Next::Line(line) => line,
            Next::TooLong(beginning, end) => {
                match too_long::whose(&beginning, &end) {
                    Some(number) => running.desk.fail(number, ChildFault::TooLarge),
                    // Whose answer it was stands in what was thrown away.
                    None => running.desk.fail_all(ChildFault::TooLarge),
                }
                continue;
            }
            Next::Endless => return Ending::Useless(ChildFault::TooLarge),
            Next::End => return Ending::Closed,
        };
        match Said::read(&line) {
            Ok(said) => {
                garbage = 0;
                hand_on(running, said);
            }
            Err(wire::Garbage) if line.iter().all(u8::is_ascii_whitespace) => {}
            Err(wire::Garbage) => {
                garbage += 1;
                if garbage >= GARBAGE {
                    return Ending::Useless(ChildFault::Garbage);
                }
            }
        }
    }
}

fn hand_on(running: &Running, said: Said<'_>) {
    let desk = &running.desk;
    match said {
        Said::Answer(number, outcome) => desk.answer(number, outcome),
        Said::Progress(number, params) => desk.progress(number, params),
        Said::Heard(number, method, params) => desk.heard(number, &method, params),
        Said::Cancelled(number) => desk.cancelled(number),
        Said::Request(id, method) => running.mention(wire::reply(id, &method)),
        Said::Unrelated => {}
    }
}

/// Writes line after line. A child that does not read keeps it waiting; one that reads no more is given up.
async fn write(mut input: impl AsyncWrite + Unpin, lines: &mut mpsc::Receiver<Bytes>) {
    while let Some(line) = lines.recv().await {
        if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
            // What it wrote before may still be there to be read.
            return std::future::pending().await;
        }
    }
}

async fn forever(task: impl Future<Output = ()>) {
    task.await;
    std::future::pending::<()>().await;
}

/// Waits for a child whose input is closed, asks it to end, and then does not ask any more (MCP stdio, Shutdown).
async fn finish(child: &mut Child, group: Group, at_once: bool) {
    let ended = !at_once && tokio::time::timeout(GRACE, child.wait()).await.is_ok();
    if !ended {
        group.terminate();
        if tokio::time::timeout(GRACE, child.wait()).await.is_ok() {
            return;
        }
    }
    drop(group);
    let _its_status = child.wait().await;
}

/// Kills all of them at the same time: whoever is asked to end, or is left over, starts others meanwhile. So each is stopped
/// before, until no other is found.
async fn end_crowd(child: &mut Child, group: Group) {
    let census = group.census();
    let mut halting = tokio::task::spawn_blocking(move || census.halt());
    let halted = tokio::time::timeout(LAST_WORDS, &mut halting).await;
    // Where that takes long there may be no room for the thread that does it: this makes some.
    drop(group);
    let strays = match halted {
        Ok(strays) => strays,
        Err(_elapsed) => halting.await,
    };
    strays.unwrap_or_default().kill();
    // Not before: its number would be free for another, whose group would be stopped.
    let _its_status = child.wait().await;
}
