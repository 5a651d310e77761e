//! What the operator reads of a server that did not answer as it should: one line in the log, with what to do about it.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::child::Served;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::free_port::free_port;
use crate::support::product::{Wire, mcp};
use crate::support::until::until;

/// A server's id, how it answers (`None`: nobody listens), a line of its settings, and what the log advises.
type Row = (&'static str, Option<Reply>, &'static str, &'static str);

const URL: &str = "is url the MCP endpoint itself, its path and slash at the end included?";
const MCP: &str = "the server does not keep to MCP: ask whoever runs it";

fn rows() -> Vec<Row> {
    let events = |text: &str| {
        let media = vec![("content-type", "text/event-stream".to_owned())];
        Some(Reply::Answer(200, media, text.to_owned().into()))
    };
    let html = Reply::Answer(200, vec![("content-type", "text/html".into())], "<b>hi".into());
    let large = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"a":"{}"}}}}"#, "x".repeat(5_000));
    let other = Reply::json(r#"{"jsonrpc":"2.0","id":8,"result":{}}"#);
    vec![
        ("away", None, "", "check name and port"),
        (
            "silent",
            Some(Reply::Silence),
            "timeout_ms = 100",
            "it is slow, or something between drops what is sent",
        ),
        ("html", Some(html), "", URL),
        ("wrong-url", Some(Reply::status(404)), "", URL),
        ("moved", Some(Reply::status(302).header("location", "http://10.0.0.1/")), "", URL),
        ("batch", Some(Reply::json("[]")), "", MCP),
        ("other-id", Some(other), "", MCP),
        ("cut-off", events(""), "", "look at the server's log, or raise its timeout_ms"),
        (
            "large",
            Some(Reply::json(large)),
            "max_response_bytes = 4096",
            "raise its max_response_bytes, or ask for less",
        ),
        (
            "refusing",
            Some(Reply::status(401)),
            "",
            "look at its credential in [[upstream.server]], and whether it is still good",
        ),
        ("busy", Some(Reply::status(429)), "", "fewer calls: [limits]"),
    ]
}

#[tokio::test]
async fn the_log_says_of_each_fault_of_a_server_which_it_was_and_what_can_be_done() {
    let (mut settings, mut fakes) =
        ("[outbound]\nallow_private = [\"127.0.0.1\"]\n".to_owned(), Vec::new());
    let rows = rows();
    for (id, reply, line, _) in &rows {
        let url = match reply {
            Some(reply) => {
                let fake = FakeHttp::start(reply.clone()).await;
                let url = fake.url().to_string();
                fakes.push(fake);
                url
            }
            None => format!("http://{}/", free_port()),
        };
        write!(
            settings,
            "[[upstream.server]]\nid = \"{id}\"\nurl = \"{url}\"\nera = \"both\"\n{line}\n[[upstream.server.tool]]\nname = \"get\"\nscopes = [\"a:b\"]\n"
        )
        .unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), &settings, &[]).await;
    for (id, _, _, hint) in &rows {
        let path = format!("/servers/{id}/mcp");
        let token = served.mint_at(&format!("http://{}{path}", served.authority), "a:b");
        let call = mcp(Wire::Modern, Some(&token), "tools/call", json!({ "name": "get" }));
        let answer = served.send(call.path(&path)).await;
        assert!(answer.body.contains("provider."), "{id}: {answer:?}");
        assert!(hint.is_empty() || !answer.body.contains(hint), "no caller is told: {answer:?}");
        let told = |line: &str| {
            let words = ["upstream.failed", *id, "tools/call", "hint", "request_id", *hint];
            words.iter().all(|word| line.contains(word))
        };
        until(id, async || served.stderr().lines().any(&told).then_some(())).await;
    }
}
