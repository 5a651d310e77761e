//! Secrets of clients and identity providers that are not there at the start, and that change while the broker runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;

use super::browser::Browser;
use super::client::{Asking, REDIRECT, told};
use super::flow::post;

const FIRST: &str = "the first secret, of which only two parties know";
const SECOND: &str = "the second secret, of which only two parties know";

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn status(product: &Product, secret: &str) -> u16 {
    let fields =
        [("grant_type", "client_credentials"), ("client_id", "machine"), ("client_secret", secret)];
    post(product, "/token", &fields).await.status
}

#[tokio::test]
async fn a_clients_secret_that_is_not_there_stops_no_start_and_a_new_one_counts_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let settings = format!(
        "[[authorization_server.client]]\nclient_id = \"machine\"\nsecret = \"file:{}\"\ngrants = [\"client_credentials\", \"authorization_code\"]\nredirect_uris = [\"{REDIRECT}\"]\nscopes = [\"public:read\"]\n",
        path.display()
    );
    let product = Product::start(&settings).await;
    assert_eq!(status(&product, FIRST).await, 503, "never a refusal that the client would believe");
    let asked = Asking::new("machine").send(&product).await;
    assert_eq!(asked.status, 503, "nor is its person told that it is unknown: {asked:?}");
    write(&path, FIRST);
    assert_eq!((status(&product, FIRST).await, status(&product, SECOND).await), (200, 401));
    write(&path, SECOND);
    // In this order: the old one counts for a second more, or until the new one is sent.
    assert_eq!((status(&product, SECOND).await, status(&product, FIRST).await), (200, 401));
}

/// What the provider was sent as our secret at the last login.
async fn logs_in(product: &Product, provider: &FakeHttp) -> (u16, String) {
    let mut browser = Browser::at(&product.authority);
    let left = browser.get("/login/with/elsewhere").await;
    let state = &told(&left.header("location"))["state"];
    let back = browser.get(&format!("/login/callback/elsewhere?code=x&state={state}")).await;
    let asked = provider.asked();
    let sent = asked.iter().rev().find(|asked| asked.path == "/token");
    (
        back.status,
        sent.map(|asked| format!("{:?} {}", asked.headers.get("authorization"), asked.body))
            .unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_providers_secret_that_is_not_there_stops_no_start_and_a_new_one_counts_at_once() {
    let provider = FakeHttp::start(Reply::status(404)).await;
    provider.answers_at(
        "/token",
        Reply::json(json!({ "access_token": "t", "token_type": "Bearer" }).to_string()),
    );
    provider.answers_at("/user", Reply::json(json!({ "id": 7, "login": "ada" }).to_string()));
    let (url, directory) = (provider.url(), tempfile::tempdir().unwrap());
    let path = directory.path().join("secret");
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[authorization_server.identity_provider]]\nid = \"elsewhere\"\nissuer = \"{url}\"\nclient_id = \"broker\"\nclient_secret = \"file:{}\"\nauthorization_endpoint = \"{url}authorize\"\ntoken_endpoint = \"{url}token\"\nuserinfo_endpoint = \"{url}user\"\nclaims = {{ subject = \"id\", username = \"login\" }}\n",
        path.display()
    );
    let product = Product::start(&settings).await;
    let (refused, sent) = logs_in(&product, &provider).await;
    assert!(refused >= 400 && sent.is_empty(), "{refused} {sent}");
    write(&path, "first-secret");
    let (status, first) = logs_in(&product, &provider).await;
    write(&path, "second-secret");
    let (again, second) = logs_in(&product, &provider).await;
    assert_eq!((status, again), (303, 303), "{}", product.audit_lines().join("\n"));
    assert_ne!(first, second, "the secret was read again");
}
