//! Why a request was refused: who is told, what they are told, and what nobody is.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::child::{Served, command, command_beside};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::browser::{Browser, PASSWORD, hidden};

const CODE: &str = "CANARYcodeCANARYcodeCANARYcodeCANARYcodeCAN";
const NAME: &str = "Claude Code <script>alert(1)</script>\u{202e}";

/// A broker with two people: `root` administers it, `ada` does not.
struct Site {
    directory: TempDir,
    served: Served,
}

impl Site {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), "", &[]).await;
        Self { directory, served }
    }

    /// A browser in which this person has just chosen a password; gives their id, too.
    async fn person(&self, arguments: &[&str]) -> (Browser<'_>, String) {
        let all = [&["user", "add"], arguments, &["--json"]].concat();
        let added = command_beside(self.directory.path(), &self.served.authority, &all);
        let added: Value = serde_json::from_slice(&added.stdout).unwrap();
        let link: url::Url = added["set_up_link"].as_str().unwrap().parse().unwrap();
        let mut browser = Browser::at(&self.served.authority);
        browser.chooses_a_password(link.path()).await;
        (browser, added["user"]["id"].as_str().unwrap().to_owned())
    }

    /// A client that registers itself.
    async fn client(&self) -> String {
        let body = json!({ "client_name": NAME, "redirect_uris": ["http://127.0.0.1/cb"] });
        let request = Request::new("POST", "/register").header("content-type", "application/json");
        let answer = self.served.send(request.body(body.to_string())).await;
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// Comes with a code that is none; gives the id under which that is on record.
    async fn refused(&self, client: &str) -> String {
        let body = format!(
            "grant_type=authorization_code&code={CODE}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&client_id={client}&code_verifier={CODE}"
        );
        let request = Request::new("POST", "/token");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = self.served.send(request.body(body)).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["error"]), (400, &json!("invalid_grant")), "{answer:?}");
        let id = answer.header("x-request-id");
        let page = format!("http://{}/explain/{id}", self.served.authority);
        assert_eq!(told["error_uri"], page);
        id
    }
}

/// The page without what differs from answer to answer.
fn without(answer: &Answer, ids: &[&str]) -> String {
    let mut body = answer.body.clone();
    let footer = body.split_once("<footer>").unwrap().1.to_owned();
    let shown = footer.split_once("<code>").unwrap().1.split('<').next().unwrap().to_owned();
    for id in ids.iter().copied().chain([shown.as_str()]) {
        body = body.replace(id, "ID");
    }
    body
}

#[tokio::test]
async fn an_administrator_sees_who_sent_what_why_it_was_refused_and_what_comes_next() {
    let site = Site::start().await;
    let id = site.refused(&site.client().await).await;
    let (mut browser, _) = site.person(&["root", "--admin"]).await;
    let page = browser.get(&format!("/explain/{id}")).await;
    assert_eq!(page.status, 200, "{page:?}");
    for shown in [
        "/token",
        "invalid_grant",
        "registered itself",
        "43 characters",
        "grant_type",
        "broker grant list",
        "Claude Code throws its tokens away",
        "oauth.token.refused",
        "not proven",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    assert!(page.body.contains("Claude Code &#60;script&#62;"), "{}", page.body);
    for hidden in ["CANARY", "<script", "\u{202e}"] {
        assert!(!page.body.contains(hidden), "{hidden}: {}", page.body);
    }
}

// N115
#[tokio::test]
async fn nobody_else_learns_whether_an_id_exists() {
    let site = Site::start().await;
    let id = site.refused(&site.client().await).await;
    let (mut browser, _) = site.person(&["ada"]).await;
    let made_up = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
    let known = browser.get(&format!("/explain/{id}")).await;
    let unknown = browser.get(&format!("/explain/{made_up}")).await;
    assert_eq!((known.status, unknown.status), (404, 404));
    let ids = [id.as_str(), made_up];
    assert_eq!(without(&known, &ids), without(&unknown, &ids));
    for path in [
        "/explain/%3Cscript%3E",
        "/explain/..%2Faccount",
        &format!("/explain/{}", "x".repeat(4000)),
    ] {
        let odd = browser.get(path).await;
        assert_eq!((odd.status, without(&odd, &ids)), (404, without(&unknown, &ids)), "{path}");
    }
    let mut stranger = Browser::at(&site.served.authority);
    for id in ids {
        let led = stranger.get(&format!("/explain/{id}")).await;
        assert_eq!(
            (led.status, led.header("location")),
            (303, format!("/login?request=explain.{id}"))
        );
    }
}

#[tokio::test]
async fn who_logs_in_first_comes_back_to_the_page() {
    let site = Site::start().await;
    let id = site.refused(&site.client().await).await;
    site.person(&["root", "--admin"]).await;
    let mut browser = Browser::at(&site.served.authority);
    let led = browser.get(&format!("/explain/{id}")).await.header("location");
    let form = hidden(&browser.get(&led).await.body, "form");
    let request = format!("explain.{id}");
    let fields = [
        ("form", form.as_str()),
        ("request", &request),
        ("username", "root"),
        ("password", PASSWORD),
    ];
    let answer = browser.post("/login", &fields).await;
    assert_eq!(answer.header("location"), format!("/explain/{id}"), "{answer:?}");
}

#[tokio::test]
async fn a_call_that_a_rule_refuses_is_explained_with_each_condition() {
    let site = Site::start().await;
    let token = site.served.mint("graph:read");
    let params = json!({ "name": "get_confidential_info", "arguments": {} });
    let refused = site.served.send(mcp(Wire::Modern, Some(&token), "tools/call", params)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let id = refused.header("x-request-id");
    let (mut browser, root) = site.person(&["root", "--admin"]).await;
    let page = browser.get(&format!("/explain/{id}")).await;
    for shown in ["insufficient_scope", "confidential:read", "<strong>no</strong>", "scopes"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    // The same over the API and by the command.
    let admin = site.served.mint_for(&root, "broker:admin");
    let asked = Request::new("GET", &format!("/api/v1/explain/{id}"));
    let api = site.served.send(asked.header("authorization", &format!("Bearer {admin}"))).await;
    let attempt = &api.json()["attempts"][0];
    assert_eq!(attempt["outcome"]["code"], "insufficient_scope", "{api:?}");
    assert_eq!(attempt["decision"]["effect_now"], "deny", "{api:?}");
    let printed =
        command_beside(site.directory.path(), &site.served.authority, &["explain", &id, "--json"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed["attempts"], api.json()["attempts"]);
    let text = command_beside(site.directory.path(), &site.served.authority, &["explain", &id]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("insufficient_scope") && text.contains("no      scopes"), "{text}");
}

#[tokio::test]
async fn every_refusal_at_the_door_names_its_request() {
    let site = Site::start().await;
    let (mut browser, _) = site.person(&["root", "--admin"]).await;
    for (token, code) in [(None, "missing"), (Some("x.y.z"), "malformed")] {
        let refused = site.served.send(mcp(Wire::Modern, token, "tools/list", json!({}))).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        let page = browser.get(&format!("/explain/{}", refused.header("x-request-id"))).await;
        assert!(page.body.contains("/mcp") && page.body.contains(code), "{}", page.body);
    }
}

// RFC 6749 §5.2, RFC 9126 §2.3, RFC 8628 §3.2
#[tokio::test]
async fn each_endpoint_for_clients_says_where_its_refusal_is_explained() {
    let site = Site::start().await;
    let client = site.client().await;
    let (mut browser, _) = site.person(&["root", "--admin"]).await;
    let asked = "response_type=code&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let back = "redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb";
    for (path, body, error) in [
        ("/token", "grant_type=password".to_owned(), "unsupported_grant_type"),
        ("/token", "grant_type=authorization_code".to_owned(), "invalid_request"),
        ("/par", format!("{asked}&redirect_uri=https%3A%2F%2Fother.example"), "invalid_request"),
        ("/par", format!("{asked}&{back}&resource=https%3A%2F%2Fother.example"), "invalid_target"),
        ("/device_authorization", String::new(), "unauthorized_client"),
        ("/revoke", String::new(), "invalid_request"),
        ("/introspect", "token=x".to_owned(), "invalid_client"),
    ] {
        let request = Request::new("POST", path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = site.served.send(request.body(format!("client_id={client}&{body}"))).await;
        let (told, id) = (answer.json(), answer.header("x-request-id"));
        assert_eq!(told["error"], error, "{path} {answer:?}");
        assert_eq!(told["error_uri"], format!("http://{}/explain/{id}", site.served.authority));
        let page = browser.get(&format!("/explain/{id}")).await;
        assert!(page.body.contains(path) && page.body.contains(error), "{path} {}", page.body);
        assert!(!page.body.contains("takes an error back"), "{path} {}", page.body);
    }
}

// A page has no event of its own: the id that it shows leads to what is kept in memory.
#[tokio::test]
async fn an_error_page_leads_to_why() {
    let site = Site::start().await;
    let (mut browser, _) = site.person(&["root", "--admin"]).await;
    let fault = browser.get("/consent?request=unknown").await;
    let link = fault.body.split_once("href=\"/explain/").unwrap().1.split('"').next().unwrap();
    let page = browser.get(&format!("/explain/{link}")).await;
    assert!(page.body.contains("no such authorization request"), "{}", page.body);
}

#[tokio::test]
async fn of_an_id_that_nobody_had_an_administrator_is_told_where_to_look() {
    let site = Site::start().await;
    let (mut browser, root) = site.person(&["root", "--admin"]).await;
    let made_up = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";
    let page = browser.get(&format!("/explain/{made_up}")).await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("Each replica knows its own requests alone"), "{}", page.body);
    let admin = site.served.mint_for(&root, "broker:admin");
    for (id, status) in [(made_up, 404), ("..%2Fusers", 404)] {
        let asked = Request::new("GET", &format!("/api/v1/explain/{id}"));
        let asked = asked.header("authorization", &format!("Bearer {admin}"));
        assert_eq!(site.served.send(asked).await.status, status, "{id}");
    }
    let other = site.served.mint("graph:read");
    let asked = Request::new("GET", &format!("/api/v1/explain/{made_up}"));
    let asked = asked.header("authorization", &format!("Bearer {other}"));
    assert_eq!(site.served.send(asked).await.status, 403);
    let none = command(site.directory.path(), &["explain", made_up]);
    let error = String::from_utf8(none.stderr).unwrap();
    assert!(error.contains("has nothing of the request") && error.contains("hint:"), "{error}");
}

#[tokio::test]
async fn without_a_file_the_last_refusals_are_known_from_memory() {
    let directory = tempfile::tempdir().unwrap();
    let overrides = ["audit.sink=[{ kind = \"stdout\" }]".to_owned()];
    let product = Product::start_in(directory, "", &overrides).await;
    let mut browser = Browser::of_the_administrator(&product).await;
    let refused = product.send(mcp(Wire::Modern, None, "tools/list", json!({}))).await;
    let page = browser.get(&format!("/explain/{}", refused.header("x-request-id"))).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("has in memory; its audit log goes to standard output"));
    let unknown = browser.get("/explain/0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b").await;
    assert!(unknown.body.contains("keeps none of it"), "{}", unknown.body);
}
