//! Authorization requests that are answered without a page (`prompt=none`, OIDC Core §3.1.2.1).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use crate::authorization_server::authorize_routes;
use crate::authorization_server::session::{self, NewLogin};
use crate::id::UserId;
use crate::random::SeededRandom;
use crate::store::{
    Consent, ConsentKey, GrantFilter, PageRequest, ResourceChange, RevokeReason, UserRow,
};
use crate::time::Clock as _;

use super::support::{Answer, MCP, Site, ada, basic, client};

const BACK: &str = "https://portal.example/cb";

const NOBODY: &str = "nobody is logged in and no page may be shown";
const OTHER_PERSON: &str = "who is logged in is not whom id_token_hint is about";
const NEW_LOGIN: &str = "a new login is needed and no page may be shown";

/// A site whose person has allowed `portal` something before, and has logged in this very second. With their cookie.
async fn logged_in() -> (Site, String) {
    let site = Site::with(|settings| {
        let mut portal = client("portal", Some("secret"), "authorization_code", "graph:read");
        portal.redirect_uris = vec![BACK.parse().unwrap()];
        settings.clients = vec![portal];
    })
    .await;
    says_yes(&site, site.user, (MCP, "graph:read")).await;
    let cookie = log_in(&site).await;
    (site, cookie)
}

async fn log_in(site: &Site) -> String {
    session_of(site, site.user).await
}

async fn session_of(site: &Site, user: UserId) -> String {
    let login = NewLogin::with_password(user, site.clock.now());
    let cookie = session::begin(&site.server, &HeaderMap::new(), login).await.unwrap();
    cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// Where the browser is led.
async fn asks(site: &Site, cookie: &str, acr_values: &str) -> String {
    asks_with(site, cookie, &[("acr_values", acr_values)]).await
}

/// The same with these parameters, in place of others of their names.
async fn asks_with(site: &Site, cookie: &str, other: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", "portal"),
        ("redirect_uri", BACK),
        ("scope", "graph:read"),
        ("resource", MCP),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("prompt", "none"),
    ];
    let usual = usual.iter().filter(|(name, _)| !other.iter().any(|(known, _)| known == name));
    let query = Serializer::new(String::new()).extend_pairs(usual.chain(other)).finish();
    let request = Request::get(format!("/authorize?{query}")).header(header::COOKIE, cookie);
    let request = request.body(Body::empty()).unwrap();
    let routes = authorize_routes().with_state(site.server.clone());
    let answer = routes.oneshot(request).await.unwrap();
    let location = answer.headers().get(header::LOCATION);
    location.map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// What an error says to developers.
fn description(location: &str) -> String {
    let url: url::Url = location.parse().unwrap();
    let said = url.query_pairs().find(|(name, _)| name == "error_description");
    said.map(|(_, said)| said.into_owned()).unwrap_or_default()
}

/// What the token endpoint gives for the code in this answer.
async fn redeems(site: &Site, location: &str) -> Answer {
    let url: url::Url = location.parse().unwrap();
    let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", BACK),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ];
    let answer = site.post_as("/token", Some(&basic("portal:secret")), &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// What this person has said yes to.
async fn says_yes(site: &Site, user_id: UserId, (resource, scopes): (&str, &str)) {
    let now = site.clock.now();
    let key = ConsentKey {
        user_id,
        client_id: "portal".parse().unwrap(),
        redirect_class: "https://portal.example".to_owned(),
        resource: resource.to_owned(),
    };
    let (scopes, expires_at) = (scopes.parse().unwrap(), now.plus(Duration::from_hours(1)));
    site.store.put_consent(&Consent { key, scopes, granted_at: now, expires_at }).await.unwrap();
}

// OIDC Core §3.1.2.1, §3.1.2.2 — N66
#[tokio::test]
async fn whom_an_id_token_hint_is_about_is_given_a_code_and_nobody_else() {
    let (site, hers) = logged_in().await;
    says_yes(&site, site.user, (MCP, "graph:read openid")).await;
    let scope = ("scope", "graph:read openid");
    let given = redeems(&site, &asks_with(&site, &hers, &[scope]).await).await;
    let (hint, access) = (given.member("id_token"), given.member("access_token"));
    let id = UserId::generate(&*site.clock, &SeededRandom::new(9));
    let bob = UserRow { username: "bob".to_owned(), ..ada(id) };
    assert!(site.store.add_user(&bob).await.unwrap());
    says_yes(&site, bob.id, (MCP, "graph:read")).await;
    let bobs = session_of(&site, bob.id).await;
    let (signed, _) = hint.rsplit_once('.').unwrap();
    let of_a_key_that_is_gone = format!("{signed}.{}", "A".repeat(86));
    let unreadable = "id_token_hint is no ID token of this server for this client";
    for (cookie, hint, answer, words) in [
        (hers.as_str(), hint.as_str(), "code=", ""),
        (bobs.as_str(), "", "code=", ""),
        (bobs.as_str(), hint.as_str(), "error=login_required", OTHER_PERSON),
        ("", hint.as_str(), "error=login_required", NOBODY),
        (hers.as_str(), access.as_str(), "error=invalid_request", unreadable),
        (hers.as_str(), "eyJ.garbage.x", "error=invalid_request", unreadable),
        (hers.as_str(), of_a_key_that_is_gone.as_str(), "error=login_required", NEW_LOGIN),
    ] {
        let parameters = [("id_token_hint", hint)];
        let parameters = if hint.is_empty() { &[][..] } else { &parameters[..] };
        let location = asks_with(&site, cookie, parameters).await;
        assert!(location.starts_with(&format!("{BACK}?{answer}")), "{hint}: {location}");
        assert_eq!(description(&location), words, "{hint}");
    }
}

/// The client has no refresh tokens: the grant ends with its one access token.
#[tokio::test]
async fn a_longer_life_that_a_server_gives_its_tokens_holds_without_refresh_tokens() {
    const WEATHER: &str = "https://weather.example/mcp";
    let (site, cookie) = logged_in().await;
    let row = site.register("weather", WEATHER).await;
    for (seconds, given) in [(7200, 7200), (300, 300)] {
        let change = ResourceChange {
            id: row.id.clone(),
            name: None,
            description: None,
            scopes: None,
            access_token_ttl_seconds: Some(seconds),
        };
        assert!(site.store.change_resource(&change).await.unwrap());
        says_yes(&site, site.user, (WEATHER, "graph:read")).await;
        let location = asks_with(&site, &cookie, &[("resource", WEATHER)]).await;
        let answer = redeems(&site, &location).await;
        assert_eq!(answer.json()["expires_in"], given);
    }
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
        let words = if answer == "code=" { "" } else { NEW_LOGIN };
        assert_eq!(description(&location), words, "{acr_values}");
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
