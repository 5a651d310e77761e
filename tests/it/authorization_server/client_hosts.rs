//! Clients that name themselves by a document, by how far the operator trusts the host that publishes it.

use serde_json::json;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;
use crate::support::raw_http::Answer;

use super::browser::Browser;
use super::client::{Asking, VERIFIER, told};
use super::flow::post;
use super::private_key_jwt::{Machine, add};

/// Of a server on the web, so that an earlier yes can stand for an answer.
const CALLBACK: &str = "https://app.example/cb";
const NOT_ALLOWED: &str =
    "the host of this client's metadata document is not allowed by this server's operator";

/// A host that publishes one client, and the client's id.
async fn publisher() -> (FakeHttp, String) {
    let host = FakeHttp::start(Reply::status(404)).await;
    let id = format!("{}client", host.url());
    let document = json!({ "client_id": id, "client_name": "Shop", "redirect_uris": [CALLBACK] });
    host.answers_at("/client", Reply::json(document.to_string()));
    (host, id)
}

fn settings(trust: &str) -> String {
    format!(
        "[authorization_server]\nclient_metadata_private = [\"127.0.0.1\"]\n\
         [[authorization_server.client_host]]\nhost = \"127.0.0.1\"\ntrust = \"{trust}\"\n"
    )
}

fn asking(id: &str) -> Asking {
    Asking::new(id).with("redirect_uri", CALLBACK)
}

fn assert_denied(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.json()["error"], "invalid_client", "{answer:?}");
    assert_eq!(answer.json()["error_description"], NOT_ALLOWED, "{answer:?}");
}

// CIMD §6 — N94, N101
#[tokio::test]
async fn a_client_of_a_denied_host_is_refused_at_each_door_and_its_host_never_asked() {
    let (host, id) = publisher().await;
    let product = Product::start(&settings("deny")).await;
    let page = asking(&id).send(&product).await;
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.body.contains("Your app is not allowed here"), "{}", page.body);
    let asked = asking(&id);
    assert_denied(&post(&product, "/par", &asked.fields()).await);
    let client = [("client_id", id.as_str())];
    assert_denied(&post(&product, "/device_authorization", &client).await);
    for grant in
        ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]
    {
        let fields =
            [("grant_type", grant), ("client_id", &id), ("code", "x"), ("code_verifier", VERIFIER)];
        assert_denied(&post(&product, "/token", &fields).await);
    }
    assert_eq!(host.count(), 0);
    let refused =
        product.audited(|event| event["event_type"] == "oauth.authorization.refused").await;
    assert!(refused.to_string().contains("invalid_client"), "{refused}");
    assert!(refused.to_string().contains(NOT_ALLOWED), "{refused}");
}

#[tokio::test]
async fn of_a_host_that_nobody_approved_people_are_asked_every_time() {
    let (_host, id) = publisher().await;
    let product = Product::start(&settings("ask")).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    for _ in 0..2 {
        let page = browser.asked(&asking(&id).path()).await;
        let mark = "Published by 127.0.0.1, a host that your organisation has not approved";
        assert!(page.body.contains(mark), "{}", page.body);
        assert!(page.body.contains("It will be able to"), "all of it is new: {}", page.body);
        let location = browser.answers(&asking(&id).path(), "allow").await;
        assert!(told(&location).contains_key("code"), "{location}");
    }
    let without = browser.get(&asking(&id).with("prompt", "none").path()).await;
    assert!(
        without.body.contains("app.example") && !without.header("location").contains("code="),
        "{without:?}"
    );
}

#[tokio::test]
async fn of_a_host_that_is_allowed_people_are_asked_once_and_see_who_publishes_the_client() {
    let (_host, id) = publisher().await;
    let product = Product::start(&settings("allow")).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let page = browser.asked(&asking(&id).path()).await;
    assert!(page.body.contains("Published by 127.0.0.1</p>"), "{}", page.body);
    browser.answers(&asking(&id).path(), "allow").await;
    let again = browser.asked(&asking(&id).path()).await;
    assert!(again.body.contains("http-equiv=\"refresh\""), "{}", again.body);
}

#[tokio::test]
async fn a_client_whose_host_becomes_denied_gets_no_new_tokens() {
    let (_host, id) = publisher().await;
    let product = Product::start(&settings("ask")).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let location = browser.answers(&asking(&id).path(), "allow").await;
    let code = told(&location)["code"].clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("client_id", &id),
        ("code_verifier", VERIFIER),
    ];
    let given = post(&product, "/token", &fields).await;
    assert_eq!(given.status, 200, "{given:?}");
    let token = given.json()["refresh_token"].as_str().unwrap().to_owned();
    let fields =
        |token| [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &*id)];
    let refreshed = post(&product, "/token", &fields(&token)).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    let token = refreshed.json()["refresh_token"].as_str().unwrap().to_owned();
    let product = product.restart(&settings("deny")).await;
    assert_denied(&post(&product, "/token", &fields(&token)).await);
}

/// A rule for each of them: `localhost` publishes the client, and `127.0.0.1` has its keys.
fn two_hosts(keys: &str) -> String {
    format!(
        "[authorization_server]\nclient_metadata_private = [\"localhost\", \"127.0.0.1\"]\n\
         [authorization_server.administrators]\nsubjects = [\"ada\"]\n\
         [outbound]\nallow_private = [\"127.0.0.1\"]\n\
         [[authorization_server.client_host]]\nhost = \"127.0.0.1\"\ntrust = \"{keys}\"\n"
    )
}

// CIMD §6 — N94
#[tokio::test]
async fn a_denied_host_is_not_asked_for_the_keys_of_a_client_of_an_allowed_one() {
    let machine = Machine::new();
    let keys = FakeHttp::start(Reply::json(machine.jwks().to_string())).await;
    let host = FakeHttp::start(Reply::status(404)).await;
    let id = format!("http://localhost:{}/client", host.url().port().unwrap());
    let document = json!({
        "client_id": id, "client_name": "Shop", "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": format!("{}keys", keys.url()),
    });
    host.answers_at("/client", Reply::json(document.to_string()));
    let product = Product::start(&two_hosts("deny")).await;
    let page = asking(&id).send(&product).await;
    assert_eq!(page.status, 403, "{page:?}");
    assert!(page.body.contains("Your app is not allowed here"), "{}", page.body);
    let refused = machine.token(&product, &id).await;
    assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("invalid_client")));
    assert!(refused.body.contains("jwks_uri is not allowed"), "{refused:?}");
    assert_eq!((host.count(), keys.count()), (1, 0));
    let product = Product::start(&two_hosts("ask")).await;
    let proven = machine.token(&product, &id).await;
    assert_eq!(proven.json()["error"], "unauthorized_client", "{proven:?}");
    assert_eq!(keys.count(), 1);
}

#[tokio::test]
async fn an_administrator_registers_no_keys_on_a_denied_host_and_those_that_are_there_are_not_asked_for()
 {
    let machine = Machine::new();
    let keys = FakeHttp::start(Reply::json(machine.jwks().to_string())).await;
    let uri = ("jwks_uri", json!(format!("{}keys", keys.url())));
    let product = Product::start(&two_hosts("ask")).await;
    let added = add(&product, uri.clone()).await;
    assert_eq!(added.status, 201, "{added:?}");
    let product = product.restart(&two_hosts("deny")).await;
    let id = added.json()["client"]["client_id"].as_str().unwrap().to_owned();
    let refused = machine.token(&product, &id).await;
    assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("invalid_client")));
    let refused = add(&product, uri).await;
    assert_eq!((refused.status, &refused.json()["field"]), (422, &json!("jwks_uri")));
    assert!(refused.body.contains("client_host"), "{refused:?}");
    assert_eq!(keys.count(), 0);
}
