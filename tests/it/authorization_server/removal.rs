//! A person who is removed, as their apps and their browser find out.

use serde_json::{Value, json};

use crate::support::child::{Served, command};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Wire, mcp};
use crate::support::raw_http::{Answer, Request};
use crate::support::until::until;

use super::browser::Browser;
use super::client::told;
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
        Self::with("").await
    }

    async fn with(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), settings, &[]).await;
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

/// An OAuth provider that knows one person, and the settings that name it.
async fn provider() -> (FakeHttp, String) {
    let provider = FakeHttp::start(Reply::status(404)).await;
    let token = json!({ "access_token": "t", "token_type": "Bearer" });
    provider.answers_at("/token", Reply::json(token.to_string()));
    let person = json!({ "id": 583_231, "login": "ada" });
    provider.answers_at("/user", Reply::json(person.to_string()));
    let url = provider.url();
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[authorization_server.identity_provider]]\nid = \"elsewhere\"\n\
         issuer = \"{url}\"\nclient_id = \"broker\"\nauthorization_endpoint = \"{url}authorize\"\n\
         token_endpoint = \"{url}token\"\nuserinfo_endpoint = \"{url}user\"\n\
         claims = {{ subject = \"id\", username = \"login\" }}\n"
    );
    (provider, settings)
}

/// Goes to the provider and comes back.
async fn logs_in_elsewhere(browser: &mut Browser<'_>) {
    let sent = told(&browser.get("/login/with/elsewhere").await.header("location"));
    let back = format!("/login/callback/elsewhere?code=x&state={}", sent["state"]);
    let done = browser.get(&back).await;
    assert_eq!(done.status, 303, "{done:?}");
}

/// The id of the person with this name.
fn id_of(site: &Site, name: &str) -> Option<String> {
    let listed = command(site.directory.path(), &["user", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let user = listed.as_array().unwrap().iter().find(|user| user["username"] == name);
    user.map(|user| text(user, "id").to_owned())
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

// OWASP ASVS 5 — N115
#[tokio::test]
async fn the_last_administrator_loses_role_and_access_only_when_that_is_said() {
    let site = Site::start().await;
    let at = site.directory.path();
    let ben = added(&site.directory, &["ben", "--admin"]);
    let token = site.served.mint_for(text(&ben["user"], "id"), "broker:admin");
    let link = command(at, &["user", "reset-link", "root", "--json"]);
    let link: Value = serde_json::from_slice(&link.stdout).unwrap();
    let mut browser = Browser::at(&site.served.authority);
    browser.chooses_a_password(path(text(&link, "link"))).await;
    let asks = async |what: &str| {
        let request = Request::new("POST", &format!("/api/v1/users/{}/{what}", site.root));
        site.served.send(request.header("authorization", &format!("Bearer {token}"))).await
    };
    for what in ["disable", "take-role"] {
        let refused = asks(what).await;
        assert_eq!(refused.status, 403, "ben has never come: {refused:?}");
        assert!(refused.body.contains("last_administrator"), "{refused:?}");
        let told = command(at, &["user", what, "root"]);
        let said = String::from_utf8(told.stderr).unwrap();
        assert!(!told.status.success() && said.contains("hint: give it to somebody"), "{said}");
    }
    assert_eq!(asks("disable?last_administrator=true").await.status, 204);
    assert!(command(at, &["user", "enable", "root"]).status.success());
    let done = command(at, &["user", "take-role", "root", "--last-administrator"]);
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "root is no administrator\n");
}

// OIDC Core §5.7 — N51, N109
#[tokio::test]
async fn who_logs_in_elsewhere_comes_back_as_somebody_new() {
    let (_provider, settings) = provider().await;
    let site = Site::with(&settings).await;
    let mut browser = Browser::at(&site.served.authority);
    logs_in_elsewhere(&mut browser).await;
    let before = id_of(&site, "ada").unwrap();
    let held = Held::through(&mut browser, &site.served, "public:read").await;
    let tokens = held.exchange(&site.served).await.json();
    let token = text(&tokens, "access_token");
    assert_eq!(site.calls(token).await, 200);
    let removed = command(site.directory.path(), &["user", "remove", "ada"]);
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    // Another process did it: the broker reads on.
    until("the end of the token", async || (site.calls(token).await == 401).then_some(())).await;
    logs_in_elsewhere(&mut browser).await;
    let account = browser.get("/account").await;
    assert_eq!(account.status, 200, "{account:?}");
    assert!(!account.body.contains("a test"), "what was allowed is not theirs: {account:?}");
    assert_ne!(id_of(&site, "ada").unwrap(), before);
    let refreshed = held.refresh(&site.served, text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.json()["error"], "invalid_grant");
    assert_eq!(site.calls(token).await, 401);
}
