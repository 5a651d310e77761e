//! Providers that are in the store, and that the settings or this version of the broker do not serve.

use serde_json::{Value, json};

use crate::support::product::Product;

use super::{BASE, Browser, Idp, add, administer, start};

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
