//! `SQLite`'s one writer: commands that wait together share one transaction, so one write to the disk.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::{Pool, Sqlite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::backend::Work;
use super::cause::{fault, unavailable};
use super::connection::{Connection, values};
use super::error::StoreError;

/// How many commands may wait; more wait before the queue.
const QUEUE: usize = 1024;
/// How many share one transaction at most.
const BATCH: usize = 128;

/// The way to the writer's task, which ends with it.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Command>>,
    _task: JoinSet<()>,
}

impl Writer {
    /// `pool` has one connection, for the writer alone.
    pub(super) fn start(pool: Pool<Sqlite>) -> Self {
        let (queue, commands) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        task.spawn(serve(pool, commands));
        Self { queue, _task: task }
    }

    pub(super) async fn run<A, T>(&self, arguments: A, work: Work<A, T>) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Job { arguments, work, done: None, reply });
        self.queue.send(command).await.map_err(|_| unavailable("the writer has ended"))?;
        answer.await.map_err(|_| unavailable("the writer has ended"))?
    }
}

/// A command of any kind, run once or again, then answered once.
trait Command: Send {
    /// Nobody waits any longer.
    fn is_abandoned(&self) -> bool;
    /// Whether it failed, and with it the transaction.
    fn run<'c>(&'c mut self, connection: &'c mut Connection) -> BoxFuture<'c, bool>;
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

    fn run<'c>(&'c mut self, connection: &'c mut Connection) -> BoxFuture<'c, bool> {
        async move {
            let done = (self.work)(connection, &self.arguments).await;
            let failed = done.is_err();
            self.done = Some(done);
            failed
        }
        .boxed()
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

async fn serve(pool: Pool<Sqlite>, mut commands: mpsc::Receiver<Box<dyn Command>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while commands.recv_many(&mut batch, BATCH).await > 0 {
        batch.retain(|command| !command.is_abandoned());
        if !together(&pool, &mut batch).await {
            // One of them failed and nothing happened: each alone, so that none fails for another.
            for command in batch.drain(..) {
                together(&pool, &mut vec![command]).await;
            }
        }
    }
}

/// Runs all in one transaction and answers them. `false`: one of several failed, nothing happened, none was answered.
async fn together(pool: &Pool<Sqlite>, batch: &mut Vec<Box<dyn Command>>) -> bool {
    if batch.is_empty() {
        return true;
    }
    let failed = match pool.acquire().await.map_err(fault) {
        Ok(connection) => {
            let mut connection = Connection::Sqlite(connection);
            match attempt(&mut connection, batch).await {
                Ok(false) if batch.len() > 1 => return false,
                Ok(_) => None, // where it is one command, it knows its error
                Err(error) => Some(error),
            }
        }
        Err(error) => Some(error),
    };
    let again = failed.as_ref().map(copy);
    for command in batch.drain(..) {
        command.answer(again.as_ref().map(|make| make()));
    }
    true
}

/// `false` where a command failed; then everything is rolled back.
async fn attempt(
    connection: &mut Connection,
    batch: &mut [Box<dyn Command>],
) -> Result<bool, StoreError> {
    connection.execute("BEGIN IMMEDIATE", values![]).await?;
    for command in batch {
        if command.run(connection).await {
            rollback(connection).await;
            return Ok(false);
        }
    }
    if let Err(error) = connection.execute("COMMIT", values![]).await {
        rollback(connection).await;
        return Err(error);
    }
    Ok(true)
}

/// A full disk may have rolled back already; then this fails, and that is fine.
async fn rollback(connection: &mut Connection) {
    let _ = connection.execute("ROLLBACK", values![]).await;
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
        StoreError::Unavailable(_) => Box::new(|| unavailable("the shared transaction failed")),
    }
}
