//! Resources that want another algorithm than the others: their tokens, and the keys that anybody checks them with.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::support::child::command;
use crate::support::product::{Product, Wire};
use crate::support::raw_http::Request;

use super::flow::post;

const SETTINGS: &str = r#"
    [authorization_server.resource_signing_alg]
    "https://FILES.example/mcp/" = "RS256"
    "https://mail.example/mcp" = "EdDSA"
    [[authorization_server.client]]
    client_id = "machine"
    secret = "one secret of a client, as good as another"
    grants = ["client_credentials"]
    scopes = ["public:read", "x:read"]
"#;

fn run(product: &Product, arguments: &[&str]) -> String {
    let output = command(product.directory.path(), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn token(product: &Product, resource: &str) -> String {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("client_secret", "one secret of a client, as good as another"),
        ("resource", resource),
    ];
    let answer = post(product, "/token", &fields).await;
    answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// What a server that knows only our key set and its own algorithm makes of a token.
fn read(jwks: &JwkSet, token: &str, algorithm: Algorithm, audience: &str) -> Value {
    let kid = decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[audience]);
    decode::<Value>(token, &key, &validation).unwrap().claims
}

// RFC 9068 §2.1, RFC 7515 §4.1.1
#[tokio::test]
async fn each_resource_gets_tokens_with_the_algorithm_that_it_wants() {
    let product = Product::start(SETTINGS).await;
    for id in ["files", "mail", "notes"] {
        let resource = format!("https://{id}.example/mcp");
        run(&product, &["server", "add", id, &resource, "--scope", "x:read"]);
    }
    let jwks: JwkSet =
        serde_json::from_value(product.get("/.well-known/jwks.json").await.json()).unwrap();
    assert_eq!(jwks.keys.len(), 3, "all are published from the first start on");
    for (id, algorithm) in
        [("files", Algorithm::RS256), ("mail", Algorithm::EdDSA), ("notes", Algorithm::ES256)]
    {
        let resource = format!("https://{id}.example/mcp");
        let token = token(&product, &resource).await;
        assert_eq!(read(&jwks, &token, algorithm, &resource)["client_id"], "machine");
        let key = run(&product, &["server", "key", "add", id, "--json"]);
        let key =
            serde_json::from_str::<Value>(&key).unwrap()["api_key"].as_str().unwrap().to_owned();
        let request = Request::new("POST", "/introspect")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &format!("Bearer {key}"))
            .body(format!("token={token}"));
        assert_eq!(product.send(request).await.json()["active"], true, "{id}");
    }
    let own = token(&product, &product.url("/mcp")).await;
    assert_eq!(decode_header(&own).unwrap().alg, Algorithm::ES256);
    assert_eq!(product.rpc(Wire::Modern, &own, "tools/list", json!({})).await.status, 200);
}

#[tokio::test]
async fn rotating_makes_a_key_of_each_algorithm_and_says_so() {
    let product = Product::start(SETTINGS).await;
    let added: Value = serde_json::from_str(&run(&product, &["key", "rotate", "--json"])).unwrap();
    let others = added["others"].as_array().unwrap().iter().map(|key| &key["algorithm"]);
    assert_eq!(added["algorithm"], "ES256");
    assert_eq!(
        others.collect::<Vec<_>>(),
        ["RS256", "EdDSA"].map(|name| json!(name)).iter().collect::<Vec<_>>()
    );
    let text = run(&product, &["key", "rotate"]);
    assert_eq!(text.matches("Key: ").count(), 3, "{text}");
}
