//! Whatever an operator is told by `broker check` and at a start says what to do about it, in words of ours.

use std::path::Path;

use mcp_auth_broker::cli::check::{self, CheckArgs};
use mcp_auth_broker::config::Sources;
use mcp_auth_broker::graph::Problem;
use mcp_auth_broker::secret::{Detail, SecretError};
use mcp_auth_broker::secret_ref::SecretRef;
use mcp_auth_broker::token::{AssertionError, Diagnostics, TokenError};
use serde_json::{Value, json};

use crate::support::child::command_with;
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::Product;

/// What libraries say of themselves: never the first thing that an operator reads.
const LIBRARIES: [&str; 6] = [
    "error sending request",
    "invalid type",
    "missing field",
    "tcp connect",
    "expected",
    "(code: ",
];

struct Told {
    key: String,
    problem: String,
    hint: Option<String>,
}

/// The errors of a check of these settings, in a directory with a file of garbage.
async fn told(settings: &str, live: bool) -> Vec<Told> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("garbage"), "garbage, enough of it to be no database at all").unwrap();
    std::fs::create_dir(path.join("empty")).unwrap();
    let settings = settings.replace("DIR", &path.display().to_string());
    std::fs::write(path.join("broker.toml"), &settings).unwrap();
    let mut overrides = Vec::new();
    if !settings.contains("store.url") {
        overrides.push(format!("store.url=sqlite:{}/data/broker.db", path.display()));
    }
    let sources = Sources { directory: path.to_owned(), overrides, ..Sources::default() };
    let mut out = Vec::new();
    check::run(&CheckArgs { live, json: true }, sources, &mut out, false).await;
    let text = String::from_utf8(out).unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let errors = found["findings"].as_array().unwrap().iter();
    let errors = errors.filter(|finding| finding["severity"] == "error");
    let told = errors.map(|finding| Told {
        key: finding["key"].as_str().unwrap().to_owned(),
        problem: finding["problem"].as_str().unwrap().to_owned(),
        hint: finding["hint"].as_str().map(str::to_owned),
    });
    told.collect()
}

/// Each says its key, a problem in our words, and a hint.
async fn is_told(settings: &str, live: bool, key: &str) {
    let told = told(settings, live).await;
    let one = told.iter().find(|one| one.key.starts_with(key));
    let one = one.unwrap_or_else(|| panic!("{settings}: nothing about {key}"));
    for one in &told {
        let problem = &one.problem;
        assert!(one.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{}: {problem}", one.key);
        assert!(!LIBRARIES.iter().any(|words| problem.starts_with(words)), "{problem}");
    }
    assert!(!one.problem.is_empty());
}

fn live_graph(credential: &str) -> String {
    format!(
        "[graph]\nmode = \"live\"\n[[graph.profile]]\nname = \"first\"\ntenant_id = \"contoso.example\"\n\
         client_id = \"app\"\ncredential = {{ {credential} }}\n"
    )
}

#[tokio::test]
async fn what_a_check_finds_in_files_has_a_hint() {
    let certificate = |file: &str| {
        live_graph(&format!("certificate = \"DIR/{file}\", private_key = \"file:DIR/garbage\""))
    };
    for (settings, key) in [
        ("[policy]\nfile = \"none.toml\"".to_owned(), "policy.file"),
        ("[policy]\nfile = \"garbage\"".to_owned(), "policy.file"),
        ("[documents]\ndir = \"DIR/empty\"".to_owned(), "documents.dir"),
        ("[documents]\ndir = \"DIR/none\"".to_owned(), "documents.dir"),
        ("[[audit.sink]]\nkind = \"file\"\npath = \"DIR/empty\"".to_owned(), "audit.sink"),
        ("store.url = \"sqlite:DIR/garbage\"".to_owned(), "store.url"),
        ("[server.tls]\ncert = \"DIR/none\"\nkey = \"file:DIR/none\"".to_owned(), "server.tls"),
        (
            "[server.tls]\ncert = \"DIR/garbage\"\nkey = \"file:DIR/garbage\"".to_owned(),
            "server.tls",
        ),
        (certificate("none"), "graph.profile"),
        (certificate("garbage"), "graph.profile"),
    ] {
        is_told(&settings, false, key).await;
    }
}

#[tokio::test]
async fn what_a_check_finds_elsewhere_has_a_hint() {
    let fake = FakeHttp::start(Reply::status(404)).await;
    let at = |path: &str| fake.url().join(path).unwrap().to_string();
    fake.answers_at("/none", Reply::json("{}"));
    let issuer =
        |keys: &str| format!("[[resource_server.issuer]]\nissuer = \"{}\"\n{keys}\n", at("i"));
    let away = "http://127.0.0.1:9/";
    let graph = |login: &str, graph: &str| {
        live_graph("client_secret = \"literal\"").replace(
            "mode",
            &format!("cloud = \"custom\"\ncustom_cloud = {{ login_url = \"{login}\", graph_url = \"{graph}\" }}\nmode"),
        )
    };
    let root = fake.url().to_string();
    for (settings, key) in [
        (issuer(""), "resource_server.issuer"),
        (issuer(&format!("jwks_uri = \"{away}\"")), "resource_server.issuer"),
        (issuer(&format!("jwks_uri = \"{}\"", at("lost"))), "resource_server.issuer"),
        (issuer(&format!("jwks_uri = \"{}\"", at("none"))), "resource_server.issuer"),
        (
            issuer(&format!(
                "introspection = {{ url = \"{}\", client_id = \"b\", client_secret = \"x\" }}",
                at("no")
            )),
            "resource_server.issuer",
        ),
        (graph(away, away), "graph.cloud"),
        (graph(&root, &root), "graph.profile"),
        (live_graph("client_secret = \"file:/nowhere/secret\""), "graph.profile"),
    ] {
        let settings = format!(
            "[outbound]\nallow_private = [\"127.0.0.1\"]\nproxy = \"{away}\"\nno_proxy = [\"127.0.0.1\"]\n{settings}"
        );
        is_told(&settings, true, key).await;
    }
    is_told("[outbound]\nca_file = \"DIR/none\"", true, "outbound").await;
    is_told("[outbound]\nca_file = \"DIR/garbage\"", true, "outbound").await;
}

/// A start ends with one line that says what to do.
#[test]
fn a_broker_that_does_not_start_says_what_to_do() {
    let wrong: [(&str, &[(&str, &str)]); 6] = [
        ("[policy]\nfile = \"none.toml\"", &[]),
        ("[documents]\ndir = \"empty\"", &[]),
        ("[outbound]\nca_file = \"garbage\"", &[]),
        ("[server.tls]\ncert = \"garbage\"\nkey = \"file:/none\"", &[]),
        ("CERTIFICATE", &[]),
        ("MANAGED", &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://x/path")]),
    ];
    for (settings, variables) in wrong {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("garbage"), "garbage").unwrap();
        std::fs::create_dir(path.join("empty")).unwrap();
        let settings = match settings {
            "CERTIFICATE" => live_graph("certificate = \"garbage\", private_key = \"env:KEY\""),
            "MANAGED" => live_graph("managed_identity = true"),
            other => other.to_owned(),
        };
        std::fs::write(path.join("broker.toml"), &settings).unwrap();
        let (status, said) = serve(path, variables);
        assert!(!status, "{settings}");
        assert!(
            said.lines().any(|line| line.trim_start().starts_with("hint: ")),
            "{settings}: {said}"
        );
    }
}

fn serve(directory: &Path, variables: &[(&str, &str)]) -> (bool, String) {
    let output = command_with(directory, "127.0.0.1:0", variables, &["serve"]);
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// The log of a call that fails: the caller is told nothing of this.
#[test]
fn each_fault_of_secrets_tokens_and_graph_has_a_hint() {
    use Detail::{
        Ambiguous, Broken, Cached, CliEnvironment, Credential, Faulty, Malformed, NotConfigured,
        Permissions, RateLimited, Sealed, Tls, Unexpected, Unreachable,
    };
    let reference: SecretRef = "env:X".parse().unwrap();
    for detail in [
        Ambiguous,
        Broken,
        Cached,
        CliEnvironment,
        Credential,
        Faulty,
        Malformed,
        NotConfigured,
        Permissions,
        RateLimited,
        Sealed,
        Tls,
        Unexpected,
        Unreachable,
    ] {
        let reference = reference.clone();
        let error = SecretError::Unavailable { reference, detail: Some(detail), retry_after: None };
        assert_ne!(error.hint(), "", "{detail:?}");
        assert_eq!(error.hint(), TokenError::from(error.clone()).hint(), "{detail:?}");
        assert!(!error.to_string().contains("hint"), "callers read this: {error}");
    }
    let diagnostics = Diagnostics::default();
    let refused = TokenError::Refused { detail: None, diagnostics: diagnostics.clone() };
    assert!(refused.hint().contains("AADSTS"), "{}", refused.hint());
    let slow = TokenError::Timeout { diagnostics };
    let wrong = TokenError::Assertion(AssertionError::PrivateKey);
    for error in [refused, slow, wrong] {
        assert!(!error.hint().is_empty() && !error.to_string().contains("hint"), "{error}");
    }
    assert!(!Problem::Timeout.to_string().contains("hint"));
}

/// The answer of the tool is the contract's, and stays as it was.
#[tokio::test]
async fn a_caller_is_told_no_hint() {
    let settings = live_graph("client_secret = \"file:/nowhere/secret\"");
    let policy = r#"
        version = "t"
        default = "deny"
        [[rule]]
        id = "any"
        effect = "allow"
        tools = ["auth\\.graph\\.operation\\.execute\\.v1"]
        graph = { profile = "first", methods = ["GET"], paths = ["/v1.0/users"], permissions = ["User.Read.All"] }
    "#;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.toml"), policy).unwrap();
    let settings = format!("policy.file = \"policy.toml\"\n{settings}");
    let product = Product::start_in(directory, &settings, &[]).await;
    let call = json!({ "operation": { "method": "GET", "path": "/v1.0/users" } });
    let reply = product.graph(&product.token(&[]), call).await;
    assert_eq!(reply["error"]["code"], "secret.not_found", "{reply}");
    assert!(!reply.to_string().contains("hint"), "{reply}");
}
