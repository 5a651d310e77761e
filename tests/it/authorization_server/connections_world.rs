//! A server behind the broker that wants each person's own account, with its authorization server, and a browser that goes there.

use std::sync::Arc;

use mcp_auth_broker::time::{Clock, SystemClock};
use serde_json::{Value, json};
use url::Url;

use crate::support::child::command_beside;
use crate::support::fake_http::{Asked, FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};

use super::browser::Browser;
use super::client::{Asking, REDIRECT, VERIFIER, register, send, told};

pub(super) const PATH: &str = "/servers/weather/mcp";

const RULES: &str = "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"weather\"\neffect = \"allow\"\ntools = [\"weather\\\\.get_.*\"]\nscopes = [\"weather:read\"]\n";

/// A server, and its authorization server, which gives tokens to whoever asks: told apart by their paths.
pub(super) struct World {
    pub(super) fake: FakeHttp,
    pub(super) product: Product,
}

pub(super) fn tokens(access: &str, lasts: u32) -> Reply {
    let tokens = json!({
        "access_token": access, "token_type": "Bearer", "expires_in": lasts, "refresh_token": format!("refresh-{access}"),
    });
    Reply::json(tokens.to_string())
}

pub(super) fn settings(base: &str, keys: &str) -> String {
    format!(
        "[outbound]\nallow_private = [\"127.0.0.1\", \"localhost\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"{base}/mcp\"\nfold = true\n\
         credential = {{ per_user = {{ {keys} }} }}\n[[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n\
         [[upstream.server.tool]]\nname = \"list_.*\"\nscopes = []\n"
    )
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with("", |metadata| metadata).await
    }

    /// With a server that is registered while the broker runs.
    pub(super) async fn registered() -> Self {
        let world = Self::started("", |metadata| metadata, (true, Arc::new(SystemClock))).await;
        let url = format!("{}mcp", world.fake.url());
        let add = ["server", "add", "weather", "--url", &url, "--scope", "weather:read"];
        let add = [&add[..], &["--credential", "people"]].concat();
        let (directory, authority) = (world.product.directory.path(), &world.product.authority);
        let done = command_beside(directory, authority, &add);
        assert!(done.status.success(), "{done:?}");
        world
    }

    /// With these keys in `per_user`, `BASE` in them being where the server is, and this change to the authorization server's metadata.
    pub(super) async fn with(keys: &str, change: impl FnOnce(Value) -> Value) -> Self {
        Self::started(keys, change, (false, Arc::new(SystemClock))).await
    }

    /// At a time that the test tells.
    pub(super) async fn at_time(clock: Arc<dyn Clock>) -> Self {
        Self::started("", |metadata| metadata, (false, clock)).await
    }

    async fn started(
        keys: &str,
        change: impl FnOnce(Value) -> Value,
        (by_command, clock): (bool, Arc<dyn Clock>),
    ) -> Self {
        let fake =
            FakeHttp::start(Reply::json(r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#))
                .await;
        let base = fake.url().to_string();
        let base = base.trim_end_matches('/');
        let resource = json!({
            "resource": format!("{base}/mcp"), "authorization_servers": [base], "scopes_supported": ["w:read"],
        });
        let server = change(json!({
            "issuer": base, "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
            "registration_endpoint": format!("{base}/register"), "revocation_endpoint": format!("{base}/revoke"),
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "authorization_response_iss_parameter_supported": true, "scopes_supported": ["w:read", "offline_access"],
        }));
        let registered = json!({ "client_id": "the-broker", "client_secret": "of-the-broker", "token_endpoint_auth_method": "client_secret_post" });
        fake.answers_at(
            "/.well-known/oauth-protected-resource/mcp",
            Reply::json(resource.to_string()),
        );
        fake.answers_at("/.well-known/oauth-authorization-server", Reply::json(server.to_string()));
        fake.answers_at("/register", Reply::json(registered.to_string()));
        fake.answers_at("/revoke", Reply::status(200));
        fake.answers_at("/token", tokens("first", 3600));
        if !by_command {
            let settings = settings(base, &keys.replace("BASE", base));
            let product = Product::start_at(&settings, clock).await;
            return Self { fake, product };
        }
        let directory = tempfile::tempdir().unwrap();
        let rules = directory.path().join("policy.toml");
        std::fs::write(&rules, RULES).unwrap();
        let settings = format!(
            "[outbound]\nallow_private = [\"127.0.0.1\", \"localhost\"]\n[[upstream.credential]]\nname = \"people\"\n\
             urls = [\"{base}/mcp\"]\ncredential = {{ per_user = {{ {keys} }} }}\n"
        );
        let overrides = [format!("policy.file={}", rules.display())];
        let product = Product::start_in(directory, &settings, &overrides).await;
        Self { fake, product }
    }

    /// What came to this path.
    pub(super) fn at(&self, path: &str) -> Vec<Asked> {
        self.fake.asked().into_iter().filter(|asked| asked.path == path).collect()
    }

    /// A token of the person in this browser for the server.
    pub(super) async fn token(&self, browser: &mut Browser<'_>) -> String {
        self.token_for(browser, PATH).await
    }

    pub(super) async fn token_for(&self, browser: &mut Browser<'_>, path: &str) -> String {
        let client = register(&self.product, &[REDIRECT]).await;
        let asking = Asking::new(&client).with("scope", "weather:read");
        let asking = asking.with("resource", &self.product.url(path));
        let code = told(&browser.answers(&asking.path(), "allow").await)["code"].clone();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("client_id", &client),
            ("code_verifier", VERIFIER),
        ];
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::new("POST", "/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = send(&self.product, request).await;
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    pub(super) async fn calls(&self, token: &str) -> Answer {
        let params = json!({ "name": "get_weather", "arguments": {} });
        self.product.send(mcp(Wire::Modern, Some(token), "tools/call", params).path(PATH)).await
    }
}

/// Where the account page's link to connect leads.
pub(super) async fn link(browser: &mut Browser<'_>) -> String {
    let page = browser.get("/account").await;
    let rest = page
        .body
        .split_once("href=\"/account/connections/")
        .unwrap_or_else(|| panic!("{page:?}"))
        .1;
    format!(
        "/account/connections/{}",
        rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
    )
}

/// The request that the browser is sent to the authorization server with.
pub(super) async fn begins(browser: &mut Browser<'_>) -> Url {
    let path = link(browser).await;
    let begun = browser.get(&path).await;
    assert_eq!(begun.status, 303, "{begun:?}");
    begun.header("location").parse().unwrap()
}

pub(super) fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Where the browser comes back to, with these parameters.
pub(super) fn back(begun: &Url, more: &[(&str, &str)]) -> String {
    let redirect: Url = parameter(begun, "redirect_uri").parse().unwrap();
    let state = parameter(begun, "state");
    let fields = [("state", state.as_str())].into_iter().chain(more.iter().copied());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{}?{query}", redirect.path())
}

pub(super) async fn connects(world: &World, browser: &mut Browser<'_>) {
    let begun = begins(browser).await;
    let issuer = world.fake.url().to_string();
    let issuer = issuer.trim_end_matches('/');
    let answer = browser.get(&back(&begun, &[("code", "c0de"), ("iss", issuer)])).await;
    assert_eq!(answer.status, 303, "{answer:?}");
}
