//! The same by commands, while a broker runs.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::child::{Served, command};
use crate::support::until::until;

use super::{Browser, Idp};

const SETTINGS: &str = "[outbound]\nallow_private = [\"127.0.0.1\"]\n";

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

// Two threads: while a command runs, the provider answers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_added_changed_disabled_and_taken_out_by_commands() {
    let idp = Idp::start().await;
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), SETTINGS, &[]).await;
    let run = |arguments: &[&str]| {
        command(directory.path(), &[&["identity-provider"], arguments].concat())
    };
    let add =
        ["add", "partner", &idp.issuer, "--client-id", "broker", "--groups-prefix", "partner:"];
    let added = out(&run(&add));
    assert!(added.contains("/login/callback/partner"), "{added}");
    let mut browser = Browser::at(&served.authority);
    until("the broker follows", async || {
        (browser.get("/login/with/partner").await.status == 303).then_some(())
    })
    .await;
    idp.logs_in(&mut browser).await;
    out(&run(&[
        "set",
        "partner",
        "--name",
        "Partner AG",
        "--require",
        "hd=a",
        "--require",
        "hd=b",
    ]));
    let shown: Value = serde_json::from_str(&out(&run(&["show", "partner", "--json"]))).unwrap();
    assert_eq!(
        (&shown["name"], &shown["require"]),
        (&json!("Partner AG"), &json!({ "hd": ["a", "b"] }))
    );
    let set = out(&run(&["set", "partner", "--require-nothing", "--claim", "groups=", "--json"]));
    let set: Value = serde_json::from_str(&set).unwrap();
    assert_eq!((&set["require"], &set["claims"]["groups"]), (&json!({}), &json!("")));
    let listed = out(&run(&["list"]));
    assert!(listed.contains("Partner AG") && listed.contains("store"), "{listed}");
    let disabled = out(&run(&["disable", "partner"]));
    assert!(disabled.contains("sessions that ended: 1, grants: 0"), "{disabled}");
    assert_eq!(browser.get("/account").await.header("location"), "/login");
    assert!(out(&run(&["enable", "partner"])).contains("enabled"));
    assert!(out(&run(&["remove", "partner"])).contains("Its people stay"));
    let gone = run(&["remove", "partner"]);
    let gone = String::from_utf8(gone.stderr).unwrap();
    assert!(gone.contains("there is no such identity provider"), "{gone}");
    assert!(gone.contains("broker identity-provider list"), "{gone}");
}

// Two threads: while a command runs, the provider answers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_says_why_nobody_could_log_in_there() {
    let idp = Idp::start().await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("broker.toml"), SETTINGS).unwrap();
    let lost = format!("{}/lost", idp.issuer);
    let add = [
        "identity-provider",
        "add",
        "partner",
        &lost,
        "--client-id",
        "broker",
        "--groups-prefix",
        "partner:",
    ];
    let refused = command(directory.path(), &add);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("answered 404 at its discovery endpoint"), "{told}");
    assert!(told.contains("--no-check"), "{told}");
    out(&command(directory.path(), &[&add[..], &["--no-check"]].concat()));
    let checked = command(directory.path(), &["check", "--live"]);
    let told =
        String::from_utf8(checked.stdout).unwrap() + &String::from_utf8(checked.stderr).unwrap();
    assert!(told.contains("the identity provider `partner` of the store"), "{told}");
}
