//! `broker doctor`: what it says of a deployment that is well, and of each that is not.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::app;
use mcp_auth_broker::config::{Environment, Sources, load};
use mcp_auth_broker::secret::Environment as Variables;
use mcp_auth_broker::time::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::doctor_stand_in::Slow;
use crate::support::child::{Served, command, command_beside};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::free_port::free_port;

/// Its exit code, and the steps as JSON.
fn examined(output: &std::process::Output) -> (Option<i32>, Vec<Value>) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!text.contains("CANARY"), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), told["steps"].as_array().unwrap().clone())
}

/// Everything that is bad or to be seen to in one area.
fn of(steps: &[Value], area: &str) -> Vec<(String, String)> {
    let text = |step: &Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let steps = steps.iter().filter(|step| step["area"] == area);
    steps.map(|step| (text(step, "verdict"), text(step, "found"))).collect()
}

/// A deployment whose public name is a stand-in for what is in front of it.
fn behind(front: &FakeHttp, settings: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let public = front.url().to_string();
    let settings = format!(
        "[server]\npublic_url = \"{public}\"\n[outbound]\nallow_private = [\"127.0.0.1\"]\n{settings}"
    );
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    directory
}

/// Answers as a broker does, as far as it is looked at.
async fn broker() -> FakeHttp {
    let front = FakeHttp::start(Reply::status(404)).await;
    let version = env!("CARGO_PKG_VERSION");
    let health = json!({ "status": "up", "service": "mcp-auth-broker", "version": version });
    front.answers_at("/health", Reply::json(health.to_string()));
    let base = front.url().to_string();
    let base = base.trim_end_matches('/');
    let metadata = json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] });
    let path = "/.well-known/oauth-protected-resource/mcp";
    front.answers_at(path, Reply::json(metadata.to_string()));
    front.answers_at("/mcp", challenge("Bearer error=\"invalid_token\", resource_metadata=\"x\""));
    front
}

fn challenge(header: &str) -> Reply {
    Reply::status(401).header("www-authenticate", header)
}

#[tokio::test]
async fn a_broker_that_runs_is_well_at_every_step() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), "", &[]).await;
    let asked = command_beside(directory.path(), &served.authority, &["doctor", "--json"]);
    let (code, steps) = examined(&asked);
    let bad: Vec<_> = steps.iter().filter(|step| step["verdict"] == "bad").collect();
    assert_eq!((code, bad.len()), (Some(0), 0), "{steps:#?}");
    let areas: Vec<_> = steps.iter().map(|step| step["area"].as_str().unwrap()).collect();
    for area in [
        "settings",
        "dns",
        "public_url",
        "proxy_headers",
        "tls",
        "clock",
        "store",
        "keys",
        "policy",
        "secrets",
        "identity_providers",
        "graph",
        "disk",
        "limits",
    ] {
        assert!(areas.contains(&area), "{area}");
    }
    assert_eq!(of(&steps, "clock")[0].0, "good");
    let told = of(&steps, "proxy_headers");
    let told: Vec<_> = told.iter().map(|(verdict, found)| (&**verdict, &**found)).collect();
    let arrives = "Authorization arrives, and the challenge comes back";
    let taken = "the broker takes 127.0.0.1 for the address of this request, whatever it claims";
    assert_eq!(told, [("good", arrives), ("good", taken)]);
}

#[tokio::test]
async fn nobody_under_the_public_name_is_bad_and_says_what_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let free = free_port();
    let asked = command_beside(directory.path(), &free.to_string(), &["doctor", "--json"]);
    let (code, steps) = examined(&asked);
    assert_eq!(code, Some(1));
    let step = steps.iter().find(|step| step["verdict"] == "bad").unwrap();
    assert_eq!((&step["area"], &step["key"]), (&json!("public_url"), &json!("server.public_url")));
    assert!(step["hint"].as_str().unwrap().contains("broker health"), "{step}");
    assert_eq!(of(&steps, "proxy_headers")[0].0, "skipped");
}

// The command is waited for while the stand-ins answer it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_takes_away_is_told_apart() {
    let front = broker().await;
    for (reply, problem) in [
        (
            challenge("Bearer resource_metadata=\"x\""),
            "Authorization does not arrive at the broker",
        ),
        (Reply::status(401), "WWW-Authenticate does not come back"),
        (Reply::status(302), "/mcp answers 302 Found to a token that is none"),
    ] {
        front.answers_at("/mcp", reply);
        let directory = behind(&front, "");
        let (code, steps) = examined(&command(directory.path(), &["doctor", "--json"]));
        let told = [("bad".to_owned(), problem.to_owned())];
        assert_eq!((code, of(&steps, "proxy_headers")), (Some(1), told.to_vec()));
    }
}

// The command is waited for while the stand-ins answer it.
#[tokio::test(flavor = "multi_thread")]
async fn something_else_under_the_public_name_is_not_taken_for_a_broker() {
    let front = broker().await;
    let path = "/.well-known/oauth-protected-resource/mcp";
    front.answers_at(path, Reply::json(r#"{"resource":"https://other.example/mcp"}"#));
    let told = |front: &FakeHttp| {
        let directory = behind(front, "");
        let (code, steps) = examined(&command(directory.path(), &["doctor", "--json"]));
        assert_eq!(code, Some(1));
        of(&steps, "public_url")
            .into_iter()
            .filter(|(verdict, _)| verdict == "bad")
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&front)[0].1, "the metadata there is of another resource");
    front.answers_at("/health", Reply::json("<html>"));
    assert_eq!(told(&front)[0].1, "/health answers 200 OK, and not as a broker does");
    front.answers_at("/health", Reply::status(421));
    assert!(told(&front)[0].1.contains("asked for another host"));
}

// The command is waited for while the stand-ins answer it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_bad() {
    let front = broker().await;
    let health = Reply::json(r#"{"service":"mcp-auth-broker","version":"0"}"#);
    front.answers_at("/health", health.header("date", "Sun, 06 Nov 1994 08:49:37 GMT"));
    let directory = behind(&front, "");
    let (_, steps) = examined(&command(directory.path(), &["doctor", "--json"]));
    assert_eq!(of(&steps, "clock")[0].0, "bad");
    assert_eq!(of(&steps, "public_url")[0].0, "warning", "another version, too");
}

#[tokio::test]
async fn what_was_not_looked_at_is_not_called_good() {
    let directory = tempfile::tempdir().unwrap();
    let verdicts = |settings: &str, more: &[&str], area: &str| {
        std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
        let arguments = [more, &["doctor", "--json"]].concat();
        let (_, steps) = examined(&command(directory.path(), &arguments));
        of(&steps, area).into_iter().map(|(verdict, _)| verdict).collect::<Vec<_>>()
    };
    let away = ["--set", "store.url=postgres://127.0.0.1:1/x"];
    assert_eq!(verdicts("", &away, "keys"), ["skipped"]);
    assert_eq!(verdicts("", &[], "keys"), ["good"]);
    let unreadable = "[[upstream.credential]]\nname = \"c\"\nurls = [\"https://a.example/\"]\ncredential = { bearer = \"file:/nowhere/token\" }\n";
    assert_eq!(verdicts(unreadable, &[], "secrets"), ["bad"]);
    assert_eq!(verdicts("", &[], "secrets"), ["good"]);
}

/// To which time passes only while `/mcp` is asked: minutes.
#[derive(Debug)]
struct SlowEndpoint(Arc<FakeHttp>);

impl Clock for SlowEndpoint {
    fn now(&self) -> Timestamp {
        let asked = self.0.asked().iter().filter(|asked| asked.path == "/mcp").count();
        SystemClock.now().plus(Duration::from_mins(2) * u32::try_from(asked).unwrap())
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

/// What is found behind this stand-in by a doctor to whom time passes so.
async fn found(front: &FakeHttp, clock: Arc<dyn Clock>) -> Vec<app::Step> {
    let directory = behind(front, "");
    let (environment, directory) = (Environment::default(), directory.path().to_owned());
    let overrides = vec![format!("store.url=sqlite:{}/data/broker.db", directory.display())];
    let loaded = load(Sources { directory, environment, overrides, file: None });
    Box::pin(app::doctor(loaded.config.as_ref().unwrap(), Variables::default(), clock)).await
}

#[tokio::test]
async fn a_slow_endpoint_is_not_taken_for_a_wrong_clock() {
    let front = Arc::new(broker().await);
    let steps = found(&front, Arc::new(SlowEndpoint(Arc::clone(&front)))).await;
    let clock = steps.iter().find(|step| step.area == app::Area::Clock).unwrap();
    assert_eq!(clock.verdict, app::Verdict::Good, "{clock:?}");
}

#[tokio::test]
async fn a_broker_that_answers_late_under_its_name_is_told() {
    let front = Arc::new(broker().await);
    let clock = Slow(Arc::clone(&front), "/health", Duration::from_secs(6));
    let steps = found(&front, Arc::new(clock)).await;
    let told: Vec<_> = steps.iter().filter(|step| step.area == app::Area::PublicUrl).collect();
    let late = told.iter().find(|step| step.verdict == app::Verdict::Warning).unwrap();
    assert_eq!(late.found, "/health is answered after 6.0 s", "{told:#?}");
}

/// A token of Entra that names these application permissions.
fn token(roles: &[&str]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = "c2lnbmF0dXJlLUNBTkFSWQ";
    [part(json!({ "alg": "RS256" })), part(json!({ "roles": roles })), signature.to_owned()]
        .join(".")
}

// The command is waited for while the stand-ins answer it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_may_on_graph_is_compared_with_what_policy_allows() {
    let (front, login, graph) = (
        broker().await,
        FakeHttp::start(Reply::status(404)).await,
        FakeHttp::start(Reply::status(401)).await,
    );
    let granted = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token(&["Mail.Send", "User.Read.All"]) });
    login.answers(Reply::json(granted.to_string()));
    let directory = behind(
        &front,
        &format!(
            "[policy]\nfile = \"policy.toml\"\n[graph]\nmode = \"live\"\ncloud = \"custom\"\n\
         custom_cloud = {{ login_url = \"{}\", graph_url = \"{}\" }}\n\
         [[graph.profile]]\nname = \"reader\"\ntenant_id = \"contoso.example\"\nclient_id = \"app\"\n\
         credential = {{ client_secret = \"client-secret-CANARY\" }}\n",
            login.url(),
            graph.url(),
        ),
    );
    let policy = "version = \"1\"\ndefault = \"deny\"\n[[rule]]\nid = \"r\"\neffect = \"allow\"\n\
        tools = [\"auth\\\\.graph\\\\..*\"]\nscopes = [\"graph:read\"]\n\
        graph = { profile = \"reader\", methods = [\"GET\"], paths = [\"/v1.0/users\"], permissions = [\"User.Read.All\", \"Group.Read.All\"] }\n";
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let (code, steps) = examined(&command(directory.path(), &["doctor", "--json"]));
    let told: Vec<String> = of(&steps, "graph").into_iter().map(|(_, found)| found).collect();
    assert_eq!(
        told,
        [
            "profile `reader`: policy allows what the app may not: Group.Read.All",
            "profile `reader`: the app may what no rule allows: Mail.Send",
        ]
    );
    assert_eq!(code, Some(0), "neither stops a broker");
}

#[tokio::test]
async fn people_get_a_line_for_each_step_and_settings_that_are_wrong_are_steps_too() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("broker.toml"), "[server]\nlisten = \"nowhere\"\n")
        .unwrap();
    // `--set server.listen` of these tests would win over the file.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_broker"))
        .current_dir(directory.path())
        .env_clear()
        .arg("doctor")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("BAD      settings"), "{text}");
    assert!(text.contains("setting: server.listen\n"), "{text}");
    assert!(text.contains("allowed: an address and a port"), "{text}");
    assert!(text.ends_with("1 bad, 0 to be seen to, 0 good\n"), "{text}");
}

/// Against a real broker, to which no other host is there.
#[tokio::test]
async fn the_steps_of_a_client_are_taken_until_a_person_would_be_asked() {
    let directory = tempfile::tempdir().unwrap();
    let alone = "[outbound]\nproxy = \"http://127.0.0.1:1\"\nno_proxy = [\"127.0.0.1\"]\n";
    let served = Served::start(directory.path(), alone, &[]).await;
    for client in [
        "cursor",
        "inspector",
        "mcp-remote",
        "claude-code",
        "vscode",
        "codex",
        "opencode",
        "gemini-cli",
    ] {
        let arguments = ["doctor", "--json", "--as-client", client];
        let (code, steps) =
            examined(&command_beside(directory.path(), &served.authority, &arguments));
        assert_eq!(code, Some(0), "{client}: {steps:#?}");
        let last = steps.last().unwrap()["found"].as_str().unwrap();
        assert_eq!(
            last, "the token endpoint knows it, and refuses a code that is none",
            "{client}"
        );
    }
}

#[tokio::test]
async fn the_first_step_of_a_client_that_fails_is_explained_and_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[authorization_server]\ndynamic_registration = \"off\"\nclient_metadata_documents = \"off\"\n";
    let served = Served::start(directory.path(), settings, &[]).await;
    for (client, key) in [
        ("cursor", "authorization_server.dynamic_registration"),
        ("vscode", "authorization_server.client_metadata_documents"),
        ("chatgpt", "server.public_url"),
        ("claude", "server.public_url"),
    ] {
        let arguments = ["doctor", "--json", "--as-client", client];
        let (code, steps) =
            examined(&command_beside(directory.path(), &served.authority, &arguments));
        let last = steps.last().unwrap();
        assert_eq!(
            (code, &last["verdict"], &last["key"]),
            (Some(1), &json!("bad"), &json!(key)),
            "{steps:#?}"
        );
        assert!(last["hint"].is_string(), "{last}");
    }
    let nobody = command(directory.path(), &["doctor", "--as-client", "netscape"]);
    assert_eq!(nobody.status.code(), Some(2));
}

#[tokio::test]
async fn a_client_whose_host_is_denied_is_told_by_which_setting() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[[authorization_server.client_host]]\nhost = \"*.dev\"\ntrust = \"deny\"\n";
    let served = Served::start(directory.path(), settings, &[]).await;
    let arguments = ["doctor", "--json", "--as-client", "vscode"];
    let (code, steps) = examined(&command_beside(directory.path(), &served.authority, &arguments));
    let last = steps.last().unwrap();
    assert_eq!((code, &last["key"]), (Some(1), &json!("authorization_server.client_host")));
    assert_eq!(last["found"], "clients of vscode.dev are denied", "{last}");
}

/// None of them binds its tokens to a key, and none pushes its request.
#[tokio::test]
async fn what_no_client_does_is_named_with_its_setting() {
    for (settings, key) in [
        ("[resource_server]\ndpop = \"required\"\n", "resource_server.dpop"),
        (
            "[authorization_server]\nrequire_pushed_authorization_requests = true\n",
            "authorization_server.require_pushed_authorization_requests",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let served = Served::start(directory.path(), settings, &[]).await;
        let arguments = ["doctor", "--json", "--as-client", "mcp-remote"];
        let (code, steps) =
            examined(&command_beside(directory.path(), &served.authority, &arguments));
        let last = steps.last().unwrap();
        assert_eq!((code, &last["key"]), (Some(1), &json!(key)), "{steps:#?}");
        assert!(last["allowed"].is_string() && last["hint"].is_string(), "{last}");
    }
}
