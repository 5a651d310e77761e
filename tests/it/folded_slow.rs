//! Folded servers that are slow, and what callers of `/mcp` are shown of them meanwhile.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::product::{Product, Wire};
use crate::support::until::until;

/// A server that has for each person a tool of their own, and one for all. It answers when it is told to.
#[derive(Default)]
struct Slow {
    holds: watch::Sender<Holds>,
    /// The name of the tool for all.
    tool: Mutex<String>,
    /// Whose requests get an error.
    refused: Mutex<String>,
    /// Whose list is larger than an answer may be.
    large: Mutex<String>,
    answered: watch::Sender<usize>,
}

/// Who is held up.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Holds {
    #[default]
    Nobody,
    One(&'static str),
    All,
}

struct Behind {
    slow: Arc<Slow>,
    product: Product,
    clock: Arc<FixedClock>,
    directory: tempfile::TempDir,
    _running: JoinSet<()>,
}

async fn answer(
    State(slow): State<Arc<Slow>>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    let person = person(&headers).unwrap_or_else(|| "anybody".to_owned());
    let held =
        |holds: &Holds| *holds == Holds::All || matches!(holds, Holds::One(one) if *one == person);
    drop(slow.holds.subscribe().wait_for(|holds| !held(holds)).await);
    slow.answered.send_modify(|answered| *answered += 1);
    let id = &asked["id"];
    if *slow.refused.lock().unwrap() == person {
        let error = json!({ "code": -32000, "message": "not for you" });
        return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response();
    }
    let is_large = *slow.large.lock().unwrap() == person;
    let text = "x".repeat(if is_large { 5 << 20 } else { 1 });
    let tool = |name: &str| json!({ "name": name, "description": text, "inputSchema": { "type": "object" } });
    let tools = [tool(&slow.tool.lock().unwrap()), tool(&format!("get_of_{person}"))];
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": { "tools": tools } })).into_response()
}

/// Who calls, where the broker says it.
pub(crate) fn person(headers: &HeaderMap) -> Option<String> {
    let said = headers.get("x-broker-identity")?.to_str().unwrap().split('.').nth(1).unwrap();
    let said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said).unwrap()).unwrap();
    Some(said["sub"].as_str().unwrap().to_owned())
}

fn rules(version: &str, tools: &str) -> String {
    format!(
        "version = \"{version}\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"weather\\\\.{tools}\"]\nscopes = [\"weather:read\"]\n"
    )
}

fn write(directory: &Path, text: &str) {
    let new = directory.join("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, directory.join("policy.toml")).unwrap();
}

impl Behind {
    async fn start() -> Self {
        Self::start_with("identity_header = true\n").await
    }

    /// With this line in the server's table.
    async fn start_with(line: &str) -> Self {
        let slow = Arc::new(Slow { tool: "get_day".to_owned().into(), ..Slow::default() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/mcp", axum::routing::post(answer));
        let router = router.with_state(Arc::clone(&slow));
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &rules("one", "get_.*"));
        let file = directory.path().join("policy.toml");
        let settings = format!(
            "[policy]\nfile = {file:?}\n[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nera = \"both\"\nfold = true\ntimeout_ms = 60000\n{line}"
        );
        let clock = Arc::new(FixedClock::at(SystemClock.now()));
        let product = Product::start_at(&settings, Arc::clone(&clock) as _).await;
        Self { slow, product, clock, directory, _running: running }
    }

    fn holds(&self, holds: bool) {
        self.holds_up(if holds { Holds::All } else { Holds::Nobody });
    }

    fn holds_up(&self, who: Holds) {
        self.slow.holds.send_replace(who);
    }

    fn refuses(&self, person: &str) {
        person.clone_into(&mut self.slow.refused.lock().unwrap());
    }

    fn has_too_much_for(&self, person: &str) {
        person.clone_into(&mut self.slow.large.lock().unwrap());
    }

    /// The server is not asked again before.
    fn rested(&self) {
        self.clock.advance(Duration::from_secs(11));
    }

    fn has(&self, tool: &str) {
        tool.clone_into(&mut self.slow.tool.lock().unwrap());
    }

    /// What the caller is shown, with a token of its own.
    async fn shown(&self, person: &str) -> Vec<String> {
        self.shown_with(person, &["weather:read"]).await
    }

    /// The same, and that nobody was waited for.
    async fn shown_at_once(&self, person: &str) -> Vec<String> {
        let asked_at = Instant::now();
        let shown = self.shown(person).await;
        let took = asked_at.elapsed();
        assert!(took < Duration::from_secs(3), "{person} was shown {shown:?} after {took:?}");
        shown
    }

    async fn shown_with(&self, person: &str, scopes: &[&str]) -> Vec<String> {
        let token =
            self.product.token_with(scopes, |token| token.subject = person.parse().unwrap());
        let answer = self.product.rpc(Wire::Modern, &token, "tools/list", json!({})).await.json();
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let name =
            |tool: &Value| tool["name"].as_str().unwrap().trim_start_matches("weather.").to_owned();
        tools.iter().map(name).collect()
    }
}

#[tokio::test]
async fn a_server_that_is_slow_has_what_it_had_and_is_asked_behind() {
    let behind = Behind::start().await;
    assert_eq!(behind.shown("ada").await, ["get_day", "get_of_ada"]);
    behind.holds(true);
    for _ in 0..3 {
        assert_eq!(behind.shown("ada").await, ["get_day", "get_of_ada"]);
    }
    behind.has("get_night");
    behind.holds(false);
    let mut answered = behind.slow.answered.subscribe();
    answered.wait_for(|answered| *answered == 2).await.unwrap();
    behind.holds(true);
    until("the list is the new one", async || {
        (behind.shown("ada").await == ["get_night", "get_of_ada"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_is_shown_what_another_was() {
    let behind = Behind::start().await;
    assert_eq!(behind.shown("ada").await, ["get_day", "get_of_ada"]);
    behind.holds(true);
    assert!(behind.shown("bob").await.is_empty());
    assert!(behind.shown_with("ada", &["weather:read", "public:write"]).await.is_empty());
    assert!(behind.shown_with("ada", &[]).await.is_empty());
    assert_eq!(behind.shown("ada").await, ["get_day", "get_of_ada"]);
}

/// What is open by now must not be missing for who was told of that; so the server is waited for.
#[tokio::test]
async fn a_list_that_was_shown_by_other_rules_is_not_shown_again() {
    let behind = Behind::start().await;
    write(behind.directory.path(), &rules("two", "get_of_.*"));
    until("the rules are in force", async || {
        (behind.shown("ada").await == ["get_of_ada"]).then_some(())
    })
    .await;
    // That one may have been asked for by the rules of before.
    assert_eq!(behind.shown("ada").await, ["get_of_ada"]);
    behind.holds(true);
    assert_eq!(behind.shown("ada").await, ["get_of_ada"]);
    write(behind.directory.path(), &rules("three", "get_.*"));
    until("the server is waited for", async || behind.shown("ada").await.is_empty().then_some(()))
        .await;
}

#[tokio::test]
async fn an_error_for_one_caller_hides_the_server_from_nobody_else() {
    let behind = Behind::start().await;
    assert_eq!(behind.shown("eve").await, ["get_day", "get_of_eve"]);
    behind.refuses("eve");
    assert!(behind.shown("eve").await.is_empty());
    assert_eq!(behind.shown("bob").await, ["get_day", "get_of_bob"]);
    behind.holds(true);
    assert_eq!(behind.shown("bob").await, ["get_day", "get_of_bob"]);
    assert!(behind.shown("eve").await.is_empty(), "nor is she shown what she was before");
}

/// Each list at `/mcp` would take five seconds again, those of the broker's own tools too.
#[tokio::test]
async fn nobody_waits_again_for_a_server_that_hangs() {
    let behind = Behind::start().await;
    behind.holds(true);
    assert!(behind.shown("ada").await.is_empty());
    for _ in 0..3 {
        behind.rested();
        assert!(behind.shown_at_once("ada").await.is_empty());
    }
    behind.holds(false);
    until("it is there again", async || {
        (behind.shown("ada").await == ["get_day", "get_of_ada"]).then_some(())
    })
    .await;
}

/// What it did not give to one it gives to nobody.
#[tokio::test]
async fn nobody_waits_for_a_server_that_knows_no_callers_and_hung_for_another() {
    let behind = Behind::start_with("").await;
    behind.holds(true);
    assert!(behind.shown("ada").await.is_empty());
    assert!(behind.shown_at_once("bob").await.is_empty(), "it is not asked");
    behind.rested();
    assert!(behind.shown_at_once("bob").await.is_empty());
    behind.holds(false);
    for person in ["bob", "ada"] {
        until(person, async || {
            (behind.shown(person).await == ["get_day", "get_of_anybody"]).then_some(())
        })
        .await;
    }
}

/// Each has their own account there: what is wrong with one says nothing of the others.
#[tokio::test]
async fn a_list_of_one_caller_that_is_too_large_hides_the_server_from_nobody_else() {
    let behind = Behind::start().await;
    assert_eq!(behind.shown("bob").await, ["get_day", "get_of_bob"]);
    behind.has_too_much_for("eve");
    assert!(behind.shown("eve").await.is_empty());
    behind.holds_up(Holds::One("bob"));
    assert_eq!(behind.shown("bob").await, ["get_day", "get_of_bob"], "what he was shown is kept");
    assert_eq!(behind.shown("carol").await, ["get_day", "get_of_carol"]);
    assert!(behind.shown("eve").await.is_empty());
}

#[tokio::test]
async fn a_server_that_hangs_for_one_caller_is_asked_for_others() {
    let behind = Behind::start().await;
    behind.holds_up(Holds::One("eve"));
    assert!(behind.shown("eve").await.is_empty());
    assert_eq!(behind.shown_at_once("bob").await, ["get_day", "get_of_bob"]);
    behind.rested();
    assert!(behind.shown_at_once("eve").await.is_empty());
    assert_eq!(behind.shown_at_once("carol").await, ["get_day", "get_of_carol"]);
}
