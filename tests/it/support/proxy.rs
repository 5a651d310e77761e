//! A reverse proxy that shares its host with others: it passes on one path and the well-known documents, nothing else.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A bound proxy that does not know yet whom it stands before.
pub(crate) struct Proxy {
    listener: TcpListener,
    pub(crate) authority: String,
}

/// One that runs until it is dropped.
pub(crate) struct Running {
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Rule {
    base: String,
    takes_off: bool,
    behind: String,
}

impl Proxy {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        Self { listener, authority }
    }

    /// Passes `base` on to `behind`, with `base` taken off the target or not. `Host` stays what the client sent.
    pub(crate) fn before(self, behind: &str, base: &str, takes_off: bool) -> Running {
        let rule = Rule { base: base.to_owned(), takes_off, behind: behind.to_owned() };
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = self.listener.accept().await {
                connections.spawn(pass(stream, rule.clone()));
            }
        });
        Running { _task: task }
    }
}

async fn pass(mut client: TcpStream, rule: Rule) {
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    while !head.windows(2).any(|two| two == b"\r\n") {
        match client.read(&mut chunk).await {
            Ok(read) if read > 0 => head.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, rest) = text.split_once("\r\n").unwrap();
    let mut words = line.splitn(3, ' ');
    let (method, target, version) =
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let Some(target) = rule.target(target) else {
        let nothing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(nothing.as_bytes()).await.ok();
        return;
    };
    let mut server = TcpStream::connect(&rule.behind).await.unwrap();
    let head = format!("{method} {target} {version}\r\n{rest}");
    server.write_all(head.as_bytes()).await.ok();
    copy_bidirectional(&mut client, &mut server).await.ok();
}

impl Rule {
    fn target(&self, target: &str) -> Option<String> {
        let well_known = target.starts_with("/.well-known/") && target.contains(&self.base);
        let rest = target.strip_prefix(&self.base);
        match rest.filter(|rest| rest.starts_with('/')) {
            Some(rest) if self.takes_off => Some(rest.to_owned()),
            Some(_) => Some(target.to_owned()),
            None => well_known.then(|| target.to_owned()),
        }
    }
}
