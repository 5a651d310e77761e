//! Tokens that the authorization server is asked about, through the builder that people use.

use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::Full;
use mcp_auth_layer::outbound::OutboundSettings;
use mcp_auth_layer::resource_server::TokenError;
use mcp_auth_layer::time::{FixedClock, Timestamp};
use mcp_auth_layer::{Principal, ProtectedResource};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt as _};

use super::protect::tokens::{NOW, RESOURCE, SigningKey};

/// What the authorization server says of every token, and how it was asked.
#[derive(Clone, Default)]
struct Said {
    answer: Arc<Mutex<Value>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn introspect(State(said): State<Said>, headers: HeaderMap, form: String) -> Json<Value> {
    let mut form = url::form_urlencoded::parse(form.as_bytes());
    let token = form.find(|(name, _)| name == "token").unwrap().1;
    let who = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
    said.asked.lock().unwrap().push(format!("{who} {token}"));
    Json(said.answer.lock().unwrap().clone())
}

struct World {
    resource: ProtectedResource,
    clock: Arc<FixedClock>,
    issuer: String,
    said: Said,
    _tasks: JoinSet<()>,
}

impl World {
    async fn start(remember: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (said, mut tasks) = (Said::default(), JoinSet::new());
        let routes = Router::new().route("/introspect", post(introspect)).with_state(said.clone());
        tasks.spawn(async move { axum::serve(listener, routes).into_future().await.unwrap() });
        let clock = Arc::new(FixedClock::at(Timestamp::from_unix_seconds(NOW)));
        let allow_private = vec!["127.0.0.1".parse().unwrap()];
        let url = format!("{issuer}/introspect").parse().unwrap();
        let mut builder = ProtectedResource::builder(RESOURCE.parse().unwrap())
            .introspection(&issuer, url, "notes", "s3cret".to_owned())
            .tool("send_email", "mail:send")
            .clock(Arc::clone(&clock) as _)
            .outbound(OutboundSettings { allow_private, ..OutboundSettings::default() });
        if let Some(remember) = remember {
            builder = builder.remember(remember);
        }
        let world = Self { resource: builder.build().unwrap(), clock, issuer, said, _tasks: tasks };
        world.says(world.active());
        world
    }

    fn active(&self) -> Value {
        json!({ "active": true, "iss": self.issuer, "aud": RESOURCE, "sub": "ada", "client_id": "agent", "scope": "mail:send", "exp": NOW + 600 })
    }

    fn says(&self, answer: Value) {
        *self.said.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.said.asked.lock().unwrap().len()
    }

    async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let headers = [(header::AUTHORIZATION, value)].into_iter().collect();
        self.resource.verify(&headers).await.map_err(|refusal| refusal.error())
    }
}

// RFC 7662 §2
#[tokio::test]
async fn an_opaque_token_and_a_jwt_are_asked_about_alike() {
    let world = World::start(None).await;
    let jwt = SigningKey::ed().token("k1", json!({ "iss": world.issuer, "aud": RESOURCE }));
    for (token, asked) in [("opaque", 1), (&*jwt, 2)] {
        let caller = world.verify(token).await.unwrap();
        assert_eq!(caller.subject().unwrap().as_str(), "ada", "not what the token itself says");
        assert_eq!(world.resource.authorize("send_email", &caller), Ok(()));
        assert_eq!(world.asked(), asked);
        // base64("notes:s3cret")
        let expected = format!("Basic bm90ZXM6czNjcmV0 {token}");
        assert_eq!(world.said.asked.lock().unwrap().last(), Some(&expected));
    }
    world.says(json!({ "active": false }));
    let other = SigningKey::ed().token("k1", json!({ "iss": world.issuer, "aud": RESOURCE }));
    for token in ["other", &*other] {
        assert_eq!(world.verify(token).await.unwrap_err(), TokenError::Inactive);
    }
}

#[tokio::test]
async fn a_good_answer_counts_for_a_minute_if_nothing_is_said() {
    let world = World::start(None).await;
    world.verify("opaque").await.unwrap();
    world.says(json!({ "active": false }));
    world.clock.advance(Duration::from_secs(59));
    world.verify("opaque").await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.verify("opaque").await.unwrap_err(), TokenError::Inactive);
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn an_answer_counts_for_as_long_as_is_said_and_no_longer() {
    let world = World::start(Some(Duration::from_secs(5))).await;
    world.verify("opaque").await.unwrap();
    world.clock.advance(Duration::from_secs(4));
    world.verify("opaque").await.unwrap();
    assert_eq!(world.asked(), 1);
    world.says(json!({ "active": false }));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.verify("opaque").await.unwrap_err(), TokenError::Inactive);
    // However long it is said: a token ends when it ends.
    let world = World::start(Some(Duration::MAX)).await;
    world.verify("opaque").await.unwrap();
    world.clock.advance(Duration::from_mins(9));
    world.verify("opaque").await.unwrap();
    assert_eq!(world.asked(), 1);
    world.clock.advance(Duration::from_mins(3));
    assert_eq!(world.verify("opaque").await.unwrap_err(), TokenError::Expired);
}

#[tokio::test]
async fn who_remembers_nothing_hears_of_a_revocation_at_once() {
    let world = World::start(Some(Duration::ZERO)).await;
    let mut endless = world.active();
    endless.as_object_mut().unwrap().remove("exp");
    for answer in [world.active(), endless] {
        world.says(answer);
        for _ in 0..2 {
            let before = world.asked();
            world.verify("opaque").await.unwrap();
            assert_eq!(world.asked(), before + 1);
        }
    }
    world.says(json!({ "active": false }));
    assert_eq!(world.verify("opaque").await.unwrap_err(), TokenError::Inactive);
}

async fn answers(
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, std::convert::Infallible> {
    let caller = request.extensions().get::<Principal>().unwrap().subject().unwrap().to_string();
    assert!(!request.headers().contains_key(header::AUTHORIZATION), "it stays with the layer");
    Ok(Response::new(caller.into()))
}

// The three lines of the crate's first page.
#[tokio::test]
async fn a_plain_tower_service_is_guarded_by_the_layer_for_mcp() {
    let world = World::start(None).await;
    let service =
        ServiceBuilder::new().layer(world.resource.mcp_layer()).service(tower::service_fn(answers));
    let call = async |token: Option<&str>, tool: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } });
        let mut request =
            Request::post("/mcp").body(Full::new(Bytes::from(body.to_string()))).unwrap();
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = service.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), String::from_utf8(response.into_body().to_vec()).unwrap())
    };
    assert_eq!(call(None, "send_email").await.0, 401);
    assert_eq!(call(Some("opaque"), "send_email").await, (200, "ada".to_owned()));
    let (status, body) = call(Some("opaque"), "delete_user").await;
    assert!(status == 200 && body.contains("Unknown tool"), "{status} {body}");
    let mut less = world.active();
    less["scope"] = json!("mail:read");
    world.says(less);
    assert_eq!(call(Some("another"), "send_email").await.0, 403);
    let metadata = Request::get(world.resource.metadata_path()).body(Full::default()).unwrap();
    assert_eq!(service.oneshot(metadata).await.unwrap().status(), 200);
}
