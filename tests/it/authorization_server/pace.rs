//! A client that asks all the time is told to wait, and nobody else is.

use serde_json::json;

use crate::support::child::command;
use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

const SETTINGS: &str = r#"
    [server]
    trusted_proxies = ["127.0.0.1"]
    [authorization_server]
    token_rate = "2/h"
    introspection_rate = "2/h"
    [[authorization_server.client]]
    client_id = "loud"
    secret = "one secret of a client, as good as another"
    grants = ["client_credentials"]
    scopes = ["public:read"]
    [[authorization_server.client]]
    client_id = "quiet"
    secret = "one secret of a client, as good as another"
    grants = ["client_credentials"]
    scopes = ["public:read"]
    [[authorization_server.client]]
    client_id = "app"
    grants = ["authorization_code"]
    redirect_uris = ["http://127.0.0.1/callback"]
"#;

/// A form from this address, as the proxy says.
async fn post(product: &Product, path: &str, from: &str, body: String) -> Answer {
    let request = Request::new("POST", path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-forwarded-for", from)
        .body(body);
    product.send(request).await
}

async fn token(product: &Product, client: &str, from: &str) -> Answer {
    let secret = "one+secret+of+a+client%2C+as+good+as+another";
    let body = format!("grant_type=client_credentials&client_id={client}&client_secret={secret}");
    post(product, "/token", from, body).await
}

fn has_to_wait(answer: &Answer) {
    assert_eq!((answer.status, &answer.json()["error"]), (429, &json!("temporarily_unavailable")));
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_client_is_counted_from_wherever_it_asks_and_another_client_is_not() {
    let product = Product::start(SETTINGS).await;
    for from in ["192.0.2.1", "198.51.100.1"] {
        assert_eq!(token(&product, "loud", from).await.status, 200);
    }
    has_to_wait(&token(&product, "loud", "203.0.113.1").await);
    assert_eq!(token(&product, "quiet", "192.0.2.1").await.status, 200);
}

// RFC 6749 §10.10 — N57
#[tokio::test]
async fn nobody_uses_up_the_rate_of_a_client_without_its_secret() {
    let product = Product::start(SETTINGS).await;
    for _ in 0..5 {
        let body = "grant_type=client_credentials&client_id=loud&client_secret=wrong".to_owned();
        assert_eq!(post(&product, "/token", "192.0.2.1", body).await.status, 401);
    }
    assert_eq!(token(&product, "loud", "192.0.2.1").await.status, 200);
}

/// Anybody may say that they are a public client.
#[tokio::test]
async fn a_public_client_is_counted_for_each_network() {
    let product = Product::start(SETTINGS).await;
    let body = "grant_type=authorization_code&client_id=app&code=x&code_verifier=y&redirect_uri=z";
    let ask = |from: &'static str| post(&product, "/token", from, body.to_owned());
    for _ in 0..2 {
        assert_eq!(ask("192.0.2.1").await.json()["error"], "invalid_grant");
    }
    has_to_wait(&ask("192.0.2.77").await);
    assert_eq!(ask("198.51.100.1").await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_server_is_counted_with_all_of_its_keys_and_a_client_beside_it() {
    let product = Product::start(SETTINGS).await;
    let key = |id: &str| {
        let run = |arguments: &[&str]| {
            let output = command(product.directory.path(), arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let created = run(&["server", "key", "add", id]);
        let start = created.find("mak_").unwrap();
        created[start..].split_whitespace().next().unwrap().trim_matches('"').to_owned()
    };
    for id in ["files", "mail"] {
        let resource = format!("https://{id}.example/mcp");
        let added = command(product.directory.path(), &["server", "add", id, &resource]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    let ask = async |key: &str| {
        let request = Request::new("POST", "/introspect")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &format!("Bearer {key}"))
            .body("token=x");
        product.send(request).await
    };
    for key in [key("files"), key("files")] {
        assert_eq!(ask(&key).await.status, 200);
    }
    has_to_wait(&ask(&key("files")).await);
    assert_eq!(ask(&key("mail")).await.status, 200);
    let secret = "one+secret+of+a+client%2C+as+good+as+another";
    let client = format!("token=x&client_id=loud&client_secret={secret}");
    assert_eq!(post(&product, "/introspect", "192.0.2.1", client).await.status, 200);
}
