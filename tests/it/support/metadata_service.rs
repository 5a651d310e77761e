//! A virtual machine's metadata service (IMDS), as Microsoft's page on managed identities describes it.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The one user-assigned identity of the machine.
pub(crate) const IDENTITY: &str = "7c1d2e3f-4a5b-4c6d-8e7f-901234567890";

#[derive(Debug)]
struct State {
    token: String,
    resource: String,
    /// What it answers first, instead of doing its work: a status, and seconds of `Retry-After`.
    first: VecDeque<(u16, Option<u32>)>,
    /// The identity each request asked for; `None`: the machine's own.
    asked: Vec<Option<String>>,
}

/// Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct MetadataService {
    port: u16,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl MetadataService {
    /// Hands out `token` for `resource`.
    pub(crate) async fn start(token: &str, resource: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            token: token.to_owned(),
            resource: resource.to_owned(),
            first: VecDeque::new(),
            asked: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Self { port, state, _server: server }
    }

    /// Under a name that no proxy exception of a test covers.
    pub(crate) fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    pub(crate) fn first(&self, status: u16, retry_after: Option<u32>) {
        self.state.lock().unwrap().first.push_back((status, retry_after));
    }

    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().asked.clone()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = state.lock().unwrap().answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

impl State {
    fn answer(&mut self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(query).into_owned().collect();
        let query = |name: &str| query.get(name).map(String::as_str);
        self.asked.push(query("client_id").map(str::to_owned));
        if let Some((status, retry_after)) = self.first.pop_front() {
            let response = Response::builder().status(status);
            let response = match retry_after {
                Some(seconds) => response.header("retry-after", seconds),
                None => response,
            };
            return response.body(Full::default()).unwrap();
        }
        let header = |name: &str| request.headers().get(name).map(http::HeaderValue::as_bytes);
        if request.method() != "GET" || request.uri().path() != "/metadata/identity/oauth2/token" {
            return json(404, &json!({ "error": "not_found" }));
        }
        // Requests that a page or a proxy could be made to send have no such header, or have the other one.
        if header("metadata") != Some(b"true") || header("x-forwarded-for").is_some() {
            return json(
                400,
                &json!({ "error": "invalid_request", "error_description": "Required metadata header not specified" }),
            );
        }
        if query("api-version") != Some("2018-02-01") {
            return json(
                400,
                &json!({ "error": "invalid_request", "error_description": "Required api-version" }),
            );
        }
        if query("resource") != Some(self.resource.as_str()) {
            return json(
                400,
                &json!({ "error": "invalid_resource", "error_description": "AADSTS500011" }),
            );
        }
        if query("client_id").is_some_and(|id| id != IDENTITY) {
            return json(
                400,
                &json!({ "error": "invalid_request", "error_description": "Identity not found" }),
            );
        }
        let granted = json!({
            "access_token": self.token, "client_id": IDENTITY, "expires_in": "3599", "expires_on": "4102444800",
            "ext_expires_in": "3599", "not_before": "1700000000", "resource": self.resource, "token_type": "Bearer",
        });
        json(200, &granted)
    }
}

fn json(status: u16, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(body.to_string())).unwrap()
}
