//! Authorization requests that are answered without a page (`prompt=none`, OIDC Core §3.1.2.1).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use crate::authorization_server::authorize_routes;
use crate::authorization_server::session::{self, NewLogin};
use crate::store::{Consent, ConsentKey, GrantFilter, PageRequest, RevokeReason};
use crate::time::Clock as _;

use super::support::{MCP, Site, client};

const BACK: &str = "https://portal.example/cb";

/// A site whose person has allowed `portal` something before, and has logged in this very second. With their cookie.
async fn logged_in() -> (Site, String) {
    let site = Site::with(|settings| {
        let mut portal = client("portal", Some("secret"), "authorization_code", "graph:read");
        portal.redirect_uris = vec![BACK.parse().unwrap()];
        settings.clients = vec![portal];
    })
    .await;
    let now = site.clock.now();
    let key = ConsentKey {
        user_id: site.user,
        client_id: "portal".parse().unwrap(),
        redirect_class: "https://portal.example".to_owned(),
        resource: MCP.to_owned(),
    };
    let expires_at = now.plus(Duration::from_hours(1));
    let scopes = "graph:read".parse().unwrap();
    site.store.put_consent(&Consent { key, scopes, granted_at: now, expires_at }).await.unwrap();
    let cookie = log_in(&site).await;
    (site, cookie)
}

async fn log_in(site: &Site) -> String {
    let login = NewLogin::with_password(site.user, site.clock.now());
    let cookie = session::begin(&site.server, &HeaderMap::new(), login).await.unwrap();
    cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// Where the browser is led.
async fn asks(site: &Site, cookie: &str, acr_values: &str) -> String {
    let query = Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", "portal"),
            ("redirect_uri", BACK),
            ("scope", "graph:read"),
            ("resource", MCP),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("prompt", "none"),
            ("acr_values", acr_values),
        ])
        .finish();
    let request = Request::get(format!("/authorize?{query}")).header(header::COOKIE, cookie);
    let request = request.body(Body::empty()).unwrap();
    let routes = authorize_routes().with_state(site.server.clone());
    let answer = routes.oneshot(request).await.unwrap();
    let location = answer.headers().get(header::LOCATION);
    location.map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default()
}

// RFC 9470 §5, OIDC Core §3.1.2.6
#[tokio::test]
async fn nobody_counts_as_stronger_for_having_logged_in_this_second() {
    let (site, cookie) = logged_in().await;
    for (acr_values, answer) in [
        ("", "code="),
        ("phr pwd", "code="),
        ("phr", "error=login_required"),
        ("phr phrh", "error=login_required"),
    ] {
        let location = asks(&site, &cookie, acr_values).await;
        assert!(location.starts_with(&format!("{BACK}?{answer}")), "{acr_values}: {location}");
    }
}

// RFC 9700 §4.14.2 — N51
#[tokio::test]
async fn a_thief_of_the_old_password_has_said_yes_to_nothing_under_the_new_one() {
    let (site, cookie) = logged_in().await;
    assert!(asks(&site, &cookie, "").await.starts_with(&format!("{BACK}?code=")));
    assert!(site.store.set_password(site.user, "$new", None, site.clock.now()).await.unwrap());
    let cookie = log_in(&site).await;
    let location = asks(&site, &cookie, "").await;
    assert!(location.starts_with(&format!("{BACK}?error=consent_required")), "{location}");
}

#[tokio::test]
async fn a_client_whose_grant_an_administrator_ended_gets_no_other_unasked() {
    let (site, cookie) = logged_in().await;
    assert!(asks(&site, &cookie, "").await.starts_with(&format!("{BACK}?code=")));
    let page = PageRequest { after: None, limit: 1 };
    let grants = site.store.list_grants(&GrantFilter::default(), &page).await.unwrap();
    let (id, by) = (grants.rows[0].id, RevokeReason::Administrator);
    assert!(site.store.revoke_grant(id, by, site.clock.now()).await.unwrap());
    let location = asks(&site, &cookie, "").await;
    assert!(location.starts_with(&format!("{BACK}?error=consent_required")), "{location}");
}
