//! Administration from a terminal, beside a running broker and without one.

use std::path::Path;
use std::sync::Arc;

use mcp_auth_broker::id::UserId;
use mcp_auth_broker::store::{
    AuthenticatorRow, Digest, LinkPurpose, OneTimeLink, PasskeyRow, PasskeySetUp, StoreSettings,
    open,
};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::audit;
use crate::support::child::{Served, command};
use crate::support::product::Wire;
use crate::support::raw_http::Request;

/// What a command that succeeds prints.
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(directory: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(directory, arguments)).unwrap()
}

/// What a command that fails says.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn recorded(directory: &Path) -> Vec<Value> {
    let lines = audit::lines(&directory.join("audit.commands.jsonl"));
    let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event_type"].as_str().unwrap().starts_with("admin.")).collect()
}

#[test]
fn a_person_is_added_listed_disabled_and_gets_links() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let added = printed(at, &["user", "add", "Ada", "--admin", "--group", "it-leads"]);
    assert!(added.starts_with("Link: http://127.0.0.1:8080/login/link/"), "{added}");
    let users = json_of(at, &["user", "list", "--json"]);
    assert_eq!(users[0]["username"], "ada");
    assert_eq!(users[0]["groups"], json!(["it-leads"]));
    assert_eq!(
        (&users[0]["own_login"], &users[0]["has_password"]),
        (&json!("nothing"), &json!(false))
    );
    assert!(printed(at, &["user", "list"]).lines().nth(1).unwrap().starts_with("ada"));
    assert_ne!(printed(at, &["user", "reset-link", "ada"]), added);
    assert_eq!(printed(at, &["user", "disable", "ada"]), "ada is disabled\n");
    assert_eq!(printed(at, &["user", "take-role", "ada"]), "ada is no administrator\n");
    assert_eq!(json_of(at, &["user", "list", "--json"])[0]["administrator"], false);
    assert_eq!(printed(at, &["user", "give-role", "ada"]), "ada administers this broker\n");
    let told = refused(at, &["user", "reset-link", "ada"]);
    assert!(told.contains("the user is disabled, and could not log in"), "{told}");
}

#[tokio::test]
async fn lists_say_how_somebody_logs_in() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["user", "add", "ada"]);
    let settings = StoreSettings::Sqlite(at.join("data/broker.db"));
    let store = open(&settings, Arc::new(SystemClock)).await.unwrap();
    let (user_id, now) =
        (store.find_user_by_name("ada").await.unwrap().unwrap().id, SystemClock.now());
    let (link, purpose) = (Digest::of("link"), LinkPurpose::SetUp);
    let expires_at = now.plus_seconds(60);
    store.add_link(&OneTimeLink { link, user_id, purpose, expires_at }).await.unwrap();
    let (most, recovery_codes, second) = (1, Vec::new(), false);
    let (row, mark) = (passkey(user_id), "CANARY".to_owned());
    let new = PasskeySetUp { row, most, recovery_codes, second, link, mark, at: now };
    store.set_up_passkey(&new).await.unwrap();
    let listed = printed(at, &["user", "list", "--json"]);
    assert!(!listed.contains("CANARY"), "{listed}");
    let users: Value = serde_json::from_str(&listed).unwrap();
    let said = (&users[0]["own_login"], &users[0]["has_password"]);
    assert_eq!(said, (&json!("passkeys"), &json!(false)));
    assert!(printed(at, &["user", "list"]).contains("passkeys"));
    store.set_password(user_id, "$1", None, now).await.unwrap();
    assert_eq!(json_of(at, &["user", "list", "--json"])[0]["own_login"], "password");
}

fn passkey(user_id: UserId) -> PasskeyRow {
    PasskeyRow {
        credential_id: "id".to_owned(),
        user_id,
        user_handle: "01930000-0000-4000-8000-000000000001".to_owned(),
        credential: "{}".to_owned(),
        sign_count: 0,
        backed_up: true,
        alone: true,
        name: "Ada's phone".to_owned(),
        created_at: SystemClock.now(),
        last_used_at: None,
    }
}

#[tokio::test]
async fn an_authenticator_that_is_lost_is_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["user", "add", "ada"]);
    let told = refused(at, &["user", "remove-second-factor", "ada"]);
    assert!(told.contains("there is no such user with a second factor"), "{told}");
    let settings = StoreSettings::Sqlite(at.join("data/broker.db"));
    let store = open(&settings, Arc::new(SystemClock)).await.unwrap();
    let user_id = store.find_user_by_name("ada").await.unwrap().unwrap().id;
    let (sealed, confirmed_at) = ("sealed".to_owned(), SystemClock.now());
    let row = AuthenticatorRow { user_id, sealed, last_step: 1, confirmed_at };
    assert!(store.add_authenticator(&row, &[Digest::of("a code")], None).await.unwrap());
    store.add_passkey(&passkey(user_id), 1, &[], (None, true)).await.unwrap();
    let shown = printed(at, &["user", "second-factor", "ada"]);
    assert!(shown.contains("recovery codes left: 1\npasskeys: 1\n"), "{shown}");
    assert!(shown.contains("Ada's phone  true"), "{shown}");
    assert!(!shown.contains("sealed") && !shown.contains("0193"), "{shown}");
    let told = printed(at, &["user", "remove-second-factor", "ada"]);
    let (link, told) = told.split_once('\n').unwrap();
    assert!(link.starts_with("Link: ") && link.contains("/login/link/"), "{link}");
    let wanted = "ada has no second factor and no password any more, and sets up another log-in there, once, within a day.\n";
    assert_eq!(told, wanted);
    assert!(store.find_authenticator(user_id).await.unwrap().is_none());
    assert!(store.list_passkeys(user_id).await.unwrap().is_empty());
    assert_eq!(store.count_recovery_codes(user_id).await.unwrap(), 0);
    let last = recorded(at).pop().unwrap();
    assert_eq!(last["payload"]["action"], "remove_second_factor");
    assert_eq!(last["payload"]["outcome"], "done");
}

#[test]
fn a_person_is_changed_and_what_is_left_out_stays() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["user", "add", "ada", "--email", "ada@b.example", "--group", "it-leads"]);
    let change =
        |arguments: &[&str]| printed(at, &[&["user", "change", "ada"], arguments].concat());
    assert_eq!(change(&["--display-name", "Ada", "--email", ""]), "ada is changed\n");
    let ada = &json_of(at, &["user", "list", "--json"])[0];
    assert_eq!((&ada["display_name"], &ada["email"]), (&json!("Ada"), &json!(null)));
    assert_eq!(ada["groups"], json!(["it-leads"]));
    change(&["--group", "a", "--group", "b"]);
    assert_eq!(json_of(at, &["user", "list", "--json"])[0]["groups"], json!(["a", "b"]));
    change(&["--no-groups"]);
    let ada = &json_of(at, &["user", "list", "--json"])[0];
    assert_eq!((&ada["display_name"], &ada["groups"]), (&json!("Ada"), &json!([])));
    let told = refused(at, &["user", "change", "ada", "--group", "=cmd()"]);
    assert!(told.contains("groups begins like a formula"), "{told}");
}

#[test]
fn a_client_is_changed_as_it_could_be_registered_and_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let add = ["client", "add", "Desk", "--redirect-uri", "https://a.example/cb", "--scope", "x y"];
    let more = ["--require-pushed-authorization-requests", "--json"];
    let client = json_of(at, &[&add[..], &more].concat())["client"].clone();
    let id = client["client_id"].as_str().unwrap();
    let change = ["client", "change", id];
    let new = ["--redirect-uri", "https://b.example/cb", "--scope", "x", "--refresh-grace", "5"];
    printed(at, &[&change[..], &new].concat());
    let metadata = json_of(at, &["client", "list", "--json"])[0]["metadata"].clone();
    assert_eq!(metadata["redirect_uris"], json!(["https://b.example/cb"]));
    assert_eq!((&metadata["scope"], &metadata["client_name"]), (&json!("x"), &json!("Desk")));
    assert_eq!(metadata["require_pushed_authorization_requests"], true, "it stays so");
    for (wrong, said) in [
        (&["--redirect-uri", "http://a.example"][..], "redirect_uris has http and"),
        (&["--jwks-uri", "https://a.example/keys"], "jwks is for clients that sign"),
        (&["--refresh-grace", "121"], "refresh_grace_seconds is too long"),
    ] {
        assert!(refused(at, &[&change[..], wrong].concat()).contains(said), "{wrong:?}");
    }
    printed(at, &["client", "remove", id]);
    assert_eq!(json_of(at, &["client", "list", "--json"]), json!([]));
    assert!(refused(at, &["client", "remove", id]).contains("an operator registered"));
}

#[test]
fn a_server_is_changed_and_what_is_left_out_stays() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["server", "add", "w", "https://W.example:443/mcp", "--scope", "w:read"]);
    printed(at, &["server", "change", "w", "--name", "Weather", "--token-ttl", "60"]);
    let server = &json_of(at, &["server", "list", "--json"])[0];
    assert_eq!(server["uri"], "https://w.example/mcp", "as clients send it");
    assert_eq!((&server["name"], &server["scope"]), (&json!("Weather"), &json!("w:read")));
    assert_eq!(server["access_token_ttl_seconds"], 60);
    printed(at, &["server", "change", "w", "--token-ttl", "0", "--scope", "w:write"]);
    let server = &json_of(at, &["server", "list", "--json"])[0];
    assert_eq!(server["access_token_ttl_seconds"], json!(null));
    assert_eq!((&server["name"], &server["scope"]), (&json!("Weather"), &json!("w:write")));
}

#[test]
fn what_is_wrong_is_said_with_what_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["user", "add", "ada"]);
    for (arguments, said) in [
        (&["user", "add", "a b"][..], "username is no user name\nhint: 1 to 128 of a-z"),
        (&["user", "add", "ADA"], "username is taken\nhint: choose another"),
        (&["user", "disable", "bob"], "no such user\nhint: broker user list shows"),
        (&["client", "add", "x"], "redirect_uris does not go with grant_types\nhint: "),
        (
            &["client", "add", "x", "--redirect-uri", "http://a.example"],
            "redirect_uris has http and",
        ),
        (&["client", "add", "x", "--jwks-file", "away.json"], "away.json cannot be read"),
        (&["server", "add", "w", "https://w.example", "--scope", "broker:admin"], "scope names a"),
        (&["server", "add", "w", "http://w.example"], "uri is no URL of a server\nhint: an https"),
        (&["server", "key", "add", "w"], "no such server\nhint: broker server list shows"),
        (&["key", "retire", "nothing"], "no such signing key\nhint: broker key list shows"),
    ] {
        let told = refused(at, arguments);
        assert!(told.contains(said), "{arguments:?}: {told}");
    }
    let usage = command(at, &["grant", "revoke", "not-an-id"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn every_change_is_in_the_audit_log_and_no_secret_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let link = printed(at, &["user", "add", "ada"]);
    let client = printed(at, &["client", "add", "Report", "--grant", "client_credentials"]);
    printed(at, &["server", "add", "weather", "https://weather.example/mcp"]);
    let key = printed(at, &["server", "key", "add", "weather"]);
    printed(at, &["key", "rotate"]);
    let events = recorded(at);
    let what =
        |event: &Value| format!("{} {}", event["payload"]["object"], event["payload"]["action"]);
    let ends = events.iter().filter(|event| event["payload"]["outcome"] == "done").map(what);
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [
            "\"user\" \"add\"",
            "\"client\" \"add\"",
            "\"server\" \"add\"",
            "\"api_key\" \"add\"",
            "\"signing_key\" \"add\""
        ]
    );
    assert_eq!(events.len(), 10, "each has a beginning");
    let log = audit::lines(&at.join("audit.commands.jsonl")).join("\n");
    for secret in [link, client, key] {
        let secret = secret.split_whitespace().max_by_key(|word| word.len()).unwrap().to_owned();
        assert!(!log.contains(secret.rsplit('/').next().unwrap()), "{secret}");
    }
}

#[test]
fn a_servers_keys_are_made_listed_and_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["server", "add", "weather", "https://weather.example/mcp", "--scope", "w:read"]);
    assert_eq!(printed(at, &["server", "disable", "weather"]), "the server is disabled\n");
    assert!(json_of(at, &["server", "list", "--json"])[0]["disabled_at"].is_string());
    assert_eq!(printed(at, &["server", "enable", "weather"]), "the server is enabled\n");
    assert!(json_of(at, &["server", "list", "--json"])[0]["disabled_at"].is_null());
    assert!(refused(at, &["server", "disable", "other"]).contains("no such server"));
    let made = json_of(at, &["server", "key", "add", "weather", "--name", "prod", "--json"]);
    let prefix = made["key"]["prefix"].as_str().unwrap();
    assert!(made["api_key"].as_str().unwrap().starts_with(&format!("mak_{prefix}_")));
    assert_eq!(
        printed(at, &["server", "key", "revoke", "weather", prefix]),
        "the key is revoked\n"
    );
    let keys = json_of(at, &["server", "key", "list", "weather", "--json"]);
    assert!(keys[0]["revoked_at"].is_string());
    assert_eq!(
        printed(at, &["server", "remove", "weather"]),
        "the server is removed, with its keys, its grants and the consents to it\n"
    );
    assert_eq!(json_of(at, &["server", "list", "--json"]), json!([]));
}

/// A broker as a process, and the commands that a person types beside it.
async fn served() -> (tempfile::TempDir, Served) {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), "", &[]).await;
    (directory, served)
}

async fn published(served: &Served) -> Vec<String> {
    let answer = served.send(Request::new("GET", "/.well-known/jwks.json")).await.json();
    let keys = answer["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn accepts(served: &Served, token: &str) -> u16 {
    let request = crate::support::product::mcp(Wire::Modern, Some(token), "tools/list", json!({}));
    served.send(request).await.status
}

// RFC 7517 §5, RFC 9068 §4
#[tokio::test]
async fn a_key_that_replaces_leaked_ones_is_taken_by_a_running_broker_and_the_old_tokens_are_refused()
 {
    let (directory, served) = served().await;
    let old = served.mint("public:read");
    assert_eq!(accepts(&served, &old).await, 200);
    let before = published(&served).await;
    let rotated = json_of(directory.path(), &["key", "rotate", "--now", "--json"]);
    // Its kid is unknown here: the broker looks at once instead of in half a minute.
    let new = served.mint("public:read");
    assert_eq!(accepts(&served, &new).await, 200);
    assert_eq!(accepts(&served, &old).await, 401, "also where it was remembered");
    assert_eq!(published(&served).await, [rotated["kid"].as_str().unwrap()]);
    assert!(!before.contains(&published(&served).await[0]));
}

#[tokio::test]
async fn the_last_key_that_signs_cannot_be_retired() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert_eq!(json_of(at, &["key", "list", "--json"]), json!([]), "nothing was signed yet");
    printed(at, &["token", "mint", "--sub", "ada"]);
    let keys = json_of(at, &["key", "list", "--json"]);
    assert_eq!((keys.as_array().unwrap().len(), &keys[0]["state"]), (1, &json!("usable")));
    let told = refused(at, &["key", "retire", keys[0]["kid"].as_str().unwrap()]);
    assert!(told.contains("the only key that signs\nhint: broker key rotate"), "{told}");
    let rotated = json_of(at, &["key", "rotate", "--json"]);
    assert_eq!(rotated["state"], "pending");
    let told = refused(at, &["key", "retire", keys[0]["kid"].as_str().unwrap()]);
    assert!(told.contains("the only key that signs"), "a pending one does not sign: {told}");
    assert_eq!(
        printed(at, &["key", "retire", rotated["kid"].as_str().unwrap()]),
        "the key is retiring\n"
    );
}

#[tokio::test]
async fn a_store_is_looked_at_and_backed_up_beside_a_running_broker_and_not_restored() {
    let (directory, served) = served().await;
    let at = directory.path();
    let token = served.mint("public:read");
    let status = json_of(at, &["store", "status", "--json"]);
    assert_eq!(
        (&status["database"], &status["schema"]),
        (&json!("sqlite"), &status["schema_known"])
    );
    assert!(printed(at, &["store", "status"]).contains("oldest signing key"));
    let made = printed(at, &["store", "backup", "copy.db"]);
    assert!(made.contains("read back and found whole\nIt needs the key"), "{made}");
    assert!(refused(at, &["store", "restore", "copy.db"]).contains("hint: stop the broker first"));
    drop(served);
    let restored = printed(at, &["store", "restore", "copy.db"]);
    assert!(
        restored.contains("broker key rotate --now") && restored.contains("is kept as"),
        "{restored}"
    );
    let served = Served::start(at, "", &[]).await;
    assert_ne!(accepts(&served, &token).await, 500);
    assert_eq!(json_of(at, &["key", "list", "--json"])[0]["state"], "usable");
}

#[test]
fn a_client_that_could_never_get_a_token_is_not_added_and_the_command_names_the_setting() {
    let directory = tempfile::tempdir().unwrap();
    let add = ["client", "add", "nightly", "--grant", "client_credentials"];
    for (args, said, setting) in [
        (
            &["--tls-client-auth-san-dns", "nightly.example"][..],
            "tls_client_auth_san_dns is given",
            "server.tls.client_ca_file",
        ),
        (
            &["--dpop-bound-access-tokens"],
            "dpop_bound_access_tokens is given",
            "resource_server.dpop",
        ),
    ] {
        let told = refused(directory.path(), &[&add[..], args].concat());
        assert!(told.contains(said), "{told}");
        assert!(told.contains("hint: ") && told.contains(setting), "{told}");
    }
}
