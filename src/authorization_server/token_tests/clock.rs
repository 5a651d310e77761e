//! A wall clock that is set: forward by a wrong time server, back by a right one.

use std::time::Duration;

use super::support::{Site, refused};

const HOUR: i64 = 3600;

fn step(site: &Site, seconds: i64) {
    use crate::time::Clock as _;
    site.clock.step_wall(site.clock.now().plus_seconds(seconds));
}

// RFC 6749 §4.1.2 — N36, N114
#[tokio::test]
async fn a_clock_that_is_set_makes_no_code_work_twice() {
    let site = Site::new().await;
    for seconds in [-HOUR, HOUR] {
        let code = site.code("app", "graph:read").await;
        let tokens = site.redeem(&code).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        step(&site, seconds);
        assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"), "{seconds}");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_between_consent_and_redemption_costs_nobody_the_code() {
    let site = Site::new().await;
    let code = site.code("app", "graph:read").await;
    step(&site, -HOUR);
    assert_eq!(site.redeem(&code).await.status, 200);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_a_code_and_not_what_others_hold() {
    let site = Site::new().await;
    let held = site.tokens("graph:read offline_access").await.member("refresh_token");
    let code = site.code("app", "graph:read").await;
    step(&site, HOUR);
    assert_eq!(site.redeem(&code).await.error(), refused(400, "invalid_grant"));
    assert_eq!(site.refresh(&held).await.status, 200);
}

// RFC 9700 §4.14.2 — N47, N48
#[tokio::test]
async fn a_clock_that_goes_back_gives_a_refresh_token_no_second_successor() {
    let site = Site::new().await;
    let first = site.tokens("graph:read offline_access").await.member("refresh_token");
    let second = site.refresh(&first).await.member("refresh_token");
    step(&site, -HOUR);
    assert_eq!(site.refresh(&first).await.member("refresh_token"), second, "the same answer");
    let third = site.refresh(&second).await.member("refresh_token");
    assert_eq!(site.refresh(&first).await.error(), refused(400, "invalid_grant"));
    assert_eq!(site.refresh(&third).await.error(), refused(400, "invalid_grant"), "a theft");
}

#[tokio::test]
async fn a_limit_on_guesses_is_not_lifted_by_setting_the_clock() {
    let site = Site::new().await;
    let wrong = super::support::basic("nightly:wrong");
    let form = [("grant_type", "client_credentials")];
    let mut answer = site.post_as("/token", Some(&wrong), &form).await;
    while answer.status == 401 {
        answer = site.post_as("/token", Some(&wrong), &form).await;
    }
    assert_eq!(answer.status, 429);
    step(&site, 24 * HOUR);
    assert_eq!(site.post_as("/token", Some(&wrong), &form).await.status, 429);
    site.clock.advance(Duration::from_mins(2));
    assert_eq!(site.post_as("/token", Some(&wrong), &form).await.status, 401);
}
