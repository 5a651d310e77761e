//! An HTTP server on a loopback socket that answers as a test tells it to, and remembers what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mcp_auth_broker::outbound::{Outbound, OutboundSettings};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use url::Url;

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer(u16, Vec<(&'static str, String)>, Bytes),
    /// Takes the request and never answers.
    Silence,
    /// Answers so when the test says.
    When(Arc<Notify>, Box<Reply>),
}

impl Reply {
    pub(crate) fn json(body: impl Into<String>) -> Self {
        let body = body.into().into();
        Self::Answer(200, vec![("content-type", "application/json".to_owned())], body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Bytes::new())
    }

    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.retain(|(known, _)| *known != name);
                headers.push((name, value.to_owned()));
                Self::Answer(status, headers, body)
            }
            Self::Silence => Self::Silence,
            Self::When(gate, reply) => Self::When(gate, Box::new(reply.header(name, value))),
        }
    }
}

#[derive(Debug)]
struct State {
    reply: Reply,
    at: HashMap<&'static str, Reply>,
    asked: Vec<Asked>,
}

/// Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct FakeHttp {
    url: Url,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl FakeHttp {
    pub(crate) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(Mutex::new(State { reply, at: HashMap::new(), asked: Vec::new() }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Self { url, state, _server: server }
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    pub(crate) fn answers(&self, reply: Reply) {
        self.state.lock().unwrap().reply = reply;
    }

    /// What this path answers, whatever the others do.
    pub(crate) fn answers_at(&self, path: &'static str, reply: Reply) {
        self.state.lock().unwrap().at.insert(path, reply);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            let http = hyper::server::conn::http1::Builder::new();
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut reply = {
        let mut state = state.lock().unwrap();
        let path = parts.uri.path().to_owned();
        let reply = state.at.get(path.as_str()).unwrap_or(&state.reply).clone();
        state.asked.push(Asked { path, headers: parts.headers, body });
        reply
    };
    while let Reply::When(gate, then) = reply {
        gate.notified().await;
        reply = *then;
    }
    match reply {
        Reply::Silence | Reply::When(..) => std::future::pending().await,
        Reply::Answer(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body)).unwrap())
        }
    }
}

/// A client that may reach loopback addresses.
pub(crate) fn loopback_outbound() -> Outbound {
    let allow_private = vec!["127.0.0.1".parse().unwrap()];
    Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() }).unwrap()
}
