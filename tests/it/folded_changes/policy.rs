//! Rules that change.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::lists::table;
use super::{Listener, Teller};
use crate::support::product::Product;
use crate::support::until::until;

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
    let teller = Teller::start().await;
    let (product, directory) = start(&rules("one", "none"), &bare(&teller.url)).await;
    let (mut listener, _) =
        Listener::start(&product, &[], &json!({ "toolsListChanged": true })).await;
    write(directory.path(), &rules("two", "weather\\\\.get_.*"));
    assert_eq!(listener.told().await, TOOLS, "a tool of the server is there");
    write(directory.path(), &rules("three", "get_public_info"));
    assert_eq!(listener.told().await, TOOLS, "it is gone, and one of the broker's is there");
}

#[tokio::test]
async fn other_rules_that_show_a_client_the_same_are_no_news() {
    let (mut product, directory) = start(&rules("one", "get_public_info"), "").await;
    let (listener, honored) = Listener::start(
        &product,
        &[],
        &json!({ "toolsListChanged": true, "promptsListChanged": true }),
    )
    .await;
    assert_eq!(honored, json!({ "toolsListChanged": true }), "no server has prompts");
    write(directory.path(), &rules("two", "get_public_.*"));
    until("the other rules", async || {
        let token = product.token(&[]);
        let call = json!({ "name": "absent", "arguments": {} });
        product.rpc(crate::support::product::Wire::Modern, &token, "tools/call", call).await;
        product.audit().last().filter(|event| event["payload"]["policy_version"] == "two").cloned()
    })
    .await;
    product.stop();
    listener.ends().await;
}
