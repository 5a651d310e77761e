//! Clients that are told that a log-in is over, and some that are away.

use std::time::Duration;

use crate::authorization_server::logout::Telling;
use crate::fake_http::{Act, FakeHttp};
use crate::store::{Digest, LogOut, LoginOrigin, Revokes};

use super::support::{Site, client, part};

/// A site where `app` got something in a log-in that is over, and is told at `at`.
async fn logged_out(at: &FakeHttp, client_id: &str) -> Site {
    let uri = at.origin.join("/told").unwrap();
    let site = Site::with(|settings| {
        let mut app = client("app", Some("secret"), "authorization_code", "openid");
        app.backchannel_logout_uri = Some(uri);
        settings.clients = vec![app];
    })
    .await;
    log_in_ends(&site, client_id, "a").await;
    site
}

/// The end of a log-in in which this client got something.
async fn log_in_ends(site: &Site, client_id: &str, sid: &str) {
    let sid = || Some(sid.to_owned());
    site.code_with(client_id, "openid", |grant, _| {
        grant.login = LoginOrigin { sid: sid(), ..LoginOrigin::default() };
    })
    .await;
    let session = Digest::of("session");
    let out = LogOut::Session { session, sid: sid(), revokes: Revokes::Nothing, left: None };
    site.store.log_out(&out, crate::time::Clock::now(&*site.clock)).await.unwrap();
}

/// Tells those that are due. How many.
async fn round(site: &Site) -> usize {
    let mut telling = Telling::default();
    let count = site.server.begin_telling(&mut telling).await.unwrap();
    while telling.ended().await {}
    count
}

async fn events(site: &Site) -> Vec<(bool, u64)> {
    site.server.auditor.flush().await.unwrap();
    let text = std::fs::read_to_string(&site.log).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let told = lines.filter(|line| line["event_type"] == "oauth.client.logout_notified");
    told.map(|line| {
        (
            line["payload"]["delivered"].as_bool().unwrap(),
            line["payload"]["attempts"].as_u64().unwrap(),
        )
    })
    .collect()
}

// OIDC Back-Channel Logout §2.5
#[tokio::test]
async fn a_client_that_is_away_is_told_later() {
    let (fails, has_it) = (Act::json(500, ""), Act::json(204, ""));
    let app = FakeHttp::start(vec![fails, Act::Close, has_it]).await;
    let site = logged_out(&app, "app").await;
    assert_eq!((round(&site).await, round(&site).await), (1, 0), "not again at once");
    site.clock.advance(Duration::from_secs(10));
    assert_eq!((round(&site).await, events(&site).await), (1, Vec::new()));
    site.clock.advance(Duration::from_secs(30));
    assert_eq!((round(&site).await, events(&site).await), (1, vec![(true, 3)]));
    site.clock.advance(Duration::from_hours(1));
    assert_eq!((round(&site).await, app.requests().len()), (0, 3));
}

// OIDC Back-Channel Logout §2.5
#[tokio::test]
async fn a_client_that_stays_away_is_given_up_and_that_is_recorded() {
    let app = FakeHttp::start(vec![Act::json(400, "")]).await;
    let site = logged_out(&app, "app").await;
    for _ in 0..8 {
        assert_eq!(round(&site).await, 1);
        site.clock.advance(Duration::from_hours(3));
    }
    assert_eq!((round(&site).await, events(&site).await), (0, vec![(false, 8)]));
}

#[tokio::test]
async fn a_client_that_nobody_said_where_to_tell_is_not_told() {
    let app = FakeHttp::start(vec![Act::json(200, "")]).await;
    let site = logged_out(&app, "https://claude.ai/oauth/client.json").await;
    assert_eq!((round(&site).await, round(&site).await), (1, 0));
    assert_eq!((app.requests().len(), events(&site).await), (0, Vec::new()));
}

// OIDC Back-Channel Logout §2.5
#[tokio::test]
async fn a_client_that_hangs_keeps_nobody_else_waiting() {
    let (stuck, app) =
        (FakeHttp::start(vec![Act::Hang]).await, FakeHttp::start(vec![Act::json(200, "")]).await);
    let to = |host: &FakeHttp| Some(host.origin.join("/told").unwrap());
    let (stuck_uri, app_uri) = (to(&stuck), to(&app));
    let site = Site::with(|settings| {
        let mut clients =
            ["stuck", "app"].map(|id| client(id, Some("secret"), "authorization_code", "openid"));
        clients[0].backchannel_logout_uri = stuck_uri;
        clients[1].backchannel_logout_uri = app_uri;
        settings.clients = clients.into();
    })
    .await;
    for number in 0..40 {
        let id = if number < 20 { "stuck" } else { "app" };
        log_in_ends(&site, id, &format!("sid {number:02}")).await;
    }
    let mut telling = Telling::default();
    assert_eq!(site.server.begin_telling(&mut telling).await.unwrap(), 8, "four of each");
    let mut told = 0;
    while app.requests().len() < 20 {
        assert!(telling.ended().await);
        told += site.server.begin_telling(&mut telling).await.unwrap();
    }
    assert_eq!((told, stuck.requests().len()), (16, 4), "and the one that hangs gets no more");
}

// OIDC Back-Channel Logout §2.4 — N66
#[tokio::test]
async fn a_logout_token_of_ours_opens_nothing() {
    let app = FakeHttp::start(vec![Act::json(200, "")]).await;
    let site = logged_out(&app, "app").await;
    round(&site).await;
    let sent = app.requests().remove(0);
    let token = sent.rsplit_once("logout_token=").unwrap().1.to_owned();
    assert_eq!(part(&token, 0)["typ"], "logout+jwt");
    assert!(site.server.tokens.own.read(&site.server, &token).is_none());
    assert!(site.server.tokens.own.id_token_client(&site.server, &token).is_none());
}
