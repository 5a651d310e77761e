//! Clients that act for themselves.

use crate::authorization_server::Settings;
use crate::store::{ClientKind, ClientRow, Digest, ResourceRow};

use super::support::{MCP, Site, basic, client, refused};

const ASKED: (&str, &str) = ("grant_type", "client_credentials");

async fn asked(site: &Site, more: &[(&str, &str)]) -> super::support::Answer {
    let form: Vec<_> = [ASKED].into_iter().chain(more.iter().copied()).collect();
    site.post_as("/token", Some(&basic("nightly:s3cret")), &form).await
}

// RFC 6749 §4.4.3 — N55, N62
#[tokio::test]
async fn a_client_gets_a_token_for_itself_and_nothing_to_refresh_it_with() {
    let site = Site::new().await;
    let answer = asked(&site, &[]).await;
    let claims = answer.claims();
    assert_eq!((&claims["sub"], &claims["client_id"]), (&"nightly".into(), &"nightly".into()));
    assert_eq!((&claims["aud"], &claims["scope"]), (&MCP.into(), &"graph:read".into()));
    assert!(claims.get("grant_id").is_none() && claims.get("groups").is_none());
    let answer = asked(&site, &[("scope", "graph:read openid offline_access")]).await;
    assert_eq!(answer.member("scope"), "graph:read");
    let members = answer.json();
    assert!(members.get("refresh_token").is_none() && members.get("id_token").is_none());
}

// RFC 6749 §4.4 — N54
#[tokio::test]
async fn a_client_that_cannot_prove_itself_gets_nothing_for_itself() {
    let public = |settings: &mut Settings| {
        settings.clients.push(client("public", None, "client_credentials", "graph:read"));
    };
    let site = Site::with(public).await;
    let answer = site.token(&[ASKED, ("client_id", "public")]).await;
    assert_eq!(answer.error(), refused(400, "unauthorized_client"));
    let answer = site.post_as("/token", Some(&basic("web:s3cret")), &[ASKED]).await;
    assert_eq!(answer.error(), refused(400, "unauthorized_client"));
}

// RFC 6749 §3.3 — N91
#[tokio::test]
async fn a_client_has_no_more_than_an_operator_gave_it() {
    let site = Site::new().await;
    let answer = asked(&site, &[("scope", "graph:read graph:write mail:read")]).await;
    assert_eq!(answer.member("scope"), "graph:read");
    for nothing in ["graph:write", "*", "openid", "a\"b"] {
        let answer = asked(&site, &[("scope", nothing)]).await;
        assert_eq!(answer.error(), refused(400, "invalid_scope"), "{nothing}");
    }
}

// MCP scope minimisation — N115
#[tokio::test]
async fn a_client_administers_only_where_the_settings_name_it() {
    let site = Site::new().await;
    let answer = asked(&site, &[("scope", "broker:admin")]).await;
    assert_eq!(answer.error(), refused(400, "invalid_scope"));
    let named =
        |settings: &mut Settings| settings.administrators.subjects.push("nightly".to_owned());
    let site = Site::with(named).await;
    assert_eq!(asked(&site, &[("scope", "broker:admin")]).await.member("scope"), "broker:admin");
}

// RFC 8707 §2 — N59
#[tokio::test]
async fn a_resource_that_nobody_registered_is_no_target() {
    let site = Site::new().await;
    let answer = asked(&site, &[("resource", "https://other.example/mcp")]).await;
    assert_eq!(answer.error(), refused(400, "invalid_target"));
    let answer = asked(&site, &[("resource", "HTTPS://Broker.Example/mcp/")]).await;
    assert_eq!(answer.claims()["aud"], MCP);
}

// RFC 9449 §5, §7 — N88
#[tokio::test]
async fn where_we_take_bound_tokens_alone_none_else_is_given_for_a_registered_server_behind_us() {
    let site = Site::with(|settings: &mut Settings| settings.dpop_required = true).await;
    let (elsewhere, behind) =
        ("https://elsewhere.example/mcp", "https://broker.example/servers/b/mcp");
    let row = site.register("e", elsewhere).await;
    let url = Some("https://b.internal/mcp".to_owned());
    let row = ResourceRow { id: "b".into(), uri: behind.into(), url, ..row };
    assert!(site.store.add_resource(&row).await.unwrap());
    let read = ("scope", "graph:read");
    let answer = asked(&site, &[read, ("resource", behind)]).await;
    assert_eq!(answer.error(), refused(400, "invalid_dpop_proof"));
    let answer = asked(&site, &[read, ("resource", elsewhere)]).await;
    assert_eq!(answer.member("token_type"), "Bearer");
}

/// Registered for `private_key_jwt` *or* nothing, as hosted clients are: what it may prove, it need not prove.
// RFC 6749 §4.4 — N42, N54
#[tokio::test]
async fn a_client_that_may_leave_its_proof_out_gets_nothing_for_itself() {
    let site = Site::new().await;
    let metadata = r#"{"token_endpoint_auth_method":"private_key_jwt","scope":"graph:read",
        "token_endpoint_auth_methods_supported":["none"],"grant_types":["client_credentials"]}"#;
    let now = site.server.clock.now();
    let row = ClientRow {
        id: "hosted".parse().unwrap(),
        kind: ClientKind::Static,
        metadata: metadata.to_owned(),
        metadata_digest: Digest::of(metadata),
        secret: None,
        previous_secret: None,
        registration_token: None,
        created_at: now,
        last_used_at: now,
        expires_at: None,
        disabled_at: None,
    };
    assert!(site.store.add_client(&row).await.unwrap());
    let answer = site.token(&[ASKED, ("client_id", "hosted")]).await;
    assert_eq!(answer.error(), refused(400, "unauthorized_client"));
    let form = [("token", "x"), ("client_id", "hosted")];
    assert_eq!(site.post("/introspect", &form).await.error(), refused(401, "invalid_client"));
}

// MCP scope minimisation — N115
#[tokio::test]
async fn a_token_for_a_registered_server_carries_nothing_of_the_broker_itself() {
    let named =
        |settings: &mut Settings| settings.administrators.subjects.push("nightly".to_owned());
    let site = Site::with(named).await;
    site.register("weather", "https://weather.example/mcp").await;
    let there = ("resource", "https://weather.example/mcp");
    let answer = asked(&site, &[("scope", "broker:admin graph:read"), there]).await;
    assert_eq!(answer.member("scope"), "graph:read");
    let answer = asked(&site, &[("scope", "broker:admin"), there]).await;
    assert_eq!(answer.error(), refused(400, "invalid_scope"));
}
