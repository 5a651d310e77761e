//! The ID token of a log-in elsewhere, exchanged where the person logged in (MCP Enterprise-Managed Authorization).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Answer;
use crate::support::until::until;
use crate::upstream::{GET, PATH};

use super::behind::token_for;
use super::browser::Browser;
use super::flow::text;
use super::vouching_world::{KEEP, World};

const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The server, its authorization server, and where the identity provider exchanges.
async fn fake() -> FakeHttp {
    let result = json!({ "jsonrpc": "2.0", "id": 7, "result": { "content": [] } });
    let fake = FakeHttp::start(Reply::json(result.to_string())).await;
    let id_jag = json!({
        "access_token": "id-jag", "token_type": "N_A", "expires_in": 300,
        "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag",
    });
    fake.answers_at("/exchange", Reply::json(id_jag.to_string()));
    let token = json!({ "access_token": "for-bob", "token_type": "Bearer", "expires_in": 3600 });
    fake.answers_at("/as/token", Reply::json(token.to_string()));
    fake
}

/// A broker in front of the server, whose credential is exchanged by this client at the provider.
async fn world(fake: &FakeHttp, client_id: &str) -> World {
    let url = fake.url();
    World::with(KEEP, |issuer| {
        format!(
            "[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nera = \"both\"\n\
             credential.id_jag.token_url = \"{url}exchange\"\ncredential.id_jag.issuer = \"{issuer}\"\n\
             credential.id_jag.client_id = \"{client_id}\"\ncredential.id_jag.client_secret = \"s\"\n\
             credential.id_jag.server = {{ issuer = \"{url}as\", token_url = \"{url}as/token\", client_id = \"at-as\", client_secret = \"s\" }}\n{GET}"
        )
    })
    .await
}

/// Bob's client gets a token and calls with it.
async fn calls(world: &World, browser: &mut Browser<'_>) -> Answer {
    calls_at(world.here(), &token(world, browser).await).await
}

async fn token(world: &World, browser: &mut Browser<'_>) -> String {
    let tokens = token_for(world.here(), browser, &world.here().url(PATH)).await;
    text(&tokens, "access_token").to_owned()
}

async fn calls_at(product: &Product, token: &str) -> Answer {
    let params = json!({ "name": "get_weather", "arguments": {} });
    product.send(mcp(Wire::Modern, Some(token), "tools/call", params).path(PATH)).await
}

/// What was exchanged: of which type, and what it says.
fn exchanged(fake: &FakeHttp) -> Vec<(String, Value)> {
    let asked = fake.asked();
    let forms = asked.iter().filter(|asked| asked.path == "/exchange");
    let read = |body: &str| {
        let form: std::collections::BTreeMap<_, _> =
            url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let part = form["subject_token"].split('.').nth(1).unwrap();
        let said = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        (form["subject_token_type"].clone(), said)
    };
    forms.map(|asked| read(&asked.body)).collect()
}

// MCP Enterprise-Managed Authorization §4, RFC 8693 §3
#[tokio::test]
async fn the_id_token_of_a_log_in_is_exchanged_and_a_fresh_one_when_it_has_ended() {
    let fake = fake().await;
    let world = world(&fake, "broker").await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    assert_eq!(calls(&world, &mut browser).await.status, 200);
    world.clock.advance(Duration::from_mins(5));
    world.idp.gives("two", &json!({ "jti": "fresh" }));
    assert_eq!(calls(&world, &mut browser).await.status, 200);
    let told = exchanged(&fake);
    assert_eq!(told.len(), 2, "{told:?}");
    for (kind, said) in &told {
        assert_eq!(
            (kind.as_str(), &said["aud"], &said["sub"]),
            (ID_TOKEN, &json!("broker"), &json!("1"))
        );
    }
    assert_eq!((&told[0].1["jti"], &told[1].1["jti"]), (&Value::Null, &json!("fresh")));
    world.clock.advance(Duration::from_mins(5));
    world.idp.refuses(503, "");
    let away = calls(&world, &mut browser).await;
    assert!(away.body.contains("provider.unavailable"), "{away:?}");
    assert_eq!(exchanged(&fake).len(), 2, "nothing else is sent in its place");
    assert_eq!(world.idp.asked_with(), ["one", "two"]);
}

// OIDC Core §3.1.3.7 — N116
#[tokio::test]
async fn the_id_token_is_shown_by_the_client_that_it_is_for_alone() {
    let fake = fake().await;
    let world = world(&fake, "another").await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    assert_eq!(calls(&world, &mut browser).await.status, 200);
    let told = exchanged(&fake);
    assert_eq!(told[0].0, "urn:ietf:params:oauth:token-type:jwt", "our own word: {told:?}");
    assert_eq!(told[0].1["iss"], world.here().url(""), "{told:?}");
}

// OIDC Core §2 (aud) — N116
#[tokio::test]
async fn an_id_token_of_our_client_of_before_is_shown_by_no_other() {
    let fake = fake().await;
    let world = world(&fake, "broker").await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    let token = token(&world, &mut browser).await;
    let other = |all: &str| all.replace("client_id = \"broker\"", "client_id = \"other\"");
    let other = world.third(other).await;
    assert_eq!(calls_at(&other, &token).await.status, 200);
    let told = exchanged(&fake);
    assert_eq!(told[0].0, "urn:ietf:params:oauth:token-type:jwt", "our own word: {told:?}");
}

// OIDC Core §12.2
#[tokio::test]
async fn where_a_refresh_brings_no_id_token_the_call_fails_and_nothing_else_is_sent() {
    let fake = fake().await;
    let world = world(&fake, "broker").await;
    world.idp.tells(&json!({ "groups": ["staff"] }));
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    assert_eq!(calls(&world, &mut browser).await.status, 200);
    world.clock.advance(Duration::from_mins(5));
    world.idp.gives_no_id_token("two");
    for _ in 0..2 {
        let failed = calls(&world, &mut browser).await;
        assert!(failed.body.contains("provider.unavailable"), "{failed:?}");
    }
    assert_eq!(exchanged(&fake).len(), 1, "no word of ours");
    assert_eq!(world.idp.asked_with(), ["one"], "once a minute");
    world.clock.advance(Duration::from_mins(1));
    world.idp.gives("three", &json!({ "jti": "fresh" }));
    assert_eq!(calls(&world, &mut browser).await.status, 200);
    assert_eq!(exchanged(&fake)[1].1["jti"], "fresh");
}

// OIDC Core §12.2
#[tokio::test]
async fn who_waits_for_anothers_answer_gets_the_id_token_that_it_brings() {
    /// Counts who would be the one that asks: also whoever is too late for it.
    const COUNTED: &str = "CREATE SEQUENCE claims; \
        CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$ \
        BEGIN PERFORM nextval('claims'); RETURN NULL; END $$; \
        CREATE TRIGGER counted BEFORE UPDATE OF claimed_until ON provider_tokens \
        FOR EACH STATEMENT EXECUTE FUNCTION counted()";
    let (fake, gate) = (fake().await, Arc::new(Notify::new()));
    let world = world(&fake, "broker").await;
    let mut browser = Browser::new(world.here());
    world.idp.logs_in(&mut browser, "one").await;
    world.clock.advance(Duration::from_mins(5));
    let token = token(&world, &mut browser).await;
    world.idp.gives_when(&gate, "two", &json!({ "jti": "fresh" }));
    world.run(COUNTED).await;
    let answers = async {
        let tried =
            async || (world.count("SELECT last_value FROM claims").await >= 2).then_some(());
        until("both would ask", tried).await;
        gate.notify_one();
    };
    let (here, there) = (calls_at(world.here(), &token), calls_at(world.there(), &token));
    let (here, there, ()) = tokio::join!(here, there, answers);
    assert_eq!((here.status, there.status), (200, 200), "{here:?} {there:?}");
    let told = exchanged(&fake);
    assert!(told.len() == 2 && told.iter().all(|(_, said)| said["jti"] == "fresh"), "{told:?}");
    assert_eq!(world.idp.asked_with(), ["one"]);
}
