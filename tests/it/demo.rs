//! `broker demo`: what it prints is what works.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::raw_http::{self, Answer, Request};

/// A running demo, and the tokens it printed.
struct Demo {
    process: Child,
    authority: String,
    tokens: HashMap<String, String>,
}

/// Its process, and what it prints.
fn run(more: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_broker"));
    let elsewhere = tempfile::tempdir().unwrap();
    command.args(["demo", "--port", "0"]).args(more).env_clear().current_dir(elsewhere.path());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let printed = BufReader::new(process.stdout.take().unwrap());
    (process, printed)
}

impl Demo {
    fn start() -> Self {
        let (process, printed) = run(&[]);
        let (mut authority, mut tokens) = (String::new(), HashMap::new());
        for line in printed.lines().map(Result::unwrap) {
            if let Some((_, url)) = line.split_once("three tools, at http://") {
                url.split('/').next().unwrap().clone_into(&mut authority);
            }
            if let Some((name, token)) = line.split_once('=')
                && name.bytes().all(|byte| byte.is_ascii_uppercase())
            {
                tokens.insert(name.to_owned(), token.to_owned());
            }
            if line.contains("claude mcp add") {
                break;
            }
        }
        Self { process, authority, tokens }
    }

    /// One that tells a program.
    fn told() -> Self {
        let (process, mut printed) = run(&["--json"]);
        let mut line = String::new();
        printed.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let resource: url::Url = told["resource"].as_str().unwrap().parse().unwrap();
        assert_eq!((resource.path(), &told["expires_in"]), ("/servers/toolkit/mcp", &json!(3600)));
        let tokens = told["tokens"].as_object().unwrap().iter().map(|(name, told)| {
            assert!(told["scope"].as_str().unwrap().contains("tools:read"), "{told}");
            (name.clone(), told["access_token"].as_str().unwrap().to_owned())
        });
        Self { process, authority: resource.authority().to_owned(), tokens: tokens.collect() }
    }

    async fn ask(&self, who: &str, method: &str, params: Value) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = Request::new("POST", "/servers/toolkit/mcp")
            .header("authorization", &format!("Bearer {}", self.tokens[who]))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_string());
        raw_http::exchange(&self.authority, &request.bytes(&self.authority)).await
    }

    async fn tools(&self, who: &str) -> Vec<String> {
        let listed = self.ask(who, "tools/list", json!({})).await.json();
        let tools = listed["result"]["tools"].as_array().unwrap().iter();
        tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn the_printed_tokens_see_and_may_do_what_the_guide_says() {
    let mut demo = Demo::start();
    assert_eq!(demo.tools("READER").await, ["get_weather"]);
    assert_eq!(demo.tools("ADMIN").await.len(), 3);
    let weather = json!({"name": "get_weather", "arguments": {"city": "Oslo"}});
    let answer = demo.ask("READER", "tools/call", weather).await;
    assert!(answer.body.contains("It is sunny in Oslo."), "{}", answer.body);
    let email = json!({"name": "send_email", "arguments": {"to": "ada@example.com"}});
    let refused = demo.ask("READER", "tools/call", email.clone()).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("scope=\"tools:write\""), "{challenge}");
    assert_eq!(demo.ask("WRITER", "tools/call", email).await.status, 200);
    kill_process(Pid::from_child(&demo.process), Signal::TERM).unwrap();
    assert!(demo.process.wait().unwrap().success());
}

/// Pasted into a shell, as it says.
#[test]
fn the_printed_commands_run_as_they_stand() {
    let (mut process, printed) = run(&[]);
    let mut pasted = String::new();
    for line in printed.lines().map(Result::unwrap) {
        pasted.extend([&*line, "\n"]);
        if line.contains("claude mcp add") {
            break;
        }
    }
    let ran = Command::new("bash").args(["-euc", &pasted]).output().unwrap();
    process.kill().ok();
    process.wait().ok();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let statuses = said.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    let statuses: Vec<_> = statuses.map(|line| &line[..3]).collect();
    assert_eq!(statuses, ["200", "200", "200", "403", "200", "403", "200", "401"], "{said}");
    for told in ["It is sunny in Oslo.", "scope=\"tools:write\"", "tools:admin", "bob"] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test]
async fn a_program_is_told_the_same_in_one_line() {
    let demo = Demo::told();
    assert_eq!(demo.tools("READER").await, ["get_weather"]);
    assert_eq!(demo.tools("ADMIN").await.len(), 3);
}
