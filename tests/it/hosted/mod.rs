//! Servers that are child processes of the broker: real processes, in the shell, that do what real ones do wrong.

mod faults;
mod life;
mod limits;
mod orphans;
mod passing;
mod secrecy;

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::{Answer, Request};
use crate::upstream::{GET, PATH, token};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/hosted/server.sh");
const READ: [&str; 1] = ["weather:read"];

/// The server's table of the settings: with these variables, and these lines.
pub(crate) fn table(variables: &[(&str, &str)], lines: &str) -> String {
    let variables = variables.iter().map(|(name, value)| format!("{name} = {value:?}"));
    let variables = variables.collect::<Vec<_>>().join(", ");
    format!(
        "[[upstream.server]]\nid = \"weather\"\ncommand = \"sh\"\nargs = [{SERVER:?}]\nenv = {{ {variables} }}\n{lines}\n{GET}"
    )
}

/// A broker with that server.
async fn start(variables: &[(&str, &str)], lines: &str) -> Product {
    start_in(tempfile::tempdir().unwrap(), variables, lines).await
}

async fn start_in(directory: TempDir, variables: &[(&str, &str)], lines: &str) -> Product {
    Product::start_in(directory, &table(variables, lines), &[]).await
}

/// A tool's call by a client of 2025-11-25.
fn call(product: &Product, tool: &str) -> Request {
    let params = json!({ "name": tool, "arguments": {} });
    mcp(Wire::Legacy, Some(&token(product, &READ)), "tools/call", params).path(PATH)
}

async fn ask(product: &Product, method: &str, params: Value) -> Answer {
    let token = token(product, &READ);
    product.send(mcp(Wire::Legacy, Some(&token), method, params).path(PATH)).await
}

fn text(answer: &Answer) -> String {
    let answer = answer.json();
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// What a tool says, or the code of what went wrong.
async fn said(product: &Product, tool: &str) -> String {
    let answer = product.send(call(product, tool)).await;
    let code = answer.json()["result"]["structuredContent"]["error"]["code"].clone();
    code.as_str().map_or_else(|| text(&answer), str::to_owned)
}

/// Waits until a tool says something else than `code`.
async fn until_not(product: &Product, tool: &str, code: &str) -> String {
    let deadline = tokio::time::Instant::now() + crate::support::audit::LIMIT;
    loop {
        let said = said(product, tool).await;
        if said != code {
            return said;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {code}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Waits until a process is gone.
async fn gone(pid: &str) {
    until(|| !is_running(pid)).await;
}

/// Waits for what another process does.
async fn until(happened: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + crate::support::audit::LIMIT;
    while !happened() {
        assert!(tokio::time::Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Whether it runs: one that has ended and that nobody waited for does not.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
