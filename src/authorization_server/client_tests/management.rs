//! `/register/{client_id}`: clients that look after their own registration (RFC 7592).

use serde_json::{Value, json};

use crate::authorization_server::{ClientError, Registration};
use crate::store::RevokeReason;

use super::support::Site;

struct Registered {
    site: Site,
    told: Value,
}

impl Registered {
    async fn new() -> Self {
        let site = Site::with(|settings| settings.registration = Registration::Open).await;
        let asked = json!({ "client_name": "App", "redirect_uris": ["https://a.example/cb"] });
        let (status, _, told) = site.register(asked.to_string()).await;
        assert_eq!(status.as_u16(), 201, "{told}");
        Self { site, told }
    }

    fn text(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap()
    }

    fn id(&self) -> &str {
        self.text("client_id")
    }

    async fn asks(&self, method: &str, token: &str, body: &Value) -> (u16, Value) {
        self.site.manage(method, (self.id(), token), body).await
    }

    /// What it registers with from now on, with one member changed.
    fn anew(&self, name: &str, value: Value) -> Value {
        let mut body = json!({
            "client_id": self.id(), "client_name": "App 2", "redirect_uris": ["https://a.example/new"],
            "token_endpoint_auth_method": "client_secret_post",
        });
        body[name] = value;
        body
    }

    async fn proves_itself(&self) -> bool {
        let form = [("client_id", self.id()), ("client_secret", self.text("client_secret"))];
        self.site.authenticate(None, &form).await.is_ok()
    }
}

// RFC 7592 §2.1, §3
#[tokio::test]
async fn a_client_is_told_what_is_registered_and_never_its_secret() {
    let client = Registered::new().await;
    let token = client.text("registration_access_token");
    let uri = format!("https://broker.example/register/{}", client.id());
    assert_eq!(client.text("registration_client_uri"), uri);
    let (status, told) = client.asks("GET", token, &Value::Null).await;
    assert_eq!((status, &told["registration_access_token"]), (200, &json!(token)));
    assert_eq!((&told["client_id"], &told["client_name"]), (&json!(client.id()), &json!("App")));
    assert_eq!(told.get("client_secret"), None);
    let row = client.site.store.find_client(&client.id().parse().unwrap()).await.unwrap();
    let row = format!("{row:?}");
    assert!(!row.contains(token) && !row.contains(client.text("client_secret")), "{row}");
}

// RFC 7592 §2.2
#[tokio::test]
async fn a_replacement_keeps_id_and_secret_and_ends_the_token() {
    let client = Registered::new().await;
    let old = client.text("registration_access_token");
    let body = client.anew("client_secret", json!(client.text("client_secret")));
    let (status, told) = client.asks("PUT", old, &body).await;
    assert_eq!((status, &told["client_name"]), (200, &json!("App 2")), "{told}");
    let found = client.site.find(client.id()).await.unwrap();
    assert!(found.allows_redirect("https://a.example/new"));
    assert!(!found.allows_redirect("https://a.example/cb"), "replaced, not added to");
    assert!(client.proves_itself().await);
    let new = told["registration_access_token"].as_str().unwrap();
    assert_eq!(client.asks("GET", old, &Value::Null).await.0, 401);
    assert_eq!(client.asks("GET", new, &Value::Null).await.0, 200);
}

// RFC 7592 §2.2 — N91
#[tokio::test]
async fn a_client_becomes_by_it_neither_public_nor_another_nor_more_than_it_could_register() {
    let client = Registered::new().await;
    let token = client.text("registration_access_token");
    for (name, value, error) in [
        ("token_endpoint_auth_method", json!("none"), "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("private_key_jwt"), "invalid_client_metadata"),
        ("client_id", json!("nightly"), "invalid_client_metadata"),
        ("client_id", Value::Null, "invalid_client_metadata"),
        ("client_secret", json!("one of my own"), "invalid_client_metadata"),
        ("redirect_uris", json!(["javascript:alert(1)"]), "invalid_redirect_uri"),
        ("grant_types", json!(["client_credentials"]), "invalid_client_metadata"),
    ] {
        let (status, told) = client.asks("PUT", token, &client.anew(name, value)).await;
        assert_eq!((status, &told["error"]), (400, &json!(error)), "{name}");
    }
    let (status, told) = client.asks("GET", token, &Value::Null).await;
    assert_eq!((status, &told["client_name"]), (200, &json!("App")), "nothing of it was done");
}

// RFC 7592 §2 — N57
#[tokio::test]
async fn without_its_own_token_nobody_hears_of_a_registration() {
    let client = Registered::new().await;
    let asked = json!({ "client_name": "Other", "redirect_uris": ["https://b.example/cb"] });
    let (_, _, other) = client.site.register(asked.to_string()).await;
    let token = other["registration_access_token"].as_str().unwrap();
    assert_ne!(token, client.text("registration_access_token"));
    let public = client.site.registered(r#"["http://127.0.0.1/cb"]"#).await;
    for id in [client.id(), "nobody", &public, "https://a.example/client.json", "%ff"] {
        for method in ["GET", "PUT", "DELETE"] {
            let id = id.replace(':', "%3A").replace('/', "%2F");
            let (status, told) = client.site.manage(method, (&id, token), &json!({})).await;
            assert_eq!((status, &told["error"]), (401, &json!("invalid_token")), "{method} {id}");
        }
    }
    let id = client.id().parse().unwrap();
    let at = Some(crate::time::Timestamp::from_unix_seconds(super::support::NOW));
    client.site.store.disable_client(&id, at).await.unwrap();
    let own = client.text("registration_access_token");
    assert_eq!(client.asks("GET", own, &Value::Null).await.0, 401, "an operator locked it out");
    assert_eq!(client.asks("DELETE", own, &Value::Null).await.0, 401, "and it stays so");
    assert!(matches!(client.site.find(client.id()).await, Err(ClientError::Disabled)));
}

// RFC 7592 §2.2, RFC 9126 §6, RFC 9449 §5.2
#[tokio::test]
async fn a_replacement_keeps_what_it_demands_or_is_refused() {
    let client = Registered::new().await;
    let token = client.text("registration_access_token");
    let pushed = client.anew("require_pushed_authorization_requests", json!(true));
    let (status, told) = client.asks("PUT", token, &pushed).await;
    assert_eq!((status, &told["require_pushed_authorization_requests"]), (200, &json!(true)));
    assert!(client.site.find(client.id()).await.unwrap().requires_pushed_requests());
    let token = told["registration_access_token"].as_str().unwrap();
    let bound = client.anew("dpop_bound_access_tokens", json!(true));
    let (status, told) = client.asks("PUT", token, &bound).await;
    assert_eq!((status, &told["error"]), (400, &json!("invalid_client_metadata")), "{told}");
    let (_, told) = client.asks("GET", token, &Value::Null).await;
    assert_eq!(told["require_pushed_authorization_requests"], true, "nothing of it was done");
}

// RFC 7592 §2.3
#[tokio::test]
async fn a_client_that_ends_itself_ends_what_it_was_given() {
    let client = Registered::new().await;
    let grant = crate::store::GrantRow {
        id: crate::id::GrantId::generate(&*client.site.server.clock, &*client.site.server.random),
        user_id: None,
        client_id: client.id().parse().unwrap(),
        scopes: "graph:read".parse().unwrap(),
        resource: "https://broker.example/mcp".to_owned(),
        redirect_origin: None,
        client_digest: None,
        auth_time: None,
        login: crate::store::LoginOrigin::default(),
        extra: None,
        created_at: crate::time::Timestamp::from_unix_seconds(super::support::NOW),
        last_used_at: crate::time::Timestamp::from_unix_seconds(super::support::NOW),
        expires_at: crate::time::Timestamp::from_unix_seconds(super::support::NOW + 3600),
        revoked_at: None,
        revoke_reason: None,
    };
    client.site.store.add_grant(&grant).await.unwrap();
    let token = client.text("registration_access_token");
    assert_eq!(client.asks("DELETE", token, &Value::Null).await, (204, Value::Null));
    assert!(!client.proves_itself().await);
    assert_eq!(client.asks("GET", token, &Value::Null).await.0, 401);
    let ended = client.site.store.find_grant(grant.id).await.unwrap().unwrap();
    assert_eq!(ended.revoke_reason, Some(RevokeReason::Disabled));
}
