//! One throw-away PostgreSQL for all tests of this process; it ends with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Cluster {
    folder: String,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _child: Child,
}

impl Cluster {
    /// By `BROKER_TEST_POSTGRES`, else by the script of this repository, which also installs what is missing.
    #[expect(clippy::disallowed_methods, reason = "where the tools of the tests are is no setting")]
    pub(crate) fn start() -> Self {
        let program = std::env::var_os("BROKER_TEST_POSTGRES").unwrap_or_else(|| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tools/postgres").into()
        });
        let mut child = Command::new(program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut cluster = Self { folder: String::new(), input, output, _child: child };
        cluster.folder = cluster.line();
        assert!(!cluster.folder.is_empty(), "no PostgreSQL: run scripts/tools/postgres once");
        cluster
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// `stop`, as a crash would, or `start`.
    pub(crate) fn command(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
        assert_eq!(self.line(), command);
    }

    /// The URL of a new, empty database.
    pub(crate) fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("psql")
            .args(["-q", "-h", &self.folder, "-U", "broker", "-d", "postgres", "-c"])
            .arg(format!("CREATE DATABASE {name}"))
            .status()
            .unwrap();
        assert!(made.success(), "{name} was made");
        let host = self.folder.replace('/', "%2F");
        format!("postgres://broker:pgpassw0rd@{host}/{name}")
    }
}

/// A new database in the cluster that all tests share.
pub(crate) fn database() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start).database()
}
