//! The example server, run against an authorization server that publishes its metadata and keys.

use std::future::IntoFuture as _;
use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, Method, header};
use mcp_auth_layer::outbound::{Call, Limits, Outbound, OutboundSettings};
use mcp_auth_layer::resource_server::{IssuerSettings, KeySource, LocalKeys, TokenError};
use mcp_auth_layer::time::{Clock as _, FixedClock, SystemClock, Timestamp};
use mcp_auth_layer::{Denied, ProtectedResource};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[path = "../../examples/axum_server.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod axum_server;
#[path = "../../../tests/it/support/tokens.rs"]
#[expect(dead_code, reason = "the broker's tests use all of it")]
pub(crate) mod tokens;

use tokens::{ISSUER, NOW, RESOURCE, SigningKey};

/// Both servers on loopback.
struct World {
    key: SigningKey,
    issuer: String,
    server: String,
    client: Outbound,
    _tasks: JoinSet<()>,
}

struct Reply {
    status: u16,
    challenge: String,
    body: String,
}

impl World {
    async fn start() -> Self {
        let key = SigningKey::ed();
        let mut tasks = JoinSet::new();
        let idp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", idp.local_addr().unwrap());
        let keys: Value = serde_json::from_str(&key.jwks("k1")).unwrap();
        let metadata = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
        let routes = Router::new()
            .route("/.well-known/oauth-authorization-server", get(async || Json(metadata)))
            .route("/keys", get(async || Json(keys)));
        tasks.spawn(async move { axum::serve(idp, routes).into_future().await.unwrap() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let app = axum_server::app(&issuer, &format!("{server}/mcp")).unwrap();
        tasks.spawn(async move { axum::serve(listener, app).into_future().await.unwrap() });
        let allow_private = vec!["127.0.0.1".parse().unwrap()];
        let settings = OutboundSettings { allow_private, ..OutboundSettings::default() };
        Self { key, issuer, server, client: Outbound::new(&settings).unwrap(), _tasks: tasks }
    }

    fn token(&self, scope: &str) -> String {
        let now = SystemClock.now().unix_seconds();
        let changes = json!({
            "iss": self.issuer, "aud": format!("{}/mcp", self.server), "scope": scope,
            "iat": now - 10, "exp": now + 600,
        });
        self.key.token("k1", changes)
    }

    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: &str) -> Reply {
        let mut call = Call::get(format!("{}{path}", self.server).parse().unwrap());
        call.method = method;
        call.body = body.to_owned().into();
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            call = call.header(header::AUTHORIZATION, value);
        }
        let limits = Limits { timeout: std::time::Duration::from_secs(10), max_bytes: 1024 * 1024 };
        let answer = self.client.send(call, limits).await.unwrap();
        let challenge = answer.headers.get(header::WWW_AUTHENTICATE);
        Reply {
            status: answer.status.as_u16(),
            challenge: challenge.map_or("", |value| value.to_str().unwrap()).to_owned(),
            body: String::from_utf8(answer.body.to_vec()).unwrap(),
        }
    }

    async fn call_tool(&self, scope: &str, tool: &str) -> Reply {
        let message =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}});
        self.send(Method::POST, "/mcp", Some(&self.token(scope)), &message.to_string()).await
    }
}

// RFC 9728 §5.1 — RS-13
#[tokio::test]
async fn a_request_without_a_token_is_led_to_the_metadata_which_needs_none() {
    let world = World::start().await;
    let refused = world.send(Method::GET, "/files", None, "").await;
    assert_eq!(refused.status, 401);
    let path = "/.well-known/oauth-protected-resource/mcp";
    let url = format!("resource_metadata=\"{}{path}\"", world.server);
    assert!(refused.challenge.contains(&url), "{}", refused.challenge);
    assert!(refused.challenge.contains("scope=\"files:read\""), "{}", refused.challenge);
    for path in [path, "/.well-known/oauth-protected-resource"] {
        let metadata = world.send(Method::GET, path, None, "").await;
        let document: Value = serde_json::from_str(&metadata.body).unwrap();
        assert_eq!(document["resource"], format!("{}/mcp", world.server));
        assert_eq!(document["authorization_servers"], json!([world.issuer]));
    }
}

#[tokio::test]
async fn a_token_of_the_discovered_issuer_reaches_the_handler_with_its_principal() {
    let world = World::start().await;
    let reply = world.send(Method::GET, "/files", Some(&world.token("files:read")), "").await;
    assert_eq!((reply.status, &*reply.body), (200, "the files that ada may see\n"));
}

#[tokio::test]
async fn a_scope_of_every_request_and_one_of_a_route_are_each_challenged() {
    let world = World::start().await;
    for (method, scope, needed) in [
        (Method::GET, "mail:read", "scope=\"files:read\""),
        (Method::POST, "files:read", "scope=\"files:read files:write\""),
        (Method::POST, "files:write", "scope=\"files:read\""),
    ] {
        let reply = world.send(method, "/files", Some(&world.token(scope)), "").await;
        assert_eq!(reply.status, 403, "{scope}");
        assert!(reply.challenge.contains("error=\"insufficient_scope\""), "{}", reply.challenge);
        assert!(reply.challenge.contains(needed), "{}", reply.challenge);
    }
    let token = world.token("files:*");
    let reply = world.send(Method::POST, "/files", Some(&token), "").await;
    assert_eq!((reply.status, &*reply.body), (200, "written by ada\n"));
}

// MCP 2026-07-28 authorization §Runtime Insufficient Scope Errors — RS-21, RS-22
#[tokio::test]
async fn a_tool_wants_its_own_scopes_and_an_unnamed_one_does_not_exist() {
    let world = World::start().await;
    assert_eq!(world.call_tool("files:read", "list_files").await.status, 200);
    let stepped = world.call_tool("files:read", "delete_file").await;
    assert_eq!(stepped.status, 403);
    assert!(
        stepped.challenge.contains("scope=\"files:delete files:read\""),
        "{}",
        stepped.challenge
    );
    assert!(stepped.body.contains("insufficient_scope"), "{}", stepped.body);
    assert_eq!(world.call_tool("files:read files:delete", "delete_file").await.status, 200);
    let unknown = world.call_tool("files:*", "format_disk").await;
    let expected = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "Unknown tool: format_disk"}});
    assert_eq!((unknown.status, unknown.body), (200, expected.to_string()));
}

// N118
#[tokio::test]
async fn a_message_that_could_be_read_in_two_ways_never_reaches_the_server() {
    let world = World::start().await;
    let token = world.token("files:read");
    let call = r#"{"method":"tools/call","params":{"name":"delete_file"}}"#;
    for body in [format!("[{call}]"), call.replacen('{', r#"{"method":"tools/list","#, 1)] {
        let reply = world.send(Method::POST, "/mcp", Some(&token), &body).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    let reply = world.send(Method::PUT, "/mcp", Some(&token), call).await;
    assert_eq!(reply.status, 403, "whatever the method is called");
}

fn without_layers(scope: &str) -> (ProtectedResource, HeaderMap) {
    let key = SigningKey::ed();
    let keys = KeySource::Local(Arc::new(LocalKeys::new(key.jwks("k1").as_bytes()).unwrap()));
    let issuer = IssuerSettings::new(ISSUER.parse().unwrap(), vec![RESOURCE.to_owned()], keys);
    let resource = ProtectedResource::builder(RESOURCE.parse().unwrap())
        .issuer(issuer)
        .tool("send_email", "mail:send")
        .clock(Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW))))
        .build()
        .unwrap();
    let token = format!("Bearer {}", key.token("k1", json!({ "scope": scope })));
    let headers = [(header::AUTHORIZATION, HeaderValue::try_from(token).unwrap())];
    (resource, headers.into_iter().collect())
}

#[tokio::test]
async fn who_wants_no_layer_verifies_and_authorizes_by_hand() {
    let (resource, headers) = without_layers("mail:send");
    let caller = resource.verify(&headers).await.unwrap();
    assert_eq!(resource.authorize("send_email", &caller), Ok(()));
    assert_eq!(resource.authorize("delete_user", &caller), Err(Denied::UnknownTool));
    let (resource, headers) = without_layers("mail:read");
    let caller = resource.verify(&headers).await.unwrap();
    let denied = resource.authorize("send_email", &caller).unwrap_err();
    let response = resource.deny::<bytes::Bytes>(&denied);
    assert_eq!(response.status(), 403);
    assert!(response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().contains("mail:send"));
    let refusal = resource.verify(&HeaderMap::new()).await.unwrap_err();
    assert_eq!(refusal.error(), TokenError::Missing);
    assert_eq!(resource.refuse::<bytes::Bytes>(refusal).status(), 401);
}

#[test]
fn what_cannot_be_protected_is_said_when_it_is_built() {
    let builder = || ProtectedResource::builder(RESOURCE.parse().unwrap());
    for (resource, expected) in [
        (builder().build(), "the resource: no authorization server"),
        (
            builder().authorization_server("").build(),
            "an identifier of an authorization server is empty",
        ),
        (builder().authorization_server("idp").build(), "is no https URL"),
        (
            builder().authorization_server(ISSUER).scope("a\"b").build(),
            "the scope of every request",
        ),
        (builder().authorization_server(ISSUER).tool("t", "ä").build(), "the scope of tool `t`"),
    ] {
        let error = resource.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
