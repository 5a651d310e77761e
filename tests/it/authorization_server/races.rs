//! Many requests at once over sockets, on both databases; on PostgreSQL at two replicas, which share nothing else.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::store::database;
use crate::support::product::{Product, Wire};
use crate::support::raw_http::{self, Answer, Request};

use super::browser::Browser;
use super::device::{self, Terminal};
use super::dpop;
use super::flow::{Held, text};

/// Replicas of one broker. The first one is whom people and clients know.
struct Replicas {
    all: Vec<Product>,
    _key: Option<TempDir>,
}

impl Replicas {
    async fn on_sqlite() -> Self {
        Self::on_sqlite_with("").await
    }

    async fn on_sqlite_with(given: &str) -> Self {
        Self { all: vec![Product::start(given).await], _key: None }
    }

    async fn on_postgres() -> Self {
        Self::on_postgres_with("").await
    }

    async fn on_postgres_with(given: &str) -> Self {
        let key = tempfile::tempdir().unwrap();
        let path = key.path().join("kek");
        std::fs::write(&path, STANDARD.encode([7; 32])).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        let mut settings = vec![
            format!("store.url={}", database()),
            format!("store.key_encryption_key=file:{}", path.display()),
        ];
        let first = Product::start_in(tempfile::tempdir().unwrap(), given, &settings).await;
        settings.push(format!("server.public_url=http://{}", first.authority));
        settings.push("server.allowed_hosts=[\"127.0.0.1\"]".to_owned());
        let second = Product::start_in(tempfile::tempdir().unwrap(), given, &settings).await;
        Self { all: vec![first, second], _key: Some(key) }
    }

    fn first(&self) -> &Product {
        &self.all[0]
    }

    /// One replica may have ended the grant, and the other reads that a quarter of a second later: the rest of the
    /// limit is for slow machines.
    async fn refused_by_the_first(&self, token: &str) {
        let refused = async {
            while self.first().rpc(Wire::Modern, token, "tools/list", json!({})).await.status != 401
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(crate::support::audit::LIMIT, refused).await;
        assert!(waited.is_ok(), "still accepted");
    }

    /// A client with a code that the first administrator has allowed it.
    async fn held(&self) -> Held {
        let mut browser = Browser::of_the_administrator(self.first()).await;
        Held::through(&mut browser, self.first(), "public:read").await
    }

    /// Sends one form to `/token` `count` times at once, to each replica in turn.
    async fn race(&self, count: usize, fields: &[(&str, &str)]) -> Vec<Answer> {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::new("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let (barrier, mut tasks) = (Arc::new(Barrier::new(count)), JoinSet::new());
        for product in self.all.iter().cycle().take(count) {
            let (authority, barrier) = (product.authority.clone(), Arc::clone(&barrier));
            let bytes = request.bytes(&authority);
            tasks.spawn(async move {
                barrier.wait().await;
                raw_http::exchange(&authority, &bytes).await
            });
        }
        tasks.join_all().await
    }
}

async fn of_fifty_redemptions_of_a_code_one_gets_tokens_and_they_are_dead(replicas: Replicas) {
    let held = replicas.held().await;
    let answers = replicas.race(50, &held.exchange_fields()).await;
    let (granted, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(granted.len(), 1, "{answers:?}");
    for answer in refused {
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_grant")));
    }
    let tokens = granted[0].json();
    let token = text(&tokens, "access_token");
    replicas.refused_by_the_first(token).await;
    let refreshed = held.refresh(replicas.first(), text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.json()["error"], "invalid_grant");
}

async fn of_a_hundred_refreshes_all_get_the_one_successor(replicas: Replicas) {
    let held = replicas.held().await;
    let tokens = held.exchange(replicas.first()).await.json();
    let fields = held.refresh_fields(text(&tokens, "refresh_token"));
    let answers = replicas.race(100, &fields).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let body = &answers[0].body;
    assert!(answers.iter().all(|answer| answer.body == *body), "one reply for all");
    let next = answers[0].json();
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);
    let refreshed = held.refresh(replicas.first(), text(&next, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "the grant lives: {refreshed:?}");
}

/// Whoever comes at the same time is too early, and costs nobody anything.
async fn of_thirty_polls_of_a_device_one_gets_tokens_and_they_live(replicas: Replicas) {
    let terminal = Terminal::asks(replicas.first(), "public:read").await;
    let mut browser = Browser::of_the_administrator(replicas.first()).await;
    device::answers(&mut browser, &terminal.user_code, "allow").await;
    let answers = replicas.race(30, &terminal.fields()).await;
    let (granted, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(granted.len(), 1, "{answers:?}");
    for answer in refused {
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("slow_down")));
    }
    let tokens = granted[0].json();
    let token = text(&tokens, "access_token");
    let listed = replicas.first().rpc(Wire::Modern, token, "tools/list", json!({})).await;
    assert_eq!(listed.status, 200, "{listed:?}");
}

// RFC 8628 §3.5 — N82
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_gets_its_tokens_once_on_sqlite() {
    let replicas = Replicas::on_sqlite_with(device::CLIENT).await;
    of_thirty_polls_of_a_device_one_gets_tokens_and_they_live(replicas).await;
}

// RFC 8628 §3.5 — N82
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_gets_its_tokens_once_from_two_replicas_on_postgres() {
    let replicas = Replicas::on_postgres_with(device::CLIENT).await;
    of_thirty_polls_of_a_device_one_gets_tokens_and_they_live(replicas).await;
}

// RFC 9449 §11.1 — N88
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_one_replica_has_seen_is_refused_by_the_other_on_postgres() {
    let replicas = Replicas::on_postgres_with(dpop::ALLOWED).await;
    let first = replicas.first();
    let client = dpop::Client::with_code(first, false).await;
    let tokens = client.tokens(first).await;
    let token = text(&tokens, "access_token");
    let proof = client.key.for_call(&first.url("/mcp"), token, &json!({}));
    let bytes = dpop::call("DPoP", token, Some(&proof)).bytes(&first.authority);
    for (replica, status) in replicas.all.iter().rev().zip([200, 401]) {
        let answer = raw_http::exchange(&replica.authority, &bytes).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

// RFC 6749 §4.1.2 — N30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_redeemed_once_on_sqlite() {
    let replicas = Replicas::on_sqlite().await;
    of_fifty_redemptions_of_a_code_one_gets_tokens_and_they_are_dead(replicas).await;
}

// RFC 6749 §4.1.2 — N30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_redeemed_once_by_two_replicas_on_postgres() {
    let replicas = Replicas::on_postgres().await;
    of_fifty_redemptions_of_a_code_one_gets_tokens_and_they_are_dead(replicas).await;
}

// RFC 9700 §4.14.2 — N46, N47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_refreshes_have_one_successor_on_sqlite() {
    of_a_hundred_refreshes_all_get_the_one_successor(Replicas::on_sqlite().await).await;
}

// RFC 9700 §4.14.2 — N46, N47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_refreshes_have_one_successor_with_two_replicas_on_postgres() {
    of_a_hundred_refreshes_all_get_the_one_successor(Replicas::on_postgres().await).await;
}
