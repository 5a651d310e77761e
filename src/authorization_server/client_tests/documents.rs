//! Metadata documents, fetched from a host on loopback.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use crate::authorization_server::{ClientError, DocumentError, authorize_routes, token_routes};
use crate::fake_http::{Act, FakeHttp};
use crate::host_trust::{HostRule, HostTrust, HostTrusts};

use super::support::Site;

const HOUR: Duration = Duration::from_hours(1);

/// As it is served: the fake host puts its own origin in.
const DOCUMENT: &str =
    r#"{"client_id":"%ORIGIN%client","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]}"#;

fn served() -> Act {
    Act::json(200, DOCUMENT)
}

/// A host that plays `acts` after it has served the document once.
async fn host(mut acts: Vec<Act>) -> (FakeHttp, String) {
    acts.insert(0, served());
    let host = FakeHttp::start(acts).await;
    let url = format!("{}client", host.origin);
    (host, url)
}

// MCP 2026-07-28 client-registration §Client ID Metadata Documents — AS-15 to AS-17
#[tokio::test]
async fn a_document_makes_a_public_client_and_is_kept_while_fresh() {
    let (site, (host, url)) = (Site::new().await, host(vec![Act::Close]).await);
    let client = site.find(&url).await.unwrap();
    assert!(client.is_public() && !client.is_trusted());
    assert!(client.allows_redirect("http://127.0.0.1:49152/cb"));
    assert!(!client.allows_redirect("http://127.0.0.1:49152/other"), "not in its document");
    assert_eq!(client.grant_types(), ["authorization_code", "refresh_token"]);
    assert_eq!((client.name(), client.host().as_deref()), (Some("App"), Some("127.0.0.1")));
    assert!(site.find(&url).await.is_ok());
    assert_eq!(host.requests().len(), 1);
}

#[tokio::test]
async fn a_client_that_an_operator_disabled_is_refused_whatever_its_document_says() {
    let (site, (host, url)) = (Site::new().await, host(vec![served()]).await);
    let id = url.parse().unwrap();
    assert!(site.store.disable_client(&id, Some(site.server.clock.now())).await.unwrap());
    assert!(matches!(site.find(&url).await, Err(ClientError::Disabled)));
    assert!(host.requests().is_empty());
    assert!(site.store.disable_client(&id, None).await.unwrap());
    assert!(site.find(&url).await.is_ok());
}

// CIMD §6 — N94
#[tokio::test]
async fn what_the_operators_own_calls_may_reach_no_client_may_name() {
    let site = Site::new().await;
    let url = "http://127.0.0.1:9/client";
    assert!(matches!(site.find(url).await, Err(ClientError::Document(_))), "allowed to clients");
    let outbound = crate::fake_http::loopback_client();
    let site = Site::with_outbound(outbound).await;
    assert!(matches!(site.find(url).await, Err(ClientError::Unknown)));
}

// CIMD §4 — N96, AS-19
#[tokio::test]
async fn a_redirect_is_never_followed() {
    for status in [301, 302, 303, 307, 308] {
        let (site, other) = (Site::new().await, FakeHttp::start(vec![served()]).await);
        let location: &'static str = format!("location: {}client\r\n", other.origin).leak();
        let host = FakeHttp::start(vec![Act::Answer(status, location, String::new())]).await;
        let found = site.find(&format!("{}client", host.origin)).await;
        assert!(matches!(found, Err(ClientError::Document(_))), "{status}");
        assert!(other.requests().is_empty());
    }
}

// CIMD §3, §4 — N97, AS-17, AS-19, AS-20
#[tokio::test]
async fn what_is_not_a_small_json_document_is_refused() {
    let big = format!(r#"{{"client_name":"{}"}}"#, "x".repeat(11_000));
    for act in [
        Act::Answer(200, "content-type: text/html\r\n", DOCUMENT.into()),
        Act::Answer(
            200,
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            DOCUMENT.into(),
        ),
        Act::json(200, &big),
        Act::json(200, "{}"),
        Act::json(
            200,
            r#"{"client_id":"https://other.example/x","client_name":"A","redirect_uris":["http://127.0.0.1/"]}"#,
        ),
        Act::Close,
        Act::json(201, DOCUMENT),
        Act::json(206, DOCUMENT),
        Act::json(500, DOCUMENT),
    ] {
        let (site, host) = (Site::new().await, FakeHttp::start(vec![act.clone()]).await);
        let found = site.find(&format!("{}client", host.origin)).await;
        assert!(matches!(found, Err(ClientError::Document(_))), "{act:?}: {found:?}");
    }
}

// CIMD §6 — N94, AS-20
#[tokio::test]
async fn hosts_that_no_operator_allowed_are_not_asked() {
    let site = Site::new().await;
    for id in
        ["https://localhost/x", "http://[::1]:9/x", "https://10.0.0.1/x", "http://a.example/x"]
    {
        assert!(matches!(site.find(id).await, Err(ClientError::Unknown)), "{id}");
    }
    // A name that leads to a private address looks like one that leads nowhere.
    for id in ["https://localhost.localdomain/x", "https://no-such-host.invalid/x"] {
        let found = site.find(id).await;
        assert!(matches!(found, Err(ClientError::Document(_))), "{id}: {found:?}");
    }
}

// MCP 2026-07-28 client-registration §Trust Policies — AS-22
#[tokio::test]
async fn modes_off_and_list_are_kept() {
    let (host, url) = host(vec![]).await;
    let off = Site::with(|settings| settings.client_metadata_documents = None).await;
    assert!(matches!(off.find(&url).await, Err(ClientError::Unknown)));
    let other =
        Site::with(|settings| settings.client_metadata_documents = Some(only("claude.ai"))).await;
    assert!(matches!(other.find(&url).await, Err(ClientError::Denied)));
    assert!(host.requests().is_empty());
    let listed =
        Site::with(|settings| settings.client_metadata_documents = Some(only("127.0.0.1")));
    assert!(listed.await.find(&url).await.is_ok());
}

/// This host and no other.
fn only(host: &str) -> HostTrusts {
    let rule = HostRule { hosts: host.parse().unwrap(), trust: HostTrust::Allow };
    HostTrusts { rules: vec![rule], others: HostTrust::Deny }
}

// CIMD §6 — N100
#[tokio::test]
async fn a_document_that_is_gone_revokes_the_client() {
    for status in [404, 410] {
        let (site, (_host, url)) =
            (Site::new().await, host(vec![Act::json(status, "{}"), Act::Close]).await);
        assert!(site.find(&url).await.is_ok());
        site.clock.advance(HOUR);
        assert!(matches!(site.find(&url).await, Err(ClientError::Revoked)), "{status}");
        site.clock.advance(HOUR);
        assert!(
            matches!(site.find(&url).await, Err(ClientError::Revoked)),
            "no answer is no pardon"
        );
    }
}

// CIMD §6 — N100
#[tokio::test]
async fn last_known_good_serves_for_a_day_of_outage() {
    let (site, (_host, url)) = (Site::new().await, host(vec![Act::Close]).await);
    assert!(site.find(&url).await.is_ok());
    site.clock.advance(Duration::from_hours(23));
    assert!(site.find(&url).await.is_ok());
    site.clock.advance(Duration::from_hours(2));
    assert!(matches!(site.find(&url).await, Err(ClientError::Document(_))));
}

// CIMD §6 — N99, AS-21
#[tokio::test]
async fn a_document_that_turned_bad_is_not_replaced_by_the_last_good_one() {
    let (site, (_host, url)) = (Site::new().await, host(vec![Act::json(200, "{}")]).await);
    assert!(site.find(&url).await.is_ok());
    site.clock.advance(HOUR);
    for _ in 0..2 {
        let found = site.find(&url).await;
        assert!(
            matches!(found, Err(ClientError::Document(DocumentError::Invalid(_)))),
            "{found:?}"
        );
    }
}

/// Only this makes a client start over (RFC 6749 §5.2).
#[tokio::test]
async fn at_the_token_endpoint_a_client_whose_document_is_wrong_or_missing_is_refused_for_good() {
    for (act, status, error) in [
        (Act::json(200, "{}"), 401, "invalid_client"),
        (Act::json(404, "{}"), 401, "invalid_client"),
        (Act::json(410, "{}"), 401, "invalid_client"),
        (Act::json(500, "{}"), 503, "temporarily_unavailable"),
        (Act::Close, 503, "temporarily_unavailable"),
    ] {
        let (site, host) = (Site::new().await, FakeHttp::start(vec![act.clone()]).await);
        let id = format!("{}client", host.origin);
        for _ in 0..2 {
            let refused = site.authenticate(None, &[("client_id", &id)]).await.unwrap_err();
            assert_eq!((refused.status().as_u16(), refused.code()), (status, error), "{act:?}");
        }
    }
}

// MCP 2026-07-28 client-registration §Client ID Metadata Documents — AS-21
#[tokio::test]
async fn an_unchanged_document_is_confirmed_by_its_etag() {
    let first =
        Act::Answer(200, "content-type: application/json\r\netag: \"v1\"\r\n", DOCUMENT.into());
    let host = FakeHttp::start(vec![first, Act::Answer(304, "", String::new())]).await;
    let (site, url) = (Site::new().await, format!("{}client", host.origin));
    let before = site.find(&url).await.unwrap();
    site.clock.advance(HOUR);
    let after = site.find(&url).await.unwrap();
    assert_eq!(before.digest(), after.digest());
    assert!(host.requests()[1].contains("if-none-match: \"v1\""));
}

// RFC 9111 §5.2.2.1, MCP 2026-07-28 client-registration §Client ID Metadata Documents — AS-21
#[tokio::test]
async fn a_document_is_kept_for_as_long_as_its_host_says_within_our_bounds() {
    for (said, seconds) in [
        ("public, max-age=7200", 7200),
        ("no-store", 300),
        ("max-age=1", 300),
        ("max-age=999999", 86_400),
    ] {
        let headers: &'static str =
            format!("content-type: application/json\r\ncache-control: {said}\r\n").leak();
        let host = FakeHttp::start(vec![Act::Answer(200, headers, DOCUMENT.into()); 2]).await;
        let (site, url) = (Site::new().await, format!("{}client", host.origin));
        assert!(site.find(&url).await.is_ok());
        site.clock.advance(Duration::from_secs(seconds - 1));
        assert!(site.find(&url).await.is_ok());
        assert_eq!(host.requests().len(), 1, "{said}");
        site.clock.advance(Duration::from_secs(1));
        assert!(site.find(&url).await.is_ok());
        assert_eq!(host.requests().len(), 2, "{said}");
    }
}

// CIMD §6 — N101
#[tokio::test]
async fn a_failure_is_remembered_for_half_a_minute_and_requests_share_a_fetch() {
    let host = FakeHttp::start(vec![Act::Close, served()]).await;
    let (site, url) = (Site::new().await, format!("{}client", host.origin));
    assert!(site.find(&url).await.is_err());
    assert!(site.find(&url).await.is_err());
    assert_eq!(host.requests().len(), 1);
    site.clock.advance(Duration::from_secs(31));
    let (a, b, c) = tokio::join!(site.find(&url), site.find(&url), site.find(&url));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(host.requests().len(), 2);
}

// CIMD §6 — N101
#[tokio::test]
async fn who_makes_urls_up_stops_neither_other_networks_nor_clients_that_are_known() {
    let (site, (host, url)) = (Site::new().await, host(vec![served(), served()]).await);
    site.find_from("198.51.100.1", &url).await.unwrap();
    site.clock.advance(HOUR);
    for number in 0..200 {
        let address = format!("203.0.{}.1", number / 20);
        let made_up = format!("https://a{number}.invalid/x");
        assert!(site.find_from(&address, &made_up).await.is_err());
    }
    assert!(site.find_from("198.51.100.1", &url).await.is_ok());
    assert_eq!(host.requests().len(), 2, "the known one was asked for again");
}

// CIMD §6 — N101
#[tokio::test]
async fn who_makes_urls_of_an_origin_up_does_not_stop_others_who_come_for_the_first_time() {
    let (site, (host, url)) = (Site::new().await, host(vec![]).await);
    for number in 0..40 {
        let address = format!("2001:db8:{:x}:{number:x}::1", number % 3);
        let made_up = url.replace("client", &format!("a{number}"));
        assert!(site.find_from(&address, &made_up).await.is_err(), "{number}");
    }
    assert!(site.find_from("198.51.100.1", &url).await.is_ok());
    assert_eq!(host.requests().len(), 27, "20 for all, two for each loud site, and this one");
}

// CIMD §6 — N101
#[tokio::test]
async fn a_network_has_a_share_of_the_documents_that_are_fetched() {
    let (site, (host, url)) = (Site::new().await, host(vec![]).await);
    for number in 0..30 {
        let made_up = format!("https://a{number}.invalid/x");
        assert!(site.find_from("203.0.113.1", &made_up).await.is_err());
    }
    let found = site.find_from("203.0.113.99", &url).await;
    assert!(matches!(found, Err(ClientError::Document(_))), "{found:?}");
    assert!(host.requests().is_empty());
    assert!(site.find_from("198.51.100.1", &url).await.is_ok());
}

// RFC 9449 §5.2 — N88
#[tokio::test]
async fn a_client_that_binds_all_its_tokens_is_refused_at_once_where_none_can_be_bound() {
    let bound = DOCUMENT.replacen('{', r#"{"dpop_bound_access_tokens":true,"#, 1);
    let host = FakeHttp::start(vec![Act::json(200, bound.leak())]).await;
    let (site, id) = (Site::new().await, format!("{}client", host.origin));
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let asked = Serializer::new(String::new())
        .extend_pairs([("client_id", id.as_str()), ("response_type", "code")])
        .extend_pairs([("code_challenge", challenge), ("code_challenge_method", "S256")])
        .finish();
    let pages = authorize_routes().with_state(site.server.clone());
    let request = Request::get(format!("/authorize?{asked}")).body(Body::empty()).unwrap();
    let led = pages.oneshot(request).await.unwrap();
    let location = led.headers()[header::LOCATION].to_str().unwrap();
    assert!(location.starts_with("http://127.0.0.1/cb?error=invalid_request"), "{location}");
    let form = (header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = Request::post("/par").header(form.0, form.1).body(Body::from(asked)).unwrap();
    let pushed = token_routes().with_state(site.server.clone()).oneshot(request).await.unwrap();
    assert_eq!(pushed.status(), StatusCode::BAD_REQUEST);
}
