//! What `/ready` says while something is away.

use serde_json::{Value, json};

use crate::support::product::Product;

async fn ready_with(product: &Product, wanted: u16) -> Value {
    loop {
        let ready = product.get("/ready").await;
        if ready.status == wanted {
            return ready.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_makes_the_broker_unready_until_it_does() {
    let product = Product::dev().await;
    let path = product.directory.path().join("data/broker.db");
    let store = rusqlite::Connection::open(path).unwrap();
    store.execute_batch("ALTER TABLE revocations RENAME TO away").unwrap();
    let ready = ready_with(&product, 503).await;
    assert_eq!(
        (&ready["status"], &ready["failing"][0]["name"]),
        (&json!("not_ready"), &json!("store"))
    );
    assert_eq!(product.get("/health").await.status, 200);
    store.execute_batch("ALTER TABLE away RENAME TO revocations").unwrap();
    assert_eq!(ready_with(&product, 200).await["failing"], json!([]));
}
