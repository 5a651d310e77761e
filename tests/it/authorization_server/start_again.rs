//! What an error page says about starting again: for the app that it is about first, and for every other.

use serde_json::json;

use crate::support::product::Product;
use crate::support::raw_http::Request;

use super::client::{Asking, REDIRECT};

const APPS: [&str; 10] = [
    "Claude Code",
    "Claude",
    "ChatGPT",
    "VS Code",
    "Cursor",
    "Codex",
    "opencode",
    "Gemini CLI",
    "MCP Inspector",
    "mcp-remote",
];

/// The apps as the page lists them: those that come first, and those behind the fold.
async fn told(product: &Product, asking: &Asking) -> (Vec<String>, Vec<String>) {
    let page = asking.send(product).await;
    assert_eq!(page.status, 400, "{page:?}");
    let (first, others) = page.body.split_once("<details>").unwrap_or((&page.body, ""));
    let names = |part: &str| {
        let lines = part.split("<li>").skip(1).filter_map(|line| line.split_once(": "));
        let names = lines.map(|(name, _)| name.to_owned());
        names.filter(|name| APPS.contains(&name.as_str())).collect::<Vec<_>>()
    };
    (names(first), names(others))
}

/// That `app` comes first, and that none is missing.
async fn is_first(product: &Product, asking: Asking, apps: &[&str]) {
    let (first, others) = told(product, &asking).await;
    assert_eq!(first, apps, "{}", asking.query());
    let mut all = [first, others].concat();
    all.sort_unstable();
    let mut expected = APPS.to_vec();
    expected.sort_unstable();
    assert_eq!(all, expected, "{}", asking.query());
}

async fn registered(product: &Product, name: &str, uri: &str) -> String {
    let body = json!({
        "client_name": name, "redirect_uris": [uri], "token_endpoint_auth_method": "none",
    });
    let request = Request::new("POST", "/register").header("content-type", "application/json");
    let answer = product.send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// An app whose registration is gone is known by where it wants its answer.
#[tokio::test]
async fn an_app_that_is_not_known_is_told_by_where_its_answers_go() {
    let product = Product::dev().await;
    for (uri, apps) in [
        ("http://localhost:53111/callback", &["Claude Code"][..]),
        ("https://claude.ai/api/mcp/auth_callback", &["Claude"]),
        ("https://chatgpt.com/connector/oauth/x", &["ChatGPT"]),
        ("http://127.0.0.1:33418/", &["VS Code"]),
        ("cursor://anysphere.cursor-mcp/oauth/callback", &["Cursor"]),
        ("http://127.0.0.1:5000/callback/AbCdEfGhIjKl", &["Codex"]),
        ("http://127.0.0.1:19876/mcp/oauth/callback", &["opencode"]),
        ("http://localhost:7777/oauth/callback", &["Gemini CLI"]),
        ("http://localhost:6274/oauth/callback", &["MCP Inspector"]),
        ("http://localhost:3334/oauth/callback", &["Gemini CLI", "mcp-remote"]),
        ("https://somebody.example/cb", &APPS),
    ] {
        let asking = Asking::new("an-old-registration").with("redirect_uri", uri);
        is_first(&product, asking, apps).await;
    }
}

/// Its document is not to be had, which is what the page is about.
#[tokio::test]
async fn an_app_that_is_named_by_its_document_is_told_by_that() {
    let product =
        Product::start("[authorization_server]\nclient_metadata_documents = \"off\"\n").await;
    for (id, app) in [
        ("https://claude.ai/oauth/claude-code-client-metadata", "Claude Code"),
        ("https://claude.ai/oauth/mcp-oauth-client-metadata", "Claude"),
        ("https://chatgpt.com/oauth/client.json", "ChatGPT"),
        ("https://chatgpt.com/oauth/codex/client.json", "Codex"),
        ("https://vscode.dev/oauth/client-metadata.json", "VS Code"),
        ("https://opencode.ai/oauth/opencode/client.json", "opencode"),
    ] {
        is_first(&product, Asking::new(id), &[app]).await;
    }
}

/// A wrong redirect URI says nothing about the app; what it registered does.
#[tokio::test]
async fn an_app_that_is_known_is_told_by_what_it_registered() {
    let product = Product::dev().await;
    for (name, uri, app) in [
        ("Gemini CLI MCP Client", "http://localhost:3334/oauth/callback", "Gemini CLI"),
        ("mcp-remote", "http://localhost:3334/oauth/callback", "mcp-remote"),
        ("a test", "cursor://anysphere.cursor-mcp/oauth/callback", "Cursor"),
    ] {
        let client = registered(&product, name, uri).await;
        let wrong = Asking::new(&client).with("redirect_uri", "https://evil.example/cb");
        is_first(&product, wrong, &[app]).await;
        let reference = "urn:ietf:params:oauth:request_uri:late";
        is_first(&product, Asking::new(&client).with("request_uri", reference), &[app]).await;
    }
}

/// Nothing of a request is shown, whatever it says it is.
#[tokio::test]
async fn no_page_repeats_what_a_request_says() {
    let product = Product::dev().await;
    let asking = Asking::new("CANARY").with("redirect_uri", &format!("{REDIRECT}/CANARY"));
    let page = asking.send(&product).await;
    assert!(!page.body.contains("CANARY"), "{}", page.body);
}
