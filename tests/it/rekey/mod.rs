//! The key-encryption key is replaced: by the real binary, on both databases, cut off, and while brokers run.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_auth_broker::authorization_server::KeyEncryptionKey;
use mcp_auth_broker::connections::account_context;
use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{Database, StoreSettings, UpstreamAccountRow};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::task::JoinSet;

use crate::secret_support::script;
use crate::support::audit;
use crate::support::child::{Served, command, spawned};
use crate::support::raw_http::Request;
use crate::support::until::until;

mod site;

use site::{Site, connected, id, key, text};

async fn ended(mut served: Served) {
    served.terminate();
    assert!(served.ended().await.success(), "{}", served.stderr());
}

async fn registers(served: &Served) -> String {
    let body = json!({
        "client_name": "a test", "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
    });
    let request = Request::new("POST", "/register").header("content-type", "application/json");
    let answer = served.send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// Whether somebody who comes with this client is asked to log in, and not told that it is unknown.
async fn is_known(served: &Served, client_id: &str) -> bool {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let path = format!(
        "/authorize?response_type=code&client_id={client_id}&redirect_uri=http%3A%2F%2F127.0.0.1%3A7777%2Fcallback\
         &code_challenge={challenge}&code_challenge_method=S256&state=s"
    );
    let answer = served.send(Request::new("GET", &path)).await;
    answer.status == 303 && answer.header("location").contains("/login")
}

/// What `/mcp` says to a token; 401 where it does not believe it.
async fn asked(served: &Served, token: &str) -> u16 {
    let request = Request::new("POST", "/mcp")
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    served.send(request).await.status
}

fn minted(site: &Site, keys: &[u8]) -> String {
    let output = site.run(keys, &["token", "mint", "--sub", "ada", "--scope", "public:read"]);
    let text = text(&output);
    let token = text.lines().find_map(|line| line.strip_prefix("Token: "));
    token.unwrap_or_else(|| panic!("{text}")).to_owned()
}

async fn everything_opens_with_the_new_key_alone(mut site: Site) {
    let served = site.serves(&[1]).await;
    let client_id = registers(&served).await;
    ended(served).await;
    let token = minted(&site, &[1]);
    let user_id = site.filled(1, 450).await;
    site.logged_in_elsewhere(1, user_id).await;
    let before = site.sealed().await;
    assert!(before.iter().all(|count| count.key_id == id(1)), "{before:?}");
    let warned = text(&site.run(&[2, 1], &["check"]));
    assert!(warned.contains("broker store rekey seals them anew"), "{warned}");
    let done = site.run(&[2, 1], &["store", "rekey", "--wait", "0", "--json"]);
    let told: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", text(&done)));
    assert_eq!((&told["key_id"], &told["resealed"]), (&json!(id(2)), &json!(455)), "{told}");
    assert_eq!((site.opened(2).await, site.opened(1).await), ((455, 0), (0, 455)));
    let told = text(&site.run(&[2], &["store", "status"]));
    assert!(told.contains(&format!("{} seals all 455 sealed values", id(2))), "{told}");
    let checked = text(&site.run(&[2], &["check"]));
    assert!(!checked.contains("key_encryption_key"), "{checked}");
    let served = site.serves(&[2]).await;
    assert_ne!(asked(&served, &token).await, 401, "a token of before");
    forget_clients(&site).await;
    assert!(is_known(&served, &client_id).await, "ids are derived from what they were");
    ended(served).await;
    let events = audit::lines(&site.path().join("audit.commands.jsonl")).join("\n");
    assert!(events.contains(r#""object":"key_encryption_key""#), "{events}");
    assert!(!events.contains(&STANDARD.encode([2; 32])));
}

/// A client that registered itself is known by its id alone.
async fn forget_clients(site: &Site) {
    let sql = "DELETE FROM clients";
    match site.store_settings() {
        StoreSettings::Sqlite(path) => {
            rusqlite::Connection::open(path).unwrap().execute(sql, []).unwrap();
        }
        StoreSettings::Postgres(url) => {
            let mut server = sqlx::PgConnection::connect(url.expose()).await.unwrap();
            server.execute(sql).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_a_sqlite_store_opens_with_the_new_key_alone() {
    everything_opens_with_the_new_key_alone(Site::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_a_postgresql_store_opens_with_the_new_key_alone() {
    everything_opens_with_the_new_key_alone(Site::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_named_in_one_sentence_and_nothing_is_changed() {
    let mut site = Site::sqlite();
    ended(site.serves(&[1]).await).await;
    site.filled(1, 3).await;
    for arguments in [&["store", "rekey"][..], &["check"], &["serve"], &["key", "rotate"]] {
        let refused = site.run(&[3], arguments);
        let told = text(&refused);
        assert!(!refused.status.success(), "{arguments:?}: {told}");
        let wanted = format!(
            "the store is sealed with another store.key_encryption_key: with {}, and given is {}; nothing was changed",
            id(1),
            id(3)
        );
        assert!(told.contains(&wanted), "{arguments:?}: {told}");
    }
    let refused = text(&site.run(&[3, 4], &["store", "rekey"]));
    assert!(refused.contains(&format!("given is {} and {}", id(3), id(4))), "{refused}");
    assert_eq!(site.rows_with(1).await, 7);
    ended(site.serves(&[1]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_running_broker_has_is_not_given_up_for_lost() {
    let mut site = Site::sqlite();
    let served = site.serves(&[1]).await;
    site.filled(1, 3).await;
    let refused = site.run(&[3], &["key", "rotate", "--now"]);
    let told = text(&refused);
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("1 of the brokers that run have it; nothing was changed"), "{told}");
    assert_eq!((site.rows_with(1).await, site.rows_with(3).await), (7, 0));
    ended(served).await;
    let done = site.run(&[3], &["key", "rotate", "--now"]);
    assert!(done.status.success(), "nobody has it: {}", text(&done));
}

/// As after `broker key rotate --now` on a store whose values name no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_key_sealed_without_its_name_is_sealed_anew_when_it_is_found() {
    let mut site = Site::sqlite();
    ended(site.serves(&[2]).await).await;
    site.filled(1, 3).await;
    let refused = site.rekey(&[2]);
    let told = text(&refused);
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("6 values are sealed with keys that are not at hand"), "{told}");
    assert!(told.contains("6 that do not say with which"), "{told}");
    let done = site.rekey(&[2, 1]);
    assert!(text(&done).contains("6 of them sealed anew"), "{}", text(&done));
    let done = site.rekey(&[2]);
    assert!(done.status.success(), "the found one is needed no more: {}", text(&done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_named_by_its_setting() {
    let site = Site::sqlite();
    site.settings(&[1]);
    let path = site.path().join("broker.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, settings + "previous_key_encryption_key = \"env:SHORT\"\n").unwrap();
    let told = text(&command(site.path(), &["check"]));
    assert!(told.contains("store.previous_key_encryption_key"), "{told}");
}

/// A row that somebody else holds stops it in the middle, at the same place each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kill_9_cuts_off_opens_with_both_keys_and_is_finished_by_the_next_run() {
    let mut site = Site::postgres();
    ended(site.serves(&[1]).await).await;
    site.filled(1, 450).await;
    let StoreSettings::Postgres(url) = site.store_settings() else { unreachable!() };
    let mut other = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    let mut holding = other.begin().await.unwrap();
    let held = "SELECT server FROM upstream_accounts WHERE server = '0449' FOR UPDATE";
    assert_eq!(holding.fetch_one(held).await.unwrap().get::<String, _>(0), "0449");
    site.settings(&[2, 1]);
    let store = format!("store.url={}", site.url);
    let arguments = ["--set", &store, "store", "rekey", "--wait", "0"];
    let mut process = spawned(site.path(), &arguments);
    until("the first batches are through", async || (site.rows_with(2).await == 403).then_some(()))
        .await;
    process.kill().unwrap();
    process.wait().unwrap();
    holding.rollback().await.unwrap();
    assert_eq!((site.opened(2).await, site.opened(1).await), ((403, 51), (51, 403)));
    let served = site.serves(&[2, 1]).await;
    let warned = text(&site.run(&[2], &["check"]));
    assert!(warned.contains("51 values of the store are not sealed"), "{warned}");
    let told = text(&site.run(&[2], &["store", "rekey"]));
    let missing = format!("50 of upstream_accounts with {}", id(1));
    assert!(told.contains(&missing) && told.contains("hint: "), "{told}");
    let refused = text(&site.run(&[1], &["store", "rekey"]));
    assert!(
        refused.contains(&format!("sealed with another store.key_encryption_key: with {}", id(2)))
    );
    let done = site.run(&[2, 1], &["store", "rekey", "--json"]);
    let told: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", text(&done)));
    assert_eq!(told["resealed"], 51, "{told}");
    assert_eq!(site.opened(2).await, (454, 0));
    ended(served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_store_that_a_kill_9_left_half_done_is_finished_by_the_next_run() {
    let mut site = Site::sqlite();
    ended(site.serves(&[1]).await).await;
    site.filled(1, 2000).await;
    site.settings(&[2, 1]);
    let mut process = spawned(site.path(), &["store", "rekey", "--wait", "0"]);
    until("some are sealed anew", async || (site.rows_with(2).await > 0).then_some(())).await;
    process.kill().unwrap();
    process.wait().unwrap();
    let (opened, closed) = site.opened(2).await;
    assert_eq!(opened + closed, 2004, "none is lost");
    assert_eq!(site.opened(1).await.0, closed, "what is not of the new key is of the old one");
    let done = site.rekey(&[2, 1]);
    assert!(done.status.success(), "{}", text(&done));
    assert_eq!(site.opened(2).await, (2004, 0));
    ended(site.serves(&[2]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sealed_anew_while_a_broker_runs_that_could_not_read_it() {
    let mut site = Site::sqlite();
    let served = site.serves(&[1]).await;
    site.filled(1, 3).await;
    let refused = site.rekey(&[2, 1]);
    let told = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let wanted = format!("1 of the brokers that run do not have the key {}", id(2));
    assert!(told.contains(&wanted) && told.contains("nothing was changed"), "{told}");
    assert_eq!((site.rows_with(1).await, site.rows_with(2).await), (7, 0));
    ended(served).await;
    let done = site.rekey(&[2, 1]);
    assert!(done.status.success(), "one that ended says so: {}", text(&done));
    assert_eq!((site.rows_with(1).await, site.rows_with(2).await), (0, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_serve_write_and_rotate_their_own_keys_meanwhile() {
    let mut site = Site::postgres();
    ended(site.serves(&[1]).await).await;
    let user_id = site.filled(1, 450).await;
    let served = site.serves(&[2, 1]).await;
    let token = minted(&site, &[2, 1]);
    let store = site.store().await;
    let first = key(1);
    // As a broker with both keys seals: with each of them.
    let both = store_key(&*store).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (store, both) = (Arc::clone(&store), both.clone());
        writers.spawn(async move {
            for number in 0..100 {
                assert!(connected(&*store, &both, user_id, format!("w{writer}-{number}")).await);
            }
        });
    }
    let rekeyed = {
        let (settings, url) = (site.settings(&[2, 1]), site.url.clone());
        let path = site.path().to_owned();
        assert!(settings.contains("previous"));
        tokio::task::spawn_blocking(move || {
            command(&path, &["--set", &format!("store.url={url}"), "store", "rekey", "--wait", "0"])
        })
    };
    let mut calls = 0;
    while !rekeyed.is_finished() {
        assert_eq!(asked(&served, &token).await, 200);
        calls += 1;
    }
    let done = rekeyed.await.unwrap();
    assert!(done.status.success() && calls > 0, "{}", text(&done));
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    assert!(site.run(&[2, 1], &["key", "rotate"]).status.success());
    assert_eq!(site.rows_with(1).await, 0);
    assert_eq!(site.opened(2).await, (855, 0));
    assert!(!connected_with_the_old_key(&*store, &first, user_id).await);
    assert_eq!(asked(&served, &token).await, 200);
    ended(served).await;
    let served = site.serves(&[2]).await;
    assert_eq!(asked(&served, &token).await, 200, "with the new key alone");
    ended(served).await;
}

/// The keys 2 and 1, as a broker on this store has them.
async fn store_key(store: &dyn Database) -> KeyEncryptionKey {
    use mcp_auth_broker::authorization_server::{KeysAtHand, ServerSecret};
    let (current, previous) = (STANDARD.encode([2; 32]).into(), STANDARD.encode([1; 32]).into());
    let keys = KeysAtHand { current: &current, previous: Some(&previous) };
    ServerSecret::of_store(store, keys).await.unwrap().key_encryption_key()
}

/// Somebody who was asleep meanwhile, and knows the old key alone.
async fn connected_with_the_old_key(
    store: &dyn Database,
    old: &KeyEncryptionKey,
    user_id: UserId,
) -> bool {
    let sealed = old.seal_text("tokens", &account_context(&user_id.to_string(), "late")).unwrap();
    let (server, connected_at) = ("late".to_owned(), SystemClock.now());
    let row = UpstreamAccountRow { user_id, server, sealed, version: 0, connected_at };
    store.put_upstream_account(&row).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_keys_come_from_programs() {
    let mut site = Site::sqlite();
    ended(site.serves(&[1]).await).await;
    site.filled(1, 3).await;
    let answers =
        |byte: u8| format!("{byte}) echo '{{\"value\": \"{}\"}}';;", STANDARD.encode([byte; 32]));
    let body = format!("case \"$1\" in\n{}\n{}\nesac", answers(1), answers(2));
    let helper = script(site.path(), "keys", &body);
    let settings = format!(
        "[store]\nkey_encryption_key = \"exec:keys/2\"\nprevious_key_encryption_key = \"exec:keys/1\"\n[secrets.exec.keys]\ncommand = [{helper:?}]\n"
    );
    std::fs::write(site.path().join("broker.toml"), settings).unwrap();
    let done = command(site.path(), &["store", "rekey", "--wait", "0"]);
    assert!(done.status.success(), "{}", text(&done));
    assert_eq!(site.opened(2).await, (7, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_key_is_lost_new_signing_keys_begin_anew_and_the_rest_stays_as_it_is() {
    let mut site = Site::sqlite();
    ended(site.serves(&[1]).await).await;
    site.filled(1, 3).await;
    let done = site.run(&[3], &["key", "rotate", "--now"]);
    assert!(done.status.success(), "{}", text(&done));
    let served = site.serves(&[3]).await;
    let token = minted(&site, &[3]);
    assert_eq!(asked(&served, &token).await, 200);
    ended(served).await;
    assert_eq!((site.rows_with(1).await, site.rows_with(3).await), (6, 1));
    assert_eq!(site.opened(1).await.0, 6, "who finds the key has them still");
    let told = text(&site.rekey(&[3]));
    assert!(told.contains(&format!("3 of upstream_accounts with {}", id(1))), "{told}");
    assert!(site.rekey(&[3, 1]).status.success());
    assert_eq!(site.opened(3).await, (7, 0));
}
