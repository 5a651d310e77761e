//! `POST /register`, over the real store.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::authorization_server::register::reap as reap_clients;
use crate::authorization_server::{ClientCertificates, ClientError, Registration};
use crate::time::Clock as _;

use super::support::{NOW, Site};

// RFC 7591 §3.2.1 — N91, N92, AS-19, AS-24, AS-28
#[tokio::test]
async fn cursor_is_answered_exactly_what_was_registered() {
    let site = Site::new().await;
    let uris = json!([
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback"
    ]);
    let asked = json!({
        "client_name": "Cursor", "redirect_uris": uris, "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "client_id": "mine", "scope": "graph:read broker:admin", "software_statement": "x.y.z", "logo_uri": null,
        "client_uri": ""
    });
    let (status, headers, mut answer) = site.register(asked.to_string()).await;
    assert_eq!(
        (status, &headers["cache-control"]),
        (StatusCode::CREATED, &"no-store".parse().unwrap())
    );
    let id = answer["client_id"].take();
    assert!(id.as_str().unwrap().starts_with("dcr1."));
    let expected = json!({
        "client_id": null, "client_id_issued_at": NOW, "client_name": "Cursor", "redirect_uris": uris,
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "scope": "graph:read"
    });
    assert_eq!(answer, expected);
}

// RFC 7591 §2, MCP 2026-07-28 client-registration §Dynamic Client Registration — AS-24
#[tokio::test]
async fn a_kind_of_application_changes_nothing_of_what_may_be_registered() {
    let site = Site::new().await;
    for (kind, kept) in [("native", true), ("web", true), ("toaster", false)] {
        let uris = json!(["http://127.0.0.1/cb", "http://localhost:8787/cb"]);
        let asked = json!({ "redirect_uris": uris, "application_type": kind });
        let (status, _, answer) = site.register(asked.to_string()).await;
        assert_eq!((status, &answer["redirect_uris"]), (StatusCode::CREATED, &uris), "{answer}");
        assert_eq!(answer.get("application_type"), kept.then_some(&json!(kind)));
    }
}

#[tokio::test]
async fn a_client_whose_row_is_lost_is_recognised_and_has_no_name() {
    let (first, second) = (Site::new().await, Site::new().await);
    let id = first.registered(r#"["http://localhost:3118/callback"]"#).await;
    assert_eq!(first.find(&id).await.unwrap().name(), Some("App"));
    let client = second.find(&id).await.unwrap();
    assert_eq!((client.name(), client.is_trusted()), (None, false));
    assert!(client.allows_redirect("http://localhost:50001/callback"));
    assert!(!client.allows_redirect("http://127.0.0.1:3118/callback"));
    assert!(!client.allows_redirect("https://evil.example/callback"));
}

#[tokio::test]
async fn registering_again_on_another_port_is_the_same_client() {
    let site = Site::new().await;
    let first = site.registered(r#"["http://127.0.0.1:1000/cb"]"#).await;
    assert_eq!(first, site.registered(r#"["http://127.0.0.1:2000/cb"]"#).await);
    assert_ne!(first, site.registered(r#"["http://localhost:1000/cb"]"#).await);
}

// RFC 6749 §5.2 — N43
#[tokio::test]
async fn a_registration_ends_after_a_year_and_a_disabled_one_at_once() {
    let site = Site::new().await;
    let id = site.registered(r#"["http://127.0.0.1/cb"]"#).await;
    site.store.disable_client(&id.parse().unwrap(), Some(site.clock.now())).await.unwrap();
    assert!(matches!(site.find(&id).await, Err(ClientError::Disabled)));
    site.clock.advance(Duration::from_hours(200 * 24));
    reap_clients(&site.server).await.unwrap();
    assert!(matches!(site.find(&id).await, Err(ClientError::Disabled)), "reaping is no pardon");
    let id = site.registered(r#"["http://127.0.0.1/cb"]"#).await;
    site.clock.advance(Duration::from_hours(364 * 24));
    assert!(site.find(&id).await.is_ok());
    site.clock.advance(Duration::from_hours(3 * 24));
    assert!(matches!(site.find(&id).await, Err(ClientError::Expired)));
    let error = site.authenticate(None, &[("client_id", &id)]).await.unwrap_err();
    assert_eq!((error.status(), error.code()), (StatusCode::UNAUTHORIZED, "invalid_client"));
}

#[tokio::test]
async fn idle_registrations_are_reaped_and_still_recognised() {
    let site = Site::new().await;
    let id = site.registered(r#"["http://127.0.0.1/cb"]"#).await;
    site.clock.advance(Duration::from_hours(91 * 24));
    assert_eq!(reap_clients(&site.server).await.unwrap(), 1);
    assert!(site.find(&id).await.unwrap().allows_redirect("http://127.0.0.1:5/cb"));
}

// RFC 7591 §3.2.2 — N8, N9, N91, AS-5
#[tokio::test]
async fn what_cannot_be_registered_is_named() {
    let site = Site::new().await;
    for (members, code) in [
        (r#""redirect_uris":["javascript:alert(1)"]"#, "invalid_redirect_uri"),
        (r#""redirect_uris":["https://a.example/#x"]"#, "invalid_redirect_uri"),
        (r#""redirect_uris":["https://a.example/","http://b.example/"]"#, "invalid_redirect_uri"),
        (r#""redirect_uris":[]"#, "invalid_redirect_uri"),
        (
            r#""redirect_uris":["https://a.example/"],"grant_types":["client_credentials"]"#,
            "invalid_client_metadata",
        ),
        (
            r#""redirect_uris":["https://a.example/"],"response_types":["token"]"#,
            "invalid_client_metadata",
        ),
        (
            r#""redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"private_key_jwt""#,
            "invalid_client_metadata",
        ),
        (
            r#""redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"x""#,
            "invalid_client_metadata",
        ),
        (r#""redirect_uris":"https://a.example/""#, "invalid_client_metadata"),
    ] {
        let (status, _, answer) = site.register(format!("{{{members}}}")).await;
        assert_eq!((status.as_u16(), &answer["error"]), (400, &json!(code)), "{members}");
    }
}

// RFC 7591 §2 — N91
#[tokio::test]
async fn a_client_that_wants_a_secret_becomes_public_in_limited_mode() {
    let site = Site::new().await;
    let (_, _, answer) = site.register(r#"{"redirect_uris":["https://a.example/"]}"#).await;
    assert_eq!(answer["token_endpoint_auth_method"], "none");
    assert_eq!(answer.get("client_secret"), None);
    let open = Site::with(|settings| settings.registration = Registration::Open).await;
    let (_, _, answer) = open.register(r#"{"redirect_uris":["https://a.example/"]}"#).await;
    let (id, secret) =
        (answer["client_id"].as_str().unwrap(), answer["client_secret"].as_str().unwrap());
    assert_eq!(answer["client_secret_expires_at"], 0);
    assert!(open.authenticate(None, &[("client_id", id), ("client_secret", secret)]).await.is_ok());
    assert!(open.authenticate(None, &[("client_id", id)]).await.is_err());
}

// RFC 7591 §5 — N90
#[tokio::test]
async fn what_is_too_much_is_refused_as_json() {
    let site = Site::new().await;
    let (status, _, answer) = site.register("x".repeat(1 << 20)).await;
    assert_eq!((status.as_u16(), &answer["error"]), (413, &json!("invalid_request")));
    let many: Vec<String> = (0..1000).map(|n| format!("https://a.ex/{n}")).collect();
    let (status, _, _) = site.register(json!({ "redirect_uris": &many[..200] }).to_string()).await;
    assert_eq!(status.as_u16(), 400);
    let deep = format!("{}{}", "[".repeat(8000), "]".repeat(8000));
    assert_eq!(site.register(deep).await.0.as_u16(), 400);
    let one = r#"{"redirect_uris":["https://a.example/"]}"#;
    for _ in 0..60 {
        assert_eq!(site.register(one).await.0.as_u16(), 201);
    }
    let (status, headers, answer) = site.register(one).await;
    assert_eq!((status.as_u16(), &answer["error"]), (429, &json!("temporarily_unavailable")));
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn nobody_registers_where_registration_is_off() {
    let site = Site::with(|settings| settings.registration = Registration::Off).await;
    let (status, _, answer) = site.register(r#"{"redirect_uris":["https://a.example/"]}"#).await;
    assert_eq!((status.as_u16(), &answer["error"]), (403, &json!("access_denied")));
}

/// What a client demands for its own safety: all of its requests pushed, all of its tokens bound.
const DEMANDS: &str =
    r#""dpop_bound_access_tokens":true,"require_pushed_authorization_requests":true"#;

// RFC 9126 §6, RFC 9449 §5.2
#[tokio::test]
async fn what_a_client_demands_is_answered_and_held_also_where_its_row_is_lost() {
    for (method, mode) in
        [("none", Registration::Limited), ("client_secret_basic", Registration::Open)]
    {
        let site = || Site::with(|settings| (settings.dpop, settings.registration) = (true, mode));
        let (first, second) = (site().await, site().await);
        let body = format!(
            r#"{{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"{method}",{DEMANDS}}}"#
        );
        let (status, _, answer) = first.register(body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        for name in ["dpop_bound_access_tokens", "require_pushed_authorization_requests"] {
            assert_eq!(answer[name], true, "{answer}");
        }
        let id = answer["client_id"].as_str().unwrap();
        let client = first.find(id).await.unwrap();
        assert!(client.requires_dpop() && client.requires_pushed_requests());
        if method == "none" {
            let client = second.find(id).await.unwrap();
            assert!(client.requires_dpop() && client.requires_pushed_requests());
        }
    }
}

// RFC 7591 §3.2.2, RFC 9449 §5.2, RFC 8705 §3.4
#[tokio::test]
async fn a_demand_that_cannot_be_kept_is_no_registration() {
    const KEY: &str = r#""dpop_bound_access_tokens":true"#;
    const CERTIFICATE: &str = r#""tls_client_certificate_bound_access_tokens":true"#;
    const BOTH: &str =
        r#""dpop_bound_access_tokens":true,"tls_client_certificate_bound_access_tokens":true"#;
    for (dpop, certificates, method, demand, taken) in [
        (false, false, "none", KEY, false),
        (true, false, "none", KEY, true),
        (true, false, "none", CERTIFICATE, false),
        (true, true, "none", CERTIFICATE, false),
        (false, false, "client_secret_basic", CERTIFICATE, false),
        (false, true, "client_secret_basic", CERTIFICATE, true),
        (true, true, "client_secret_basic", BOTH, false),
        (false, false, "none", r#""dpop_bound_access_tokens":false"#, true),
    ] {
        let site = Site::with(|settings| {
            settings.dpop = dpop;
            settings.registration = Registration::Open;
            settings.client_certificates =
                ClientCertificates { authorities: None, self_signed: certificates };
        });
        let body = format!(
            r#"{{"redirect_uris":["https://a.example/"],"token_endpoint_auth_method":"{method}",{demand}}}"#
        );
        let (status, _, answer) = site.await.register(body).await;
        assert_eq!(status.as_u16(), if taken { 201 } else { 400 }, "{demand} {method}: {answer}");
        assert_eq!(answer["error"] == "invalid_client_metadata", !taken, "{answer}");
    }
}

// RFC 6749 §3.1.2.3 — N10
#[tokio::test]
async fn a_redirect_uri_may_be_left_out_where_there_is_one_only() {
    let site = Site::new().await;
    let one = site.registered(r#"["https://a.example/cb"]"#).await;
    let one = site.find(&one).await.unwrap();
    assert_eq!(one.sole_redirect_uri().unwrap().as_str(), "https://a.example/cb");
    let two = site.registered(r#"["https://a.example/cb","https://a.example/other"]"#).await;
    assert!(site.find(&two).await.unwrap().sole_redirect_uri().is_none());
}
