//! Commands of the binary that no other topic tests: the catalogue, and tokens made by hand.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use mcp_auth_broker::store::{RevokedToken, StoreSettings, open};
use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::audit;
use crate::support::child::{Served, command};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What a command that succeeds prints.
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn import(directory: &Path, content: &[u8]) -> Output {
    let file = directory.join("permissions.json");
    std::fs::write(&file, content).unwrap();
    command(directory, &["catalog", "import", &file.display().to_string()])
}

/// One operation, in the shape of Microsoft's file.
fn permissions() -> Vec<u8> {
    json!({"permissions": {"Planet.Read.All": {
        "schemes": {"Application": {"privilegeLevel": 2}},
        "pathSets": [{"schemeKeys": ["Application"], "methods": ["GET"], "paths": {"/planets/{id}": "least=Application"}}],
    }}})
    .to_string()
    .into_bytes()
}

#[test]
fn the_catalogue_is_listed_searched_and_explained() {
    let directory = tempfile::tempdir().unwrap();
    let all = printed(directory.path(), &["catalog", "list"]);
    let some = printed(directory.path(), &["catalog", "list", "sendmail"]);
    assert!(all.lines().count() > 50 && some.lines().count() < 5, "{some}");
    assert!(some.contains("/users/{id}/sendMail") && some.contains("Mail.Send"), "{some}");
    let list: Value =
        serde_json::from_str(&printed(directory.path(), &["catalog", "list", "--json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), all.lines().count());
    let told = printed(directory.path(), &["catalog", "explain", "GET", "/v1.0/users/1"]);
    assert!(told.starts_with("GET /users/{id}\n") && told.contains("User.Read"), "{told}");
}

#[test]
fn an_operation_that_nobody_knows_is_said_to_be_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let output = command(directory.path(), &["catalog", "explain", "GET", "/v1.0/planets/1"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output);
    assert!(told.contains("does not know this operation") && told.contains("hint: "), "{told}");
}

#[test]
fn an_imported_catalogue_is_used_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let imported = import(directory.path(), &permissions());
    assert_eq!(text(&imported), "1 operations, from the next start on\n");
    let told = printed(directory.path(), &["catalog", "explain", "GET", "/v1.0/planets/1"]);
    assert!(told.contains("the least first: Planet.Read.All"), "{told}");
}

#[test]
fn a_file_that_is_no_catalogue_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    import(directory.path(), &permissions());
    for content in [&b"{}"[..], b"\x1f\x8brubbish", br#"{"permissions":{}}"#, b""] {
        let output = import(directory.path(), content);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("is not a permissions.json"), "{}", text(&output));
    }
    let output = command(directory.path(), &["catalog", "import", "/nowhere"]);
    assert!(text(&output).contains("/nowhere cannot be read"), "{}", text(&output));
    assert_eq!(printed(directory.path(), &["catalog", "list"]).lines().count(), 1);
}

// A token made by hand is an act of an administrator: it is in the log, and the log does not hold it.
#[tokio::test]
async fn a_minted_token_is_recorded_while_a_broker_runs_and_while_none_does() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[server]\ndrain_pause_ms = 0";
    let served = Served::start(directory.path(), settings, &[]).await;
    let tokens = [served.mint("public:read"), {
        drop(served);
        let told = printed(directory.path(), &["token", "mint", "--sub", "grace"]);
        told.lines().next().unwrap().trim_start_matches("Token: ").to_owned()
    }];
    let lines = audit::lines(&directory.path().join("audit.commands.jsonl"));
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |event: &Value| {
        (
            event["event_type"].clone(),
            event["payload"]["subject"].clone(),
            event["payload"]["scopes"].clone(),
        )
    };
    assert_eq!(told(&events[0]), (json!("admin.token.minted"), json!("ada"), json!("public:read")));
    assert_eq!(told(&events[1]), (json!("admin.token.minted"), json!("grace"), json!("")));
    assert_eq!(events.len(), 2);
    for token in tokens {
        assert!(!lines.concat().contains(token.rsplit('.').next().unwrap()));
    }
}

#[test]
fn no_token_is_made_where_it_cannot_be_recorded() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("audit.commands.jsonl")).unwrap();
    let output = command(directory.path(), &["token", "mint", "--sub", "ada"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", text(&output));
}

fn minted(directory: &Path, more: &[&str]) -> String {
    let text = printed(directory, &[&["token", "mint", "--sub", "ada"], more].concat());
    text.lines().find_map(|line| line.strip_prefix("Token: ")).unwrap().to_owned()
}

/// Exit code and JSON.
fn inspected(directory: &Path, token: &str) -> (i32, Value) {
    let output = command(directory, &["token", "inspect", "--json", token]);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test]
async fn a_token_is_inspected_as_the_broker_would_see_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.server]]\nid = \"weather\"\nurl = \"http://127.0.0.1:9/mcp\"\n";
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let at = directory.path();
    let own = minted(at, &[]);
    let (code, accepted) = inspected(at, &own);
    assert_eq!((code, &accepted["valid"]), (0, &json!(true)), "{accepted}");
    let resource = "http://127.0.0.1:8080/servers/weather/mcp";
    assert_eq!(inspected(at, &minted(at, &["--resource", resource])).0, 0);
    for (token, why) in [
        (minted(at, &["--resource", "http://127.0.0.1:8080/other"]), "aud"),
        (minted(at, &["--exp-hours", "-1"]), "expired"),
        ("nonsense".to_owned(), ""),
    ] {
        let (code, refused) = inspected(at, &token);
        assert_eq!((code, &refused["valid"]), (1, &json!(false)));
        assert!(refused["reason"].as_str().unwrap().contains(why), "{refused}");
    }
    let (_, foreign) = inspected(at, &minted(at, &["--resource", "http://127.0.0.1:8080/other"]));
    assert_eq!(foreign["unverified"]["aud"], json!("http://127.0.0.1:8080/other"), "{foreign}");
    assert!(foreign["unverified"]["alg"] == "ES256" && foreign["unverified"]["kid"].is_string());
    let taken = foreign["expected"]["aud"].as_array().unwrap();
    assert!(
        taken.contains(&json!("http://127.0.0.1:8080/mcp")) && taken.contains(&json!(resource))
    );
    let told = text(&command(at, &["token", "inspect", &own]));
    assert!(told.contains("aud") && !told.contains(own.rsplit('.').next().unwrap()), "{told}");
    revoke(at, accepted["claims"]["token"].as_str().unwrap()).await;
    let (code, refused) = inspected(at, &own);
    assert_eq!(code, 1);
    assert!(refused["reason"].as_str().unwrap().contains("revoked"), "{refused}");
}

#[test]
fn tokens_for_registered_servers_are_accepted_where_the_broker_accepts_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    printed(at, &["server", "add", "docs", "--url", "https://docs.example/mcp"]);
    printed(at, &["server", "add", "files", "https://files.example/mcp"]);
    let docs = "http://127.0.0.1:8080/servers/docs/mcp";
    for resource in [docs, "https://files.example/mcp"] {
        let token = minted(at, &["--resource", resource]);
        let (code, told) = inspected(at, &token);
        assert_eq!((code, &told["valid"]), (0, &json!(true)), "{told}");
        assert!(told["expected"]["aud"].as_array().unwrap().contains(&json!(resource)), "{told}");
        let explained = ["policy", "explain", "docs.get", "--token", &token];
        let explained = text(&command(at, &explained));
        assert!(explained.contains("deny: policy.rule.deny.default"), "{explained}");
    }
    let token = minted(at, &["--resource", docs]);
    printed(at, &["server", "disable", "docs"]);
    assert_eq!(inspected(at, &token).0, 1, "nobody is served there");
}

async fn revoke(directory: &Path, jti: &str) {
    let store = StoreSettings::Sqlite(directory.join("data/broker.db"));
    let store = open(&store, Arc::new(SystemClock)).await.unwrap();
    let expires_at = SystemClock.now().plus_seconds(7200);
    store.revoke_access_token(&RevokedToken { jti: jti.to_owned(), expires_at }).await.unwrap();
}

#[test]
fn a_check_and_an_inspection_make_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert!(command(directory.path(), &["check"]).status.success());
    assert_eq!(inspected(directory.path(), "nonsense").0, 1);
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn a_check_says_that_a_start_would_migrate_and_does_not() {
    let directory = tempfile::tempdir().unwrap();
    printed(directory.path(), &["store", "migrate"]);
    let path = directory.path().join("data/broker.db");
    let store = rusqlite::Connection::open(path).unwrap();
    let newest =
        "DELETE FROM schema_versions WHERE version = (SELECT MAX(version) FROM schema_versions)";
    store.execute(newest, []).unwrap();
    store.close().unwrap();
    let before = printed(directory.path(), &["store", "status"]);
    let checked: Value =
        serde_json::from_str(&printed(directory.path(), &["check", "--json"])).unwrap();
    let found =
        checked["findings"].as_array().unwrap().iter().find(|one| one["key"] == "store.url");
    assert_eq!(found.unwrap()["severity"], "warning", "{checked}");
    assert!(found.unwrap()["problem"].as_str().unwrap().contains("no way back"));
    let inspected = command(directory.path(), &["token", "inspect", "nonsense"]);
    assert!(text(&inspected).contains("no way back"), "{}", text(&inspected));
    assert_eq!(printed(directory.path(), &["store", "status"]), before);
}

#[test]
fn the_1password_program_needs_no_more_than_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[secrets]\nprovider = \"1password\"\n[secrets.onepassword]\nservice_account_token = \"file:/run/secrets/op\"\n";
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let told = printed(directory.path(), &["check"]);
    assert!(told.contains("The broker would start, 1 warning."), "{told}");
}

#[test]
fn the_predecessors_names_alone_are_settings_enough() {
    let directory = tempfile::tempdir().unwrap();
    let names = "MCP_AUTH_BROKER_ENV=dev\nMCP_AUTH_BROKER_ALLOWED_SCOPES=User.Read,Mail.Read\nMCP_AUTH_BROKER_GRAPH_CLIENT_ID=app\nMCP_AUTH_BROKER_GRAPH_TENANT_ID=contoso.example\nMCP_AUTH_BROKER_GRAPH_SECRET_REF=op://v/i/f\nMCP_AUTH_BROKER_SECRET_PROVIDER=1password\nOP_SERVICE_ACCOUNT_TOKEN=ops_x\n";
    std::fs::write(directory.path().join(".env"), names).unwrap();
    printed(directory.path(), &["check"]);
    let ask = |call| {
        let by = ["--subject", "ada", "--scope", "graph:read", "graph:write"];
        printed(directory.path(), &[&["policy", "explain", call][..], &by].concat())
    };
    assert!(ask("GET /v1.0/users/ada").starts_with("allow: "));
    assert!(ask("DELETE /v1.0/users/ada").starts_with("deny: "), "the built-in rules are gone");
}

/// Two permissions of Microsoft's file, in its shape: a function in a path, which no rule can name, and a POST that reads.
fn foreign_permissions() -> Vec<u8> {
    let of = |paths: Value, methods: Value| {
        json!({ "schemes": {"Application": {"privilegeLevel": 2}},
            "pathSets": [{"schemeKeys": ["Application"], "methods": methods, "paths": paths}] })
    };
    let users = json!({"/users/{id}": "least=Application", "/users/{id}/findrooms(roomlist={value})": "least=Application",
        "/users/{id}/calendars": "least=Application"});
    let mail = json!({"/users/{id}/messages": "least=Application"});
    json!({"permissions": {"User.Read.All": of(users, json!(["GET"])), "Mail.Read": of(mail, json!(["GET", "POST"]))}})
        .to_string()
        .into_bytes()
}

#[test]
fn an_imported_catalogue_changes_nothing_of_what_flat_names_allow() {
    let directory = tempfile::tempdir().unwrap();
    let names = "MCP_AUTH_BROKER_ALLOWED_SCOPES=User.Read,Mail.Read\nMCP_AUTH_BROKER_GRAPH_CLIENT_ID=app\nMCP_AUTH_BROKER_GRAPH_TENANT_ID=contoso.example\nMCP_AUTH_BROKER_GRAPH_SECRET_REF=op://v/i/f\nMCP_AUTH_BROKER_SECRET_PROVIDER=1password\nOP_SERVICE_ACCOUNT_TOKEN=ops_x\n";
    std::fs::write(directory.path().join(".env"), names).unwrap();
    let decided = || {
        [
            "/users",
            "/users/ada",
            "/users/ada/messages",
            "/users/ada/calendars",
            "/users/ada/manager",
        ]
        .map(|path| {
            let call = format!("GET /v1.0{path}");
            let by = ["--subject", "ada", "--scope", "graph:read"];
            let told =
                printed(directory.path(), &[&["policy", "explain", &call][..], &by].concat());
            told.lines().next().unwrap_or_default().to_owned()
        })
    };
    let before = decided();
    assert!(import(directory.path(), &foreign_permissions()).status.success());
    assert_eq!(decided(), before);
    printed(directory.path(), &["check"]);
    let allowed = before.map(|told| told.starts_with("allow: "));
    assert_eq!(allowed, [true, true, true, false, false], "what each name opened, and no more");
}

#[test]
fn every_fault_of_a_policy_is_a_finding_with_its_own_hint() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("broker.toml"), "[policy]\nfile = \"p.toml\"\n").unwrap();
    let rules = "version = \"t\"\ndefault = \"allow\"\n[[rule]]\nid = \"a\"\neffect = \"perhaps\"\ntools = [\".*\"]\n";
    std::fs::write(directory.path().join("p.toml"), rules).unwrap();
    let checked = command(directory.path(), &["check", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let findings = checked["findings"].as_array().unwrap();
    let places: Vec<_> = findings.iter().filter(|one| one["key"] == "policy.file").collect();
    assert_eq!(places.len(), 2, "{checked:#}");
    for (finding, place) in places.iter().zip(["p.toml:2:11: ", "p.toml:5:10: "]) {
        let (problem, hint) =
            (finding["problem"].as_str().unwrap(), finding["hint"].as_str().unwrap());
        assert_eq!(problem.matches(place).count(), 1, "{problem}");
        assert!(!problem.contains("hint:") && !hint.contains(['\n', ':']), "{finding:#}");
    }
}

#[test]
fn schema_and_reference_of_the_settings_are_there_for_programs() {
    let directory = tempfile::tempdir().unwrap();
    let plain = printed(directory.path(), &["config", "schema"]);
    assert_eq!(printed(directory.path(), &["config", "schema", "--json"]), plain);
    let told = printed(directory.path(), &["config", "reference", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let settings = told["settings"].as_array().unwrap();
    let listen = settings.iter().find(|setting| setting["key"] == "server.listen").unwrap();
    assert_eq!(listen["default"], "127.0.0.1:8080", "{listen}");
    assert!(!listen["meaning"].as_str().unwrap().is_empty(), "{listen}");
    let page = printed(directory.path(), &["config", "reference"]);
    for setting in settings {
        let (_, name) = setting["key"]
            .as_str()
            .unwrap()
            .rsplit_once('.')
            .unwrap_or(("", setting["key"].as_str().unwrap()));
        assert!(page.contains(&format!("| `{name}` |")), "{setting}");
    }
    assert!(told["flat_names"].as_array().unwrap().len() > 10, "{told}");
}
