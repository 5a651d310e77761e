//! `broker check --live`: whether what the settings name is there, told before somebody's call fails.

use mcp_auth_broker::cli::check::{self, CheckArgs};
use mcp_auth_broker::config::Sources;
use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::tokens::SigningKey;

const SECRET: &str = "client-secret-CANARY";

/// The problems that a live check finds, by key.
async fn problems(settings: &str) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{settings}");
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let overrides = vec![format!("store.url=sqlite:{}/data/broker.db", directory.path().display())];
    let sources =
        Sources { directory: directory.path().to_owned(), overrides, ..Sources::default() };
    let mut out = Vec::new();
    check::run(&CheckArgs { live: true, json: true }, sources, &mut out, false).await;
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("CANARY"), "{text}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let field = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let errors = found["findings"].as_array().unwrap().iter();
    let errors = errors.filter(|finding| finding["severity"] == "error");
    errors.map(|finding| (field(finding, "key"), field(finding, "problem"))).collect()
}

fn graph(login: &FakeHttp, graph: &FakeHttp) -> String {
    format!(
        r#"
        [graph]
        mode = "live"
        cloud = "custom"
        custom_cloud = {{ login_url = "{}", graph_url = "{}" }}
        [[graph.profile]]
        name = "first"
        tenant_id = "contoso.example"
        client_id = "app"
        credential = {{ client_secret = "{SECRET}" }}
        "#,
        login.url(),
        graph.url(),
    )
}

#[tokio::test]
async fn a_profile_that_gets_a_token_is_good_and_graph_sees_no_token() {
    let token = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "t-CANARY"});
    let login = FakeHttp::start(Reply::json(token.to_string())).await;
    let there = FakeHttp::start(Reply::status(401)).await;
    assert_eq!(problems(&graph(&login, &there)).await, []);
    assert!(login.asked()[0].body.contains("grant_type=client_credentials"));
    let asked = there.asked();
    assert_eq!((asked.len(), asked[0].path.as_str()), (1, "/v1.0/"));
    assert!(!asked[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_refused_credential_and_a_graph_that_is_down_are_both_named() {
    let body = r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"CANARY"}"#;
    let json = vec![("content-type", "application/json".to_owned())];
    let login = FakeHttp::start(Reply::Answer(401, json, body.into())).await;
    let down = FakeHttp::start(Reply::status(503)).await;
    let found = problems(&graph(&login, &down)).await;
    assert_eq!(found[0], ("graph.cloud".into(), "Graph answers 503 Service Unavailable".into()));
    let refused =
        "graph.profile `first` gets no token: provider.auth_failed (secret_invalid) AADSTS7000215";
    assert_eq!(found[1].0, "graph.profile");
    assert!(found[1].1.starts_with(refused), "{}", found[1].1);
}

#[tokio::test]
async fn each_issuer_that_does_not_answer_is_named() {
    let idp = FakeHttp::start(Reply::status(404)).await;
    let at = |path: &str| idp.url().join(path).unwrap().to_string();
    idp.answers_at("/keys", Reply::json(SigningKey::ec().jwks("k1")));
    idp.answers_at("/none", Reply::json("{}"));
    let metadata = json!({"issuer": at("good"), "jwks_uri": at("keys")}).to_string();
    idp.answers_at("/.well-known/oauth-authorization-server/good", Reply::json(metadata));
    let issuer = |name: &str, keys: &str| {
        format!("[[resource_server.issuer]]\nissuer = \"{}\"\n{keys}\n", at(name))
    };
    let found = problems(&[
        issuer("good", ""),
        issuer("lost", ""),
        issuer("fixed", &format!("jwks_uri = \"{}\"", at("keys"))),
        issuer("empty", &format!("jwks_uri = \"{}\"", at("none"))),
        issuer("asked", &format!("introspection = {{ url = \"{}\", client_id = \"b\", client_secret = \"{SECRET}\" }}", at("no"))),
    ].concat()).await;
    let told: Vec<_> = found.iter().map(|(key, problem)| format!("{key}: {problem}")).collect();
    let told = told.join("\n").replace(&at(""), "<idp>/");
    insta::assert_snapshot!(told, @r"
    resource_server.issuer: the key set of issuer `<idp>/lost` is not found through its metadata: <idp>/lost/.well-known/openid-configuration answers 404 Not Found
    resource_server.issuer: the key set of issuer `<idp>/empty` cannot be used: is not a JSON Web Key Set
    resource_server.issuer: the introspection endpoint of issuer `<idp>/asked` does not answer as RFC 7662 says
    ");
}

#[tokio::test]
async fn each_identity_provider_that_does_not_answer_is_named() {
    let idp = FakeHttp::start(Reply::status(404)).await;
    let at = |path: &str| idp.url().join(path).unwrap().to_string();
    let metadata = json!({"issuer": at("good"), "jwks_uri": at("keys")}).to_string();
    idp.answers_at("/good/.well-known/openid-configuration", Reply::json(metadata));
    let provider = |id: &str, more: &str| {
        let issuer = at(id);
        format!(
            "[[authorization_server.identity_provider]]\nid = \"{id}\"\nissuer = \"{issuer}\"\nclient_id = \"b\"\n{more}\n"
        )
    };
    let explicit = |token: &str| {
        let url = at("there");
        format!(
            "authorization_endpoint = \"{url}\"\ntoken_endpoint = \"{token}\"\nuserinfo_endpoint = \"{url}\"\nclaims = {{ subject = \"id\", username = \"login\" }}"
        )
    };
    let found = problems(
        &[
            provider("good", &format!("client_secret = \"{SECRET}\"")),
            provider("lost", ""),
            provider("plain", &explicit(&at("there"))),
            provider("away", &explicit("http://127.0.0.1:9/token")),
            provider(
                "secretless",
                &format!("{}\nclient_secret = \"file:/nowhere/secret\"", explicit(&at("there"))),
            ),
        ]
        .concat(),
    )
    .await;
    let told: Vec<_> = found.iter().map(|(key, problem)| format!("{key}: {problem}")).collect();
    let told = told.join("\n").replace(&at(""), "<idp>/");
    insta::assert_snapshot!(told, @r"
    authorization_server.identity_provider: the key set of issuer `<idp>/lost` is not found through its metadata: <idp>/lost/.well-known/openid-configuration answers 404 Not Found
    authorization_server.identity_provider: the identity provider `away` does not answer: cannot connect to 127.0.0.1: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111)
    authorization_server.identity_provider: a credential of the broker's own cannot be read: no secret at file:/nowhere/secret
    ");
    assert_eq!(found.len(), 3);
}

#[tokio::test]
async fn every_secret_that_is_read_when_it_is_needed_is_looked_for() {
    let url = "http://127.0.0.1:9/";
    let server = |id: &str, credential: &str| {
        format!(
            "[[upstream.server]]\nid = \"{id}\"\nurl = \"{url}\"\ncredential = {{ {credential} }}\n"
        )
    };
    let found = problems(&[
        "[[authorization_server.client]]\nclient_id = \"m\"\nsecret = \"file:/nowhere/client\"\ngrants = [\"client_credentials\"]\n".to_owned(),
        server("a", "bearer = \"file:/nowhere/bearer\""),
        server("b", "header = { name = \"X-Key\", value = \"file:/nowhere/header\" }"),
        server("c", &format!("client_credentials = {{ token_url = \"{url}\", client_id = \"b\", client_secret = \"file:/nowhere/machine\", scopes = [\"w\"] }}")),
        server("d", &format!("token_exchange = {{ token_url = \"{url}\", client_id = \"b\", client_secret = \"file:/nowhere/exchange\" }}")),
        server("e", &format!("per_user = {{ authorize_url = \"{url}\", token_url = \"{url}\", client_id = \"b\", client_secret = \"file:/nowhere/person\", scopes = [\"w\"] }}")),
        "[[upstream.server]]\nid = \"f\"\ncommand = \"/bin/true\"\nenv = { API_KEY = \"file:/nowhere/variable\" }\n".to_owned(),
    ].concat()).await;
    for name in ["client", "bearer", "header", "machine", "exchange", "person", "variable"] {
        let path = format!("file:/nowhere/{name}");
        assert!(found.iter().any(|(_, problem)| problem.contains(&path)), "{name}: {found:?}");
    }
}

/// The warnings and errors about servers behind us, without their keys.
async fn about_servers(settings: &str, live: bool) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("[outbound]\nallow_private = [\"127.0.0.1\"]\n{settings}");
    std::fs::write(directory.path().join("broker.toml"), settings).unwrap();
    let overrides = vec![format!("store.url=sqlite:{}/data/broker.db", directory.path().display())];
    let sources =
        Sources { directory: directory.path().to_owned(), overrides, ..Sources::default() };
    let mut out = Vec::new();
    check::run(&CheckArgs { live, json: true }, sources, &mut out, false).await;
    let found: Value = serde_json::from_slice(&out).unwrap();
    let findings = found["findings"].as_array().unwrap().iter();
    let about = findings.filter(|finding| finding["key"].as_str().unwrap().contains("upstream"));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    about.map(|finding| [text(finding, "severity"), text(finding, "problem")].join(": ")).collect()
}

fn server(url: &str, more: &str) -> String {
    format!("[[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\n{more}")
}

const GET: &str = "[[upstream.server.tool]]\nname = \"get_.*\"\nscopes = []\n";

fn pin(tool: &str) -> String {
    let digest = "0".repeat(64);
    format!("[[upstream.server.pin]]\ntool = \"{tool}\"\ndigest = \"sha256:{digest}\"\n")
}

#[tokio::test]
async fn a_server_that_no_rule_names_and_a_pin_that_pins_nothing_are_told() {
    let url = "http://127.0.0.1:1/mcp";
    let unnamed = about_servers(&server(url, ""), false).await;
    assert_eq!(
        unnamed,
        ["warning: upstream.server `weather` is named by no rule: nobody sees anything of it"]
    );
    assert_eq!(about_servers(&server(url, GET), false).await, [""; 0]);
    let both = server(url, &[GET, &pin("get_day"), &pin("erase")].concat());
    let hidden = "warning: upstream.server `weather` has a pin for the tool `erase`, which no rule names: nobody may use it";
    assert_eq!(about_servers(&both, false).await, [hidden]);
    let twice = [GET, &pin("get_day"), &pin("get_day")].concat();
    let twice = about_servers(&server(url, &twice), false).await;
    assert_eq!(twice, ["error: is taken by an earlier one"]);
}

/// A server of either era, as `list` tells its tools.
async fn tells(list: Value) -> FakeHttp {
    let answer = json!({ "jsonrpc": "2.0", "id": "broker", "result": list });
    FakeHttp::start(Reply::json(answer.to_string())).await
}

#[tokio::test]
async fn what_a_server_says_of_its_tools_is_compared_with_pins_and_with_rules() {
    let tools = json!([{ "name": "get_day" }, { "name": "get_day" }, { "name": "bad name" }]);
    for version in ["supportedVersions", "protocolVersion"] {
        let mut said = json!({ "tools": tools });
        said[version] = if version == "supportedVersions" {
            json!(["2026-07-28"])
        } else {
            json!("2025-11-25")
        };
        let fake = tells(said).await;
        let table = server(fake.url().as_str(), &[GET, &pin("get_day"), &pin("get_all")].concat());
        let found = about_servers(&table, true).await;
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().any(|found| found.contains("stands in the list more than once")));
        assert!(found.iter().any(|found| found.contains("`bad name` breaks the format")));
        assert!(found.iter().any(|found| found.contains("pin of `get_all` is of a tool that")));
        let changed = found.iter().find(|found| found.starts_with("error: ")).unwrap();
        assert!(
            changed.contains("`get_day` is not as it was pinned; its definition is now sha256:")
        );
    }
}

#[tokio::test]
async fn tools_that_no_rule_names_and_a_server_that_is_away_are_told() {
    let fake =
        tells(json!({ "supportedVersions": ["2026-07-28"], "tools": [{ "name": "erase" }] })).await;
    let found = about_servers(&server(fake.url().as_str(), GET), true).await;
    let hidden = "warning: upstream.server `weather` has 1 tools, and no rule names one of them: nobody sees any";
    assert_eq!(found, [hidden]);
    let away = about_servers(&server("http://127.0.0.1:1/mcp", GET), true).await;
    assert_eq!(away.len(), 1, "{away:?}");
    assert!(away[0].starts_with("error: upstream.server `weather` was not looked at"), "{away:?}");
    let credential = format!("credential = {{ bearer = \"{SECRET}\" }}\n{GET}");
    let shown = about_servers(&server(fake.url().as_str(), &credential), true).await;
    assert!(!shown.concat().contains("CANARY"));
    let asked = fake.asked();
    assert_eq!(asked.last().unwrap().headers["authorization"], format!("Bearer {SECRET}"));
}
