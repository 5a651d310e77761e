//! A `server.public_url` with a path, behind a proxy that takes the path off and behind one that does not.

use serde_json::{Value, json};

use crate::support::product::{Product, Wire, mcp};
use crate::support::proxy::{Proxy, Running};
use crate::support::raw_http::{self, Answer, Request};

use super::browser::{Browser, hidden};
use super::client::{Asking, REDIRECT, VERIFIER, told};

const BASE: &str = "/broker";

/// A broker that is one of several things on its host.
struct Shared {
    product: Product,
    authority: String,
    _proxy: Running,
}

impl Shared {
    async fn start(takes_off: bool) -> Self {
        let proxy = Proxy::bind().await;
        let authority = proxy.authority.clone();
        let settings = [format!("server.public_url=http://{authority}{BASE}/")];
        let product = Product::start_in(tempfile::tempdir().unwrap(), "", &settings).await;
        let proxy = proxy.before(&product.authority, BASE, takes_off);
        Self { product, authority, _proxy: proxy }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{BASE}{path}", self.authority)
    }

    async fn send(&self, request: Request) -> Answer {
        raw_http::exchange(&self.authority, &request.bytes(&self.authority)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::new("GET", path)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let request = Request::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish());
        self.send(request).await
    }

    async fn register(&self) -> String {
        let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
        let request = Request::new("POST", &format!("{BASE}/register"))
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = self.send(request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    async fn tokens(&self, client_id: &str, code: &str) -> Value {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", client_id),
            ("code_verifier", VERIFIER),
        ];
        let answer = self.post(&format!("{BASE}/token"), &fields).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

async fn a_client_finds_every_document(shared: &Shared) {
    let refused = shared.send(mcp(Wire::Modern, None, "tools/list", json!({})).path("/broker/mcp"));
    let challenge = refused.await.header("www-authenticate");
    let document = "/.well-known/oauth-protected-resource/broker/mcp";
    assert!(challenge.contains(&format!("http://{}{document}\"", shared.authority)), "{challenge}");
    let resource = shared.get(document).await.json();
    assert_eq!(resource["resource"], shared.url("/mcp"));
    assert_eq!(resource["authorization_servers"], json!([shared.url("")]));
    let mut bodies = Vec::new();
    for path in [
        "/.well-known/oauth-authorization-server/broker",
        "/.well-known/openid-configuration/broker",
        "/broker/.well-known/oauth-authorization-server",
        "/broker/.well-known/openid-configuration",
    ] {
        let answer = shared.get(path).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        bodies.push(answer.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    let metadata: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(metadata["issuer"], shared.url(""));
    assert_eq!(metadata["token_endpoint"], shared.url("/token"));
    assert_eq!(shared.get("/broker/.well-known/jwks.json").await.status, 200);
}

async fn a_person_goes_from_page_to_page(shared: &Shared) {
    let client_id = shared.register().await;
    let mut browser = Browser::at(&shared.authority);
    browser.chooses_a_password(shared.product.first_link().path()).await;
    let asking = Asking::new(&client_id).with("scope", "public:read");
    let location = browser.answers(&format!("{BASE}{}", asking.path()), "allow").await;
    let told = told(&location);
    assert_eq!(told["iss"], shared.url(""));
    let tokens = shared.tokens(&client_id, &told["code"]).await;
    let token = tokens["access_token"].as_str().unwrap();
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let call = mcp(Wire::Modern, Some(token), "tools/call", params).path("/broker/mcp");
    assert_eq!(shared.send(call).await.status, 200);
    let account = browser.get("/broker/account").await;
    assert_eq!(account.status, 200, "{account:?}");
    for link in ["href=\"/", "action=\"/", "src=\"/"] {
        let mut links = account.body.split(link).skip(1);
        assert!(links.all(|rest| rest.starts_with("broker/")), "{}", account.body);
    }
    let form = account.body.split_once("/account/withdraw").unwrap().1;
    let fields = [("form", hidden(form, "form")), ("client", hidden(form, "client"))];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let withdrawn = browser.post("/broker/account/withdraw", &fields).await;
    assert_eq!((withdrawn.status, &*withdrawn.header("location")), (303, "/broker/account"));
}

// RFC 8414 §3.1, RFC 9728 §3.1 — N75, AS-2, AS-3
#[tokio::test]
async fn behind_a_proxy_that_takes_the_path_off_everything_works() {
    let shared = Shared::start(true).await;
    a_client_finds_every_document(&shared).await;
    a_person_goes_from_page_to_page(&shared).await;
}

// RFC 8414 §3.1, RFC 9728 §3.1 — N75, AS-2, AS-3
#[tokio::test]
async fn behind_a_proxy_that_leaves_the_path_everything_works() {
    let shared = Shared::start(false).await;
    a_client_finds_every_document(&shared).await;
    a_person_goes_from_page_to_page(&shared).await;
}

#[tokio::test]
async fn the_endpoint_is_named_and_found_below_the_path() {
    let shared = Shared::start(false).await;
    let nowhere = shared.get("/broker/nowhere").await;
    assert_eq!(nowhere.status, 404);
    let detail = nowhere.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("the MCP endpoint is /broker/mcp"), "{detail}");
    let list = mcp(Wire::Modern, None, "tools/list", json!({})).path("/broker/mcp/");
    assert_eq!(shared.send(list).await.status, 401);
    let document = shared.get("/.well-known/oauth-protected-resource/broker/mcp/").await;
    assert_eq!(document.json()["resource"], shared.url("/mcp"));
}

#[tokio::test]
async fn two_brokers_on_one_host_keep_their_cookies_apart() {
    let shared = Shared::start(true).await;
    let mut browser = Browser::at(&shared.authority);
    browser.get("/broker/login").await;
    let names: Vec<&String> = browser.cookies.keys().collect();
    assert!(names.iter().all(|name| name.ends_with(".broker")), "{names:?}");
}

#[tokio::test]
async fn an_error_page_leads_back_below_the_path() {
    let shared = Shared::start(false).await;
    let page = shared.get("/broker/login/with/nobody").await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("href=\"/broker/login\""), "{}", page.body);
}
