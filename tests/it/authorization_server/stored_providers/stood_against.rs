//! Providers that are in the store, and that the settings or this version of the broker do not serve.

use serde_json::{Value, json};

use crate::support::product::Product;
use crate::support::raw_http::Request;

use super::super::client::Asking;
use super::super::limited_clients::added;
use super::{BASE, Browser, Idp, add, administer, bob, start};

/// Whether people could log in there, by id; and what the list says of it.
async fn listed(product: &Product) -> Vec<Value> {
    let answer = administer(product, "GET", BASE, &Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

/// The groups of administrators are those of a provider of the settings, whatever it was that came first.
// N115
#[tokio::test]
async fn a_provider_is_not_served_whose_groups_would_come_to_administer_the_broker() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    assert!(Browser::new(&product).get("/login").await.body.contains("Partner Ltd"));
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[authorization_server.administrators]\n\
        subjects = [\"ada\"]\ngroups = [\"partner:admins\"]\n";
    let product = product.restart(settings).await;
    let all = listed(&product).await;
    assert_eq!((&all[0]["id"], &all[0]["served"]), (&json!("partner"), &json!(false)));
    let mut browser = Browser::new(&product);
    assert!(!browser.get("/login").await.body.contains("Partner Ltd"));
    assert_eq!(browser.get("/login/with/partner").await.status, 404);
}

/// Sessions and grants outlive a start, and the store keeps who was in which group.
// N115
#[tokio::test]
async fn whoever_was_in_a_group_before_it_was_named_administers_nothing() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    let mut browser = Browser::new(&product);
    idp.logs_in(&mut browser).await;
    let (cookies, known) = (browser.cookies, bob(&product).await);
    assert_eq!(known["groups"][0], "partner:staff");
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[authorization_server.administrators]\n\
        subjects = [\"ada\"]\ngroups = [\"partner:staff\"]\n";
    let before = product.authority.clone();
    let product = product.restart(settings).await;
    let id = known["id"].as_str().unwrap();
    let token = product.token_with(&["broker:admin"], |token| token.subject = id.parse().unwrap());
    let request = Request::new("GET", "/api/v1/clients");
    let refused = product.send(request.header("authorization", &format!("Bearer {token}"))).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let client = added(&product, "broker:admin public:read");
    let mut browser = Browser::new(&product);
    // Their names have the port in them.
    let port = |authority: &str| authority.rsplit(':').next().unwrap().to_owned();
    let (old, new) = (port(&before), port(&product.authority));
    browser.cookies =
        cookies.into_iter().map(|(name, it)| (name.replace(&old, &new), it)).collect();
    let asking = Asking::new(&client).with("scope", "broker:admin public:read");
    let page = browser.asked(&asking.path()).await.body;
    assert!(page.contains("public:read") && !page.contains("broker:admin"), "{page}");
    let explained = browser.get("/explain/01890a5d-ac96-774b-bcce-b302099a8057").await;
    assert!(explained.body.contains("There is nothing here for you"), "{explained:?}");
}

/// As a newer version would have written it, after a step back.
#[tokio::test]
async fn one_that_cannot_be_read_hides_no_other_and_can_be_taken_out() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    let other = json!({
        "id": "newer", "issuer": "https://newer.example", "groups_prefix": "newer:", "client_id": "b",
        "no_check": true,
    });
    assert_eq!(administer(&product, "POST", BASE, &other).await.status, 201);
    let file = product.directory.path().join("data/broker.db");
    let store = rusqlite::Connection::open(file).unwrap();
    let change = "UPDATE identity_providers SET settings = '{\"a_member_of_tomorrow\": 1}' WHERE id = 'newer'";
    assert_eq!(store.execute(change, ()).unwrap(), 1);
    let all = listed(&product).await;
    let of = |id: &str| all.iter().find(|known| known["id"] == id).unwrap();
    assert_eq!((&of("partner")["served"], of("partner").get("problem")), (&json!(true), None));
    let newer = of("newer");
    assert_eq!(
        (&newer["served"], &newer["issuer"]),
        (&json!(false), &json!("https://newer.example"))
    );
    assert!(newer["problem"].as_str().unwrap().contains("cannot read"), "{newer}");
    let removed = administer(&product, "DELETE", &format!("{BASE}/newer"), &Value::Null).await;
    assert!(removed.status < 300, "{removed:?}");
    assert_eq!(listed(&product).await.len(), 1);
}
