//! What is not taken from who administers a broker.

use serde_json::{Value, json};

use crate::support::fake_http::Reply;
use crate::support::product::Product;

use super::{BASE, Idp, ONE, add, administer, start};

/// Settings that have a provider, and a secret for another one.
const SETTLED: &str = "[[authorization_server.identity_provider]]\nid = \"settled\"\nissuer = \"https://settled.example\"\nclient_id = \"broker\"\nclaims = { groups_prefix = \"settled:\" }\n\
    [[authorization_server.identity_provider_secret]]\nname = \"partner\"\nissuers = [\"https://partner.example\"]\nsecret = \"idp-CANARY\"\n";

// N109, N115, N116
#[tokio::test]
async fn what_could_take_the_people_groups_or_secrets_of_another_is_refused_with_the_reason() {
    let product = start(SETTLED).await;
    let good = json!({
        "id": "new", "issuer": "https://new.example", "groups_prefix": "new:", "client_id": "broker", "no_check": true,
    });
    for (change, status, field) in [
        (json!({ "id": "settled" }), 409, "id, issuer or groups_prefix"),
        (json!({ "issuer": "https://settled.example" }), 409, "id, issuer or groups_prefix"),
        (json!({ "issuer": "https://settled.example/" }), 409, "id, issuer or groups_prefix"),
        (json!({ "groups_prefix": "settled:" }), 409, "id, issuer or groups_prefix"),
        (json!({ "groups_prefix": "" }), 422, "groups_prefix"),
        (json!({ "groups_prefix": "new" }), 422, "groups_prefix"),
        (json!({ "groups_prefix": "new:*:" }), 422, "groups_prefix"),
        (json!({ "groups_prefix": "ops:" }), 422, "groups_prefix"),
        (json!({ "issuer": product.url("") }), 422, "issuer"),
        (json!({ "issuer": "http://new.example" }), 422, "issuer"),
        (json!({ "issuer": "https://new.example/?a=b" }), 422, "issuer"),
        (json!({ "issuer": "https://u@new.example" }), 422, "issuer"),
        (json!({ "issuer": "https://login.microsoftonline.com/common/v2.0" }), 422, "issuer"),
        (json!({ "issuer": "https://accounts.google.com" }), 422, "require"),
        (json!({ "id": "a/b" }), 422, "id"),
        (json!({ "client_secret": "partner" }), 422, "client_secret"),
        (json!({ "client_secret": "file:/etc/passwd" }), 422, "client_secret"),
        (json!({ "claims": { "subject": "email" } }), 422, "claims.subject"),
        (json!({ "scopes": "openid broker:admin" }), 422, "scope"),
    ] {
        let mut body = good.clone();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let refused = administer(&product, "POST", BASE, &body).await;
        assert_eq!((refused.status, &refused.json()["field"]), (status, &json!(field)), "{change}");
        assert!(refused.json()["hint"].is_string(), "{refused:?}");
    }
    for body in [json!({ "authorization_endpoint": "https://new.example" }), json!({})] {
        assert_eq!(administer(&product, "POST", BASE, &body).await.status, 422, "{body}");
    }
    let added = administer(&product, "POST", BASE, &good).await;
    assert_eq!(added.status, 201, "{added:?}");
    let again = json!({ "id": "other", "issuer": "https://new.example/", "groups_prefix": "other:", "client_id": "b", "no_check": true });
    assert_eq!(administer(&product, "POST", BASE, &again).await.status, 409);
}

#[tokio::test]
async fn one_of_the_settings_is_changed_there_alone() {
    let product = start(SETTLED).await;
    let one = format!("{BASE}/settled");
    let change = json!({ "name": "Mine" });
    for (method, path, body) in [
        ("PATCH", one.clone(), &change),
        ("DELETE", one.clone(), &Value::Null),
        ("POST", format!("{one}/disable"), &Value::Null),
        ("POST", format!("{one}/enable"), &Value::Null),
    ] {
        let refused = administer(&product, method, &path, body).await;
        assert_eq!(refused.status, 403, "{method} {refused:?}");
        assert!(refused.body.contains("[[authorization_server.identity_provider]]"), "{refused:?}");
        let unknown = administer(&product, method, &path.replace("settled", "none"), body).await;
        assert_eq!(unknown.status, 404, "{method} {unknown:?}");
    }
    let shown = administer(&product, "GET", &one, &Value::Null).await.json();
    assert_eq!((&shown["source"], &shown["served"]), (&json!("settings"), &json!(true)));
}

// OIDC Discovery §4.3
#[tokio::test]
async fn a_provider_at_which_nobody_could_log_in_is_not_added_unseen() {
    let idp = Idp::start().await;
    let product = start("").await;
    let document = |issuer: &str, token: &str| {
        let document = json!({
            "issuer": issuer, "authorization_endpoint": format!("{}/authorize", idp.issuer),
            "token_endpoint": token, "jwks_uri": format!("{}/jwks", idp.issuer),
        });
        Reply::json(document.to_string())
    };
    for (reply, told) in [
        (Reply::status(404), "answered 404 at its discovery endpoint"),
        (Reply::json("{}"), "not an OpenID provider's"),
        (document("https://other.example", &idp.issuer), "names another issuer"),
        (document(&idp.issuer, "http://other.example/token"), "an endpoint is not https"),
    ] {
        idp.fake.answers_at("/.well-known/openid-configuration", reply);
        let refused = administer(&product, "POST", BASE, &idp.provider()).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        assert!(refused.body.contains(told), "{refused:?}");
    }
    let mut unseen = idp.provider();
    unseen["no_check"] = json!(true);
    assert_eq!(administer(&product, "POST", BASE, &unseen).await.status, 201);
}

// N117
#[tokio::test]
async fn what_may_not_be_reached_is_not_asked_for_an_administrator_either() {
    let idp = Idp::start().await;
    let settings =
        "environment = \"staging\"\n[authorization_server.administrators]\nsubjects = [\"ada\"]\n";
    let product = Product::start(settings).await;
    let refused = administer(&product, "POST", BASE, &idp.provider()).await;
    assert_eq!((refused.status, idp.fake.count()), (422, 0), "{refused:?}");
    assert!(refused.body.contains("does not answer"), "{refused:?}");
    assert!(!refused.body.contains("127.0.0.1"), "{refused:?}");
}

#[tokio::test]
async fn what_the_settings_have_since_goes_before_what_was_added() {
    let idp = Idp::start().await;
    let product = start("").await;
    add(&product, &idp).await;
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[authorization_server.administrators]\nsubjects = [\"ada\"]\n[[authorization_server.identity_provider]]\nid = \"partner\"\nissuer = \"https://partner.example\"\nclient_id = \"b\"\nname = \"Ours\"\n";
    let product = product.restart(settings).await;
    let page = product.get("/login").await.body;
    assert!(page.contains("Ours") && !page.contains("Partner Ltd"), "{page}");
    let listed = administer(&product, "GET", BASE, &Value::Null).await.json();
    let listed: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|item| &item["served"]).collect();
    assert_eq!(listed, [&json!(true), &json!(false)]);
    let removed = administer(&product, "DELETE", ONE, &Value::Null).await;
    assert_eq!(removed.status, 200, "the one of the store can still be taken out: {removed:?}");
    assert_eq!(administer(&product, "DELETE", ONE, &Value::Null).await.status, 403);
}
