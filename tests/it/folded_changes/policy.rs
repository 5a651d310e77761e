//! Rules that change.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::lists::table;
use super::{Listener, Teller};
use crate::support::product::Product;

const TOOLS: &str = "notifications/tools/list_changed";

/// Rules under this label that open tools of these names to everybody.
fn rules(label: &str, tools: &str) -> String {
    format!(
        "version = \"{label}\"\ndefault = \"deny\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\ntools = [\"{tools}\"]\n"
    )
}

fn write(directory: &Path, text: &str) {
    // As an editor does it, so that nobody reads a half.
    let new = directory.join("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, directory.join("policy.toml")).unwrap();
}

/// A broker with these rules, and the directory where they are.
async fn start(text: &str, tables: &str) -> (Product, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), text);
    let file = directory.path().join("policy.toml");
    let settings =
        format!("[policy]\nfile = {file:?}\n[outbound]\nallow_private = [\"127.0.0.1\"]\n{tables}");
    (Product::start(&settings).await, directory)
}

/// The server without rules of its own.
fn bare(url: &str) -> String {
    let table = table("weather", url);
    table.split("[[upstream.server.tool]]").next().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_is_told_when_other_rules_show_it_another_list() {
    let teller = Teller::start();
    let (product, directory) = start(&rules("one", "none"), &bare(&teller.url)).await;
    let (mut listener, _) =
        Listener::start(&product, &[], &json!({ "toolsListChanged": true })).await;
    write(directory.path(), &rules("two", "weather\\\\.get_.*"));
    assert_eq!(listener.told().await, TOOLS, "a tool of the server is there");
    write(directory.path(), &rules("three", "get_public_info"));
    assert_eq!(listener.told().await, TOOLS, "it is gone, and one of the broker's is there");
}

// RS-28
#[tokio::test]
async fn other_rules_are_no_news_to_who_sees_the_same_by_them() {
    let (mut product, directory) = start(&rules("one", "none"), "").await;
    let wanted = json!({ "toolsListChanged": true, "promptsListChanged": true });
    let (mut sees, honored) = Listener::start(&product, &["weather:read"], &wanted).await;
    assert_eq!(honored, json!({ "toolsListChanged": true }), "no server has prompts");
    let (blind, _) = Listener::start(&product, &[], &wanted).await;
    let scoped = rules("two", "get_public_info") + "scopes = [\"weather:read\"]\n";
    write(directory.path(), &scoped);
    assert_eq!(sees.told().await, TOOLS);
    product.stop();
    blind.ends().await;
}
