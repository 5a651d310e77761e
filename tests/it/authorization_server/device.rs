//! The device flow (RFC 8628), as a terminal and a person go through it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_auth_broker::time::{Clock, FixedClock, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Answer;

use super::browser::{Browser, hidden};
use super::flow::{post, text};

pub(super) const CLIENT: &str = "[[authorization_server.client]]\nclient_id = \"terminal\"\n\
    grants = [\"device_code\", \"refresh_token\"]\n\
    [[authorization_server.client]]\nclient_id = \"other\"\ngrants = [\"device_code\"]\n\
    [[authorization_server.client]]\nclient_id = \"web\"\ngrants = [\"authorization_code\"]\n\
    redirect_uris = [\"http://127.0.0.1:53682/callback\"]\n";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Time passes when a test says so.
#[derive(Debug, Default)]
struct Later(std::sync::atomic::AtomicI64);

impl Later {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_seconds(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

/// What a terminal was given.
pub(super) struct Terminal {
    pub(super) device_code: String,
    pub(super) user_code: String,
}

impl Terminal {
    pub(super) async fn asks(product: &Product, scope: &str) -> Self {
        let fields = [("client_id", "terminal"), ("scope", scope)];
        let answer = post(product, "/device_authorization", &fields).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let given = answer.json();
        assert_eq!(given["verification_uri"], product.url("/device"));
        assert_eq!((&given["interval"], &given["expires_in"]), (&json!(5), &json!(600)));
        assert_eq!(given["verification_uri_complete"], Value::Null);
        let text = |name| text(&given, name).to_owned();
        Self { device_code: text("device_code"), user_code: text("user_code") }
    }

    pub(super) fn fields(&self) -> [(&str, &str); 3] {
        [("grant_type", GRANT), ("client_id", "terminal"), ("device_code", &self.device_code)]
    }

    async fn polls(&self, product: &Product) -> Answer {
        post(product, "/token", &self.fields()).await
    }

    async fn is_told(&self, product: &Product, error: &str) {
        let answer = self.polls(product).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)), "{answer:?}");
    }
}

/// Types a code; gives the page that asks.
async fn types(browser: &mut Browser<'_>, code: &str) -> Answer {
    let page = browser.get("/device").await;
    let form = hidden(&page.body, "form");
    browser.post("/device", &[("form", &form), ("user_code", code)]).await
}

async fn says(browser: &mut Browser<'_>, page: &Answer, decision: &str) -> Answer {
    let (form, code) = (hidden(&page.body, "form"), hidden(&page.body, "user_code"));
    let fields = [("form", form.as_str()), ("user_code", &code), ("decision", decision)];
    browser.post("/device/answer", &fields).await
}

/// From the code to the answer.
pub(super) async fn answers(browser: &mut Browser<'_>, code: &str, decision: &str) {
    let page = types(browser, code).await;
    assert_eq!(page.status, 200, "{page:?}");
    let done = says(browser, &page, decision).await;
    assert_eq!(done.status, 200, "{done:?}");
}

// RFC 8628 §3.1 to §3.5 — N82, N84
#[tokio::test]
async fn a_terminal_gets_what_its_person_allows_and_uses_it() {
    let product = Product::start(CLIENT).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    terminal.is_told(&product, "authorization_pending").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let later = Terminal::asks(&product, "public:read").await;
    let page = types(&mut browser, &later.user_code.to_lowercase().replace('-', " ")).await;
    for shown in [later.user_code.as_str(), "terminal", "127.0.0.1", "public:read", "/mcp"] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    assert_eq!(says(&mut browser, &page, "allow").await.status, 200);
    let answer = later.polls(&product).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert_eq!(tokens["scope"], "public:read");
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let token = text(&tokens, "access_token");
    let called = product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
    let refresh = text(&tokens, "refresh_token");
    let fields =
        [("grant_type", "refresh_token"), ("client_id", "terminal"), ("refresh_token", refresh)];
    assert_eq!(post(&product, "/token", &fields).await.status, 200);
}

// RFC 8628 §3.5 — N82
#[tokio::test]
async fn a_terminal_that_asks_too_often_waits_longer_and_then_gets_its_tokens_once() {
    let clock = Arc::new(Later::default());
    let product = Product::start_at(CLIENT, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    terminal.is_told(&product, "authorization_pending").await;
    terminal.is_told(&product, "slow_down").await;
    clock.pass(6);
    terminal.is_told(&product, "slow_down").await; // ten seconds by now, then fifteen
    clock.pass(16);
    terminal.is_told(&product, "authorization_pending").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    answers(&mut browser, &terminal.user_code, "allow").await;
    clock.pass(16);
    let tokens = terminal.polls(&product).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    clock.pass(16);
    terminal.is_told(&product, "invalid_grant").await;
    let tokens = tokens.json();
    let dead = text(&tokens, "refresh_token");
    let fields =
        [("grant_type", "refresh_token"), ("client_id", "terminal"), ("refresh_token", dead)];
    let refused = post(&product, "/token", &fields).await;
    assert_eq!(refused.json()["error"], "invalid_grant", "what came twice was stolen");
}

// RFC 8628 §3.5 — N82
#[tokio::test]
async fn a_terminal_is_told_of_a_no_and_of_its_time_being_over() {
    let clock = Arc::new(Later::default());
    let product = Product::start_at(CLIENT, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let (refused, late) =
        (Terminal::asks(&product, "public:read").await, Terminal::asks(&product, "").await);
    let mut browser = Browser::of_the_administrator(&product).await;
    answers(&mut browser, &refused.user_code, "deny").await;
    refused.is_told(&product, "access_denied").await;
    clock.pass(601);
    late.is_told(&product, "expired_token").await;
    let page = types(&mut browser, &late.user_code).await;
    assert_eq!(page.status, 403, "{page:?}");
}

// RFC 8628 §3.4, §5.2 — N82
#[tokio::test]
async fn a_device_code_is_of_use_to_its_own_client_and_grant_alone() {
    let product = Product::start(CLIENT).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    answers(&mut browser, &terminal.user_code, "allow").await;
    let code = terminal.device_code.as_str();
    let other = [("grant_type", GRANT), ("client_id", "other"), ("device_code", code)];
    assert_eq!(post(&product, "/token", &other).await.json()["error"], "invalid_grant");
    let as_code = [
        ("grant_type", "authorization_code"),
        ("client_id", "web"),
        ("code", code),
        ("code_verifier", super::client::VERIFIER),
    ];
    assert_eq!(post(&product, "/token", &as_code).await.json()["error"], "invalid_grant");
    let web = post(&product, "/device_authorization", &[("client_id", "web")]).await;
    assert_eq!((web.status, &web.json()["error"]), (400, &json!("unauthorized_client")));
    assert_eq!(terminal.polls(&product).await.status, 200);
}

// RFC 8628 §5.4, §5.5 — N83, N103, N104
#[tokio::test]
async fn only_the_session_that_typed_the_code_answers_and_only_once() {
    let product = Product::start(CLIENT).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = types(&mut browser, &terminal.user_code).await;
    let mut other = another_session(&product).await;
    assert_eq!(types(&mut other, &terminal.user_code).await.status, 403, "it has been claimed");
    assert_eq!(says(&mut other, &page, "allow").await.status, 400);
    terminal.is_told(&product, "authorization_pending").await;
    let forged = [("form", "x"), ("user_code", &terminal.user_code), ("decision", "allow")];
    assert_eq!(browser.post("/device/answer", &forged).await.status, 403);
    assert_eq!(says(&mut browser, &page, "allow").await.status, 200);
    assert_eq!(says(&mut browser, &page, "deny").await.status, 400, "answered");
}

/// A browser of its own session of the administrator, who has a password by now.
async fn another_session(product: &Product) -> Browser<'_> {
    let mut other = Browser::new(product);
    let login = other.get("/login?request=device.").await;
    let form = hidden(&login.body, "form");
    let fields = [
        ("form", form.as_str()),
        ("request", "device."),
        ("username", "admin"),
        ("password", super::browser::PASSWORD),
    ];
    let led = other.post("/login", &fields).await;
    assert_eq!(led.header("location"), "/device", "{led:?}");
    other
}

// RFC 8628 §5.1, §5.4 — N82, N83
#[tokio::test]
async fn an_answer_to_a_code_that_was_not_typed_finds_out_and_takes_nothing() {
    let product = Product::start(CLIENT).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    let mut guesser = Browser::of_the_administrator(&product).await;
    let mut typist = another_session(&product).await;
    let mut told = Vec::new();
    for code in [terminal.user_code.as_str(), "BCDF-GHJK"] {
        let fields = [("form", "x"), ("user_code", code), ("decision", "allow")];
        let answer = guesser.post("/device/answer", &fields).await;
        told.push((answer.status, answer.body.contains("This request is over")));
    }
    assert_eq!(told, [(400, true), (400, true)]);
    answers(&mut typist, &terminal.user_code, "allow").await;
    assert_eq!(terminal.polls(&product).await.status, 200);
}

// RFC 8628 §3.3.1 — N84
#[tokio::test]
async fn a_link_with_a_code_in_it_shows_no_more_than_one_without() {
    let product = Product::start(CLIENT).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let path = format!("/device?user_code={}", terminal.user_code);
    let page = browser.get(&path).await;
    assert!(!page.body.contains(&terminal.user_code), "{}", page.body);
    let stranger = Browser::new(&product).get("/device").await;
    assert_eq!(
        (stranger.status, stranger.header("location").as_str()),
        (303, "/login?request=device.")
    );
}

// RFC 8628 §5.1 — N82
#[tokio::test]
async fn whoever_guesses_at_codes_is_stopped() {
    let begin_of_a_window = Timestamp::from_unix_seconds(2_000_000 * 900);
    let clock = Arc::new(FixedClock::at(begin_of_a_window));
    let product = Product::start_at(CLIENT, clock).await;
    let terminal = Terminal::asks(&product, "public:read").await;
    let mut browser = Browser::of_the_administrator(&product).await;
    for _ in 0..20 {
        assert_eq!(types(&mut browser, "BCDF-GHJK").await.status, 403);
    }
    let stopped = types(&mut browser, &terminal.user_code).await;
    assert_eq!(stopped.status, 429, "the right one, too: {stopped:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_logs_in_by_a_command() {
    let product = Product::start(CLIENT).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let mut terminal = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["login", &product.url(""), "--scope", "public:read"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(terminal.stderr.take().unwrap()).lines();
    let open = said.next_line().await.unwrap().unwrap();
    assert_eq!(open, format!("Open {}", product.url("/device")));
    let typed = said.next_line().await.unwrap().unwrap();
    let code = typed.split_whitespace().last().unwrap();
    answers(&mut browser, code, "allow").await;
    let output = terminal.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let token = said.strip_prefix("Token: ").unwrap().trim();
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let called = product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
}

// RFC 9449 §5.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_not_sent_for_a_token_that_must_be_bound() {
    let settings = format!("[resource_server]\ndpop = \"required\"\n{CLIENT}");
    let product = Product::start(&settings).await;
    let (said, done) = logs_in(&product.url("")).await;
    assert!(!done && said.contains("takes only tokens that are bound to a key"), "{said}");
    assert!(!said.contains("Open "), "{said}");
}

// RFC 8628 §3.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_whose_answer_was_lost_asks_later_and_says_what_to_do() {
    let broker = Losing::start().await;
    let (said, done) = logs_in(&broker.url).await;
    assert!(!done && said.contains("the answer of the broker was lost"), "{said}");
    let [first, second] = broker.polls.lock().unwrap()[..] else { panic!("not two polls: {said}") };
    let between = second.saturating_sub(first);
    assert!(between >= Duration::from_secs(2), "an interval of one second is doubled");
}

/// What `broker login` with this URL writes to standard error, and whether it got a token.
async fn logs_in(url: &str) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["login", "--url", url])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.success())
}

/// A broker whose first answer at the token endpoint gets lost: the code is used up by then.
struct Losing {
    url: String,
    polls: Arc<Mutex<Vec<Duration>>>,
    _server: JoinSet<()>,
}

impl Losing {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let polls = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(Self::serve(listener, url.clone(), Arc::clone(&polls)));
        Self { url, polls, _server: server }
    }

    async fn serve(listener: TcpListener, url: String, polls: Arc<Mutex<Vec<Duration>>>) {
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let body = match line.split(' ').nth(1).unwrap() {
                "/.well-known/oauth-authorization-server" => json!({
                    "issuer": url, "token_endpoint": format!("{url}/token"),
                    "device_authorization_endpoint": format!("{url}/device_authorization"),
                }),
                "/device_authorization" => json!({
                    "device_code": "d", "user_code": "BCDF-GHJK", "expires_in": 600,
                    "verification_uri": format!("{url}/device"), "interval": 1,
                }),
                "/token" => {
                    let mut polls = polls.lock().unwrap();
                    polls.push(SystemClock.monotonic());
                    if polls.len() == 1 {
                        continue; // the connection ends without an answer
                    }
                    json!({ "error": "invalid_grant" })
                }
                _ => json!({}),
            };
            let body = body.to_string();
            let status = if line.contains("/token") { "400 Bad Request" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            // What else it sent is read, so that the answer is not thrown away with it.
            stream.shutdown().await.unwrap();
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
        }
    }
}

#[tokio::test]
async fn metadata_lists_the_flow_where_a_client_has_it() {
    for (settings, there) in [("", false), (CLIENT, true)] {
        let product = Product::start(settings).await;
        let metadata = product.get("/.well-known/oauth-authorization-server").await.json();
        let grants = metadata["grant_types_supported"].as_array().unwrap();
        assert_eq!(grants.contains(&json!(GRANT)), there);
        assert_eq!(metadata["device_authorization_endpoint"].is_string(), there);
    }
}
