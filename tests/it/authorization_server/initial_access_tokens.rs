//! Registration with an initial access token: over a socket, the store and the commands behind it.

use serde_json::{Value, json};

use crate::support::child::{Served, command};
use crate::support::raw_http::{Answer, Request};

use super::client::{REDIRECT, send};

const SETTINGS: &str = "[authorization_server]\ndynamic_registration = \"token\"\n";

async fn served() -> (tempfile::TempDir, Served) {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), SETTINGS, &[]).await;
    (directory, served)
}

fn made(at: &tempfile::TempDir, arguments: &[&str]) -> Value {
    let add = [&["registration-token", "add", "--json"], arguments].concat();
    let output = command(at.path(), &add);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(made: &'a Value, name: &str) -> &'a str {
    made[name].as_str().unwrap()
}

/// Registers a client with this method, and with this token where there is one.
async fn registers(served: &Served, token: Option<&str>, method: &str) -> Answer {
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": method });
    let request = Request::new("POST", "/register")
        .header("content-type", "application/json")
        .body(body.to_string());
    let request = match token {
        Some(token) => request.header("authorization", &format!("Bearer {token}")),
        None => request,
    };
    send(served, request).await
}

// RFC 7591 §3, RFC 6750 §3.1 — N90
#[tokio::test]
async fn who_brings_no_token_or_another_one_is_told_401() {
    let (directory, served) = served().await;
    let good = made(&directory, &["--uses", "9"]);
    let good = text(&good, "initial_access_token");
    let (last, other) = (&good[good.len() - 8..], made(&directory, &[]));
    let prefix = text(&other["token"], "prefix");
    let removed = command(directory.path(), &["registration-token", "remove", prefix]);
    assert_eq!(String::from_utf8(removed.stdout).unwrap(), "the token is removed\n");
    let damaged = good.replacen(last, "00000000", 1);
    let admin = served.mint("broker:admin");
    let gone = text(&other, "initial_access_token");
    for token in [None, Some("guessed"), Some(&*damaged), Some(gone), Some(&*admin)] {
        let refused = registers(&served, token, "none").await;
        assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("invalid_token")));
        let challenge = refused.header("www-authenticate");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(registers(&served, Some(good), "none").await.status, 201);
}

// RFC 7591 §3.2.1
#[tokio::test]
async fn a_token_lets_clients_of_any_kind_in_so_often_and_a_refusal_uses_nothing_up() {
    let (directory, served) = served().await;
    let made = made(&directory, &["--uses", "2"]);
    let token = text(&made, "initial_access_token");
    let wrong = registers(&served, Some(token), "tls_client_auth").await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (400, &json!("invalid_client_metadata")));
    let confidential = registers(&served, Some(token), "client_secret_basic").await;
    assert_eq!(confidential.status, 201, "{confidential:?}");
    assert!(confidential.json()["client_secret"].is_string());
    let looked = Request::new(
        "GET",
        text(&confidential.json(), "registration_client_uri")
            .split_at(format!("http://{}", served.authority).len())
            .1,
    )
    .header(
        "authorization",
        &format!("Bearer {}", text(&confidential.json(), "registration_access_token")),
    );
    assert_eq!(send(&served, looked).await.status, 200);
    let public = registers(&served, Some(token), "none").await;
    assert_eq!((public.status, public.json().get("client_secret")), (201, None));
    assert_eq!(registers(&served, Some(token), "none").await.status, 401, "both uses are gone");
    let listed = command(directory.path(), &["registration-token", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["uses"], &listed[0]["most_uses"]), (&json!(2), &json!(2)));
    assert!(!listed.to_string().contains(token));
}

// OWASP ASVS 5 §16.2 — N113
#[tokio::test]
async fn the_log_names_tokens_by_their_prefix_and_holds_none() {
    let (directory, served) = served().await;
    let made = made(&directory, &["--name", "fleet", "--expires-in-days", "1"]);
    let (token, prefix) = (text(&made, "initial_access_token"), text(&made["token"], "prefix"));
    assert!(token.starts_with(&format!("mrt_{prefix}_")));
    registers(&served, Some(token), "none").await;
    registers(&served, Some(token), "none").await;
    let log = served.audit_lines().join("\n");
    assert!(log.contains(&format!(r#""initial_access_token":"{prefix}""#)), "{log}");
    assert!(log.contains(r#""error":"invalid_token""#), "{log}");
    let commands = std::fs::read_to_string(directory.path().join("audit.commands.jsonl")).unwrap();
    let added = format!(r#""object":"registration_token","action":"add","id":"{prefix}""#);
    assert!(commands.contains(&added), "{commands}");
    for place in [&log, &commands, &served.stderr()] {
        assert!(!place.contains(token) && !place.contains(&token[21..60]), "{place}");
    }
}

#[tokio::test]
async fn a_token_is_made_listed_and_removed_over_the_api() {
    let (directory, served) = served().await;
    let root = command(directory.path(), &["user", "add", "root", "--admin", "--json"]);
    let root: Value = serde_json::from_slice(&root.stdout).unwrap();
    let admin = served.mint_for(text(&root["user"], "id"), "broker:admin");
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::new(method, &format!("/api/v1/registration-tokens{path}"))
            .header("authorization", &format!("Bearer {admin}"))
            .header("content-type", "application/json")
            .body(body.to_owned());
        served.send(request).await
    };
    let made = ask("POST", "", r#"{"uses":1,"expires_in_seconds":60}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = text(&made.json(), "initial_access_token").to_owned();
    for wrong in
        [r#"{"uses":0}"#, r#"{"uses":10001}"#, r#"{"expires_in_seconds":59}"#, r#"{"token":"x"}"#]
    {
        assert_eq!(ask("POST", "", wrong).await.status, 422, "{wrong}");
    }
    let listed = ask("GET", "", "").await;
    assert!(
        !listed.body.contains(&token) && listed.body.contains(r#""most_uses":1"#),
        "{listed:?}"
    );
    let path = format!("/{}", text(&made.json()["token"], "prefix"));
    assert_eq!(ask("DELETE", &path, "").await.status, 204);
    assert_eq!(ask("DELETE", &path, "").await.status, 404);
    assert_eq!(ask("DELETE", "/x", "").await.status, 404);
    assert_eq!(registers(&served, Some(&token), "none").await.status, 401);
}
