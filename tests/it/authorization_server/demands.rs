//! What clients demand for their own safety: tokens that are bound to a key (RFC 9449), requests that are pushed (RFC 9126).

use serde_json::{Value, json};

use crate::support::product::Product;
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, told};
use super::dpop::{ALLOWED, ClientKey};
use super::flow::text;

const SETTINGS: &str = "[authorization_server]\ndynamic_registration = \"open\"\n\
    [authorization_server.administrators]\nsubjects = [\"ada\"]\n";

async fn posts(product: &Product, path: &str, token: Option<&str>, body: &Value) -> Value {
    let mut request = Request::new("POST", path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", &format!("Bearer {token}"));
    }
    let answer = product.send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

/// The ids of clients with this demand: one that registered itself without a secret, one with, and one of the API, with their
/// secrets.
async fn clients(product: &Product, demand: &str) -> Vec<(String, Option<String>)> {
    let mut client = json!({ "client_name": "a test", "redirect_uris": [REDIRECT] });
    client[demand] = json!(true);
    let admin = product.token(&["broker:admin"]);
    let added = posts(product, "/api/v1/clients", Some(&admin), &client).await;
    let confidential = posts(product, "/register", None, &client).await;
    client["token_endpoint_auth_method"] = json!("none");
    let public = posts(product, "/register", None, &client).await;
    let of = |told: &Value, client: &Value| {
        let secret = told["client_secret"].as_str().map(str::to_owned);
        (text(client, "client_id").to_owned(), secret)
    };
    vec![of(&added, &added["client"]), of(&confidential, &confidential), of(&public, &public)]
}

async fn redeems(
    product: &Product,
    (id, secret): &(String, Option<String>),
    (code, proof): (&str, Option<&str>),
) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", id),
        ("code_verifier", VERIFIER),
    ];
    fields.extend(secret.as_deref().map(|secret| ("client_secret", secret)));
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let form = "application/x-www-form-urlencoded";
    let request = Request::new("POST", "/token").header("content-type", form).body(body);
    let request = match proof {
        Some(proof) => request.header("dpop", proof),
        None => request,
    };
    product.send(request).await
}

// RFC 9449 §5.2
#[tokio::test]
async fn a_client_that_demands_bound_tokens_gets_no_others() {
    let product = Product::start(&format!("{ALLOWED}{SETTINGS}")).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    for client in clients(&product, "dpop_bound_access_tokens").await {
        let asking = Asking::new(&client.0).with("scope", "public:read openid");
        let code = told(&browser.answers(&asking.path(), "allow").await)["code"].clone();
        let refused = redeems(&product, &client, (&code, None)).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("invalid_dpop_proof")));
        let proof = ClientKey::new().proof("POST", &product.url("/token"), &json!({}));
        let answer = redeems(&product, &client, (&code, Some(&proof))).await;
        assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("DPoP")));
    }
}

// RFC 9126 §6
#[tokio::test]
async fn a_client_that_demands_to_push_its_requests_is_refused_without() {
    let product = Product::start(SETTINGS).await;
    for (id, _) in clients(&product, "require_pushed_authorization_requests").await {
        let led = Asking::new(&id).send(&product).await;
        assert!(!led.head.contains("/login?"), "{led:?}");
    }
}
