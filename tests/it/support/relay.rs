//! What lies between a broker and its PostgreSQL: a test cuts it, leaves it silent, or loses one answer of it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of connections, those that are open and new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// As where the server has stopped.
    Closed,
    /// Bytes are taken and lead nowhere, as where something on the way drops them. Who met that never hears again.
    Silent,
    /// The next transaction that sends these bytes is cut off at its commit: before the server has it, or before the
    /// answer is back. Nothing goes through after that.
    Commit {
        of: Vec<u8>,
        arrives: bool,
    },
}

/// Listens on loopback for as long as it lives.
pub(crate) struct Relay {
    port: u16,
    way: Arc<watch::Sender<Way>>,
    _task: JoinSet<()>,
}

impl Relay {
    /// Before the server of `url`, which names a socket's folder; gives the URL of the way through here.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let (credentials, rest) = url.split_once('@').unwrap();
        let (folder, database) = rest.split_once('/').unwrap();
        let socket = PathBuf::from(folder.replace("%2F", "/")).join(".s.PGSQL.5432");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, socket, Arc::clone(&way)));
        let relay = Self { port, way, _task: task };
        let url = format!("{credentials}@127.0.0.1:{}/{database}", relay.port);
        (relay, url)
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// A commit that was to be cut off has been.
    pub(crate) fn has_cut(&self) -> bool {
        *self.way.borrow() == Way::Closed
    }
}

async fn accept(listener: TcpListener, socket: PathBuf, way: Arc<watch::Sender<Way>>) {
    let mut open = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (socket, way) = (socket.clone(), Arc::clone(&way));
        open.spawn(async move {
            if *way.borrow() == Way::Closed {
                return;
            }
            let Ok(server) = UnixStream::connect(socket).await else { return };
            through(client, server, way).await;
        });
    }
}

/// Until one side ends, or the way does.
async fn through(client: TcpStream, server: UnixStream, way: Arc<watch::Sender<Way>>) {
    let mut closed = way.subscribe();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut pumps = JoinSet::new();
    let changes = way.subscribe();
    pumps.spawn(there((from_client, to_server), way, changes.clone()));
    pumps.spawn(back((from_server, to_client), changes));
    tokio::select! {
        _ = pumps.join_next() => {}
        () = async { drop(closed.wait_for(|way| *way == Way::Closed).await) } => {}
    }
}

async fn there(
    (mut client, mut server): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    way: Arc<watch::Sender<Way>>,
    mut changes: watch::Receiver<Way>,
) {
    let mut transaction = Vec::new();
    while let Some(chunk) = next(&mut client, &mut changes).await {
        transaction.extend_from_slice(&chunk);
        let ends = contains(&transaction, b"COMMIT\0");
        let now = way.borrow().clone();
        if let (Way::Commit { of, arrives }, true) = (now, ends)
            && contains(&transaction, &of)
        {
            if arrives {
                server.write_all(&chunk).await.ok();
            }
            way.send_replace(Way::Closed);
            return;
        }
        if ends {
            transaction.clear();
        }
        if server.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

async fn back(
    (mut server, mut client): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut changes: watch::Receiver<Way>,
) {
    while let Some(chunk) = next(&mut server, &mut changes).await {
        if client.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// What comes next: nothing where the way is closed, however far the task is that ends the connection, or it would carry what
/// is tried again on another one. Nothing ever does where it was silent once.
async fn next(
    from: &mut (impl AsyncRead + Unpin),
    changes: &mut watch::Receiver<Way>,
) -> Option<Vec<u8>> {
    let mut chunk = vec![0; 16 * 1024];
    tokio::select! {
        biased;
        () = async { drop(changes.wait_for(|way| *way == Way::Silent).await) } => {
            std::future::pending().await
        }
        read = from.read(&mut chunk) => {
            chunk.truncate(read.ok().filter(|read| *read > 0)?);
            (*changes.borrow() != Way::Closed).then_some(chunk)
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
