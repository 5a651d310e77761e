//! A person connects their account at a server behind the broker, apps use it, and the person ends it.

use serde_json::json;

use crate::support::child::command_beside;
use crate::support::fake_http::{Asked, FakeHttp, Reply};
use crate::support::product::{Wire, mcp};
use crate::support::until::until;

use super::browser::{Browser, hidden};
use super::connections_world::{PATH, World, back, begins, connects, parameter, settings, tokens};

// OAuth 2.1 §4.1, RFC 7636 §4.3, RFC 8707 §2, RFC 7591 §3
#[tokio::test]
async fn a_person_connects_an_account_and_their_apps_use_it() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let token = world.token(&mut browser).await;
    let refused = world.calls(&token).await;
    assert!(refused.body.contains("provider.auth_failed"), "{refused:?}");
    assert!(
        refused.body.contains(&world.product.url("/account")),
        "it says where to connect: {refused:?}"
    );
    let begun = begins(&mut browser).await;
    let resource = format!("{}mcp", world.fake.url());
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "the-broker"),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
        ("scope", "w:read offline_access"),
    ] {
        assert_eq!(parameter(&begun, name), value, "{name}");
    }
    let issuer = world.fake.url().to_string();
    let path = back(&begun, &[("code", "c0de"), ("iss", issuer.trim_end_matches('/'))]);
    assert_eq!(browser.get(&path).await.status, 303);
    let exchanged = &world.at("/token")[0].body;
    for part in [
        "code=c0de",
        "client_id=the-broker",
        "client_secret=of-the-broker",
        "code_verifier=",
        "resource=",
    ] {
        assert!(exchanged.contains(part), "{part} in {exchanged}");
    }
    assert_eq!(world.calls(&token).await.status, 200);
    let called = world.at("/mcp");
    assert_eq!(called.last().unwrap().headers["authorization"], "Bearer first");
    assert!(browser.get("/account").await.body.contains("Connected"));
}

/// One that is registered while the broker runs is on the page within seconds, and gone when it is removed.
#[tokio::test]
async fn people_connect_accounts_at_a_registered_server() {
    let world = World::registered().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    until("it is on the page", async || {
        let page = browser.get("/account").await.body;
        page.contains("/account/connections/weather/begin").then_some(())
    })
    .await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    assert_eq!(world.calls(&token).await.status, 200);
    let called = world.at("/mcp");
    assert_eq!(called.last().unwrap().headers["authorization"], "Bearer first");
    let identity = world.product.get("/oauth-client.json").await.json();
    let callback = world.product.url("/account/connections/weather/callback");
    assert_eq!(identity["redirect_uris"], json!([callback]));
    let (directory, authority) = (world.product.directory.path(), &world.product.authority);
    let removed = command_beside(directory, authority, &["server", "remove", "weather"]);
    assert!(removed.status.success(), "{removed:?}");
    until("it is on the page no more", async || {
        let page = browser.get("/account").await.body;
        (!page.contains("/account/connections/weather/begin")).then_some(())
    })
    .await;
}

// RFC 6749 §10.12, RFC 9207 §2.4 — N24, N104
#[tokio::test]
async fn an_answer_counts_once_for_the_session_that_began_and_from_who_was_asked() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let issuer = world.fake.url().to_string();
    let good = [("code", "c0de"), ("iss", issuer.trim_end_matches('/'))];
    let begun = begins(&mut browser).await;
    let mut stranger = Browser::new(&world.product);
    assert_eq!(stranger.get(&back(&begun, &good)).await.status, 400);
    for (bad, status) in [
        (vec![("code", "c0de"), ("iss", "https://evil.example")], 502),
        (vec![("code", "c0de")], 502),
        (vec![("error", "access_denied"), good[1]], 403),
    ] {
        let begun = begins(&mut browser).await;
        assert_eq!(browser.get(&back(&begun, &bad)).await.status, status, "{bad:?}");
        assert_eq!(browser.get(&back(&begun, &good)).await.status, 400, "it was used up");
    }
    assert_eq!(world.at("/token").len(), 0);
    assert_eq!(browser.get(&back(&begun, &good)).await.status, 303);
    assert_eq!(browser.get(&back(&begun, &good)).await.status, 400);
}

// RFC 6749 §10.12 — N103
#[tokio::test]
async fn no_other_site_begins_or_ends_it() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let forged = browser.get("/account/connections/weather/begin?form=AAAA").await;
    assert_eq!(forged.status, 403, "{forged:?}");
    connects(&world, &mut browser).await;
    let ended = browser.post("/account/connections/weather/end", &[("form", "AAAA")]).await;
    assert_eq!(ended.status, 403);
    assert!(browser.get("/account").await.body.contains("Connected"));
    let mut nobody = Browser::new(&world.product);
    assert!(
        nobody
            .get("/account/connections/weather/begin?form=AAAA")
            .await
            .header("location")
            .ends_with("/login")
    );
}

// RFC 6749 §6, OAuth 2.1 §4.3
#[tokio::test]
async fn tokens_are_renewed_once_for_all_who_call() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    world.fake.answers_at("/token", tokens("first", 1));
    connects(&world, &mut browser).await;
    world.fake.answers_at("/token", tokens("second", 3600));
    let token = world.token(&mut browser).await;
    let all = futures_util::future::join_all((0..10).map(|_| world.calls(&token))).await;
    assert!(all.iter().all(|answer| answer.status == 200), "{all:?}");
    let asked = world.at("/token");
    assert_eq!(asked.len(), 2, "the code, and one refresh for ten calls");
    assert!(
        asked[1].body.contains("grant_type=refresh_token&refresh_token=refresh-first"),
        "{asked:?}"
    );
    assert!(
        world
            .at("/mcp")
            .iter()
            .skip(1)
            .all(|asked| asked.headers["authorization"] == "Bearer second")
    );
    world.fake.answers_at("/mcp", Reply::status(401));
    world.calls(&token).await;
    let refused = r#"{"error":"invalid_grant","error_description":"CANARY"}"#;
    let json = vec![("content-type", "application/json".to_owned())];
    world.fake.answers_at("/token", Reply::Answer(400, json, refused.into()));
    let over = world.calls(&token).await;
    assert!(over.body.contains("connect_url") && !over.body.contains("CANARY"), "{over:?}");
    assert!(browser.get("/account").await.body.contains("Not connected"));
}

// RFC 7009 §2.1
#[tokio::test]
async fn who_disconnects_has_the_tokens_given_back_and_deleted() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    assert_eq!(world.calls(&token).await.status, 200);
    let page = browser.get("/account").await.body;
    let form = page.split_once("/account/connections/weather/end").unwrap().1;
    let fields = [("form", hidden(form, "form"))];
    let ended = browser
        .post("/account/connections/weather/end", &[(fields[0].0, fields[0].1.as_str())])
        .await;
    assert_eq!(ended.status, 303, "{ended:?}");
    let given = until("the tokens are given back", async || world.at("/revoke").pop()).await;
    assert!(given.body.contains("token=refresh-first"), "{}", given.body);
    assert!(world.calls(&token).await.body.contains("connect_url"));
    let log = world.product.audit_lines().join("\n");
    assert!(log.contains("person.account.connected") && log.contains("person.account.ended"));
    assert!(!log.contains("refresh-first") && !log.contains("c0de"));
}

// RFC 7636 §7.1
#[tokio::test]
async fn the_store_alone_has_no_verifier_of_a_connection_under_way() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let begun = begins(&mut browser).await;
    let path = world.product.directory.path().join("data/broker.db");
    let file = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT pending FROM sessions WHERE pending IS NOT NULL";
    let pending: String = file.query_row(sql, [], |row| row.get(0)).unwrap();
    let issuer = world.fake.url().to_string();
    let back = back(&begun, &[("code", "c0de"), ("iss", issuer.trim_end_matches('/'))]);
    assert_eq!(browser.get(&back).await.status, 303);
    let sent = world.at("/token")[0].body.clone();
    let mut fields = url::form_urlencoded::parse(sent.as_bytes());
    let verifier = fields.find(|(name, _)| name == "code_verifier").unwrap().1;
    assert!(verifier.len() > 20 && !pending.contains(&*verifier), "{pending}");
    assert!(!pending.contains(&parameter(&begun, "state")), "{pending}");
}

/// An account is a person's: who else could be meant is refused, and nobody is asked.
#[tokio::test]
async fn a_client_that_acts_for_itself_has_no_account() {
    let world = World::new().await;
    let token = world.product.token_with(&["weather:read"], |token| {
        token.audience = world.product.url(PATH);
    });
    let refused = world.calls(&token).await;
    assert!(refused.body.contains("provider.auth_failed"), "{refused:?}");
    assert!(!refused.body.contains("connect_url"));
    assert_eq!(world.fake.count(), 0);
}

/// The tools of the server in the list of `/mcp`.
async fn folded(world: &World, token: &str) -> Vec<String> {
    let ask = mcp(Wire::Modern, Some(token), "tools/list", json!({}));
    let answer = world.product.send(ask).await.json();
    let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("weather.")).collect()
}

#[tokio::test]
async fn who_is_not_connected_hides_a_folded_server_from_nobody_else() {
    let world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let list = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"list_cities","inputSchema":{"type":"object"}}]}}"#;
    world.fake.answers_at("/mcp", Reply::json(list));
    let (eve, ada) =
        (world.product.token(&["weather:read"]), world.token_for(&mut browser, "/mcp").await);
    assert_eq!(folded(&world, &eve).await, [""; 0]);
    assert_eq!(folded(&world, &ada).await, ["weather.list_cities"]);
}

// RFC 6750 §3.1
#[tokio::test]
async fn a_call_that_the_server_forbids_ends_no_account() {
    let world = World::new().await;
    let granted = json!({ "access_token": "only", "token_type": "Bearer", "expires_in": 3600 });
    world.fake.answers_at("/token", Reply::json(granted.to_string()));
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let token = world.token(&mut browser).await;
    world.fake.answers_at("/mcp", Reply::status(403));
    assert!(world.calls(&token).await.body.contains("provider.auth_failed"));
    world.fake.answers_at("/mcp", Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#));
    let answer = world.calls(&token).await;
    assert_eq!(answer.json()["result"], json!({}), "{answer:?}");
}

#[tokio::test]
async fn an_account_is_for_where_the_server_was_when_it_was_connected() {
    let mut world = World::new().await;
    let mut browser = Browser::of_the_administrator(&world.product).await;
    connects(&world, &mut browser).await;
    let elsewhere = FakeHttp::start(Reply::status(500)).await;
    let base = elsewhere.url().to_string();
    let settings = settings(base.trim_end_matches('/'), "");
    world.product = Box::pin(world.product.restart(&settings)).await;
    let mut browser = Browser::new(&world.product);
    browser.logs_in().await;
    let token = world.token(&mut browser).await;
    assert!(world.calls(&token).await.body.contains("connect_url"));
    let shown = |asked: &Asked| asked.headers.contains_key("authorization");
    assert!(!elsewhere.asked().iter().any(shown));
    assert!(browser.get("/account").await.body.contains("Not connected"));
}
