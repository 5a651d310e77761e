//! Who gets in: real tokens, the real layer, the real routes on a real store.

mod changes;
mod site;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use tower::ServiceExt as _;

use crate::id::UserId;
use crate::time::{Clock as _, SystemClock};

use super::routes;

use site::{Providers, Site, token};

// RFC 6750 §3.1 — N113, N115
#[tokio::test]
async fn only_the_scope_of_administrators_opens_the_api() {
    let site = Site::new().await;
    for (scope, expected) in [
        ("broker:admin", StatusCode::OK),
        ("broker:*", StatusCode::OK),
        ("graph:* mcp:*", StatusCode::FORBIDDEN),
        ("*", StatusCode::FORBIDDEN),
        ("broker:administrator", StatusCode::FORBIDDEN),
        ("", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(site.with_token("robot", scope).await, expected, "{scope}");
    }
}

// OWASP ASVS 5 — N115
#[tokio::test]
async fn who_is_no_administrator_any_more_is_refused_whatever_the_token_says() {
    let site = Site::new().await;
    let (ada, bob, eve) = (
        site.person(true, &[]).await,
        site.person(false, &["operators"]).await,
        site.person(false, &["staff"]).await,
    );
    let [ada_name, bob_name, eve_name] = [ada, bob, eve].map(|id| id.to_string());
    let admin = "broker:admin";
    assert_eq!(site.with_token(&ada_name, admin).await, StatusCode::OK);
    assert_eq!(site.with_token(&bob_name, admin).await, StatusCode::OK);
    assert_eq!(site.with_token(&eve_name, admin).await, StatusCode::FORBIDDEN);
    assert_eq!(site.with_token("somebody", admin).await, StatusCode::FORBIDDEN);
    site.operations.store.set_administrator(ada, false).await.unwrap();
    assert_eq!(site.with_token(&ada_name, admin).await, StatusCode::FORBIDDEN);
    site.operations.disable_user(&site.actor(), bob, true).await.unwrap();
    assert_eq!(site.with_token(&bob_name, admin).await, StatusCode::FORBIDDEN);
}

// OWASP ASVS 5 — N115
#[tokio::test]
async fn the_scope_of_approvers_opens_approvals_and_nothing_else() {
    let site = Site::new().await;
    let eve = site.person(false, &["staff"]).await.to_string();
    let approve = token(&eve, "broker:approve");
    for (path, expected) in [
        ("/api/v1/approvals", StatusCode::OK),
        ("/api/v1/approvals/01930000-0000-7000-8000-000000000000", StatusCode::NOT_FOUND),
        ("/api/v1/approvalsx", StatusCode::FORBIDDEN),
        ("/api/v1/users", StatusCode::FORBIDDEN),
        ("/api/v1/policy", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get(path).header(header::AUTHORIZATION, &approve);
        let answer = site.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), expected, "{path}");
    }
    // Who lacks it is sent for it, and not for one that only administrators get.
    for (path, scope) in
        [("/api/v1/approvals", "broker:approve"), ("/api/v1/users", "broker:admin")]
    {
        let request = Request::get(path).header(header::AUTHORIZATION, token(&eve, "a"));
        let answer = site.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["detail"], format!("this needs the scope {scope}"), "{told}");
    }
    let machine = Request::get("/api/v1/approvals")
        .header(header::AUTHORIZATION, token("robot", "broker:approve"));
    let answer = site.router().oneshot(machine.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "people answer");
}

// OWASP ASVS 5 — N113
#[tokio::test]
async fn a_cookie_opens_nothing() {
    let site = Site::new().await;
    let cookie = format!("__Host-session={}", token("robot", "broker:admin"));
    assert_eq!(site.status(header::COOKIE, &cookie).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_the_layer_in_front_everything_is_refused() {
    let site = Site::new().await;
    let router = routes(site.operations.clone(), axum::Router::new());
    let request = Request::get("/api/v1/users")
        .header("authorization", token("robot", "broker:admin"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

/// A body that each operation takes, where it takes one.
fn body(operation: &str) -> serde_json::Value {
    use serde_json::json;
    match operation {
        "v1_users_add" => json!({ "username": "zoe" }),
        "v1_clients_add" => {
            json!({ "client_name": "Report", "grant_types": ["client_credentials"] })
        }
        "v1_clients_rotate_secret" => json!({ "grace_seconds": 0 }),
        "v1_users_change" => json!({ "display_name": "Zoe", "groups": ["staff"] }),
        "v1_clients_change" => json!({ "client_name": "Nightly" }),
        "servers_change" | "v1_resources_change" => json!({ "scope": "w:read" }),
        "servers_add" => json!({ "id": "other", "uri": "https://other.example" }),
        "v1_resources_add" => json!({ "id": "third", "uri": "https://third.example" }),
        "v1_approvals_answer" => json!({ "decision": "deny" }),
        "v1_registration-tokens_add" => json!({ "name": "fleet", "uses": 3 }),
        "servers_keys_add_key" | "v1_resources_add_key" => json!({ "name": "prod" }),
        "servers_proxy_set_proxy" | "v1_resources_set_proxy" => json!({ "timeout_ms": 5000 }),
        "servers_pins_approve_pin" | "v1_resources_approve_pin" => json!({ "digest": "1" }),
        "v1_signing-keys_rotate" | "v1_signing-keys_retire" => json!({ "at_once": false }),
        "v1_identity-providers_add" => {
            json!({ "id": "partner", "issuer": "https://idp.partner.example", "groups_prefix": "partner:", "client_id": "broker" })
        }
        "v1_identity-providers_change" => json!({ "name": "Partner" }),
        "v1_log-levels_set" => json!({ "level": "debug" }),
        other => panic!("{other} is new: say here what it takes"),
    }
}

/// Rows to find, and the paths that lead to them.
async fn filled(site: &Site) -> impl Fn(&str) -> String {
    use crate::admin::operations::{NewClient, NewServer};
    let (actor, operations) = (site.actor(), &site.operations);
    let user = site.person(false, &[]).await.to_string();
    let new = serde_json::json!({ "client_name": "x", "grant_types": ["client_credentials"] });
    let new: NewClient = serde_json::from_value(new).unwrap();
    let client = operations.add_client(&actor, new).await.unwrap().0.client_id.to_string();
    let new = serde_json::json!({ "id": "weather", "uri": "https://weather.example" });
    let new: NewServer = serde_json::from_value(new).unwrap();
    operations.add_server(&actor, new).await.unwrap();
    let new = serde_json::json!({
        "id": "contoso", "issuer": "https://idp.contoso.example", "groups_prefix": "contoso:", "client_id": "broker"
    });
    let new = serde_json::from_value(new).unwrap();
    operations.add_identity_provider(&actor, &Providers, new).await.unwrap();
    let met = crate::store::MetTool { tool: "get".into(), digest: "1".into(), definition: None };
    operations.store.meet_tools("weather-of-settings", vec![met], SystemClock.now()).await.unwrap();
    move |path: &str| {
        let path = path.replace("{tool}", "get");
        let id = if path.contains("/users") {
            &user
        } else if path.contains("/clients") {
            &client
        } else if path.contains("/identity-providers") {
            "contoso"
        } else if path.contains("/pins") {
            "weather-of-settings"
        } else {
            "weather"
        };
        path.replace("{id}", id).replace("{prefix}", "0123456789abcdef").replace("{module}", "all")
    }
}

// N109
#[tokio::test]
async fn who_logs_in_elsewhere_is_changed_there() {
    let site = Site::new().await;
    let identity = crate::store::ExternalIdentity {
        issuer: "https://idp.example".to_owned(),
        subject: "1".to_owned(),
        username: "ada".to_owned(),
        display_name: None,
        email: None,
        groups: Vec::new(),
        groups_incomplete: false,
        roles: Vec::new(),
        roles_incomplete: false,
    };
    let (operations, now) = (&site.operations, SystemClock.now());
    let id = UserId::generate(&*operations.clock, &*operations.random);
    operations.store.user_of_identity(&identity, id, now).await.unwrap();
    let change = crate::admin::operations::UserChange {
        groups: Some(vec!["operators".to_owned()]),
        ..Default::default()
    };
    let refused = operations.change_user(&site.actor(), id, change).await;
    assert!(matches!(refused, Err(crate::admin::AdminError::Forbidden { .. })), "{refused:?}");
    assert!(operations.find_user("ada").await.unwrap().groups.is_empty());
}

// OpenAPI 3.1 §4.8.10
#[tokio::test]
async fn every_operation_of_the_document_is_there_and_answers_with_a_status_that_it_names() {
    let site = Site::new().await;
    let at = filled(&site).await;
    let document = super::openapi::document(&super::described().operations);
    let mut walked = 0;
    // What deletes comes last.
    for deleting in [false, true] {
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if (method == "delete") != deleting {
                    continue;
                }
                let answer = asked(&site, (method, &at(path)), operation).await;
                let named = operation["responses"].get(answer.as_str());
                assert!(named.is_some(), "{method} {path}: {answer}");
                let success = ["200", "201", "204"].contains(&answer.as_str());
                // The server here has no URL, so there is nothing to set about passing calls on to it; and nobody has an
                // authenticator app.
                let missing = [
                    "grants/{id}",
                    "{prefix}",
                    "approvals/{id}",
                    "{id}/proxy",
                    "{kid}",
                    "{id}/remove-second-factor",
                    "explain/{request_id}",
                ]
                .iter()
                .any(|part| path.contains(part));
                let same = ["/api/v1/resources/{id}", "/api/v1/resources/{id}/pins/{tool}"];
                let gone = same.contains(&path.as_str()) && deleting; // the same as /api/servers/{id}
                assert!(success || missing || gone, "{method} {path}: {answer}");
                walked += 1;
            }
        }
    }
    assert_eq!(walked, 74);
}

async fn asked(site: &Site, (method, path): (&str, &str), operation: &serde_json::Value) -> String {
    let request = Request::builder()
        .method(method.to_uppercase().as_str())
        .uri(path)
        .header("authorization", token("robot", "broker:admin"))
        .header("content-type", "application/json");
    let takes = operation.get("requestBody").is_some();
    let body = takes.then(|| body(operation["operationId"].as_str().unwrap()).to_string());
    let request = request.body(Body::from(body.unwrap_or_default())).unwrap();
    let answer = site.router().oneshot(request).await.unwrap();
    answer.status().as_u16().to_string()
}

#[test]
fn operations_have_names_of_their_own() {
    let document = super::openapi::document(&super::described().operations);
    let mut names = std::collections::HashSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()));
        }
    }
}

// RFC 9110 §15.5.5
#[tokio::test]
async fn an_id_of_another_shape_is_one_that_does_not_exist() {
    let site = Site::new().await;
    for (method, path) in [
        ("GET", "/api/v1/users/x"),
        ("DELETE", "/api/v1/grants/x"),
        ("GET", "/api/servers/%1A"),
        ("DELETE", "/api/servers/%1A"),
        ("GET", "/api/servers/a%20b/keys"),
        ("DELETE", "/api/servers/%C3%B2/keys/x"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", token("robot", "broker:admin"));
        let answer = site.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{method} {path}");
    }
}
