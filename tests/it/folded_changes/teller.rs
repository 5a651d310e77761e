//! A server of 2026-07-28 that tells of changes when the test says so.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};

use crate::folded_slow::person;

/// The server, and what the test says of it. Dropped, it is away.
pub(super) struct Teller {
    pub(super) url: String,
    shared: Arc<Shared>,
    /// Its own, so that its connections end with it.
    running: Option<Runtime>,
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown_background();
        }
    }
}

struct Shared {
    state: Mutex<State>,
    news: broadcast::Sender<String>,
    /// Streams that are open.
    open: watch::Sender<usize>,
    /// How often each method was asked for; and by whom, where the broker says it.
    asked: watch::Sender<BTreeMap<String, usize>>,
}

struct State {
    capabilities: Value,
    tools: Vec<String>,
    prompts: Vec<String>,
    description: String,
    hangs: bool,
    fails: bool,
}

/// An open stream.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

impl Teller {
    /// With the tool `get_day` and the prompt `day`, telling of everything.
    pub(super) fn start() -> Self {
        Self::starts_at("http://127.0.0.1:0/mcp")
    }

    /// The same, maybe where another was.
    pub(super) fn starts_at(url: &str) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let told = json!({ "listChanged": true });
        let capabilities = json!({ "tools": told, "prompts": told, "resources": { "listChanged": true, "subscribe": true } });
        let state = State {
            capabilities,
            tools: vec!["get_day".to_owned()],
            prompts: vec!["day".to_owned()],
            description: "Reads.".to_owned(),
            hangs: false,
            fails: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            news: broadcast::channel(64).0,
            open: watch::Sender::default(),
            asked: watch::Sender::default(),
        });
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mut running = tokio::runtime::Builder::new_multi_thread();
        let running = running.worker_threads(1).enable_all().build().unwrap();
        running.spawn(serve(listener, Arc::clone(&shared)));
        Self { url, shared, running: Some(running) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub(super) fn offers(&self, capabilities: Value) {
        self.state().capabilities = capabilities;
    }

    /// From now on it answers nobody, and holds everybody up.
    pub(super) fn hangs(&self) {
        self.state().hangs = true;
    }

    /// From now on it answers everybody with an error of its own.
    pub(super) fn fails(&self) {
        self.state().fails = true;
    }

    /// Has these tools from now on, and says that they changed.
    pub(super) fn has_tools(&self, names: &[&str]) {
        self.state().tools = names.iter().map(ToString::to_string).collect();
        self.says("notifications/tools/list_changed", json!({}));
    }

    /// Says something else of its tools from now on.
    pub(super) fn says_of_tools(&self, description: &str) {
        self.state().description = description.to_owned();
        self.says("notifications/tools/list_changed", json!({}));
    }

    pub(super) fn has_prompts(&self, names: &[&str]) {
        self.state().prompts = names.iter().map(ToString::to_string).collect();
        self.says("notifications/prompts/list_changed", json!({}));
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers make them on the spot")]
    pub(super) fn says(&self, method: &str, params: Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        // Where nobody listens nobody hears it.
        drop(self.shared.news.send(message.to_string()));
    }

    /// Waits until so many streams are open.
    pub(super) async fn has_open(&self, wanted: usize) {
        let mut open = self.shared.open.subscribe();
        let within = open.wait_for(|open| *open == wanted);
        let within = tokio::time::timeout(Duration::from_mins(1), within).await;
        assert!(within.is_ok(), "{} are open, and not {wanted}", self.open());
    }

    pub(super) fn open(&self) -> usize {
        *self.shared.open.borrow()
    }

    pub(super) fn asked(&self, method: &str) -> usize {
        self.shared.asked.borrow().get(method).copied().unwrap_or_default()
    }

    /// Waits until this was asked for so often.
    pub(super) async fn is_asked(&self, method: &str, wanted: usize) {
        let mut asked = self.shared.asked.subscribe();
        let often = |asked: &BTreeMap<String, usize>| asked.get(method) >= Some(&wanted);
        let within = asked.wait_for(often);
        let within = tokio::time::timeout(Duration::from_mins(1), within).await;
        assert!(within.is_ok(), "{method} was not asked for {wanted} times");
    }

    /// Ends, with all its streams; another may stand at its address.
    pub(super) async fn ends(mut self) -> String {
        let running = self.running.take().unwrap();
        let ending = move || running.shutdown_timeout(Duration::from_secs(30));
        tokio::task::spawn_blocking(ending).await.unwrap();
        self.url.clone()
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let answer = move |headers: HeaderMap, Json(asked): Json<Value>| {
        answer(Arc::clone(&shared), person(&headers), asked)
    };
    let router = axum::Router::new().route("/mcp", axum::routing::post(answer));
    axum::serve(listener, router).await.unwrap();
}

async fn answer(shared: Arc<Shared>, person: Option<String>, asked: Value) -> Response {
    let method = asked["method"].as_str().unwrap_or_default().to_owned();
    shared.asked.send_modify(|all| {
        let theirs = person.map(|person| format!("{method} of {person}"));
        for what in theirs.into_iter().chain([method.clone()]) {
            *all.entry(what).or_default() += 1;
        }
    });
    if shared.state.lock().unwrap().hangs {
        std::future::pending::<()>().await;
    }
    let state = shared.state.lock().unwrap();
    if state.fails {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (description, schema) = (&state.description, json!({ "type": "object" }));
    let named =
        |name: &String| json!({ "name": name, "description": description, "inputSchema": schema });
    let result = match &*method {
        "server/discover" => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": state.capabilities })
        }
        "tools/list" => json!({ "tools": state.tools.iter().map(named).collect::<Vec<_>>() }),
        "prompts/list" => json!({ "prompts": state.prompts.iter().map(named).collect::<Vec<_>>() }),
        "resources/list" => json!({ "resources": [{ "uri": "city:paris", "name": "p" }] }),
        "subscriptions/listen" => {
            drop(state);
            return listen(shared, &asked);
        }
        _ => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            return Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "error": error }))
                .into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })).into_response()
}

fn listen(shared: Arc<Shared>, asked: &Value) -> Response {
    let news = shared.news.subscribe();
    shared.open.send_modify(|open| *open += 1);
    let honored = &asked["params"]["notifications"];
    let first = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": { "notifications": honored } });
    let state = (Some(first.to_string()), news, Open(shared));
    let events = stream::unfold(state, |(first, mut news, open)| async move {
        let message = match first {
            Some(first) => first,
            None => news.recv().await.ok()?,
        };
        Some((Ok::<_, Infallible>(format!("data: {message}\n\n")), (None, news, open)))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}
