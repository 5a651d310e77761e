//! A 1Password Connect server as far as reading goes: vaults, items, filters, and its errors.
//!
//! Written from the documented API and from what the official JavaScript client sends;
//! `scripts/oracles/run` drives it with that client. Shared by the tests and `examples/fake_connect.rs`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) const TOKEN: &str = "connect-token-CANARY";
pub(crate) const VAULT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const ITEM: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbb";
pub(crate) const SECRET: &str = "graph-secret-CANARY";

/// What every request is answered with, instead of what the server holds.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<String>>,
    trouble: Mutex<Option<Trouble>>,
    secret: Mutex<Option<String>>,
}

/// The running server. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct FakeConnect {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _accepting: JoinSet<()>,
}

impl FakeConnect {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, _accepting: accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Method, path and query of each request so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        *self.state.trouble.lock().expect("no panic") = trouble;
    }

    /// Changes the value of the field `client-secret`.
    pub(crate) fn rotate(&self, secret: &str) {
        *self.state.secret.lock().expect("no panic") = Some(secret.to_owned());
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = state.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no failure of the server.
            drop(http.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.seen.lock().expect("no panic").push(format!("{} {}", request.method(), request.uri()));
        if let Some(trouble) = self.trouble.lock().expect("no panic").clone() {
            let mut builder = Response::builder().status(trouble.status);
            for (name, value) in trouble.headers {
                builder = builder.header(name, value);
            }
            return builder.body(trouble.body.into()).expect("a response");
        }
        let (status, body) = self.route(request);
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into())
            .expect("a response")
    }

    fn route(&self, request: &Request<Incoming>) -> (u16, Value) {
        let held = request.headers().get(header::AUTHORIZATION);
        if held.is_none_or(|held| held.as_bytes() != format!("Bearer {TOKEN}").as_bytes()) {
            return problem(401, "Invalid token signature");
        }
        let filter = wanted_title(request.uri().query());
        // The official client ends the paths of lists in a slash.
        let path: Vec<&str> =
            request.uri().path().trim_end_matches('/').split('/').skip(1).collect();
        match path.as_slice() {
            ["v1", "vaults"] => (200, filtered(vaults(), "name", filter.as_deref())),
            ["v1", "vaults", VAULT] => (200, json!({"id": VAULT, "name": "broker-secrets"})),
            ["v1", "vaults", VAULT, "items"] => {
                (200, filtered(items(), "title", filter.as_deref()))
            }
            ["v1", "vaults", VAULT, "items", ITEM] => (200, self.item()),
            ["v1", "vaults", VAULT, "items", _] => problem(404, "Item not found"),
            ["v1", "vaults", ..] => {
                problem(403, "Authorization: token does not have access to vault")
            }
            _ => problem(404, "page not found"),
        }
    }

    fn item(&self) -> Value {
        let secret = self.secret.lock().expect("no panic").clone();
        json!({
            "id": ITEM, "title": "graph-client", "vault": {"id": VAULT}, "category": "API_CREDENTIAL",
            "sections": [{"id": "sec1", "label": "old"}],
            "fields": [
                {"id": "username", "label": "username", "type": "STRING", "purpose": "USERNAME", "value": "app"},
                {"id": "f1", "label": "client-secret", "type": "CONCEALED",
                 "value": secret.unwrap_or_else(|| SECRET.to_owned())},
                {"id": "f2", "label": "client-secret", "type": "CONCEALED", "value": "old-CANARY",
                 "section": {"id": "sec1", "label": "old"}},
                {"id": "f3", "label": "code", "type": "OTP", "value": "otpauth://CANARY"},
            ],
        })
    }
}

fn vaults() -> Vec<Value> {
    vec![
        json!({"id": VAULT, "name": "broker-secrets"}),
        json!({"id": "cccccccccccccccccccccccccc", "name": "Other"}),
    ]
}

fn items() -> Vec<Value> {
    let item = |id: &str, title: &str| json!({"id": id, "title": title, "vault": {"id": VAULT}});
    vec![
        item(ITEM, "graph-client"),
        item("dddddddddddddddddddddddddd", "twin"),
        item("eeeeeeeeeeeeeeeeeeeeeeeeee", "twin"),
    ]
}

fn problem(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"status": status, "message": message}))
}

fn filtered(list: Vec<Value>, key: &str, wanted: Option<&str>) -> Value {
    list.into_iter().filter(|entry| wanted.is_none_or(|wanted| entry[key] == wanted)).collect()
}

/// `filter=title eq "X"`; vaults are documented with `name` and asked with `title` by the clients.
fn wanted_title(query: Option<&str>) -> Option<String> {
    let (_, filter) =
        url::form_urlencoded::parse(query?.as_bytes()).find(|(key, _)| key == "filter")?;
    let quoted = filter.strip_prefix("title eq ").or_else(|| filter.strip_prefix("name eq "))?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}
