//! Documents that stand in for those of well-known clients: shown, compared with what hosts publish, and used.

use serde_json::{Value, json};

use crate::support::child::{Served, command, command_beside};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::raw_http::{Answer, Request};

const REDIRECT: &str = "http://127.0.0.1/cb";

fn document(host: &FakeHttp, uris: &[&str]) -> Value {
    let id = format!("{}client", host.url());
    json!({ "client_id": id, "client_name": "Shop", "redirect_uris": uris })
}

/// A folder with a catalogue of this one document, and the settings that name it.
fn folder(document: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let catalogue = json!({ "source": "a test", "documents": [document] });
    std::fs::write(directory.path().join("known.json"), catalogue.to_string()).unwrap();
    std::fs::write(directory.path().join("broker.toml"), SETTINGS).unwrap();
    directory
}

const SETTINGS: &str = "[authorization_server]\nknown_clients_file = \"known.json\"\nclient_metadata_private = [\"127.0.0.1\"]\n";

/// Blocks its thread: the host needs another one.
fn run(directory: &tempfile::TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let done = command(directory.path(), &[&["client", "known"], arguments].concat());
    let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
    (done.status.code(), text)
}

fn kept(directory: &tempfile::TempDir) -> String {
    std::fs::read_to_string(directory.path().join("known.json")).unwrap()
}

// CIMD §4
#[tokio::test(flavor = "multi_thread")]
async fn a_place_for_answers_that_is_new_is_shown_and_taken_over_only_by_name() {
    let host = FakeHttp::start(Reply::status(404)).await;
    let directory = folder(&document(&host, &[REDIRECT]));
    let wider = document(&host, &[REDIRECT, "https://evil.example/cb\u{1b}[31m"]);
    let wider = wider.to_string().replace("\\u001b[31m", "");
    host.answers_at("/client", Reply::json(wider));
    let (code, text) = run(&directory, &["--refresh"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("+ redirect_uris: \"https://evil.example/cb\"  <- widens"), "{text}");
    let (code, text) = run(&directory, &["--refresh", "--write"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(!kept(&directory).contains("evil"), "{text}");
    let id = format!("{}client", host.url());
    let (code, text) = run(&directory, &["--refresh", "--write", "--accept", &id]);
    assert_eq!(code, Some(0), "{text}");
    assert!(kept(&directory).contains("evil"), "{text}");
    assert_eq!(run(&directory, &["--refresh"]), (Some(0), format!("same     {id}\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_host_does_not_say_the_document_stays() {
    let host = FakeHttp::start(Reply::status(403)).await;
    let directory = folder(&document(&host, &[REDIRECT]));
    let (code, text) = run(&directory, &["--refresh", "--write"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("kept     ") && text.contains("403"), "{text}");
    assert!(kept(&directory).contains(REDIRECT));
    let shown: Value = serde_json::from_str(&run(&directory, &["--json"]).1).unwrap();
    assert_eq!(shown["documents"][0]["client_name"], "Shop");
}

/// What comes of an authorization request of a client in the catalogue, whose host answers this.
async fn asks(says: u16) -> Answer {
    let host = FakeHttp::start(Reply::status(says)).await;
    let directory = folder(&document(&host, &[REDIRECT]));
    let served = Served::start(directory.path(), SETTINGS, &[]).await;
    let asked = format!(
        "/authorize?response_type=code&client_id={}client&redirect_uri={REDIRECT}&code_challenge={}&code_challenge_method=S256&state=s",
        host.url(),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    served.send(Request::new("GET", &asked)).await
}

#[tokio::test]
async fn a_catalogue_of_the_operators_serves_while_the_host_is_away() {
    let led = asks(503).await;
    assert_eq!(led.status, 303, "{led:?}");
    assert!(led.header("location").starts_with("/login"), "{led:?}");
}

// CIMD §6 — N100
#[tokio::test]
async fn no_catalogue_serves_against_a_host_that_says_its_document_is_not_there() {
    for status in [404, 410] {
        let refused = asks(status).await;
        assert_eq!((refused.status, &*refused.header("location")), (400, ""), "{refused:?}");
    }
}

#[tokio::test]
async fn a_broken_catalogue_is_named_before_a_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("known.json"), "{\"documents\":[]}").unwrap();
    std::fs::write(directory.path().join("broker.toml"), SETTINGS).unwrap();
    let checked = command_beside(directory.path(), "127.0.0.1:8080", &["check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(!checked.status.success());
    assert!(
        text.contains("authorization_server.known_clients_file") && text.contains("hint"),
        "{text}"
    );
}
