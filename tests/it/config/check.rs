//! What `broker check` prints.

use mcp_auth_broker::cli::{check, config};
use mcp_auth_broker::config::{reference, settings_json, write_findings, write_settings};

use mcp_auth_broker::config::Environment;

use super::{Place, errors, finding, warnings};

const TERRIBLE: &str = include_str!("terrible.toml");

fn human(place: &Place) -> String {
    let mut out = Vec::new();
    write_findings(&mut out, &place.load(), false).unwrap();
    String::from_utf8(out).unwrap().replace(&place.path().display().to_string(), "<dir>")
}

#[test]
fn a_terrible_file_yields_everything_in_one_run() {
    insta::assert_snapshot!(human(&Place::new(TERRIBLE)));
}

#[test]
fn no_secret_of_a_terrible_file_is_shown() {
    let place = Place::new(TERRIBLE).env("OP_SERVICE_ACCOUNT_TOKEN", "CANARY-5");
    let loaded = place.load();
    let mut shown = Vec::new();
    write_settings(&mut shown, &loaded).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let all = format!("{}{shown}{}{loaded:?}", human(&place), settings_json(&loaded));
    assert!(!all.contains("CANARY"), "{all}");
}

#[test]
fn syntax_errors_have_a_place_and_quote_nothing() {
    let place = Place::new("environment = \"dev\"\n[server]\nlisten = CANARY\n");
    let text = human(&place);
    assert!(text.contains("line 3, column"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");
}

/// The parser says what it wanted, and that is no part of the file.
#[test]
fn a_syntax_error_ends_with_what_was_expected() {
    for (text, expected) in [
        ("a = [1", "unclosed array, expected `]`"),
        ("a = \"CANARY\n", "invalid basic string, expected `\"`"),
    ] {
        let text = human(&Place::new(text));
        assert!(text.contains(expected) && !text.contains("CANARY"), "{text}");
    }
}

#[test]
fn a_word_of_a_list_that_is_nearly_one_has_its_neighbour_named() {
    let issuer = "[[resource_server.issuer]]\nissuer = \"https://idp.example\"\n";
    let loaded = Place::new(&format!("{issuer}algorithms = [\"RS265\"]\n")).load();
    let hint = finding(&loaded, "resource_server.issuer[0].algorithms[0]").hint.clone();
    assert_eq!(hint.as_deref(), Some("did you mean \"RS256\"?"));
}

#[test]
fn what_no_token_could_have_is_refused() {
    let issuer = "[[resource_server.issuer]]\nissuer = \"https://idp.example\"\n";
    let place = Place::new(&format!(
        "{issuer}token_types = [\"at+jwt\", \"x y\"]\naudiences = [\"ours\", \"\", \" ours\"]\n"
    ));
    let at = |name: &str| format!("resource_server.issuer[0].{name}");
    let told: Vec<String> = place.load().findings.iter().map(|one| one.key.clone()).collect();
    assert_eq!(told, [at("token_types[1]"), at("audiences[1]"), at("audiences[2]")]);
}

#[test]
fn a_hint_names_a_setting_as_the_reference_does() {
    let loaded = Place::new("[server]\ntrusted_proxies = [\"nonsense\"]\n").load();
    let hint = finding(&loaded, "server.trusted_proxies[0]").hint.clone().unwrap();
    assert!(hint.contains("describes server.trusted_proxies,"), "{hint}");
}

#[test]
fn unknown_keys_are_named_at_every_level() {
    let text = "servr = 1\n[server]\nlisen = 1\ntls = { crt = \"a\" }\n[[graph.profile]]\ntenantid = \"x\"\n";
    let loaded = Place::new(text).load();
    for (key, meant) in [
        ("servr", "server"),
        ("server.lisen", "server.listen"),
        ("server.tls.crt", "server.tls.cert"),
        ("graph.profile[0].tenantid", "graph.profile[0].tenant_id"),
    ] {
        assert_eq!(finding(&loaded, key).hint, Some(format!("did you mean {meant}?")));
    }
}

// RFC 9700 §4.1.3 — N113
#[test]
fn a_redirect_uri_that_no_request_could_mean_is_named() {
    let text = "[[authorization_server.client]]\nclient_id = \"web\"\ngrants = [\"authorization_code\"]\n\
        redirect_uris = [\"https://app.example\", \"http://127.0.0.2/cb\", \"https://A.example/cb\", \"/cb\"]\n";
    let loaded = Place::new(text).load();
    let list = "authorization_server.client[0].redirect_uris";
    assert_eq!(errors(&loaded).len(), 3, "{:?}", errors(&loaded));
    let loopback = finding(&loaded, &format!("{list}[1]"));
    assert_eq!(loopback.found.as_deref(), Some("\"http://127.0.0.2/cb\""));
    assert!(loopback.problem.starts_with("has http and a host that is not"), "{loopback:?}");
    let spelling = finding(&loaded, &format!("{list}[2]"));
    assert!(spelling.hint.as_deref().unwrap().contains("lower case"), "{spelling:?}");
    finding(&loaded, &format!("{list}[3]"));
}

// RFC 7517 §9.2 — N98
#[test]
fn a_client_proves_itself_in_one_way_and_a_private_key_is_refused() {
    let client = "[[authorization_server.client]]\nclient_id = \"nightly\"\ngrants = [\"client_credentials\"]\n";
    let at = "authorization_server.client[0]";
    let place = Place::new(&format!("{client}jwks_file = \"keys.json\"\n"));
    std::fs::write(place.path().join("keys.json"), r#"{"keys":[{"kty":"EC","d":"CANARY"}]}"#)
        .unwrap();
    let loaded = place.load();
    let private = finding(&loaded, &format!("{at}.jwks_file"));
    assert!(private.problem.contains("private"), "{private:?}");
    assert!(!human(&place).contains("CANARY"));
    let both = format!("{client}secret = \"env:S\"\njwks_uri = \"https://a.example/keys\"\n");
    assert!(finding(&Place::new(&both).load(), at).problem.contains("names 2 ways"));
    let none = Place::new(client).load();
    assert!(finding(&none, &format!("{at}.secret")).hint.as_deref().unwrap().contains("jwks_uri"));
}

// RFC 8705 §2
#[test]
fn a_client_whose_certificate_nobody_asks_for_is_named() {
    let at = "authorization_server.client";
    let client = |proof: &str| {
        format!("[[{at}]]\nclient_id = \"nightly\"\ngrants = [\"client_credentials\"]\n{proof}\n")
    };
    for (proof, hint) in [
        ("tls_client_auth_san_dns = \"a.example\"", "server.tls.client_ca_file"),
        (
            "jwks_uri = \"https://a.example/keys\"\nself_signed_tls_client_auth = true",
            "server.tls.self_signed_client_certificates",
        ),
        (
            "secret = \"env:S\"\ntls_client_certificate_bound_access_tokens = true",
            "server.tls.client_ca_file",
        ),
    ] {
        let loaded = Place::new(&client(proof)).load();
        let told = finding(&loaded, at);
        assert!(told.problem.starts_with("`nightly` has "), "{told:?}");
        assert!(told.hint.as_deref().unwrap().contains(hint), "{told:?}");
    }
    for (proof, key) in [
        ("tls_client_auth_san_ip = \"a.example\"", "tls_client_auth_san_ip"),
        ("tls_client_auth_subject_dn = \"nightly\"", "tls_client_auth_subject_dn"),
        ("self_signed_tls_client_auth = true", "self_signed_tls_client_auth"),
    ] {
        finding(&Place::new(&client(proof)).load(), &format!("{at}[0].{key}"));
    }
    let two = "tls_client_auth_san_ip = \"192.0.2.7\"\ntls_client_auth_san_dns = \"a.example\"";
    let two = Place::new(&client(two)).load();
    assert!(finding(&two, &format!("{at}[0]")).problem.contains("names 2 ways"));
}

#[test]
fn a_finding_after_a_faulty_element_has_the_right_index() {
    let text = "[[audit.sink]]\nkind = \"file\"\npath = 7\nextra = 1\n[[audit.sink]]\n[[audit.sink]]\nkind = \"file\"\n";
    let loaded = Place::new(text).load();
    assert!(
        errors(&loaded).contains(&"audit.sink[2].path: is missing".to_owned()),
        "{:?}",
        errors(&loaded)
    );
}

#[tokio::test]
async fn json_says_whether_it_would_start() {
    let mut out = Vec::new();
    let args = check::CheckArgs { live: false, json: true };
    let place = Place::new("[server]\nlisten = \"0.0.0.0:80\"\n");
    let sources = mcp_auth_broker::config::Sources {
        directory: place.path().to_owned(),
        ..Default::default()
    };
    check::run(&args, sources, &mut out, false).await;
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["findings"][0]["code"], "config.not_allowed");
    assert_eq!(json["findings"][0]["origin"], "broker.toml:2:10");
}

#[test]
fn show_names_the_origin_of_each_value() {
    let place = Place::new("[store]\nkey_encryption_key = \"env:KEK\"\n")
        .env("MCP_AUTH_BROKER_SERVER__LISTEN", "[::1]:1");
    let shown = settings_json(&place.load());
    assert_eq!(shown["server.listen"]["origin"], "MCP_AUTH_BROKER_SERVER__LISTEN");
    assert_eq!(shown["store.key_encryption_key"]["value"], "env:KEK");
    assert_eq!(shown["store.key_encryption_key"]["origin"], "broker.toml:2:22");
    assert_eq!(shown["server.drain_seconds"]["origin"], "default");
    assert_eq!(shown["server.public_url"]["value"], "http://[::1]:1");
}

#[test]
fn the_label_of_a_policy_is_short_and_plain() {
    let found = errors(&Place::new("[policy]\nversion = \"1\\u0000\"\n").load());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("policy.version"), "{found:?}");
}

#[test]
fn a_broker_to_which_nobody_has_a_token_is_named() {
    let about = |settings: &str| {
        let told = warnings(&Place::new(settings).load());
        told.iter().any(|line| line.starts_with("authorization_server.enabled: is false, and no"))
    };
    let off = "authorization_server.enabled = false\n";
    let issuer = "[[resource_server.issuer]]\nissuer = \"https://login.example\"\n";
    assert!(about(off));
    assert!(!about("") && !about(&format!("{off}{issuer}")));
}

#[test]
fn metrics_that_nobody_can_read_are_named() {
    let alone =
        Place::new("[authorization_server]\nenabled = false\n[telemetry]\nmetrics = true\n").load();
    let nobody = |text: &String| text.starts_with("telemetry.metrics: nobody can read them");
    assert!(warnings(&alone).iter().any(nobody), "{:?}", warnings(&alone));
    let off = Place::new("[server]\nadmin_listen = \"127.0.0.1:9090\"\n").load();
    let nothing = |text: &String| text.starts_with("server.admin_listen: nothing is served there");
    assert!(warnings(&off).iter().any(nothing), "{:?}", warnings(&off));
    let same = "[server]\nlisten = \"127.0.0.1:9090\"\nadmin_listen = \"127.0.0.1:9090\"\n";
    let same = Place::new(&format!("{same}[telemetry]\nmetrics = true\n")).load();
    assert!(
        errors(&same).iter().any(|text| text.starts_with("server.admin_listen: is server.listen"))
    );
}

#[test]
fn replicas_on_postgres_are_told_that_they_need_one_key() {
    let store = "[store]\nurl = \"postgres://broker@db/broker\"\n";
    let told = Place::new(store).load();
    let warned =
        |text: &String| text.starts_with("store.key_encryption_key: is not set: each replica");
    assert!(warnings(&told).iter().any(warned), "{:?}", warnings(&told));
    let several = Place::new(&format!("{store}replicas = 2\n")).load();
    assert!(several.config.is_none(), "only the first one could start");
}

#[test]
fn the_reference_in_docs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if update_docs() {
        std::fs::write(path, reference()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        reference(),
        "UPDATE_DOCS=1 cargo test rewrites it"
    );
}

fn update_docs() -> bool {
    Environment::capture().get("UPDATE_DOCS").is_some()
}

#[test]
fn the_schema_names_its_dialect() {
    let mut out = Vec::new();
    let args = config::ConfigArgs { command: config::ConfigCommand::Schema { json: false } };
    config::run(&args, mcp_auth_broker::config::Sources::default(), &mut out);
    let schema: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
}

// RFC 8414 §2: the issuer is this URL, so it has one spelling.
#[test]
fn a_public_url_may_have_a_plain_path_that_is_none_of_ours() {
    let load = |url: &str| Place::new(&format!("[server]\npublic_url = \"{url}\"")).load();
    for (given, kept) in [
        ("https://e.example/broker/", "https://e.example/broker"),
        ("https://e.example/a/b-c.d_e~f", "https://e.example/a/b-c.d_e~f"),
        ("https://e.example", "https://e.example/"),
    ] {
        let config = load(given).config.unwrap_or_else(|| panic!("{given}"));
        assert_eq!(config.server.public_url.as_str(), kept);
    }
    for bad in ["/mcp", "/login/x", "/a//b", "/a%20b", "/a?x=1", "/.well-known/x", "/ä"] {
        let loaded = load(&format!("https://e.example{bad}"));
        assert!(loaded.config.is_none(), "{bad}");
        assert!(errors(&loaded)[0].starts_with("server.public_url: "), "{:?}", errors(&loaded));
    }
}

/// What is missing in a table hides nothing else of it.
#[test]
fn an_element_that_lacks_a_key_is_looked_at_all_the_same() {
    let profile = "[[graph.profile]]\nname = \"no good name\"\ncredential = { client_secret = \"op://one\" }\n";
    let loaded = Place::new(&format!("[graph]\nmode = \"live\"\n{profile}")).load();
    for key in ["name", "tenant_id", "client_id", "credential.client_secret"] {
        let found = finding(&loaded, &format!("graph.profile[0].{key}"));
        assert!(found.hint.is_some(), "{found:?}");
    }
    assert_eq!(errors(&loaded).len(), 4, "{:#?}", errors(&loaded));
    assert!(loaded.config.is_none());
}

#[test]
fn what_a_flat_name_would_set_is_asked_for_by_that_name() {
    let loaded = Place::new("").env("MCP_AUTH_BROKER_GRAPH_CLIENT_ID", "app").load();
    for (key, name) in [("tenant_id", "GRAPH_TENANT_ID"), ("credential", "GRAPH_SECRET_REF")] {
        let hint = finding(&loaded, &format!("graph.profile[0].{key}")).hint.clone().unwrap();
        assert!(hint.contains(&format!("MCP_AUTH_BROKER_{name}")), "{hint}");
    }
}

/// The keys about which something is wrong in a client with these lines.
fn wrong_in_client(lines: &str) -> Vec<String> {
    let text = format!("[[authorization_server.client]]\nclient_id = \"job\"\n{lines}\n");
    let loaded = Place::new(&text).load();
    let of_server = errors(&loaded).into_iter().map(|line| {
        let key = line.split(": ").next().unwrap_or_default();
        key.replace("authorization_server.", "").replace("client[0].", "")
    });
    of_server.collect()
}

// MCP workload identity federation — N86
#[test]
fn a_workload_is_known_by_its_platform_alone_and_by_whole_claims() {
    let workload = |rest: &str| {
        let issuer = "https://token.actions.githubusercontent.com";
        let of = format!("workload = {{ issuer = \"{issuer}\", {rest} }}");
        format!("grants = [\"jwt_bearer\"]\nscopes = [\"graph:read\"]\n{of}")
    };
    let sub = "claims = { sub = [\"repo:contoso/app:ref:refs/heads/main\"] }";
    assert_eq!(wrong_in_client(&workload(sub)), [""; 0]);
    for (rest, key) in [
        ("claims = {}", "workload.claims"),
        ("claims = { ref = [\"refs/heads/main\"] }", "workload.claims"),
        ("claims = { sub = [] }", "workload.claims.sub"),
        ("claims = { sub = [\"\"] }", "workload.claims.sub"),
        ("claims = { sub = [\"a\"] }, algorithms = [\"HS256\"]", "workload.algorithms"),
        ("claims = { sub = [\"a\"] }, jwks_uri = \"http://keys.example\"", "workload.jwks_uri"),
        ("claims = { sub = [\"a\"] }, audience = \"\"", "workload.audience"),
    ] {
        assert_eq!(wrong_in_client(&workload(rest)), [key], "{rest}");
    }
    let other = workload(sub).replace("jwt_bearer", "client_credentials");
    assert!(wrong_in_client(&other).contains(&"grants".to_owned()));
    let unlimited = workload(sub).replace("scopes = [\"graph:read\"]\n", "");
    assert_eq!(wrong_in_client(&unlimited), ["scopes"]);
    let both = format!("secret = \"env:X\"\n{}", workload(sub));
    assert_eq!(wrong_in_client(&both).len(), 1, "one way to prove itself");
}

// MCP Enterprise-Managed Authorization — N86
#[test]
fn who_brings_assertions_proves_itself_and_somebody_makes_them() {
    let brings = "grants = [\"jwt_bearer\"]\n";
    let mut wrong = wrong_in_client(brings);
    wrong.sort();
    assert_eq!(wrong, ["identity_provider", "secret"]);
}

// OWASP ASVS 5 — N116
#[test]
fn a_secret_for_providers_that_are_added_says_to_whom_it_may_be_shown() {
    let wrong = |issuers: &str, more: &str| {
        let known = format!(
            "[[authorization_server.identity_provider_secret]]\nname = \"partner\"\nissuers = {issuers}\nsecret = \"env:PARTNER\"\n{more}"
        );
        let loaded = Place::new(&known).load();
        let of_secret = errors(&loaded).into_iter().filter_map(|line| {
            let key = line.split(": ").next().unwrap_or_default();
            key.strip_prefix("authorization_server.identity_provider_secret").map(str::to_owned)
        });
        of_secret.filter(|key| !key.ends_with(".secret")).collect::<Vec<_>>()
    };
    let good = "[\"https://login.partner.example\"]";
    assert_eq!(wrong(good, ""), [""; 0]);
    assert_eq!(wrong("[]", ""), ["[0].issuers"]);
    assert_eq!(wrong("[\"http://login.partner.example\"]", ""), ["[0].issuers[0]"]);
    let again = "[[authorization_server.identity_provider_secret]]\nname = \"partner\"\nissuers = [\"https://b.example\"]\nsecret = \"env:B\"\n";
    assert_eq!(wrong(good, again), ["[1].name"]);
}
