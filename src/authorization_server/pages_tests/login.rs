//! Links, passwords, sessions, throttling, logging out.

use std::time::Duration;

use axum::http::{Method, StatusCode};

use crate::time::Timestamp;

use super::support::{Browser, NOW, PASSWORD, Site, stable};

#[tokio::test]
async fn the_first_administrator_chooses_a_password_by_a_link_that_works_once() {
    let site = Site::new();
    let link = site.link().await;
    let (mut browser, mut late) = (Browser::new(&site), Browser::new(&site));
    let (page, second) = (browser.get(&link).await, late.get(&link).await);
    let chosen = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.send(&link, &page, &chosen).await.location(), "/account");
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    assert_eq!(late.send(&link, &second, &chosen).await.status, StatusCode::NOT_FOUND);
    assert_eq!(late.get(&link).await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.event_types().await, ["person.password.set"]);
}

// OIDC Core §3.1.2.1
#[tokio::test]
async fn the_name_that_a_client_expects_stands_in_the_form() {
    let site = Site::new();
    let mut browser = Browser::new(&site);
    let expects = |name: &str| {
        let name = name.to_owned();
        site.request(|pending| pending.login_hint = Some(name))
    };
    let page = browser.get(&format!("/login?request={}", expects("ada\"><b>"))).await;
    assert!(
        page.body.contains("name=\"username\" value=\"ada&#34;&#62;&#60;b&#62;\""),
        "{}",
        page.body
    );
    let page = browser.get(&format!("/login?request={}", expects(&"a".repeat(129)))).await;
    assert!(page.body.contains("name=\"username\" value=\"\""), "{}", page.body);
}

#[tokio::test]
async fn a_weak_password_is_asked_for_again_and_the_link_lives_on() {
    let site = Site::new();
    let (link, mut browser) = (site.link().await, Browser::new(&site));
    let page = browser.get(&link).await;
    let again = browser.send(&link, &page, &[("password", "short"), ("again", "short")]).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.body.contains("at least 12 characters"));
    let chosen = [("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.send(&link, &again, &chosen).await.location(), "/account");
}

#[tokio::test]
async fn a_link_is_over_after_its_time() {
    let site = Site::new();
    let link = site.link().await;
    site.clock.advance(Duration::from_hours(24));
    assert_eq!(Browser::new(&site).get(&link).await.status, StatusCode::NOT_FOUND);
}

// RFC 9700 §4.14.2
#[tokio::test]
async fn a_password_that_is_set_anew_while_it_is_compared_logs_nobody_in() {
    let site = Site::new();
    site.administrator().await;
    let mut browser = Browser::new(&site);
    let page = browser.get("/login").await;
    site.store.lock().set_meanwhile = Some("another hash".to_owned());
    let fields = [("username", "admin"), ("password", PASSWORD)];
    let refused = browser.send("/login", &page, &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/account").await.location(), "/login");
    assert_eq!(site.event_types().await.last().unwrap(), "person.login.failed");
}

// OWASP ASVS 7.2.4 — session fixation
#[tokio::test]
async fn login_gives_a_new_session_and_ends_the_one_before() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    assert_eq!(browser.get("/login").await.location(), "/account", "already logged in");
    site.clock.advance(Duration::from_mins(1));
    let handle = site.request(|pending| pending.prompt.login = true);
    let page = browser.get(&format!("/login?request={handle}")).await;
    let before = browser.cookie("session").unwrap(); // alive: nobody has logged out
    let fields = [("username", "admin"), ("password", PASSWORD)];
    let onward = format!("/consent?request={handle}");
    assert_eq!(browser.send("/login", &page, &fields).await.location(), onward);
    assert_ne!(browser.cookie("session").unwrap(), before);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    browser.cookies.lock().unwrap().insert("__Host-broker_session".to_owned(), before);
    assert_eq!(browser.get("/account").await.location(), "/login");
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    site.clock.advance(Duration::from_mins(121));
    assert_eq!(browser.get("/account").await.location(), "/login");
    browser.log_in(PASSWORD).await;
    for _ in 0..11 {
        site.clock.advance(Duration::from_hours(1));
        assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    }
    site.clock.advance(Duration::from_hours(1));
    assert_eq!(browser.get("/account").await.location(), "/login");
}

#[tokio::test]
async fn a_clock_that_is_set_ends_no_session_early_and_revives_no_link() {
    let site = Site::new();
    let (link, mut browser) = (site.link().await, Browser::new(&site));
    let page = browser.get(&link).await;
    let chosen = [("password", PASSWORD), ("again", PASSWORD)];
    browser.send(&link, &page, &chosen).await;
    site.clock.step_wall(Timestamp::from_unix_seconds(NOW - 3600));
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    assert_eq!(browser.get(&link).await.status, StatusCode::NOT_FOUND);
    site.clock.step_wall(Timestamp::from_unix_seconds(NOW + 13 * 3600));
    assert_eq!(browser.get("/account").await.location(), "/login");
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_read_the_same() {
    let site = Site::new();
    drop(site.administrator().await);
    let mut pages = Vec::new();
    for (name, password) in [("admin", "wrong password"), ("nobody", PASSWORD)] {
        let mut browser = Browser::new(&site);
        let page = browser.get("/login").await;
        let fields = [("username", name), ("password", password)];
        let answer = browser.send("/login", &page, &fields).await;
        pages.push((answer.status, stable(&answer.body)));
    }
    assert!(pages[0] == pages[1], "the two pages differ");
    assert_eq!(pages[0].0, StatusCode::FORBIDDEN);
}

// RFC 9700 §4.13 — N108
#[tokio::test]
async fn guessing_is_stopped_and_does_not_lock_the_owner_out() {
    let site = Site::new();
    let mut owner = site.administrator().await;
    owner.get("/logout").await;
    let page = owner.get("/account").await;
    owner.send("/logout", &page, &[]).await;
    owner.log_in(PASSWORD).await; // this browser is known from here on
    let page = owner.get("/account").await;
    owner.send("/logout", &page, &[]).await;
    let mut attacker = Browser::new(&site);
    for _ in 0..10 {
        assert_eq!(attacker.log_in("a wrong password").await.status, StatusCode::FORBIDDEN);
    }
    let refused = attacker.log_in(PASSWORD).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "900");
    assert_eq!(owner.log_in(PASSWORD).await.location(), "/account", "same network, known browser");
    let mut elsewhere = Browser::new(&site);
    elsewhere.address = "198.51.100.1".parse().unwrap();
    assert_eq!(elsewhere.log_in(PASSWORD).await.location(), "/account", "another network");
    site.clock.advance(Duration::from_mins(15));
    assert_eq!(attacker.log_in(PASSWORD).await.location(), "/account", "the lock is over");
}

#[tokio::test]
async fn logging_out_everywhere_ends_the_sessions_of_all_browsers() {
    let site = Site::new();
    let mut first = site.administrator().await;
    let mut second = Browser::new(&site);
    second.log_in(PASSWORD).await;
    let page = second.get("/account").await;
    assert!(page.body.contains("Another browser"));
    let everywhere = page.body.find("name=\"everywhere\"").unwrap();
    let form = page.body[..everywhere].rfind("name=\"form\" value=\"").unwrap();
    let token = page.body[form..].split('"').nth(3).unwrap().to_owned();
    let fields = [("form", token.as_str()), ("everywhere", "yes")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(second.post("/logout", &fields).await.location(), "/logout");
    for browser in [&mut first, &mut second] {
        assert_eq!(browser.get("/account").await.location(), "/login");
    }
}

// RFC 6749 §10.12 — N103
#[tokio::test]
async fn a_login_form_of_another_site_or_browser_is_refused() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = Browser::new(&site).get("/login").await; // its token is for another cookie
    let fields = [("username", "admin"), ("password", PASSWORD)];
    assert_eq!(browser.send("/login", &page, &fields).await.status, StatusCode::FORBIDDEN);
    let mut fresh = Browser::new(&site);
    let page = fresh.get("/login").await;
    fresh.with_forms = vec![("origin", "https://evil.example")];
    assert_eq!(fresh.send("/login", &page, &fields).await.status, StatusCode::FORBIDDEN);
    fresh.with_forms = vec![("sec-fetch-site", "cross-site")];
    assert_eq!(fresh.send("/login", &page, &fields).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_link_or_an_image_logs_nobody_out() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    assert_eq!(browser.get("/logout").await.status, StatusCode::OK);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    let text = [("content-type", "text/plain"), ("sec-fetch-site", "same-origin")];
    let answer = browser.exchange(Method::POST, "/logout", &text, "form=x".to_owned()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

// RFC 6749 §10.13, RFC 9700 §4.2.4 — N26, N106, AS-13
#[tokio::test]
async fn every_page_refuses_framing_caching_and_referrers() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|_| {});
    let consent = format!("/consent?request={handle}");
    let unread = ["/consent", "/login?request=a&request=b", "/login/link/%ff"];
    for path in ["/account", "/logout", "/login/link/x", &consent].into_iter().chain(unread) {
        let page = browser.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(page.headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert_eq!(page.headers["referrer-policy"], "no-referrer", "{path}");
        assert!(!page.body.contains("<script") && !page.body.contains("src="), "{path}");
    }
}
