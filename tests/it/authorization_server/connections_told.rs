//! A server is told the address of a person who logs in here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::child::command_beside;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;

use super::browser::Browser;
use super::connections_world::World;

async fn world() -> World {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    let fake = FakeHttp::start(Reply::json(answer)).await;
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{}mcp\"\nera = \"both\"\nidentity_header = true\n\
         [[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n",
        fake.url()
    );
    let product = Product::start(&settings).await;
    World { fake, product }
}

/// What the server is told of the administrator, who calls.
async fn told(world: &World) -> Value {
    let mut browser = Browser::of_the_administrator(&world.product).await;
    let token = world.token(&mut browser).await;
    assert_eq!(world.calls(&token).await.status, 200);
    let called = world.at("/mcp");
    let header = called.last().unwrap().headers["x-broker-identity"].to_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(header.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

fn gives_an_address(world: &World) {
    let (directory, authority) = (world.product.directory.path(), &world.product.authority);
    let change = ["user", "change", "admin", "--email", "ada@b.example"];
    let done = command_beside(directory, authority, &change);
    assert!(done.status.success(), "{done:?}");
}

// N116
#[tokio::test]
async fn a_server_is_told_the_address_of_who_has_one() {
    let world = world().await;
    gives_an_address(&world);
    assert_eq!(told(&world).await["email"], "ada@b.example");
}

#[tokio::test]
async fn a_server_is_told_no_address_of_who_has_none() {
    assert_eq!(told(&world().await).await.get("email"), None);
}
