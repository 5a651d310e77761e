//! `SQLite`'s one writer: commands that wait together share one transaction, so one write to the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use crate::store::backend::Work;
use crate::store::cause::unavailable;
use crate::store::connection::{Connection, values};
use crate::store::error::StoreError;

use super::place::FilePlace;

/// How many commands may wait; more wait before the queue.
const QUEUE: usize = 1024;
/// How many share one transaction at most.
const BATCH: usize = 128;

/// The way to the writer's thread, which ends when this is dropped and what was asked is done.
pub(in crate::store) struct Writer(mpsc::Sender<Box<dyn Command>>);

impl Writer {
    /// `connection` is for the writer alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]: the system gives no thread.
    pub(in crate::store) fn start(
        connection: Connection,
        place: FilePlace,
    ) -> Result<Self, StoreError> {
        let (queue, commands) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("store".to_owned());
        let started = thread.spawn(move || serve((connection, place), commands));
        started.map_err(|_| unavailable("the system gives no thread for the writer"))?;
        Ok(Self(queue))
    }

    pub(in crate::store) async fn run<A, T>(
        &self,
        arguments: A,
        work: Work<A, T>,
    ) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Job { arguments, work, done: None, reply });
        self.0.send(command).await.map_err(|_| unavailable("the writer has ended"))?;
        answer.await.map_err(|_| unavailable("the writer has ended"))?
    }
}

/// A command of any kind, run once or again, then answered once.
trait Command: Send {
    /// Nobody waits any longer.
    fn is_abandoned(&self) -> bool;
    /// Whether it failed, and with it the transaction.
    fn run(&mut self, connection: &mut Connection) -> bool;
    /// Tells the caller what [`run`](Self::run) gave, or that the transaction failed.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

struct Job<A, T> {
    arguments: A,
    work: Work<A, T>,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<A: Send + Sync, T: Send> Command for Job<A, T> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &mut Connection) -> bool {
        // What panics fails alone, and is rolled back: everybody else still has a writer.
        let attempt = AssertUnwindSafe(|| at_once((self.work)(connection, &self.arguments)));
        let done = catch_unwind(attempt).unwrap_or_else(|_| Err(unavailable("a command panicked")));
        let done = done.and_then(|done| done);
        let failed = done.is_err();
        self.done = Some(done);
        failed
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let done = match (failed, self.done) {
            (Some(error), _) => Err(error),
            (None, Some(done)) => done,
            (None, None) => Err(unavailable("the command was not run")),
        };
        let _ = self.reply.send(done);
    }
}

fn serve(mut file: (Connection, FilePlace), mut commands: mpsc::Receiver<Box<dyn Command>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while commands.blocking_recv_many(&mut batch, BATCH) > 0 {
        batch.retain(|command| !command.is_abandoned());
        if !together(&mut file, &mut batch) {
            // One of them failed and nothing happened: each alone, so that none fails for another.
            for command in batch.drain(..) {
                together(&mut file, &mut vec![command]);
            }
        }
    }
}

/// Runs all in one transaction and answers them. `false`: one of several failed, nothing happened, none was answered.
fn together(file: &mut (Connection, FilePlace), batch: &mut Vec<Box<dyn Command>>) -> bool {
    if batch.is_empty() {
        return true;
    }
    let failed = match attempt(file, batch) {
        Ok(false) if batch.len() > 1 => return false,
        Ok(_) => None, // where it is one command, it knows its error
        Err(error) => Some(error),
    };
    let again = failed.as_ref().map(copy);
    for command in batch.drain(..) {
        command.answer(again.as_ref().map(|make| make()));
    }
    true
}

/// Leaves those of `batch` that somebody waits for. `false` where a command failed; then everything is rolled back.
fn attempt(
    (connection, place): &mut (Connection, FilePlace),
    batch: &mut Vec<Box<dyn Command>>,
) -> Result<bool, StoreError> {
    control(connection, "BEGIN IMMEDIATE")?;
    // That may have taken longer than a caller waits: what somebody was told has failed must not happen now.
    batch.retain(|command| !command.is_abandoned());
    if batch.is_empty() {
        rollback(connection);
        return Ok(true);
    }
    for command in batch {
        if command.run(connection) {
            rollback(connection);
            return Ok(false);
        }
    }
    let committed = place.check().and_then(|()| control(connection, "COMMIT"));
    committed.inspect_err(|_| rollback(connection))
}

/// A full disk may have rolled back already; then this fails, and that is fine.
fn rollback(connection: &mut Connection) {
    let _ = control(connection, "ROLLBACK");
}

/// `true`, as what it is the last of.
fn control(connection: &mut Connection, sql: &'static str) -> Result<bool, StoreError> {
    at_once(connection.execute(sql, values![])).and_then(|done| done.map(|_| true))
}

/// `SQLite` answers on the thread that asks: nothing here ever waits for a runtime.
fn at_once<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    work.now_or_never().ok_or_else(|| unavailable("a command waited for something else"))
}

/// The same error for everybody who shared the transaction.
fn copy(error: &StoreError) -> Box<dyn Fn() -> StoreError + Send + Sync> {
    match error {
        StoreError::Full(_) => {
            Box::new(|| StoreError::Full("the shared transaction did not fit".into()))
        }
        StoreError::Corrupt(what) => {
            let what = *what;
            Box::new(move || StoreError::Corrupt(what))
        }
        StoreError::OtherKey => Box::new(|| StoreError::OtherKey),
        StoreError::Unavailable(_) => Box::new(|| unavailable("the shared transaction failed")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::store::sqlite::{Access, SqliteConnection};

    use super::*;

    fn open(directory: &tempfile::TempDir) -> SqliteConnection {
        let path = directory.path().join("x.db");
        SqliteConnection::open(&path, Access::Write, Duration::from_mins(1)).unwrap()
    }

    fn place(directory: &tempfile::TempDir) -> FilePlace {
        FilePlace::of(&directory.path().join("x.db"))
    }

    /// A writer of a table `t` with the column `x`.
    fn writer(directory: &tempfile::TempDir) -> Writer {
        std::fs::File::create(directory.path().join("x.db")).unwrap();
        let mut connection = open(directory);
        connection.script("CREATE TABLE t (x INTEGER NOT NULL)").unwrap();
        Writer::start(Connection::Sqlite(connection), place(directory)).unwrap()
    }

    fn insert<'c>(
        connection: &'c mut Connection,
        breaks: &'c bool,
    ) -> futures_util::future::BoxFuture<'c, Result<usize, StoreError>> {
        Box::pin(async move {
            connection.execute("INSERT INTO t (x) VALUES (1)", values![]).await?;
            assert!(!*breaks, "on purpose");
            Ok(connection.rows("SELECT x FROM t", values![]).await?.len())
        })
    }

    #[tokio::test]
    async fn a_command_that_panics_is_rolled_back_and_the_next_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let broken = writer.run(true, insert).await;
        assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
        assert_eq!(writer.run(false, insert).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_longer_does_not_happen_when_the_lock_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory);
        let mut other = Connection::Sqlite(open(&directory));
        other.execute("BEGIN IMMEDIATE", values![]).await.unwrap();
        let mut given_up = Box::pin(writer.run(false, insert));
        assert!(given_up.as_mut().now_or_never().is_none());
        while writer.0.capacity() < QUEUE {
            std::thread::yield_now(); // the writer has it when its place in the queue is free
        }
        drop(given_up);
        other.execute("ROLLBACK", values![]).await.unwrap();
        assert_eq!(writer.run(false, insert).await.unwrap(), 1, "its own row alone");
    }

    #[tokio::test]
    async fn a_batch_does_without_those_that_were_given_up_while_it_waited() {
        let directory = tempfile::tempdir().unwrap();
        drop(writer(&directory));
        let mut file = (Connection::Sqlite(open(&directory)), place(&directory));
        let job = || {
            let (reply, answer) = oneshot::channel();
            let job =
                Job { arguments: false, work: insert as Work<bool, usize>, done: None, reply };
            (Box::new(job) as Box<dyn Command>, answer)
        };
        let ((given_up, answer), (waited_for, other)) = (job(), job());
        drop(answer);
        assert!(together(&mut file, &mut vec![given_up, waited_for]));
        assert_eq!(other.await.unwrap().unwrap(), 1);
        let (given_up, _) = job();
        assert!(together(&mut file, &mut vec![given_up]));
        let rows = file.0.rows("SELECT x FROM t", values![]).await.unwrap();
        assert_eq!(rows.len(), 1);
    }
}
