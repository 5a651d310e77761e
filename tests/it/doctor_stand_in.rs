//! `broker doctor --as-client` where a broker would have to be broken: a stand-in, a member or an answer of which is another.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::app;
use mcp_auth_broker::config::{Environment, Sources, load};
use mcp_auth_broker::time::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

use crate::doctor_broken::last;
use crate::support::child::command_beside;
use crate::support::fake_http::{FakeHttp, Reply};

/// A broker as it should be, made of answers; a member of its metadata is changed.
async fn stand_in(change: impl FnOnce(&mut Value, &mut Value)) -> FakeHttp {
    let front = FakeHttp::start(Reply::status(404)).await;
    let base = front.url().to_string();
    let base = base.trim_end_matches('/');
    let mut resource =
        json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] });
    let mut issuer = json!({
        "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"), "registration_endpoint": format!("{base}/register"),
        "code_challenge_methods_supported": ["S256"], "client_id_metadata_document_supported": true,
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
    });
    change(&mut resource, &mut issuer);
    let at =
        format!("Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource/mcp\"");
    front.answers_at("/mcp", Reply::status(401).header("www-authenticate", &at));
    let metadata = "/.well-known/oauth-protected-resource/mcp";
    front.answers_at(metadata, Reply::json(resource.to_string()));
    front.answers_at("/.well-known/oauth-authorization-server", Reply::json(issuer.to_string()));
    front.answers_at("/authorize", Reply::status(302).header("location", "/login?request=x"));
    let refused = |error: &str| {
        let Reply::Answer(_, headers, body) = Reply::json(format!("{{\"error\":\"{error}\"}}"))
        else {
            unreachable!()
        };
        Reply::Answer(400, headers, body)
    };
    front.answers_at("/token", refused("invalid_grant"));
    front.answers_at("/register", refused("invalid_redirect_uri"));
    front
}

fn asks(front: &FakeHttp, client: &str) -> (bool, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("[server]\npublic_url = \"{}\"\n", front.url());
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let arguments = ["doctor", "--json", "--as-client", client];
    last(&command_beside(directory.path(), "127.0.0.1:9", &arguments))
}

/// Removes or replaces members of the two documents.
type Change = fn(&mut Value, &mut Value);

// RFC 8414 §3.3, RFC 9728 §3.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_metadata_is_named() {
    let remove = |value: &mut Value, name: &str| drop(value.as_object_mut().unwrap().remove(name));
    assert!(asks(&stand_in(|_, _| {}).await, "vscode").0, "it is well");
    let changes: [(Change, &str, &str); 10] = [
        (
            |resource, _| resource["resource"] = json!("https://other.example/mcp"),
            "vscode",
            "names another resource",
        ),
        (
            |resource, _| resource["authorization_servers"] = json!([]),
            "vscode",
            "names no authorization server",
        ),
        (
            |resource, _| resource["authorization_servers"] = json!(["not a URL"]),
            "vscode",
            "the issuer is no URL",
        ),
        (
            |_, issuer| {
                issuer["issuer"] = format!("{}/", issuer["issuer"].as_str().unwrap()).into();
            },
            "claude-code",
            "the issuer's metadata names another issuer",
        ),
        (
            |_, issuer| issuer["code_challenge_methods_supported"] = json!(["plain"]),
            "cursor",
            "does not say that it takes PKCE",
        ),
        (
            |_, issuer| issuer["token_endpoint"] = Value::Null,
            "cursor",
            "the issuer's metadata has no token_endpoint",
        ),
        (
            |_, issuer| issuer["authorization_endpoint"] = Value::Null,
            "cursor",
            "has no authorization_endpoint",
        ),
        (
            |_, issuer| {
                issuer["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
                issuer["registration_endpoint"] = Value::Null;
            },
            "claude-code",
            "clients that name themselves by a document are not taken",
        ),
        (
            |_, issuer| issuer["token_endpoint"] = json!("https://other.example/token"),
            "codex",
            "the issuer's endpoints are at https://other.example",
        ),
        (
            |_, issuer| issuer["registration_endpoint"] = Value::Null,
            "mcp-remote",
            "clients cannot register themselves",
        ),
    ];
    for (change, client, found) in changes {
        let (good, told, all) = asks(&stand_in(change).await, client);
        assert!(!good && told.contains(found), "{found}: {all}");
        assert!(all.contains("\"hint\"") || all.contains("\"allowed\""), "what to do: {all}");
    }
    let none = |issuer: &mut Value| {
        remove(issuer, "client_id_metadata_document_supported");
        remove(issuer, "registration_endpoint");
    };
    let front = stand_in(|_, issuer| none(issuer)).await;
    assert!(asks(&front, "vscode").2.contains("client_metadata_documents"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_endpoint_refuses_is_named() {
    let to = "http://127.0.0.1:33418/?error=invalid_scope&state=doctor";
    let error = |status, error: &str| {
        let body = format!("{{\"error\":\"{error}\"}}").into();
        Reply::Answer(status, vec![("content-type", "application/json".to_owned())], body)
    };
    for (path, reply, client, found) in [
        (
            "/authorize",
            Reply::status(302).header("location", to),
            "vscode",
            "refused: invalid_scope",
        ),
        (
            "/token",
            error(401, "invalid_client"),
            "vscode",
            "the token endpoint answers invalid_client",
        ),
        ("/token", error(400, "Evil <script>"), "vscode", "with something that is no error code"),
        (
            "/register",
            error(400, "invalid_redirect_uri"),
            "cursor",
            "400 Bad Request, invalid_redirect_uri",
        ),
        (
            "/mcp",
            Reply::json("x".repeat(300 * 1024)),
            "vscode",
            "the answer of 127.0.0.1 is larger than 262144 bytes",
        ),
    ] {
        let front = stand_in(|_, _| {}).await;
        front.answers_at(path, reply);
        let (good, told, all) = asks(&front, client);
        assert!(!good && told.contains(found), "{path}: {all}");
    }
}

/// To which time passes only while one path is asked: so long each time.
#[derive(Debug)]
pub(crate) struct Slow(pub(crate) Arc<FakeHttp>, pub(crate) &'static str, pub(crate) Duration);

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        let asked = self.0.asked().iter().filter(|asked| asked.path == self.1).count();
        self.2 * u32::try_from(asked).unwrap()
    }
}

#[tokio::test]
async fn an_answer_that_comes_late_is_told_and_which() {
    let front = Arc::new(stand_in(|_, _| {}).await);
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("[server]\npublic_url = \"{}\"\n", front.url());
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let (environment, directory) = (Environment::default(), directory.path().to_owned());
    let loaded = load(Sources { directory, environment, overrides: Vec::new(), file: None });
    let config = loaded.config.as_ref().unwrap();
    let client = app::Client::all().find(|client| client.name == "vscode").unwrap();
    for (secs, late) in [(6, &["POST /token is answered after 6.0 s"][..]), (5, &[])] {
        let clock = Slow(Arc::clone(&front), "/token", Duration::from_secs(secs));
        let steps = app::as_client(config, client, &clock).await;
        let warned = steps.iter().filter(|step| step.verdict == app::Verdict::Warning);
        let warned: Vec<_> = warned.map(|step| step.found.as_str()).collect();
        assert_eq!(warned, late, "{steps:#?}");
    }
}

/// A client that may also register itself does so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_document_is_not_taken_registers_itself() {
    let front = stand_in(|_, issuer| {
        issuer["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
    })
    .await;
    let Reply::Answer(_, headers, body) = Reply::json("{\"client_id\":\"dcr1.x\"}") else {
        unreachable!()
    };
    front.answers_at("/register", Reply::Answer(201, headers, body));
    let (good, told, all) = asks(&front, "opencode");
    assert!(good && told.starts_with("the token endpoint knows it"), "{all}");
    let registered = front.asked().into_iter().find(|asked| asked.path == "/register").unwrap();
    assert!(registered.body.contains("http://127.0.0.1:19876/mcp/oauth/callback"));
    // The one of the list that never does.
    let (good, _, all) = asks(&front, "chatgpt");
    assert!(!good, "{all}");
}
