//! Moves `SQLite`'s write-ahead log into its file beside the writer, so that no commit waits for that.
//!
//! A passive round moves what is there and holds nobody up. Now and then the log has to begin anew, for which writers wait until what is
//! left has been moved and is on disk: so rounds come before that, each with less to do than the one before, until next to nothing is left.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::store::cause::unavailable;
use crate::store::connection::values;
use crate::store::error::StoreError;

use super::connection::SqliteConnection;

const EVERY: Duration = Duration::from_millis(250);

const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";

/// In pages of 4 KiB.
struct Limits {
    /// From here on the log begins anew.
    long: i64,
    /// So much may be left to be moved while writers wait.
    short: i64,
    /// How many more rounds are made for that at most. Where they become no shorter any more, none is.
    rounds: usize,
}

/// 64 MiB; 1 MiB.
const LIMITS: Limits = Limits { long: 16 * 1024, short: 256, rounds: 8 };

/// Runs until it is dropped. `connection` is for this alone; the writer's must not do it by itself.
pub(super) fn start(mut connection: SqliteConnection) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            // It writes to the disk, so on a thread that may wait for that.
            let moved = tokio::task::spawn_blocking(move || {
                (once(&LIMITS, |sql| frames(&mut connection, sql)), connection)
            });
            let Ok((moved, back)) = moved.await else { break };
            connection = back;
            if let Err(error) = moved {
                // The log grows meanwhile; a full disk is told by the commits.
                tracing::debug!(error = &error as &dyn std::error::Error, "store.no_checkpoint");
            }
        }
    });
    task
}

/// `step` makes a checkpoint and says how many pages the log had when that began.
fn once(
    limits: &Limits,
    mut step: impl FnMut(&'static str) -> Result<i64, StoreError>,
) -> Result<(), StoreError> {
    let mut pages = step(PASSIVE)?;
    let mut written = pages;
    for _ in 0..limits.rounds {
        if pages <= limits.long {
            return Ok(());
        }
        let (found, before) = (step(PASSIVE)?, written);
        // During the round before. This one has that to move, and so as much or less is written during it.
        written = found.saturating_sub(pages);
        pages = found;
        if written <= limits.short || written > before / 4 * 3 {
            break;
        }
    }
    if pages > limits.long {
        step(RESTART)?;
    }
    Ok(())
}

/// How many pages the log holds; -1 where there is none.
fn frames(connection: &mut SqliteConnection, sql: &str) -> Result<i64, StoreError> {
    let rows = connection.rows(sql, values![])?;
    let log = rows.first().and_then(|row| row.get("log"));
    log.ok_or_else(|| unavailable("a checkpoint did not say what it did"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::store::sqlite::Access;

    use super::*;

    const SMALL: Limits = Limits { long: 200, short: 20, rounds: 8 };

    /// A file with somebody who writes to it, and the connection for checkpoints.
    struct File {
        path: PathBuf,
        writer: SqliteConnection,
        reader: SqliteConnection,
        checkpoints: SqliteConnection,
        _folder: tempfile::TempDir,
    }

    impl File {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            std::fs::File::create(&path).unwrap();
            let open = || SqliteConnection::open(&path, Access::Write, Duration::from_millis(1));
            let (mut writer, reader, checkpoints) =
                (open().unwrap(), open().unwrap(), open().unwrap());
            // What is looked at is the log, and not the disk.
            writer.script("PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0").unwrap();
            writer.script("CREATE TABLE t (x INTEGER NOT NULL)").unwrap();
            writer.script("INSERT INTO t (x) VALUES (0)").unwrap();
            Self { path, writer, reader, checkpoints, _folder: folder }
        }

        /// One page of the log each.
        fn write(&mut self, pages: i64) {
            for _ in 0..pages {
                self.writer.execute("UPDATE t SET x = x + 1", values![]).unwrap();
            }
        }

        fn log_bytes(&self) -> u64 {
            self.path.with_extension("db-wal").metadata().unwrap().len()
        }

        /// What [`once`] does, while so many pages are written during each of its steps. What each step found in the log.
        fn beside(&mut self, written: &[i64]) -> Vec<(&'static str, i64)> {
            let (mut steps, mut written) = (Vec::new(), written.iter().copied());
            self.read();
            once(&SMALL, |sql| {
                if sql == RESTART {
                    self.reader.execute("COMMIT", values![]).unwrap();
                }
                let found = frames(&mut self.checkpoints, sql)?;
                steps.push((sql, found));
                self.write(written.next().unwrap_or(0));
                if sql == PASSIVE {
                    self.reader.execute("COMMIT", values![]).unwrap();
                    self.read();
                }
                Ok(found)
            })
            .unwrap();
            steps
        }

        /// Sees what is there until it is committed. What is written then comes behind it in the log, as what is written during a round:
        /// without that, a log of which all has been moved would begin anew by itself.
        fn read(&mut self) {
            self.reader.execute("BEGIN", values![]).unwrap();
            assert_eq!(self.reader.rows("SELECT x FROM t", values![]).unwrap().len(), 1);
        }
    }

    #[test]
    fn writers_do_not_wait_for_a_whole_checkpoint() {
        let mut file = File::new();
        file.write(300);
        let steps = file.beside(&[160, 80, 40, 20, 15]);
        let (last, before) = (steps[steps.len() - 1], steps[steps.len() - 2]);
        assert_eq!((last.0, before.0), (RESTART, PASSIVE));
        let left = last.1 - before.1;
        assert!((0..=SMALL.short).contains(&left), "{left} of {steps:?}");
    }

    #[test]
    fn a_short_log_is_moved_and_goes_on() {
        let mut file = File::new();
        file.write(100);
        assert_eq!(file.beside(&[1]).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [PASSIVE]);
    }

    #[test]
    fn a_log_that_somebody_writes_to_all_the_time_stays_bounded() {
        let mut file = File::new();
        file.write(300);
        let mut longest = 0;
        for _ in 0..10 {
            let steps: Vec<_> = file.beside(&[100; 10]).iter().map(|(step, _)| *step).collect();
            assert_eq!(steps, [PASSIVE, PASSIVE, PASSIVE, RESTART]);
            file.write(300);
            longest = longest.max(file.log_bytes());
        }
        let pages = 300 + 4 * 100 + 300;
        assert!(longest < pages * 4200, "{longest} bytes of log");
    }

    #[test]
    fn rounds_do_not_wait_for_who_writes_and_nobody_waits_for_them() {
        let mut file = File::new();
        file.write(300);
        file.writer.script("BEGIN IMMEDIATE; UPDATE t SET x = x + 1").unwrap();
        assert!(frames(&mut file.checkpoints, PASSIVE).unwrap() >= 300);
        file.writer.script("UPDATE t SET x = x + 1; COMMIT").unwrap();
    }
}
