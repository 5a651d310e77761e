//! More than one page open in one browser, and more than one person at it.

use axum::http::StatusCode;

use super::support::{Browser, PASSWORD, Page, Site, between};

async fn ask(browser: &mut Browser, handle: &str) -> Page {
    browser.get(&format!("/consent?request={handle}")).await
}

async fn says_yes(browser: &mut Browser, page: &Page) -> Page {
    browser.send("/consent", page, &[("decision", "allow")]).await
}

const ADMIN: [(&str, &str); 2] = [("username", "admin"), ("password", PASSWORD)];

// RFC 6749 §10.12 — N104
#[tokio::test]
async fn who_logs_in_in_a_second_tab_goes_on_in_the_first() {
    let site = Site::new();
    drop(site.administrator().await);
    let mut browser = Browser::new(&site);
    let (one, two) = (site.request(|_| {}), site.request(|_| {}));
    let first = browser.get(&format!("/login?request={one}")).await;
    let second = browser.get(&format!("/login?request={two}")).await;
    browser.send("/login", &first, &ADMIN).await;
    let shown = ask(&mut browser, &one).await;
    assert_eq!(shown.status, StatusCode::OK);
    browser.send("/login", &second, &ADMIN).await;
    // The page is of the log-in before; what it is about is there still.
    assert_eq!(says_yes(&mut browser, &shown).await.status, StatusCode::FORBIDDEN);
    let shown = ask(&mut browser, &one).await;
    let answer = says_yes(&mut browser, &shown).await;
    assert!(answer.location().contains("?code="), "{answer:?}");
}

#[tokio::test]
async fn who_is_not_you_logs_out_and_the_next_person_answers() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|_| {});
    let shown = ask(&mut browser, &handle).await;
    let link = between(&shown.body, "<a href=\"/logout?");
    let asked = browser.get(&format!("/logout?{link}")).await;
    let led = browser.send("/logout", &asked, &[]).await;
    assert_eq!(led.location(), format!("/login?request={handle}"));
    let login = browser.get(led.location()).await;
    browser.send("/login", &login, &ADMIN).await;
    assert_eq!(says_yes(&mut browser, &shown).await.status, StatusCode::FORBIDDEN, "of before");
    let shown = ask(&mut browser, &handle).await;
    assert!(says_yes(&mut browser, &shown).await.location().contains("?code="), "{shown:?}");
}

// RFC 6749 §10.12 — N104
#[tokio::test]
async fn nobody_lets_go_of_a_request_of_another_session() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|_| {});
    ask(&mut browser, &handle).await;
    let mut other = Browser::new(&site);
    other.log_in(PASSWORD).await;
    let asked = other.get(&format!("/logout?request={handle}")).await;
    other.send("/logout", &asked, &[]).await;
    other.log_in(PASSWORD).await;
    assert_eq!(ask(&mut other, &handle).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&mut browser, &handle).await.status, StatusCode::OK);
}

// RFC 6749 §10.12 — N104
#[tokio::test]
async fn a_yes_to_what_has_changed_is_asked_for_again_and_a_no_counts() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let of = |scope: &'static str| site.request(move |it| it.scope = scope.parse().unwrap());
    let (reads, writes, again) = (of("graph:read"), of("graph:write"), of("graph:write"));
    let mut shown = Vec::new();
    for handle in [&reads, &writes, &again] {
        shown.push(ask(&mut browser, handle).await);
    }
    says_yes(&mut browser, &shown[0]).await;
    let anew = says_yes(&mut browser, &shown[1]).await;
    assert_eq!(anew.status, StatusCode::CONFLICT, "{anew:?}");
    assert!(anew.body.contains("has changed since"), "{}", anew.body);
    assert_eq!(site.store.lock().grants.len(), 1);
    assert!(says_yes(&mut browser, &anew).await.location().contains("?code="));
    let no = browser.send("/consent", &shown[2], &[("decision", "deny")]).await;
    assert!(no.location().contains("error=access_denied"), "{no:?}");
}

// OIDC Core §11
#[tokio::test]
async fn who_gets_a_refresh_token_is_said_to_stay_connected() {
    const STAYS: &str = "Stay connected when you are away";
    let site = Site::new();
    let mut browser = site.administrator().await;
    for (refresh, scope, times) in
        [(true, "graph:read", 1), (false, "graph:read", 0), (true, "graph:read offline_access", 1)]
    {
        let handle = site.request(|pending| {
            pending.refresh = refresh;
            pending.scope = scope.parse().unwrap();
        });
        let page = ask(&mut browser, &handle).await;
        assert_eq!(page.body.matches(STAYS).count(), times, "{refresh} {scope}");
    }
}
