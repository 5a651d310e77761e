//! Two brokers on one database.

use serde_json::{Value, json};

use crate::store::database;
use crate::support::product::Product;
use crate::support::until::until;

use super::{BASE, Browser, Idp, ONE, add, administer};

const SETTINGS: &str = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[authorization_server.administrators]\nsubjects = [\"ada\"]\n\
    [store]\nkey_encryption_key = \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\"\n";

async fn two() -> [Product; 2] {
    let overrides = [format!("store.url={}", database())];
    let one = Product::start_in(tempfile::tempdir().unwrap(), SETTINGS, &overrides).await;
    [one, Product::start_in(tempfile::tempdir().unwrap(), SETTINGS, &overrides).await]
}

async fn until_status(product: &Product, wanted: u16) {
    let mut browser = Browser::new(product);
    until("the other replica follows", async || {
        (browser.get("/login/with/partner").await.status == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_one_is_told_the_other_follows() {
    let idp = Idp::start().await;
    let [here, there] = two().await;
    add(&here, &idp).await;
    until_status(&there, 303).await;
    let mut browser = Browser::new(&there);
    idp.logs_in(&mut browser).await;
    let back = idp.leaves(&mut browser).await;
    let disable = format!("{ONE}/disable");
    let ended = administer(&here, "POST", &disable, &Value::Null).await.json();
    assert_eq!(ended, json!({ "sessions": 1, "grants": 0 }));
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    // Whether or not the other one has looked meanwhile.
    let refused = browser.get(&back).await;
    assert!([400, 403].contains(&refused.status), "{refused:?}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    until_status(&there, 404).await;
}

#[tokio::test]
async fn of_two_who_add_the_same_at_once_one_does() {
    let idp = Idp::start().await;
    let [here, there] = two().await;
    let new = idp.provider();
    let (one, two) =
        tokio::join!(administer(&here, "POST", BASE, &new), administer(&there, "POST", BASE, &new));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{one:?} {two:?}");
}
