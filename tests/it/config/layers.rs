//! Which layer wins, and under which names a setting is read.

use super::{Place, errors, finding, warnings};

fn listen(place: &Place) -> String {
    let loaded = place.load();
    assert_eq!(errors(&loaded), Vec::<String>::new());
    loaded.config.unwrap().server.listen.to_string()
}

const NAME: &str = "MCP_AUTH_BROKER_SERVER__LISTEN";

#[test]
fn later_layers_win() {
    let place = Place::new("[server]\nlisten = \"127.0.0.1:1\"\n");
    assert_eq!(listen(&place), "127.0.0.1:1");
    let place = place.write(".env", &format!("{NAME}=127.0.0.1:2\n"));
    assert_eq!(listen(&place), "127.0.0.1:2");
    let place = place.env(NAME, "127.0.0.1:3");
    assert_eq!(listen(&place), "127.0.0.1:3");
    assert_eq!(listen(&place.flag("server.listen=127.0.0.1:4")), "127.0.0.1:4");
}

#[test]
fn a_named_settings_file_must_exist() {
    let place = Place::new("").env("BROKER_CONFIG", "other.toml");
    assert!(errors(&place.load())[0].ends_with("other.toml: does not exist"));
}

#[test]
fn values_are_read_as_their_setting_wants_them() {
    let place = Place::new("")
        .env("MCP_AUTH_BROKER_SERVER__DRAIN_SECONDS", "7")
        .env("MCP_AUTH_BROKER_SERVER__DEV_ON_NETWORK", "true")
        .env("MCP_AUTH_BROKER_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1")
        .env("MCP_AUTH_BROKER_AUDIT__SINK", "[{ kind = \"file\", path = \"a.jsonl\" }]")
        .env("MCP_AUTH_BROKER_AUDIT__SINK__0__KEEP_DAYS", "3");
    let config = place.load().config.unwrap();
    assert_eq!(config.server.drain.as_secs(), 7);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert!(format!("{:?}", config.audit.sinks).contains("keep: Some(259200s)"));
}

#[test]
fn an_index_changes_one_key_of_one_element() {
    let file = "[[graph.profile]]\ntenant_id = \"a.example\"\nclient_id = \"x\"\ncredential = { managed_identity = true }\n";
    let place = Place::new(file).env("MCP_AUTH_BROKER_GRAPH__PROFILE__0__TENANT_ID", "b.example");
    let config = place.load().config.unwrap();
    assert_eq!(config.graph.profiles[0].tenant_id.as_str(), "b.example");
    assert_eq!(config.graph.profiles[0].client_id, "x");
    let place = Place::new(file).env("MCP_AUTH_BROKER_GRAPH__PROFILE__5__TENANT_ID", "b.example");
    assert!(
        errors(&place.load())[0]
            .starts_with("graph.profile[5].tenant_id: is an index past the end")
    );
}

#[test]
fn a_name_ending_in_file_reads_the_file() {
    let place =
        Place::new("").write("listen", "127.0.0.1:9\n").env(&format!("{NAME}_FILE"), "listen");
    assert_eq!(listen(&place), "127.0.0.1:9");
    let both = place.env(NAME, "127.0.0.1:8");
    assert!(errors(&both.load())[0].contains("is set, and so is"));
}

#[test]
fn a_setting_whose_own_name_ends_in_file_is_no_file_to_read() {
    let place = Place::new("")
        .write("policy.toml", "secret")
        .env("MCP_AUTH_BROKER_POLICY__FILE", "policy.toml");
    let config = place.load().config.unwrap();
    assert_eq!(config.policy.file, Some(place.path().join("policy.toml")));
}

#[test]
fn flat_names_mean_nested_settings() {
    let place = Place::new("")
        .env("MCP_AUTH_BROKER_DEFAULT_TIMEOUT_MS", "5000")
        .env("MCP_AUTH_BROKER_TOKEN_PROVIDER_TIMEOUT_SECONDS", "4")
        .env("MCP_AUTH_BROKER_CONTRACT_VERSION", "v0.1.0")
        .env("MCP_AUTH_BROKER_GRAPH_CLIENT_ID", "app")
        .env("MCP_AUTH_BROKER_GRAPH_TENANT_ID", "contoso.example")
        .env("MCP_AUTH_BROKER_GRAPH_SECRET_REF", "op://v/i/f")
        .env("MCP_AUTH_BROKER_SECRET_PROVIDER", "1password")
        .env("OP_SERVICE_ACCOUNT_TOKEN", "ops_x");
    let graph = place.load().config.unwrap().graph;
    assert_eq!((graph.timeout.as_millis(), graph.token_timeout.as_millis()), (5000, 4000));
    assert_eq!(graph.profiles[0].name.as_str(), "default");
    assert_eq!(graph.flat_permissions[0].as_str(), "User.Read.All");
}

#[test]
fn flat_permissions_are_allowed_and_granted() {
    let place = Place::new("").env("MCP_AUTH_BROKER_ALLOWED_SCOPES", "User.Read, Mail.Send");
    let graph = place.load().config.unwrap().graph;
    assert_eq!(
        format!("{:?}", graph.flat_permissions),
        format!("{:?}", graph.allowed_permissions.unwrap())
    );
    assert_eq!(graph.flat_permissions.len(), 2);
}

#[test]
fn a_policy_file_is_not_joined_by_default_permissions() {
    let place = Place::new("[policy]\nfile = \"p.toml\"\n").write("p.toml", "");
    let place = place
        .env("MCP_AUTH_BROKER_GRAPH_CLIENT_ID", "app")
        .env("MCP_AUTH_BROKER_GRAPH_TENANT_ID", "contoso.example")
        .env("MCP_AUTH_BROKER_GRAPH_SECRET_REF", "env:S");
    assert_eq!(place.load().config.unwrap().graph.flat_permissions, []);
}

#[test]
fn flat_and_nested_names_must_agree() {
    let place = Place::new("").env("MCP_AUTH_BROKER_DEFAULT_TIMEOUT_MS", "5000");
    let place = place.env("MCP_AUTH_BROKER_GRAPH__TIMEOUT_MS", "5000");
    assert_eq!(errors(&place.load()), Vec::<String>::new());
    let place = Place::new("").env("MCP_AUTH_BROKER_DEFAULT_TIMEOUT_MS", "5000");
    let place = place.env("MCP_AUTH_BROKER_GRAPH__TIMEOUT_MS", "6000");
    assert_eq!(
        errors(&place.load()),
        ["graph.timeout_ms: and MCP_AUTH_BROKER_DEFAULT_TIMEOUT_MS disagree"]
    );
}

#[test]
fn another_contract_version_is_refused() {
    let place = Place::new("").env("MCP_AUTH_BROKER_CONTRACT_VERSION", "v0.2.0");
    assert_eq!(
        finding(&place.load(), "MCP_AUTH_BROKER_CONTRACT_VERSION").allowed.as_deref(),
        Some("v0.1.0")
    );
}

#[test]
fn kubernetes_service_links_are_ignored_and_other_names_are_not() {
    let place = Place::new("")
        .env("MCP_AUTH_BROKER_SERVICE_HOST", "10.0.0.1")
        .env("MCP_AUTH_BROKER_SERVICE_PORT", "8080")
        .env("MCP_AUTH_BROKER_SERVICE_PORT_HTTP", "8080")
        .env("MCP_AUTH_BROKER_PORT", "tcp://10.0.0.1:8080")
        .env("MCP_AUTH_BROKER_PORT_8080_TCP_ADDR", "10.0.0.1");
    assert_eq!(place.load().findings, []);
    let loaded = place.env("MCP_AUTH_BROKER_SERVER__LISTN", "CANARY").load();
    let finding = finding(&loaded, "MCP_AUTH_BROKER_SERVER__LISTN");
    assert_eq!(finding.hint.as_deref(), Some("did you mean MCP_AUTH_BROKER_SERVER__LISTEN?"));
}

#[test]
fn names_of_the_ancestors_are_named_with_their_setting() {
    let loaded = Place::new("").env("MCP_PORT", "8000").load();
    assert_eq!(warnings(&loaded), ["MCP_PORT: is set and is not read"]);
    assert_eq!(
        finding(&loaded, "MCP_PORT").hint.as_deref(),
        Some("the setting is server.listen now")
    );
}
