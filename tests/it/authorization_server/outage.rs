//! The database goes away while everything goes on: who needs it is told to come back, and finds everything as it was.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_auth_broker::store::Digest;
use serde_json::json;

use crate::store::postgres::Cluster;
use crate::support::product::{Product, Wire};
use crate::support::raw_http::{Answer, Request};
use crate::support::relay::Way;
use crate::support::until::until;

use super::browser::Browser;
use super::faults::is_asked_to_come_back;
use super::flow::text;
use super::outage_world::{Prepared, World, aside, prepare};

/// Longer than any request waits for its database, and less than people wait for a page.
const BOUND: Duration = Duration::from_secs(20);

/// All at once, as they come in life; each with how long it took.
async fn all(
    product: &Product,
    asked: Vec<(&'static str, Request)>,
) -> Vec<(&'static str, Answer, Duration)> {
    let each = asked.into_iter().map(async |(name, request)| {
        let begun = tokio::time::Instant::now();
        let answer = product.send(request).await;
        (name, answer, begun.elapsed())
    });
    join_all(each).await
}

/// With a database out of reach. `200` and `201` are for those who need nothing of it.
fn told(prepared: &Prepared, answers: &[(&'static str, Answer, Duration)], without: &[&str]) {
    let mut wrong = Vec::new();
    for (name, answer, took) in answers {
        let needs_nothing = without.contains(name) && matches!(answer.status, 200 | 201);
        let json = answer.header("content-type").starts_with("application/json");
        let refused = answer.status == 503
            && answer.header("retry-after") == "5"
            && (!json || answer.json()["error"] == "temporarily_unavailable");
        if *took > BOUND || !(needs_nothing || refused) {
            let start: String = answer.body.chars().take(160).collect();
            wrong.push(format!("{name}: {} after {took:?}: {start}", answer.status));
        }
        assert!(!answer.body.contains(prepared.held.code()), "{name} shows the code");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who asks by a token alone or registers with an id that carries all of it is served; so is an MCP call.
const WITHOUT_A_STORE: &[&str] = &["machine", "introspect", "register"];

async fn everybody_is_asked_to_come_back(world: &World, prepared: &Prepared) {
    let product = &world.product;
    let asked = [prepared.of_clients(), prepared.of_people(product), prepared.of_administrators()];
    let answers = all(product, asked.into_iter().flatten().collect()).await;
    told(prepared, &answers, WITHOUT_A_STORE);
    let token = prepared.access_token.as_str();
    let called = product.rpc(Wire::Modern, token, "tools/list", json!({})).await;
    assert_eq!(called.status, 200, "what is revoked is known without the store: {called:?}");
    assert_eq!(product.get("/health").await.status, 200);
    until("it is said", async || (product.get("/ready").await.status == 503).then_some(())).await;
}

/// Everything that was refused, once more, and each thing once only.
async fn nothing_is_lost_or_doubled(world: &World, prepared: &Prepared) {
    let product = &world.product;
    let people = all(product, prepared.of_people(product)).await;
    for (name, answer, _) in people {
        let status = match name {
            "account" | "approvals" | "device page" => 200,
            "link" => 404,
            _ => 303,
        };
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    for (name, answer, _) in all(product, prepared.of_administrators()).await {
        let status = if name == "add user" { 201 } else { 200 };
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let mut clients = prepared.of_clients();
    let revoke = clients.iter().position(|(name, _)| *name == "revoke").unwrap();
    let revoke = clients.remove(revoke);
    for (name, answer, _) in all(product, clients).await {
        assert!(matches!(answer.status, 200 | 201), "{name}: {answer:?}");
        if name.starts_with("introspect") {
            assert_eq!(answer.json()["active"], true, "{name}: {answer:?}");
        }
    }
    for (name, answer, _) in all(product, vec![revoke]).await {
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    let again = prepared.held.exchange(product).await;
    assert_eq!(again.json()["error"], "invalid_grant", "the code worked once");
}

async fn goes_away_and_comes_back(mut world: World, goes: impl FnOnce(&mut World)) {
    let prepared = prepare(&world.product).await;
    goes(&mut world);
    everybody_is_asked_to_come_back(&world, &prepared).await;
    world.mend().await;
    nothing_is_lost_or_doubled(&world, &prepared).await;
}

// RFC 6749 §5.2 — N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_refuses_connections_costs_nobody_anything() {
    let gone = |world: &mut World| world.relay().set(Way::Closed);
    goes_away_and_comes_back(World::on_postgres().await, gone).await;
}

// RFC 6749 §5.2 — N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_silent_costs_nobody_anything() {
    let silent = |world: &mut World| world.relay().set(Way::Silent);
    goes_away_and_comes_back(World::on_postgres().await, silent).await;
}

/// While the file is away `SQLite` would go on writing to it, and nobody would find that again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_is_moved_away_takes_nothing_and_works_when_it_is_back() {
    let mut world = World::on_sqlite().await;
    let prepared = prepare(&world.product).await;
    std::fs::rename(world.file(), aside(world.file())).unwrap();
    only_reading(&world, &prepared).await;
    world.mend().await;
    nothing_is_lost_or_doubled(&world, &prepared).await;
}

// RFC 6749 §5.2 — N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_file_that_somebody_locks_costs_nobody_anything() {
    let mut world = World::on_sqlite().await;
    let prepared = prepare(&world.product).await;
    world.lock();
    only_reading(&world, &prepared).await;
    world.mend().await;
    nothing_is_lost_or_doubled(&world, &prepared).await;
}

/// Reads go on; whoever has to write is asked to come back.
async fn only_reading(world: &World, prepared: &Prepared) {
    const READS: &[&str] = &[
        "machine",
        "introspect",
        "introspect with a key",
        "register",
        "userinfo",
        "account",
        "approvals",
        "device page",
        "users",
        "grants",
        "link",
        "authorize",
        "login",
    ];
    let product = &world.product;
    let asked = [prepared.of_clients(), prepared.of_people(product), prepared.of_administrators()];
    let mut answers = all(product, asked.into_iter().flatten().collect()).await;
    answers.retain(|(name, answer, _)| !(*name == "link" && answer.status == 404));
    told(prepared, &answers, READS);
    until("it is said", async || (product.get("/ready").await.status == 503).then_some(())).await;
}

/// The database has the commit, or has not, and the broker does not know.
async fn in_doubt(
    world: &mut World,
    secret: &str,
    arrives: bool,
    ask: impl AsyncFn(&Product) -> Answer,
) -> Answer {
    let of = Digest::of(secret).as_bytes().to_vec();
    world.relay().set(Way::Commit { of, arrives });
    is_asked_to_come_back(&ask(&world.product).await);
    assert!(world.relay().has_cut(), "at the commit");
    world.mend().await;
    ask(&world.product).await
}

// RFC 6749 §4.1.2 — N29, N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_whose_redemption_is_in_doubt_works_when_it_is_sent_again_and_once() {
    let mut world = World::on_postgres().await;
    let prepared = prepare(&world.product).await;
    let mut held = prepared.held;
    for arrives in [true, false] {
        let code = held.code().to_owned();
        let answer = in_doubt(&mut world, &code, arrives, async |at| held.exchange(at).await).await;
        assert_eq!(answer.status, 200, "{arrives}: {answer:?}");
        let product = &world.product;
        let refreshed = held.refresh(product, text(&answer.json(), "refresh_token")).await;
        assert_eq!(refreshed.status, 200, "{arrives}: the grant lives: {refreshed:?}");
        let mut browser = Browser::new(product);
        browser.logs_in().await;
        let next = held.again(&mut browser).await;
        let again = held.exchange(product).await;
        assert_eq!(again.json()["error"], "invalid_grant", "{arrives}: a second set of tokens");
        held = next;
    }
}

// OAuth 2.1 §4.3.1 — N46, N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_is_in_doubt_has_one_successor() {
    let mut world = World::on_postgres().await;
    let prepared = prepare(&world.product).await;
    let (held, mut token) = (prepared.held, prepared.refresh_token);
    for arrives in [true, false] {
        let ask = async |at: &Product| held.refresh(at, &token).await;
        let answer = in_doubt(&mut world, &token, arrives, ask).await;
        assert_eq!(answer.status, 200, "{arrives}: {answer:?}");
        token = text(&answer.json(), "refresh_token").to_owned();
    }
    let next = held.refresh(&world.product, &token).await;
    assert_eq!(next.status, 200, "the grant lives: {next:?}");
}

// RFC 8628 §3.5, RFC 6749 §4.1.2 — N82, N114
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_that_stops_and_starts_again_needs_no_restart_of_the_broker() {
    let mut cluster = Cluster::start();
    let mut world = World::on(&cluster.database()).await;
    let prepared = prepare(&world.product).await;
    cluster.command("stop");
    everybody_is_asked_to_come_back(&world, &prepared).await;
    cluster.command("start");
    world.mend().await;
    nothing_is_lost_or_doubled(&world, &prepared).await;
}
