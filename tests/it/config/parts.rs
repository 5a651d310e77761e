//! What `broker check` finds wrong with what the settings name, and that a start stops at the same.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use mcp_auth_broker::app::App;
use mcp_auth_broker::cli::check;
use mcp_auth_broker::config::{Environment, Sources, load};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::SystemClock;
use serde_json::Value;

use crate::support::child::command;

/// `severity key` of what a check finds.
async fn checked(directory: &Path, settings: &str) -> Vec<String> {
    let told = |one: &Value| format!("{} {}", one["severity"], one["key"]).replace('"', "");
    found(directory, settings).await.iter().map(told).collect()
}

/// What a check finds.
async fn found(directory: &Path, settings: &str) -> Vec<Value> {
    std::fs::write(directory.join("broker.toml"), settings).unwrap();
    let secret = [("SECRET".to_owned(), "x".to_owned())];
    let sources = Sources {
        directory: directory.to_owned(),
        environment: secret.into_iter().collect::<Environment>(),
        ..Sources::default()
    };
    let mut out = Vec::new();
    let args = check::CheckArgs { live: false, json: true };
    check::run(&args, sources, &mut out, false).await;
    let report: Value = serde_json::from_slice(&out).unwrap();
    report["findings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_cloud_that_may_not_be_called_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "[graph]\nmode = \"live\"\ncloud = \"custom\"\n\
        custom_cloud = { login_url = \"http://127.0.0.1:9001\", graph_url = \"http://localhost:9002\" }\n\
        [[graph.profile]]\ntenant_id = \"contoso.example\"\nclient_id = \"app\"\n\
        credential = { client_secret = \"env:SECRET\" }\n";
    let found = checked(directory.path(), settings).await;
    assert_eq!(found, ["warning graph.cloud", "warning graph.cloud"]);
    let allowed = format!("{settings}[outbound]\nallow_private = [\"127.0.0.0/8\"]\n");
    assert_eq!(checked(directory.path(), &allowed).await, Vec::<String>::new());
}

/// A file that nobody else may read.
fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A certificate, its key, and the key of another one.
fn write_keys(directory: &Path) {
    let key = |name: &str| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        private(&directory.join(name), &key.serialize_pem());
        key
    };
    let own = key("tls.key");
    let names = rcgen::CertificateParams::new(["broker.example".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.crt"), names.self_signed(&own).unwrap().pem()).unwrap();
    key("other.key");
}

fn tls(directory: &Path, key: &str) -> String {
    let at = directory.display();
    format!("[server]\ntls = {{ cert = \"{at}/tls.crt\", key = \"file:{at}/{key}\" }}\n")
}

#[tokio::test]
async fn what_a_start_would_fail_at_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write_keys(root);
    private(&root.join("file"), "no key");
    let sink = |path: String| format!("[[audit.sink]]\nkind = \"file\"\npath = \"{path}\"\n");
    let store = |path: String| format!("[store]\nurl = \"sqlite:{path}\"\n");
    let below = format!("{}/file", root.display());
    for (settings, expected) in [
        (tls(root, "other.key"), "error server.tls"),
        (tls(root, "file"), "error server.tls"),
        (
            tls(root, "tls.key").replace(" }", &format!(", client_ca_file = \"{below}\" }}")),
            "error server.tls",
        ),
        (sink(format!("{below}/audit.jsonl")), "error audit.sink[0].path"),
        (sink("/proc/x/audit.jsonl".to_owned()), "error audit.sink[0].path"),
        (store(format!("{below}/broker.db")), "error store.url"),
        (store("/proc/x/broker.db".to_owned()), "error store.url"),
    ] {
        assert_eq!(checked(root, &settings).await, [expected], "{settings}");
    }
    for settings in [tls(root, "tls.key"), sink(format!("{}/new/audit.jsonl", root.display()))] {
        assert_eq!(checked(root, &settings).await, Vec::<String>::new(), "{settings}");
    }
    assert!(!root.join("new").exists(), "a check makes nothing");
}

#[test]
fn nobody_is_told_of_a_broker_whose_certificate_does_not_load() {
    let directory = tempfile::tempdir().unwrap();
    write_keys(directory.path());
    std::fs::write(directory.path().join("broker.toml"), tls(directory.path(), "other.key"))
        .unwrap();
    let served = command(directory.path(), &["serve"]);
    let told = String::from_utf8_lossy(&served.stderr);
    assert_eq!(served.status.code(), Some(1), "{told}");
    assert!(told.contains("hint: ") && told.contains("server.tls.key"), "{told}");
    assert!(!told.contains("MCP endpoint") && !told.contains("http.listening"), "{told}");
}

/// RSA keys with a certificate each, a token file, and a file that is none of them.
fn write_credentials(directory: &Path) {
    for name in ["app", "other"] {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let made = rcgen::CertificateParams::new(["app".to_owned()]).unwrap();
        let made = made.self_signed(&key).unwrap();
        private(&directory.join(format!("{name}.key")), &key.serialize_pem());
        std::fs::write(directory.join(format!("{name}.crt")), made.pem()).unwrap();
    }
    private(&directory.join("token"), "a.b.c");
    private(&directory.join("garbage"), "garbage");
}

fn profiles(credentials: &[&str]) -> String {
    let profile = |(place, credential): (usize, &&str)| {
        format!(
            "[[graph.profile]]\nname = \"p{place}\"\ntenant_id = \"contoso.example\"\nclient_id = \"app\"\ncredential = {{ {credential} }}\n"
        )
    };
    let each: Vec<String> = credentials.iter().enumerate().map(profile).collect();
    // Without rules of the defaults, which are for one profile.
    format!("[policy]\nfile = \"policy.toml\"\n[graph]\nmode = \"live\"\n{}", each.concat())
}

#[tokio::test]
async fn credentials_of_profiles_that_lie_in_files_are_tried_each_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write_credentials(root);
    std::fs::write(root.join("policy.toml"), "version = \"1\"\ndefault = \"deny\"\n").unwrap();
    let at = root.display();
    let certificate = |certificate: &str, key: &str| {
        format!("certificate = \"{at}/{certificate}\", private_key = \"file:{at}/{key}\"")
    };
    let token = |name: &str| format!("federated_token_file = \"{at}/{name}\"");
    let bad = [
        certificate("app.crt", "other.key"),
        certificate("app.crt", "garbage"),
        certificate("garbage", "app.key"),
        token("none"),
        token("garbage"),
        certificate("app.crt", "app.key"),
        token("token"),
    ];
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    let keys = [
        "[0].credential.private_key",
        "[1].credential.private_key",
        "[2].credential.certificate",
        "[3].credential.federated_token_file",
        "[4].credential.federated_token_file",
    ];
    let mut told = checked(root, &profiles(&bad)).await;
    told.sort();
    assert_eq!(told, keys.map(|key| format!("error graph.profile{key}")));
    assert_eq!(checked(root, &profiles(&bad[5..])).await, Vec::<String>::new());
}

/// What `broker check` passes, starts; what it refuses of these, a start refuses.
#[tokio::test]
async fn what_a_check_passes_starts() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let issuer = |name: &str| {
        format!(
            "[[resource_server.issuer]]\nissuer = \"{name}\"\njwks_uri = \"https://idp.example/keys\"\n"
        )
    };
    let sinks = |first: &str, second: &str| {
        let sink = |path: &str| format!("[[audit.sink]]\nkind = \"file\"\npath = \"{path}\"\n");
        format!("{}{}", sink(first), sink(second))
    };
    let public = "server.public_url = \"http://127.0.0.1:8080\"\n".to_owned();
    let rest = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:data/broker.db\"\n";
    std::os::unix::fs::symlink(root, root.join("link")).unwrap();
    for (settings, key) in [
        (
            public.clone() + &issuer("http://127.0.0.1:8080"),
            Some("resource_server.issuer[0].issuer"),
        ),
        (public + &issuer("http://127.0.0.1:8081"), None),
        (sinks("a.jsonl", "a.jsonl"), Some("audit.sink[1].path")),
        (sinks("a.jsonl", "./a.jsonl"), Some("audit.sink[1].path")),
        (sinks("a.jsonl", "link/a.jsonl"), Some("audit.sink[1].path")),
        (sinks("a.jsonl", "b.jsonl"), None),
    ] {
        let settings = match settings.split_once('\n') {
            Some((line, others)) if line.starts_with("server.") => {
                let line = line.replace("server.", "");
                format!("{}{others}", rest.replace("[server]", &format!("[server]\n{line}")))
            }
            _ => format!("{rest}{settings}"),
        };
        let refused: Vec<String> = key.iter().map(|key| format!("error {key}")).collect();
        assert_eq!(checked(root, &settings).await, refused, "{settings}");
        assert_eq!(starts(root).await, key.is_none(), "{settings}");
    }
}

/// Whether a broker with these files comes as far as serving.
async fn starts(directory: &Path) -> bool {
    let sources = Sources { directory: directory.to_owned(), ..Sources::default() };
    let Some(config) = load(sources).config else { return false };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom::new()));
    Box::pin(App::build(config, mcp_auth_broker::secret::Environment::default(), clock, random))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_broken_file_of_authorities_is_told_once_and_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    private(&root.join("garbage"), "garbage");
    let settings = "[outbound]\nca_file = \"garbage\"\n[[limits.tool]]\nname = \"get_public_info\"\nrate = \"1/s\"\n\
        [[limits.tool]]\nname = \"none\"\nrate = \"1/s\"\n";
    let mut told = checked(root, settings).await;
    told.sort();
    assert_eq!(told, ["error limits.tool[1].name", "error outbound.ca_file"]);
}

/// Servers come and go while the broker runs, and so do their tools.
#[tokio::test]
async fn a_limit_of_a_tool_that_a_registered_server_could_have_is_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    let limit = |name: &str| format!("[[limits.tool]]\nname = \"{name}\"\nrate = \"1/s\"\n");
    let settings = [limit("docs.get"), limit("auth.graph.operation.execute.v2")].concat();
    let told = checked(directory.path(), &settings).await;
    assert_eq!(told, ["error limits.tool[1].name", "warning limits.tool[0].name"]);
}

/// One run tells everything, whatever else is wrong.
#[tokio::test]
async fn a_misspelt_setting_hides_nothing_that_is_read_apart_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    private(&root.join("garbage"), "garbage");
    let rules = "version = \"1\"\n[[rule]]\nid = \"a b\"\neffect = \"allow\"\ntools = [\"(\"]\n";
    std::fs::write(root.join("policy.toml"), rules).unwrap();
    std::fs::create_dir(root.join("documents")).unwrap();
    for name in ["public.md", "confidential.md"] {
        std::fs::write(root.join("documents").join(name), [0xff]).unwrap();
    }
    let parts = "[policy]\nfile = \"policy.toml\"\n[documents]\ndir = \"documents\"\n[outbound]\nca_file = \"garbage\"\n\
        [[audit.sink]]\nkind = \"file\"\npath = \"garbage/a.jsonl\"\n[[limits.tool]]\nname = \"none\"\nrate = \"1/s\"\n";
    let good = found(root, parts).await;
    assert!(good.len() > 5, "{good:?}");
    let typo = found(root, &format!("{parts}[server]\nlistn = \"x\"\n")).await;
    assert_eq!(typo[0]["key"], "server.listn");
    assert_eq!(typo[1..], good, "{typo:#?}");
    // Where its own table is not read, nothing is made up.
    let typo = checked(root, &format!("{parts}[graph]\nmdoe = \"live\"\n")).await;
    assert!(!typo.iter().any(|told| told.contains("policy.file")), "{typo:?}");
    assert!(typo.iter().any(|told| told.contains("outbound.ca_file")), "{typo:?}");
    // A section that has another name may be any of them.
    assert_eq!(checked(root, &format!("{parts}[grph]\n")).await, ["error grph"]);
}
