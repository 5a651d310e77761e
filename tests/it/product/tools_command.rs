//! `broker tools --token`: what the bearer of a token sees, asked of the broker that runs.

use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::child::{Served, command, command_beside, command_with};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::free_port::free_port;
use crate::support::until::until;

/// Behind a proxy that ends TLS: the name is not where the broker listens.
const NAMED: &str = "server.public_url = \"https://broker.example\"";

fn names(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{text}"));
    let tools = list["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// What stderr says of a command that failed: never in the words of a library.
fn refused(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{said}");
    assert!(said.starts_with("error: ") && said.contains("\nhint: "), "{said}");
    assert!(!said.contains("error sending request") && !said.contains("tcp connect"), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_asked_under_its_public_name() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), NAMED, &[]).await;
    let token = served.mint("public:read");
    let variables = [("TOKEN", token.as_str())];
    let arguments = ["tools", "--token", "env:TOKEN"];
    let output = command_with(directory.path(), &served.authority, &variables, &arguments);
    assert_eq!(names(&output), ["get_public_info"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), NAMED, &[]).await;
    let token = served.mint("public:read");
    let elsewhere = FakeHttp::start(Reply::status(404)).await;
    let ours = format!("http://{}/mcp", served.authority);
    for (token, url, says) in [
        ("env:UNSET", None, "UNSET: the variable is not set"),
        ("a b\n", None, "is not a token"),
        ("nonsense", None, "broker token inspect"),
        (token.as_str(), Some(elsewhere.url().to_string()), "names the MCP endpoint"),
        (token.as_str(), Some(ours), "server.allowed_hosts"),
    ] {
        let mut arguments = vec!["tools", "--token", token];
        arguments.extend(url.iter().flat_map(|url| ["--url", url.as_str()]));
        let said = refused(&command_beside(directory.path(), &served.authority, &arguments));
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(token.len() < 20 || !said.contains(token), "{said}");
    }
    let nobody = free_port().to_string();
    let said = refused(&command_beside(directory.path(), &nobody, &["tools", "--token", &token]));
    assert!(said.contains("is the broker running?"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_of_the_list_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let page = |tool: &str, next: Value| {
        let mut result = json!({ "tools": [{ "name": tool }] });
        result["nextCursor"] = next;
        Reply::json(json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string())
    };
    let gate = Arc::new(Notify::new());
    let first = Reply::When(Arc::clone(&gate), Box::new(page("a", json!("2"))));
    let server = FakeHttp::start(first).await;
    let (path, url) = (directory.path().to_owned(), server.url().to_string());
    let asking = tokio::task::spawn_blocking(move || command(&path, &["tools", "--url", &url]));
    until("the first page is asked for", async || (server.count() == 1).then_some(())).await;
    server.answers(page("b", Value::Null));
    gate.notify_one();
    assert_eq!(names(&asking.await.unwrap()), ["a", "b"]);
    let asked: Value = serde_json::from_str(&server.asked()[1].body).unwrap();
    assert_eq!(asked["params"]["cursor"], "2");
}
