//! What prod refuses, one by one, and that the sample passes.

use std::os::unix::fs::PermissionsExt;

use mcp_auth_broker::config::Severity;

use super::{Place, errors, finding, warnings};

const KEK: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The least that prod starts with.
const GOOD: &str = "environment = \"prod\"
[server]
public_url = \"https://broker.example\"
trusted_proxies = [\"10.0.0.0/8\"]
[store]
url = \"postgres://broker@db/broker\"
key_encryption_key = \"env:KEK\"
[tools]
sample = false
";

fn prod(settings: &str) -> Place {
    Place::new(settings).env("KEK", KEK)
}

/// The keys that are refused after one part of the good settings is replaced.
fn refused(good: &str, bad: &str) -> Vec<String> {
    assert!(GOOD.contains(good));
    let loaded = prod(&GOOD.replace(good, bad)).load();
    errors(&loaded).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn good_settings_are_not_refused() {
    assert_eq!(errors(&prod(GOOD).load()), Vec::<String>::new());
}

#[test]
fn the_key_to_the_store_is_not_for_the_environment_outside_development() {
    let about = |settings: &str| {
        let told = warnings(&prod(settings).load());
        told.iter().any(|line| line.starts_with("store.key_encryption_key: comes from the env"))
    };
    assert!(about(GOOD) && about(&GOOD.replace("\"prod\"", "\"staging\"")));
    assert!(!about(&GOOD.replace("\"prod\"", "\"dev\"")));
    assert!(!about(&GOOD.replace("env:KEK", "file:/run/secrets/kek")));
}

#[test]
fn in_development_no_client_is_counted_and_in_production_each_is() {
    let dev = Place::new("").load().config.unwrap().authorization_server;
    assert_eq!((dev.token_rate, dev.introspection_rate), (None, None));
    let prod = prod(GOOD).load().config.unwrap().authorization_server;
    assert!(prod.token_rate.is_some() && prod.introspection_rate.is_some());
}

// MCP 2026-07-28 authorization §Communication Security — AS-5
#[test]
fn weak_settings_are_refused_each_by_its_key() {
    for (good, bad, key) in [
        ("https://broker.example", "http://broker.example", "server.public_url"),
        ("trusted_proxies = [\"10.0.0.0/8\"]", "", "server.public_url"),
        ("10.0.0.0/8\"", "10.0.0.0/8\", \"0.0.0.0/0\"", "server.trusted_proxies[1]"),
        ("key_encryption_key = \"env:KEK\"", "", "store.key_encryption_key"),
        ("env:KEK", "env:OTHER", "store.key_encryption_key"),
        ("env:KEK", "file:/does/not/exist", "store.key_encryption_key"),
        ("env:KEK", KEK, "store.key_encryption_key"),
        ("postgres://broker@db", "postgres://broker:hunter2@db", "store.url"),
        ("postgres://broker@db/broker\"", "sqlite:b.db\"\nreplicas = 2", "store.replicas"),
        ("sample = false", "sample = true", "tools.sample"),
        ("sample = false\n", "sample = false\n[graph]\nmode = \"simulated\"\n", "graph.mode"),
        (
            "sample = false\n",
            "sample = false\n[audit]\non_failure = \"drop\"\n",
            "audit.on_failure",
        ),
        (
            "sample = false\n",
            "sample = false\n[authorization_server]\ndynamic_registration = \"open\"\n",
            "authorization_server.dynamic_registration",
        ),
    ] {
        assert_eq!(refused(good, bad), [key], "{bad}");
    }
}

/// A pod that starts again and again asks for it again and again.
#[test]
fn a_backend_with_a_quota_is_no_place_for_what_every_start_reads() {
    let text = format!(
        "{GOOD}[secrets]\nprovider = \"1password\"\n[approvals]\nwebhook_url = \"https://hooks.example/\"\nwebhook_secret = \"op://v/i/f\"\n"
    );
    let loaded = prod(&text.replace("env:KEK", "op://vault/item/kek")).load();
    for key in ["store.key_encryption_key", "approvals.webhook_secret"] {
        let finding = finding(&loaded, key);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.problem.contains("every start"), "{}", finding.problem);
    }
    let here = prod(&text).load();
    let told = here.findings.iter().filter(|finding| finding.problem.contains("every start"));
    assert_eq!(told.map(|finding| &*finding.key).collect::<Vec<_>>(), ["approvals.webhook_secret"]);
}

#[test]
fn short_and_published_shared_secrets_are_refused() {
    let text =
        format!("{GOOD}[[resource_server.issuer]]\nissuer = \"legacy\"\nsecret = \"env:S\"\n");
    for (secret, refused) in [
        ("31-bytes-are-one-too-few-for-it", true),
        ("a-string-secret-at-least-256-bits-long", true),
        ("32-bytes-are-just-enough-for-it!", false),
    ] {
        let loaded = prod(&text).env("S", secret).load();
        assert_eq!(loaded.has_errors(), refused, "{secret}");
    }
}

/// Anybody may try the secret of a client whose id they know.
#[test]
fn a_clients_secret_that_could_be_guessed_is_refused() {
    let client = "[[authorization_server.client]]\nclient_id = \"nightly\"\nsecret = \"env:S\"\n\
        grants = [\"client_credentials\"]\nscopes = [\"graph:read\"]\n";
    let key = "authorization_server.client[0].secret";
    for (secret, refused) in [
        ("31-bytes-are-one-too-few-for-it", true),
        ("change-me-in-production-at-least-32-bytes", true),
        ("32-bytes-are-just-enough-for-it!", false),
    ] {
        let loaded = prod(&format!("{GOOD}{client}")).env("S", secret).load();
        assert_eq!(loaded.has_errors(), refused, "{secret}");
        if refused {
            assert!(!format!("{:?}", loaded.findings).contains(secret));
            assert_eq!(errors(&loaded).len(), 1);
        }
        let dev = Place::new(client).env("S", secret).load();
        assert!(!dev.has_errors(), "{secret}");
        let warned = dev.findings.iter().any(|finding| *finding.key == *key);
        assert_eq!(warned, refused, "{secret}: {:?}", dev.findings);
    }
}

#[test]
fn a_secret_file_that_everybody_can_read_is_refused() {
    let place = prod("");
    let path = place.path().join("kek");
    let place = place
        .write("kek", KEK)
        .write("broker.toml", &GOOD.replace("env:KEK", &format!("file:{}", path.display())));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(finding(&place.load(), "store.key_encryption_key").problem.contains("every user"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(errors(&place.load()), Vec::<String>::new());
}

#[test]
fn a_listener_on_the_network_needs_a_word_in_dev() {
    let text = "[server]\nlisten = \"0.0.0.0:8080\"\n";
    assert!(Place::new(text).load().has_errors());
    let loaded = Place::new(&format!("{text}dev_on_network = true\n")).load();
    let server = loaded.config.unwrap().server;
    assert_eq!(server.public_url.as_str(), "http://localhost:8080/");
    assert_eq!(server.loopback_alias.unwrap().as_str(), "http://127.0.0.1:8080/");
}

#[test]
fn the_sample_settings_pass() {
    let place = prod("")
        .env("INTROSPECT_SECRET", "x")
        .env("MCP_JWT_SECRET_KEY", "32-bytes-are-just-enough-for-it!");
    let place = place.env("OP_SERVICE_ACCOUNT_TOKEN", "ops_x");
    let root = place.path().display().to_string();
    let mut text = include_str!("../../../docs/examples/broker.toml").to_owned();
    for (path, content) in [
        ("/run/secrets/kek", KEK),
        ("/run/secrets/nightly", "32-bytes-are-just-enough-for-it!"),
        ("/run/secrets/mailer.key", "x"),
        ("/run/secrets/connect", "x"),
        ("/run/secrets/secret-id", "x"),
        ("/etc/broker/mailer.pem", "x"),
        ("/etc/ssl/corp.pem", "x"),
    ] {
        let file = format!("{root}/{}", path.rsplit('/').next().unwrap());
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        text = text.replace(path, &file);
    }
    let text = text.replace("/etc/broker/documents", &root);
    let place = place.write("public.md", "").write("confidential.md", "").write("policy.toml", "");
    let place = place.write("policy.next.toml", "").write("broker.toml", &text);
    assert_eq!(errors(&place.load()), Vec::<String>::new());
}
