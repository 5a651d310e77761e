//! To whom an identity provider vouches for people: clients that no settings file names.

use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Request;

use super::private_key_jwt::Machine;
use super::replay::{Signer, issuer};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

async fn start(host: &FakeHttp) -> Product {
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n\
        [authorization_server]\nclient_metadata_private = [\"127.0.0.1\"]\n\
        [authorization_server.administrators]\nsubjects = [\"ada\"]\n\
        [[authorization_server.identity_provider]]\nid = \"idp\"\nissuer = \"{}\"\n\
        client_id = \"broker\"\nidentity_assertions = {{ algorithms = [\"ES256\"] }}\n",
        issuer(host)
    );
    Product::start(&settings).await
}

/// The client brings an assertion that is for it, and one that is for somebody else.
async fn brings(product: &Product, idp: (&Signer, &FakeHttp), client: (&Machine, &str)) {
    let of = |client_id: &str| {
        let claims = json!({
            "iss": issuer(idp.1), "aud": product.url(""), "sub": "ada", "client_id": client_id,
            "resource": product.url("/mcp"), "scope": "public:read",
        });
        idp.0.sign("oauth-id-jag+jwt", claims)
    };
    let (machine, id) = client;
    let (own, others) = (of(id), of("https://other.example/client.json"));
    let form = |assertion| [("grant_type", GRANT), ("assertion", assertion)];
    let refused = machine.asks(product, id, &form(&others)).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_grant")));
    let answer = machine.asks(product, id, &form(&own)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["resource"], product.url("/mcp"));
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let called = product.send(mcp(Wire::Modern, Some(&token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
    let stranger = Machine::new().asks(product, id, &form(&own)).await;
    assert_eq!((stranger.status, &stranger.json()["error"]), (401, &json!("invalid_client")));
}

// MCP Enterprise-Managed Authorization §5.1 — N86
#[tokio::test]
async fn a_client_with_a_metadata_document_brings_what_a_provider_has_vouched() {
    let (idp, machine) = (Signer::new(), Machine::new());
    let host = idp.published().await;
    let product = start(&host).await;
    let publisher = FakeHttp::start(Reply::status(404)).await;
    let id = format!("{}client", publisher.url());
    let document = json!({
        "client_id": id, "client_name": "Agent", "redirect_uris": ["https://app.example/cb"],
        "grant_types": ["authorization_code", GRANT], "token_endpoint_auth_method": "private_key_jwt",
        "jwks": machine.jwks(),
    });
    publisher.answers_at("/client", Reply::json(document.to_string()));
    brings(&product, (&idp, &host), (&machine, &id)).await;
}

// MCP Enterprise-Managed Authorization §5.1 — N86
#[tokio::test]
async fn a_client_that_was_added_over_the_api_brings_what_a_provider_has_vouched() {
    let (idp, machine) = (Signer::new(), Machine::new());
    let host = idp.published().await;
    let product = start(&host).await;
    let new = json!({ "client_name": "Agent", "grant_types": [GRANT], "jwks": machine.jwks() });
    let token = product.token(&["broker:admin"]);
    let request = Request::new("POST", "/api/v1/clients")
        .header("authorization", &format!("Bearer {token}"))
        .header("content-type", "application/json");
    let added: Value = product.send(request.body(new.to_string())).await.json();
    let id = added["client"]["client_id"].as_str().unwrap_or_else(|| panic!("{added}"));
    brings(&product, (&idp, &host), (&machine, id)).await;
}
