//! The real binary as a process of its own, for what only a process shows: signals, exit codes, logs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::audit::LIMIT;
use super::free_port::free_port;
use super::raw_http::{self, Answer, Request};
use super::until::until;

/// A running `broker serve` with its files in a directory. Killed when dropped.
pub(crate) struct Served {
    process: Child,
    directory: PathBuf,
    pub(crate) authority: String,
}

impl Served {
    /// Starts with this `broker.toml` and these variables alone, and waits until `/health` answers.
    pub(crate) async fn start(
        directory: &Path,
        settings: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::start_by(directory, settings, |mut command| {
            command.envs(variables.iter().copied());
            command
        })
        .await
    }

    /// The same with what it prints in a pipe that nobody reads, and every event on its way there and to the file. The
    /// pipe's other end is the second.
    pub(crate) async fn start_unread(
        directory: &Path,
        settings: &str,
    ) -> (Self, std::io::PipeReader) {
        let (unread, output) = std::io::pipe().unwrap();
        let log = directory.join("audit.jsonl").display().to_string();
        let sinks =
            format!("audit.sink=[{{ kind = \"stdout\" }}, {{ kind = \"file\", path = {log:?} }}]");
        let served = Self::start_by(directory, settings, |mut command| {
            command.args(["--set", &sinks]).stdout(output);
            command
        });
        (served.await, unread)
    }

    /// The same where another broker answers at that address still: it is not waited for.
    pub(crate) fn start_at(
        directory: &Path,
        settings: &str,
        (authority, store): (&str, &str),
    ) -> Self {
        let at_store = |mut command: Command| {
            command.args(["--set", &format!("store.url={store}")]);
            command
        };
        Self::spawn(directory, settings, authority.to_owned(), at_store)
    }

    /// The same on another store.
    pub(crate) async fn start_on(directory: &Path, settings: &str, store: &str) -> Self {
        Self::start_by(directory, settings, |mut command| {
            command.args(["--set", &format!("store.url={store}")]);
            command
        })
        .await
    }

    async fn start_by(
        directory: &Path,
        settings: &str,
        change: impl FnOnce(Command) -> Command,
    ) -> Self {
        let mut served = Self::spawn(directory, settings, free_port().to_string(), change);
        until("it listens", async || {
            let ended = served.process.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", served.stderr());
            tokio::net::TcpStream::connect(&served.authority).await.ok()
        })
        .await;
        served
    }

    fn spawn(
        directory: &Path,
        settings: &str,
        authority: String,
        change: impl FnOnce(Command) -> Command,
    ) -> Self {
        std::fs::write(directory.join("broker.toml"), settings).unwrap();
        let log = std::fs::File::create(directory.join("stderr")).unwrap();
        let mut command = broker(directory, &authority, &[]);
        command.stdout(Stdio::null());
        let mut command = change(command);
        let process = command.arg("serve").stderr(log).spawn().unwrap();
        Self { process, directory: directory.to_owned(), authority }
    }

    /// Starts so that a write past the end of what [`Served::limit_files`] allows fails instead of ending it.
    pub(crate) async fn start_on_a_small_disk(directory: &Path, settings: &str) -> Self {
        Self::start_by(directory, settings, |command| {
            let mut shell = Command::new("sh");
            shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program());
            shell.args(command.get_args()).current_dir(directory).env_clear().stdout(Stdio::null());
            shell
        })
        .await
    }

    /// Starts by another program, which becomes the broker or has it for its child.
    pub(crate) async fn start_by_way_of(directory: &Path, settings: &str, way: &[&str]) -> Self {
        Self::start_by(directory, settings, |command| {
            let [program, arguments @ ..] = way else { return command };
            let mut other = Command::new(program);
            other.args(arguments).arg(command.get_program()).args(command.get_args());
            other.current_dir(directory).env_clear().stdout(Stdio::null());
            other
        })
        .await
    }

    /// No file may grow past this many bytes: a write there fails, as one on a full disk does.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let id = self.process.id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        assert!(Command::new("prlimit").args([&limit, "--pid", &id]).status().unwrap().success());
    }

    /// A token that `broker token mint` makes for this broker.
    pub(crate) fn mint(&self, scopes: &str) -> String {
        self.mint_for("ada", scopes)
    }

    /// The same for somebody else.
    pub(crate) fn mint_for(&self, subject: &str, scopes: &str) -> String {
        self.minted(&["--sub", subject, "--scope", scopes])
    }

    fn minted(&self, arguments: &[&str]) -> String {
        let mut command = broker(&self.directory, &self.authority, &[]);
        command.args(["token", "mint"]).args(arguments);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let token = text.lines().find_map(|line| line.strip_prefix("Token: "));
        token.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    }

    /// The same for another of its resources.
    pub(crate) fn mint_at(&self, resource: &str, scopes: &str) -> String {
        self.minted(&["--sub", "ada", "--scope", scopes, "--resource", resource])
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        raw_http::exchange(&self.authority, &request.bytes(&self.authority)).await
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "{}", self.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.directory.join("stderr")).unwrap()
    }

    pub(crate) fn audit_lines(&self) -> Vec<String> {
        super::audit::lines(&self.directory.join("audit.jsonl"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Runs a command to its end, with its files in `directory`.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> std::process::Output {
    broker(directory, "127.0.0.1:8080", &[]).args(arguments).output().unwrap()
}

/// One that is under way, to be killed. Nobody reads what it prints.
pub(crate) fn spawned(directory: &Path, arguments: &[&str]) -> Child {
    let mut command = broker(directory, "127.0.0.1:8080", &[]);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The same beside a broker that listens there, whose name is part of what people and tokens are called.
pub(crate) fn command_beside(
    directory: &Path,
    authority: &str,
    arguments: &[&str],
) -> std::process::Output {
    broker(directory, authority, &[]).args(arguments).output().unwrap()
}

/// The same with variables of the environment.
pub(crate) fn command_with(
    directory: &Path,
    authority: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> std::process::Output {
    broker(directory, authority, variables).args(arguments).output().unwrap()
}

/// The same started by another program, which becomes it.
pub(crate) fn command_by_way_of(
    directory: &Path,
    way: &[&str],
    arguments: &[&str],
) -> std::process::Output {
    let command = broker(directory, "127.0.0.1:9", &[]);
    let [program, rest @ ..] = way else { unreachable!() };
    let mut other = Command::new(program);
    other.args(rest).arg(command.get_program()).args(command.get_args()).args(arguments);
    other.current_dir(directory).output().unwrap()
}

fn broker(directory: &Path, authority: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    let log = directory.join("audit.jsonl").display().to_string();
    command
        .current_dir(directory)
        .env_clear()
        .envs(variables.iter().copied())
        .args(["--set", &format!("server.listen={authority}")])
        .args(["--set", &format!("store.url=sqlite:{}/data/broker.db", directory.display())])
        .args([
            "--set",
            &format!("audit.sink=[{{ kind = \"file\", path = {log:?}, durable = true }}]"),
        ]);
    command
}
