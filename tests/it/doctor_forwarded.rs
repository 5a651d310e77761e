//! `broker doctor` about `X-Forwarded-For`: a real nginx, at an address of its own, before a real broker.

use std::process::Output;

use serde_json::Value;

use crate::doctor_broken::Nginx;
use crate::support::child::{Served, command_beside};
use crate::support::free_port::free_port;

/// What is said of whose address a request has.
fn told(output: &Output) -> (String, String) {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut steps = told["steps"].as_array().unwrap().iter();
    let step = steps.rfind(|step| step["area"] == "proxy_headers").unwrap();
    (step["verdict"].as_str().unwrap().to_owned(), step["found"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_broker_takes_a_request_for_is_looked_up() {
    // The proxy's own address is another than this machine's.
    const BIND: &str = "proxy_bind 127.0.0.2;";
    const APPEND: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    const NOTHING: &str = "proxy_set_header X-Forwarded-For \"\";";
    for (trusted, header, verdict, found) in [
        ("127.0.0.2", APPEND, "good", "the broker takes 127.0.0.1 for the address"),
        ("", APPEND, "warning", "the broker takes 127.0.0.2 for the client, and no proxy"),
        ("127.0.0.2", NOTHING, "warning", "the broker takes 127.0.0.2, a trusted proxy, for"),
        ("127.0.0.2", "", "bad", "a client is believed where it says that it is"),
        ("127.0.0.0/8", "", "skipped", "whose address a request has cannot be told from here"),
    ] {
        let front = free_port().to_string();
        let directory = tempfile::tempdir().unwrap();
        let trusted = if trusted.is_empty() { String::new() } else { format!("\"{trusted}\"") };
        let settings = format!(
            "[server]\npublic_url = \"http://{front}\"\ntrusted_proxies = [{trusted}]\n\
             [outbound]\nproxy = \"http://127.0.0.1:1\"\nno_proxy = [\"127.0.0.1\"]\n"
        );
        let served = Served::start(directory.path(), &settings, &[]).await;
        let lines = [BIND, header].concat();
        let _nginx = Nginx::start(&front, &served.authority, &lines).await;
        let output = command_beside(directory.path(), &served.authority, &["doctor", "--json"]);
        let (said, what) = told(&output);
        assert_eq!(said, verdict, "{trusted} {header}: {what}");
        assert!(what.starts_with(found), "{trusted} {header}: {what}");
    }
}
