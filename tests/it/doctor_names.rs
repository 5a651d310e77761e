//! `broker doctor` and the public name: one that nobody has, one where nobody listens, one whose name server is slow, and one
//! that cannot be reached from outside.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::doctor_broken::last;
use crate::support::child::{command_beside, command_by_way_of};
use crate::support::free_port::free_port;
use crate::support::not_looked_at::not_looked_at;

/// A deployment with this public name.
fn named(public: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("[server]\npublic_url = \"{public}\"\n");
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    directory
}

fn asks(public: &str, client: &str) -> (bool, String, String) {
    let arguments = ["doctor", "--json", "--as-client", client];
    last(&command_beside(named(public).path(), "127.0.0.1:9", &arguments))
}

#[tokio::test]
async fn a_name_nobody_has_and_one_where_nobody_listens_are_told_apart() {
    let (good, found, all) = asks("http://nobody.invalid", "claude-code");
    assert!(!good && found.starts_with("nobody.invalid has no address here"), "{all}");
    assert!(all.contains("/etc/resolv.conf") && !all.contains("broker health"), "{all}");
    let silent = format!("http://localhost:{}", free_port().port());
    let (good, found, all) = asks(&silent, "claude-code");
    assert!(!good && found == "cannot connect to localhost", "{all}");
    assert!(all.contains("broker health") && !all.contains("/etc/resolv.conf"), "{all}");
}

/// Behind a proxy of ours the name is the proxy's to look up: it is told only where nobody is reached.
#[tokio::test]
async fn a_name_that_only_a_proxy_knows_is_no_fault_until_nobody_is_reached() {
    let directory = named("http://nobody.invalid");
    let proxy = ["--set", "outbound.proxy=http://127.0.0.1:9"];
    let arguments = [&proxy[..], &["doctor", "--json", "--as-client", "cursor"]].concat();
    let (good, found, all) = last(&command_beside(directory.path(), "127.0.0.1:9", &arguments));
    assert!(!good && found.starts_with("nobody.invalid has no address here"), "{all}");
}

#[tokio::test]
async fn what_calls_from_outside_needs_port_443_of_a_public_address() {
    for (public, found) in [
        ("http://localhost:8080", "claude calls by https alone"),
        ("https://localhost:8443", "claude calls port 443 alone, and not 8443"),
        ("https://127.0.0.1", "127.0.0.1 is at 127.0.0.1, where nobody comes from outside"),
    ] {
        let (good, told, all) = asks(public, "claude");
        assert!(!good && told == found, "{public}: {all}");
        assert!(all.contains("https, on port 443, at a public address"), "{all}");
    }
}

/// Answers every question for an address with this one, so late, until it is asked for `stop`.
fn slow_name_server(at: &str, late: Duration) -> Option<thread::JoinHandle<()>> {
    let socket = UdpSocket::bind(at).ok()?;
    Some(thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = buffer[12..length].to_vec();
            let name = question.iter().position(|byte| *byte == 0).unwrap();
            if question.starts_with(b"\x04stop") {
                return;
            }
            let is_a = question[name + 1..name + 3] == [0, 1]; // RFC 1035 §4.1.2
            let mut answer = buffer[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(&question[..name + 5]);
            if is_a {
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            let socket = socket.try_clone().unwrap();
            thread::spawn(move || {
                thread::sleep(late);
                socket.send_to(&answer, from).unwrap();
            });
        }
    }))
}

/// The resolver of the doctor alone is another, in a namespace of its own, where the machine lets one be made.
#[tokio::test]
async fn a_name_server_that_is_slow_is_named_and_not_taken_for_a_firewall() {
    const AT: &str = "127.0.77.53:53";
    let may = Command::new("unshare").args(["--mount", "true"]).output();
    let server = slow_name_server(AT, Duration::from_millis(5_500));
    let (Ok(true), Some(server)) = (may.map(|ended| ended.status.success()), server) else {
        not_looked_at("a slow name server", "no namespace can be made, or port 53 not be had");
        return;
    };
    let directory = named(&format!("http://slow.test:{}", free_port().port()));
    let at = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(at("resolv.conf"), "nameserver 127.0.77.53\noptions timeout:15\n").unwrap();
    std::fs::write(at("nsswitch.conf"), "hosts: files dns\n").unwrap();
    let mounted = format!(
        "mount --bind {} /etc/resolv.conf && mount --bind {} /etc/nsswitch.conf && exec \"$0\" \"$@\"",
        at("resolv.conf"),
        at("nsswitch.conf"),
    );
    let way = ["unshare", "--mount", "sh", "-c", &mounted];
    let asks = |arguments: &[&str]| command_by_way_of(directory.path(), &way, arguments);
    let (good, found, all) = last(&asks(&["doctor", "--json", "--as-client", "mcp-remote"]));
    // As long as it takes, and no longer than a loaded machine makes of that.
    let slow = |found: &str| {
        let took = found.strip_prefix("the name server takes ");
        let took = took.and_then(|rest| rest.strip_suffix(" s for slow.test"));
        took.is_some_and(|took| (5.0..19.0).contains(&took.parse::<f64>().unwrap()))
    };
    assert!(!good && slow(&found), "{all}");
    assert!(all.contains("/etc/resolv.conf"), "{all}");
    let found = dns(directory.path(), &way);
    assert!(slow(&found), "{found}");
    let stop = UdpSocket::bind("127.0.0.1:0").unwrap();
    stop.send_to(&[&[0; 12][..], b"\x04stop\0"].concat(), AT).unwrap();
    server.join().unwrap();
}

/// What plain `doctor` finds of the name.
fn dns(directory: &Path, way: &[&str]) -> String {
    let output = command_by_way_of(directory, way, &["doctor", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut steps = told["steps"].as_array().unwrap().iter();
    let step = steps.find(|step| step["area"] == "dns").unwrap();
    step["found"].as_str().unwrap().to_owned()
}
