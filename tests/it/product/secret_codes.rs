//! A backend of secrets that fails, as whoever calls the tool sees it: the code, and nothing of what the backend said.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures_util::future::join_all;
use mcp_auth_broker::secret::Environment as Variables;
use mcp_auth_broker::secret_text::SecretText;
use serde_json::{Value, json};

use crate::support::backends::{Backends, MARK, OnePassword, VARIABLE};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;

/// Backend, what is done there, code, whether trying again may help, and the detail.
type Row = (&'static str, &'static str, &'static str, bool, Option<&'static str>);

const ABSENT: &str = "secret.not_found";
const DENIED: &str = "secret.access_denied";
const SLOW: &str = "secret.timeout";
const AWAY: &str = "secret.unavailable";

const EACH: [Row; 11] = [
    ("env", "absent", ABSENT, false, None),
    ("file", "absent", ABSENT, false, None),
    ("file", "open", DENIED, false, Some("permissions")),
    ("exec", "absent", ABSENT, false, Some("malformed")),
    ("exec", "slow", SLOW, true, None),
    ("exec", "broken", AWAY, true, Some("unexpected")),
    ("vault", "absent", ABSENT, false, None),
    ("vault", "denied", DENIED, false, None),
    ("vault", "slow", SLOW, true, None),
    ("vault", "broken", AWAY, true, Some("sealed")),
    ("op", "absent", ABSENT, false, None),
];
const PROGRAM: [Row; 3] = [
    ("op", "denied", DENIED, false, None),
    ("op", "slow", SLOW, true, None),
    ("op", "broken", AWAY, true, Some("unexpected")),
];
const CONNECT: [Row; 3] = [
    ("op", "denied", DENIED, false, None),
    ("op", "slow", SLOW, true, None),
    ("op", "broken", AWAY, true, Some("faulty")),
];

/// A profile, a tenant and a rule for each row.
fn settings(
    rows: &[Row],
    backends: &Backends,
    one_password: OnePassword,
    login: &FakeHttp,
) -> (String, String) {
    let url = login.url();
    let mut settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[policy]\nfile = \"policy.toml\"\n{}\n\
         [graph]\nmode = \"live\"\ncloud = \"custom\"\ntimeout_ms = 20000\n\
         custom_cloud = {{ login_url = \"{url}\", graph_url = \"{url}\" }}\n",
        backends.settings(one_password)
    );
    let mut policy = "version = \"t\"\ndefault = \"deny\"\n".to_owned();
    for (backend, what, ..) in rows {
        let (name, reference) =
            (format!("{backend}-{what}"), backends.reference(one_password, backend, what));
        writeln!(settings, "[[graph.profile]]\nname = \"{name}\"\ntenant_id = \"{name}.example\"\nclient_id = \"app\"\ncredential = {{ client_secret = \"{reference}\" }}").unwrap();
        writeln!(policy, "[[rule]]\nid = \"{name}\"\neffect = \"allow\"\ntools = [\".*\"]\ngraph = {{ profile = \"{name}\", methods = [\"GET\"], paths = [\"/v1.0/users\"], permissions = [\"User.Read.All\"] }}").unwrap();
    }
    (settings, policy)
}

async fn each_row_is_told_by_its_code(rows: &[Row], one_password: OnePassword) {
    let place = tempfile::tempdir().unwrap();
    let backends = Backends::start(place.path()).await;
    let login = FakeHttp::start(Reply::status(500)).await;
    let (settings, policy) = settings(rows, &backends, one_password, &login);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let held = [("VARIABLE".to_owned(), SecretText::new(VARIABLE.to_owned()))];
    let variables: Variables = held.into_iter().collect();
    let product = Product::start_with(directory, &settings, &[], variables).await;
    let token = product.token(&[]);
    let call = |tenant: String| json!({ "graph": { "tenant_id": tenant }, "operation": { "method": "GET", "path": "/v1.0/users" } });
    let replies = join_all(rows.iter().map(|(backend, what, ..)| {
        product.graph(&token, call(format!("{backend}-{what}.example")))
    }))
    .await;
    for (row, reply) in rows.iter().zip(&replies) {
        is_told(row, reply);
    }
    let ready = product.get("/ready").await;
    let degraded: BTreeSet<_> = ready.json()["degraded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].to_string())
        .collect();
    let failing: BTreeSet<_> = rows
        .iter()
        .map(|(backend, ..)| format!("\"secrets {}\"", backend.replace("op", "1password")))
        .collect();
    assert_eq!((ready.status, degraded), (200, failing));
    let seen = format!("{replies:?}{}{}", product.audit_lines().join("\n"), ready.body);
    assert!(!seen.contains(MARK), "{seen}");
    assert_eq!(login.count(), 0, "nobody was asked for a token without a secret");
}

fn is_told((backend, what, code, retryable, detail): &Row, reply: &Value) {
    let error = &reply["error"];
    assert_eq!(error["code"], *code, "{backend} {what}: {reply}");
    assert_eq!((&error["category"], &error["retryable"]), (&json!("secret"), &json!(retryable)));
    assert_eq!(error["metadata"]["detail"].as_str(), *detail, "{backend} {what}: {reply}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_told_by_one_of_four_codes() {
    each_row_is_told_by_its_code(&[&EACH[..], &PROGRAM].concat(), OnePassword::Program).await;
}

#[tokio::test]
async fn a_connect_server_that_fails_is_told_by_the_same_codes() {
    let rows = [&EACH[10..], &CONNECT].concat();
    each_row_is_told_by_its_code(&rows, OnePassword::Connect).await;
}

/// The quota of a 1Password account is small: after this nobody is asked until it is over.
#[tokio::test]
async fn a_quota_that_is_used_up_says_how_long_to_wait() {
    let place = tempfile::tempdir().unwrap();
    let backends = Backends::start(place.path()).await;
    let login = FakeHttp::start(Reply::status(500)).await;
    let rows = [("vault", "limited", AWAY, true, Some("rate_limited"))];
    let (settings, policy) = settings(&rows, &backends, OnePassword::Connect, &login);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let product = Product::start_in(directory, &settings, &[]).await;
    let token = product.token(&[]);
    for _ in 0..3 {
        let reply = product.graph_get(&token, "/v1.0/users").await;
        is_told(&rows[0], &reply);
        assert!(reply["error"]["metadata"]["retry_after_ms"].as_u64().unwrap() > 30_000, "{reply}");
    }
    assert_eq!(backends.asked_for("limited"), 1);
}
