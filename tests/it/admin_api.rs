//! The admin API of a real process: who gets in, what survives a kill, what a full disk does.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::audit::{LIMIT, assert_every_request_ended};
use crate::support::child::{Served, command, command_beside};
use crate::support::raw_http::{self, Answer, Request};

/// A broker, and a token of its administrator.
struct Site {
    directory: TempDir,
    served: Served,
    token: String,
}

impl Site {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), "", &[]).await;
        Self::with(directory, served)
    }

    fn with(directory: TempDir, served: Served) -> Self {
        let added = command(directory.path(), &["user", "add", "root", "--admin", "--json"]);
        let added: Value = serde_json::from_slice(&added.stdout).unwrap();
        let id = added["user"]["id"].as_str().unwrap();
        let token = served.mint_for(id, "broker:admin");
        Self { directory, served, token }
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::new("GET", path);
        self.served.send(request.header("authorization", &format!("Bearer {}", self.token))).await
    }

    async fn add_user(&self, name: &str) -> Answer {
        let request = Request::new("POST", "/api/v1/users")
            .header("authorization", &format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(json!({ "username": name }).to_string());
        self.served.send(request).await
    }

    async fn post(&self, path: &str) -> Answer {
        let request = Request::new("POST", path);
        self.served.send(request.header("authorization", &format!("Bearer {}", self.token))).await
    }

    fn users(&self) -> Vec<String> {
        let listed = command(self.directory.path(), &["user", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let users = listed.as_array().unwrap().iter();
        users.map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn an_administrator_of_this_moment_gets_in_and_the_description_needs_no_token() {
    let site = Site::start().await;
    let document = site.served.send(Request::new("GET", "/api/openapi.json")).await;
    assert_eq!((document.status, &document.json()["openapi"]), (200, &json!("3.1.0")));
    assert_eq!(site.served.send(Request::new("GET", "/api/v1/users")).await.status, 401);
    assert!(site.get("/api/v1/users").await.body.contains(r#""username":"root""#));
    let disabled = command(site.directory.path(), &["user", "disable", "root"]);
    assert!(disabled.status.success());
    assert_eq!(site.get("/api/v1/users").await.status, 403);
}

#[tokio::test]
async fn where_people_log_in_is_listed_by_both_doors_and_no_secret_is() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[[authorization_server.identity_provider]]\nid = \"entra\"\nname = \"Contoso\"\nissuer = \"https://login.example/v2.0\"\nclient_id = \"broker\"\nclient_secret = \"a-secret-CANARY\"\nrequire = { hd = [\"contoso.example\"] }\n";
    let served = Served::start(directory.path(), settings, &[]).await;
    let callback = format!("http://{}/login/callback/entra", served.authority);
    let printed = command_beside(
        directory.path(),
        &served.authority,
        &["identity-provider", "list", "--json"],
    );
    let table = command_beside(directory.path(), &served.authority, &["identity-provider", "list"]);
    let site = Site::with(directory, served);
    let answer = site.get("/api/v1/identity-providers").await;
    let item = json!({
        "id": "entra", "name": "Contoso", "issuer": "https://login.example/v2.0", "client_id": "broker", "confidential": true,
        "scopes": "email openid profile", "discovered": true, "callback": callback, "required_claims": ["hd"],
        "source": "settings", "served": true, "client_secret": null, "groups_prefix": "", "roles_prefix": "",
        "claims": {
            "subject": "sub", "username": "preferred_username", "name": "name", "email": "email", "groups": "groups",
        },
        "require": { "hd": ["contoso.example"] }, "created_at": null, "disabled_at": null,
        "standing": { "keep_tokens": false, "ask_again_seconds": 3600, "unanswered_seconds": 86_400 },
    });
    assert_eq!((answer.status, &answer.json()["items"]), (200, &json!([item])));
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), json!([item]));
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("https://login.example/v2.0") && table.contains(&callback), "{table}");
    assert!(!format!("{answer:?}{table}").contains("CANARY"));
    let stranger = Request::new("GET", "/api/v1/identity-providers");
    assert_eq!(site.served.send(stranger).await.status, 401);
}

#[tokio::test]
async fn the_keys_that_sign_are_listed_rotated_and_retired_over_the_api() {
    let site = Site::start().await;
    let keys = async || site.get("/api/v1/signing-keys").await.json()["items"].clone();
    let first = keys().await;
    assert_eq!((first.as_array().unwrap().len(), &first[0]["state"]), (1, &json!("usable")));
    assert!(!first.to_string().contains("private"), "{first}");
    let send = async |path: &str, body: &str| {
        let request = Request::new("POST", &format!("/api/v1/signing-keys/{path}"))
            .header("authorization", &format!("Bearer {}", site.token))
            .header("content-type", "application/json")
            .body(body.as_bytes());
        site.served.send(request).await
    };
    let kid = first[0]["kid"].as_str().unwrap();
    let only = send(&format!("{kid}/retire"), r#"{"at_once":false}"#).await;
    assert_eq!(only.status, 403, "{only:?}");
    let made = send("rotate", r#"{"at_once":false}"#).await;
    assert_eq!((made.status, &made.json()["items"][0]["state"]), (201, &json!("pending")));
    let new = made.json()["items"][0]["kid"].as_str().unwrap().to_owned();
    assert_eq!(send(&format!("{new}/retire"), r#"{"at_once":true}"#).await.status, 204);
    assert_eq!(send("made-up/retire", r#"{"at_once":true}"#).await.status, 404);
    assert_eq!(send("rotate", "{}").await.status, 422);
    assert_eq!(keys().await, first);
    let replaced = send("rotate", r#"{"at_once":true}"#).await;
    assert_eq!((replaced.status, &replaced.json()["items"][0]["state"]), (201, &json!("usable")));
    let lines = site.served.audit_lines();
    let rotated = lines.iter().filter(|line| line.contains("oauth.key.rotated")).count();
    assert_eq!(rotated, 2, "{lines:?}");
    assert_every_request_ended(&lines, 8);
}

// OWASP ASVS 5 §16.2 — N113, N115
#[tokio::test]
async fn who_guesses_at_the_api_or_may_not_ask_is_in_the_log_and_so_is_who_reads() {
    let site = Site::start().await;
    let ask = |token: &str| Request::new("GET", "/api/v1/users").header("authorization", token);
    site.served.send(Request::new("GET", "/api/v1/users")).await;
    site.served.send(ask("Bearer guessed")).await;
    let other = site.served.mint("graph:read");
    assert_eq!(site.served.send(ask(&format!("Bearer {other}"))).await.status, 403);
    let nobody = site.served.mint("broker:admin");
    assert_eq!(site.served.send(ask(&format!("Bearer {nobody}"))).await.status, 403);
    assert_eq!(site.get("/api/v1/users").await.status, 200);
    let nobody = "/api/v1/users/01930000-0000-7000-8000-000000000000";
    assert_eq!(site.get(nobody).await.status, 404);
    assert_eq!(site.add_user("zoe").await.status, 201);
    let lines = site.served.audit_lines();
    assert_every_request_ended(&lines, 7);
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let payloads = |kind: &str| {
        let of_kind = events.iter().filter(|event| event["event_type"] == kind);
        of_kind.map(|event| event["payload"].clone()).collect::<Vec<_>>()
    };
    let refused = payloads("auth.token.rejected");
    assert_eq!([&refused[0]["reason"], &refused[1]["reason"]], ["missing", "malformed"]);
    assert_eq!(refused[1]["client_address"], "127.0.0.1");
    assert_eq!(payloads("auth.token.accepted").len(), 3);
    let read = |status, refusal| json!({ "method": "GET", "route": "/api/v1/users", "status": status, "refusal": refusal });
    let mut ended = payloads("admin.request.ended");
    assert_eq!(
        ended.pop().unwrap(),
        json!({ "method": "GET", "route": "/api/v1/users/{id}", "status": 404 })
    );
    assert_eq!(ended.pop().unwrap()["status"], 200);
    assert_eq!(ended, [read(403, "scope_missing"), read(403, "not_administrator")]);
    assert_eq!(payloads("admin.change.ended")[0]["outcome"], "done");
}

#[tokio::test]
async fn a_role_that_is_taken_counts_at_once_and_nobody_takes_their_own() {
    let site = Site::start().await;
    let other = site.add_user("ada").await.json()["user"]["id"].as_str().unwrap().to_owned();
    let theirs = site.served.mint_for(&other, "broker:admin");
    let users = Request::new("GET", "/api/v1/users");
    let users = users.header("authorization", &format!("Bearer {theirs}"));
    for (change, status) in [("give-role", 200), ("take-role", 403)] {
        let path = format!("/api/v1/users/{other}/{change}");
        assert_eq!(site.post(&path).await.status, 204, "{change}");
        assert_eq!(site.served.send(users.clone()).await.status, status, "{change}");
    }
    let all = site.get("/api/v1/users").await.json();
    let root = all["items"].as_array().unwrap().iter().find(|user| user["username"] == "root");
    let own = format!("/api/v1/users/{}/take-role", root.unwrap()["id"].as_str().unwrap());
    let refused = site.post(&own).await;
    assert_eq!(
        (refused.status, refused.body.contains("your own role")),
        (403, true),
        "{refused:?}"
    );
    assert_eq!(site.get("/api/v1/users").await.status, 200);
}

#[tokio::test]
async fn what_nobody_has_cannot_be_taken_away() {
    let site = Site::start().await;
    let ada = site.add_user("ada").await.json()["user"]["id"].as_str().unwrap().to_owned();
    let refused = site.post(&format!("/api/v1/users/{ada}/remove-second-factor")).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(refused.body.contains("user with a second factor"), "{refused:?}");
}

// RFC 8707 §2 — N51
#[tokio::test]
async fn a_server_that_is_disabled_gets_no_tokens_until_it_is_enabled() {
    let site = Site::start().await;
    let new = json!({ "id": "weather", "uri": "https://weather.example/mcp" }).to_string();
    let add = Request::new("POST", "/api/v1/resources").header("content-type", "application/json");
    let add = add.header("authorization", &format!("Bearer {}", site.token)).body(new);
    assert_eq!(site.served.send(add).await.status, 201);
    let machine = ["client", "add", "Report", "--grant", "client_credentials", "--json"];
    let machine = command(site.directory.path(), &[&machine[..], &["--scope", "w:read"]].concat());
    let machine: Value = serde_json::from_slice(&machine.stdout).unwrap();
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", machine["client"]["client_id"].as_str().unwrap())
        .append_pair("client_secret", machine["client_secret"].as_str().unwrap())
        .append_pair("resource", "https://weather.example/mcp");
    let form = "application/x-www-form-urlencoded";
    let ask = Request::new("POST", "/token").header("content-type", form).body(body.finish());
    for change in ["disable", "enable"] {
        assert_eq!(site.post(&format!("/api/v1/resources/weather/{change}")).await.status, 204);
        let answer = site.served.send(ask.clone()).await;
        let refused = answer.body.contains("invalid_target");
        assert_eq!(refused, change == "disable", "{change}: {answer:?}");
    }
}

// RFC 9700 §4.14.2 — N51, N113
#[tokio::test]
async fn a_client_that_is_removed_gets_nothing_more() {
    let site = Site::start().await;
    let machine = ["client", "add", "Report", "--grant", "client_credentials", "--json"];
    let machine = command(site.directory.path(), &machine);
    let machine: Value = serde_json::from_slice(&machine.stdout).unwrap();
    let id = machine["client"]["client_id"].as_str().unwrap();
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", id)
        .append_pair("client_secret", machine["client_secret"].as_str().unwrap());
    let form = "application/x-www-form-urlencoded";
    let ask = Request::new("POST", "/token").header("content-type", form).body(body.finish());
    assert_ne!(site.served.send(ask.clone()).await.status, 401);
    let change = |method: &'static str, body: &str| {
        Request::new(method, &format!("/api/v1/clients/{id}"))
            .header("authorization", &format!("Bearer {}", site.token))
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let changed = site.served.send(change("PATCH", r#"{"client_name":"Nightly"}"#)).await;
    assert_eq!(
        (changed.status, &changed.json()["metadata"]["client_name"]),
        (200, &json!("Nightly"))
    );
    let unknown = site.served.send(change("PATCH", r#"{"client_secret":"x"}"#)).await;
    assert_eq!(unknown.status, 422, "{unknown:?}");
    assert_eq!(site.served.send(change("DELETE", "")).await.status, 204);
    assert_eq!(site.served.send(ask).await.status, 401);
    assert_eq!(site.served.send(change("DELETE", "")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    let mut site = Site::start().await;
    let names: Vec<String> = (0..24).map(|number| format!("user-{number}")).collect();
    let answered = std::sync::Mutex::new(Vec::new());
    let enough = tokio::sync::Notify::new();
    let adding = futures_util::future::join_all(names.iter().map(|name| async {
        if site.add_user(name).await.status == 201 {
            answered.lock().unwrap().push(name.clone());
            enough.notify_one();
        }
    }));
    // Killed as soon as the first is answered: others are at every stage.
    tokio::select! {
        _ = adding => {}
        () = enough.notified() => site.served.kill(),
    }
    let answered = answered.into_inner().unwrap();
    assert!(!answered.is_empty());
    site.served.ended().await;
    let users = site.users();
    for name in &answered {
        assert!(users.contains(name), "{name} was answered and is gone");
    }
    let again = Served::start(site.directory.path(), "", &[]).await;
    let status = command(site.directory.path(), &["user", "add", "afterwards"]).status;
    assert!(status.success() && again.send(Request::new("GET", "/ready")).await.status == 200);
}

#[tokio::test]
async fn a_full_disk_is_said_changes_nothing_and_is_over_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start_on_a_small_disk(directory.path(), "").await;
    let site = Site::with(directory, served);
    assert_eq!(site.add_user("before").await.status, 201);
    // One page of the database's log with its header is more, wherever the log begins.
    site.served.limit_files("4096");
    let mut refused = None;
    for number in 0..50 {
        let name = format!("user-{number}");
        let answer = site.add_user(&name).await;
        if answer.status != 201 {
            refused = Some((name, answer));
            break;
        }
    }
    let (name, answer) = refused.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(site.get("/api/v1/users").await.status, 200, "reading goes on");
    site.served.limit_files("unlimited");
    assert!(!site.users().contains(&name));
    assert_eq!(site.add_user(&name).await.status, 201);
}

// OWASP ASVS 5 §16.2 — N115
#[tokio::test]
async fn an_administrator_changes_what_is_logged_while_the_broker_runs_and_that_is_recorded() {
    let site = Site::start().await;
    let change = |method: &str, module: &str, level: &str, token: &str| {
        Request::new(method, &format!("/api/v1/log-levels/{module}"))
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(json!({ "level": level }).to_string())
    };
    // Something that is logged at `debug`: a request that is none.
    let broken = async || {
        raw_http::exchange(&site.served.authority, b"no request at all\r\n\r\n").await;
        site.served.stderr().contains("http.connection_broken")
    };
    assert!(!broken().await);
    let other = site.served.mint("graph:read");
    assert_eq!(site.served.send(change("PUT", "http", "debug", &other)).await.status, 403);
    let set = site.served.send(change("PUT", "http", "debug", &site.token)).await;
    let levels =
        json!([{ "module": "all", "level": "info" }, { "module": "http", "level": "debug" }]);
    assert_eq!((set.status, set.json()), (200, levels.clone()));
    assert_eq!(site.get("/api/v1/log-levels").await.json(), levels);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !broken().await {
        assert!(tokio::time::Instant::now() < deadline, "{}", site.served.stderr());
    }
    for (module, level, status) in
        [("rmcp", "debug", 404), ("http=trace", "debug", 404), ("all", "trace", 422)]
    {
        let refused = site.served.send(change("PUT", module, level, &site.token)).await;
        assert_eq!(refused.status, status, "{module} {level}");
    }
    let reset = site.served.send(change("DELETE", "http", "info", &site.token)).await;
    assert_eq!(reset.json(), json!([{ "module": "all", "level": "info" }]));
    let lines = site.served.audit_lines().join("\n");
    assert!(
        lines.contains(
            r#""object":"log_level","action":"replace","id":"http=debug","outcome":"done""#
        )
    );
    assert!(
        lines.contains(r#""object":"log_level","action":"delete","id":"http","outcome":"done""#)
    );
}
