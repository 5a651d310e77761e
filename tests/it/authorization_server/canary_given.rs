//! What the broker gives out beside codes and tokens, for the walk in `canary`.

use std::path::Path;

use serde_json::json;

use crate::support::child::{Served, command_with};
use crate::support::raw_http::Request;

use super::browser::{Browser, hidden};
use super::canary::{Marks, post};
use super::client::{Asking, REDIRECT};

/// A client on a device; and clients of any kind may register.
pub(super) const SETTINGS: &str = r#"
    [authorization_server]
    dynamic_registration = "open"
    [[authorization_server.client]]
    client_id = "terminal"
    grants = ["device_code"]
    scopes = ["public:read"]
"#;

/// Everything once, each used at least once where it is used.
pub(super) async fn is_given_out(
    served: &Served,
    (path, variables): (&Path, &[(&str, &str)]),
    marks: &mut Marks,
) {
    let printed = |arguments: &[&str]| {
        let output = command_with(path, &served.authority, variables, arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    printed(&["server", "add", "files", "https://files.example/mcp"]);
    let key =
        marks.plant("an API key", token(&printed(&["server", "key", "add", "files"]), "mak_"));
    for authorization in [format!("Bearer {key}"), format!("Bearer {key}0")] {
        let request = Request::new("POST", "/introspect")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", &authorization)
            .body("token=x");
        served.send(request).await;
    }
    marks.plant("an initial access token", token(&printed(&["registration-token", "add"]), "mrt_"));
    let added = printed(&["client", "add", "nightly", "--grant", "client_credentials"]);
    marks.plant("a client secret of the broker's", token(&added, "mcs_"));
    marks.plant("a link", token(&printed(&["user", "add", "bob"]), "mol_"));
    registers(served, marks).await;
    pushes(served, marks).await;
    let fields = [("client_id", "terminal"), ("scope", "public:read")];
    let device = post(served, "/device_authorization", &fields).await.json();
    let code = marks.plant("a device code", device["device_code"].as_str().unwrap());
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let fields = [("grant_type", grant), ("client_id", "terminal"), ("device_code", &*code)];
    assert_eq!(post(served, "/token", &fields).await.json()["error"], "authorization_pending");
    let page = Browser::at(&served.authority).get("/login").await;
    marks.plant("the token of a form", &hidden(&page.body, "form"));
}

/// The word that begins so.
fn token<'a>(text: &'a str, start: &str) -> &'a str {
    let at = text.find(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text[at..].split(word).next().unwrap()
}

/// A confidential client registers itself, looks at its registration, and at nobody's.
async fn registers(served: &Served, marks: &mut Marks) {
    let body = json!({ "redirect_uris": [REDIRECT], "client_name": "a test" });
    let request = Request::new("POST", "/register").header("content-type", "application/json");
    let registered = served.send(request.body(body.to_string())).await.json();
    let of = |name: &str| registered[name].as_str().unwrap().to_owned();
    marks.plant("the secret of a client that registered itself", &of("client_secret"));
    let managed = marks.plant("a registration access token", &of("registration_access_token"));
    for id in [of("client_id"), "another".to_owned()] {
        let request = Request::new("GET", &format!("/register/{id}"));
        served.send(request.header("authorization", &format!("Bearer {managed}"))).await;
    }
}

/// A request is pushed, and the browser comes with the reference, twice.
async fn pushes(served: &Served, marks: &mut Marks) {
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let request = Request::new("POST", "/register").header("content-type", "application/json");
    let client = served.send(request.body(body.to_string())).await.json();
    let client = client["client_id"].as_str().unwrap().to_owned();
    let pushed = post(served, "/par", &Asking::new(&client).fields()).await.json();
    let reference = pushed["request_uri"].as_str().unwrap();
    marks.plant("a pushed request", reference.rsplit(':').next().unwrap());
    let path = format!("/authorize?client_id={client}&request_uri={reference}");
    for status in [303, 400] {
        assert_eq!(served.send(Request::new("GET", &path)).await.status, status);
    }
}
