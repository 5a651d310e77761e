//! A person who is removed, as their apps and their browser find out.

use serde_json::{Value, json};

use crate::support::child::{Served, command};
use crate::support::product::{Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::flow::{Held, text};

/// A broker with two people: `root` has the role, `ada` a link.
struct Site {
    directory: tempfile::TempDir,
    served: Served,
    token: String,
    root: String,
}

fn added(site: &tempfile::TempDir, arguments: &[&str]) -> Value {
    let output = command(site.path(), &[&["user", "add"], arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

impl Site {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), "", &[]).await;
        let root = added(&directory, &["root", "--admin"]);
        let root = text(&root["user"], "id").to_owned();
        let token = served.mint_for(&root, "broker:admin");
        Self { directory, served, token, root }
    }

    async fn removes(&self, id: &str, query: &str) -> Answer {
        let request = Request::new("DELETE", &format!("/api/v1/users/{id}{query}"));
        self.served.send(request.header("authorization", &format!("Bearer {}", self.token))).await
    }

    async fn calls(&self, token: &str) -> u16 {
        let params = json!({ "name": "get_public_info", "arguments": {} });
        self.served.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await.status
    }
}

/// Where a one-time link leads, without the origin that commands believe in.
fn path(link: &str) -> &str {
    link.find("/login/").map_or(link, |at| &link[at..])
}

// RFC 9700 §4.14.2 — N51
#[tokio::test]
async fn a_person_who_is_removed_has_nothing_more_at_the_next_request() {
    let site = Site::start().await;
    let ada = added(&site.directory, &["ada"]);
    let mut browser = Browser::at(&site.served.authority);
    browser.chooses_a_password(path(text(&ada, "set_up_link"))).await;
    let held = Held::through(&mut browser, &site.served, "public:read").await;
    let tokens = held.exchange(&site.served).await.json();
    let late = Held::through(&mut browser, &site.served, "public:read").await;
    let token = text(&tokens, "access_token");
    assert_eq!(site.calls(token).await, 200);
    let id = text(&ada["user"], "id");
    assert_eq!(site.removes(id, "").await.status, 204);
    assert_eq!(site.calls(token).await, 401, "though it was remembered");
    let refreshed = held.refresh(&site.served, text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.json()["error"], "invalid_grant");
    assert_eq!(late.exchange(&site.served).await.json()["error"], "invalid_grant");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    assert_eq!(site.removes(id, "").await.status, 404);
    let log = site.served.audit_lines().join("\n");
    let ended = format!(r#""object":"user","action":"delete","id":"{id}","outcome":"done""#);
    assert!(log.contains(&ended), "{log}");
}

// OWASP ASVS 5 — N115
#[tokio::test]
async fn the_last_administrator_is_removed_only_when_that_is_said() {
    let site = Site::start().await;
    let refused = site.removes(&site.root, "").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("last_administrator"), "{refused:?}");
    assert_eq!(site.removes(&site.root, "?last_administrator=perhaps").await.status, 422);
    let at = site.directory.path();
    let told = command(at, &["user", "remove", "root"]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("hint: give it to somebody first, or say"), "{told}");
    let removed = command(at, &["user", "remove", "root", "--last-administrator"]);
    assert_eq!(String::from_utf8(removed.stdout).unwrap(), "root is removed\n");
    assert_eq!(site.removes(&site.root, "").await.status, 403, "nobody's token opens the API");
}
