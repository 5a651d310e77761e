//! Clients that prove themselves by certificate (RFC 8705 §2), where TLS ends here.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_auth_broker::time::{Clock as _, FixedClock, SystemClock};
use serde_json::{Value, json};

use crate::support::fake_http::{FakeHttp, Reply};

use super::mutual_tls_world::{URL, World, told};

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) const CA: &str = "client_ca_file = \"ca.pem\"";
const SELF_SIGNED: &str = "self_signed_client_certificates = true";

/// A client of the settings that gets tokens for itself.
pub(super) fn machine(client_id: &str, proof: &str) -> String {
    format!(
        "[[authorization_server.client]]\nclient_id = \"{client_id}\"\ngrants = [\"client_credentials\"]\n\
         scopes = [\"public:read\"]\n{proof}\n"
    )
}

pub(super) fn token_of((status, body): (u16, Value)) -> String {
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

pub(super) fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

const NAMES: &str = "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:nightly.example,\
    URI:spiffe://example/nightly,IP:192.0.2.7,email:nightly@example.com\n";

pub(super) fn refused(answer: &(u16, Value)) {
    assert_eq!((answer.0, &answer.1["error"]), (401, &json!("invalid_client")), "{answer:?}");
}

// RFC 8705 §6.2
#[tokio::test]
async fn the_certificate_of_a_proxy_is_of_nobody_who_comes_through_it() {
    let world = World::new();
    world.issued("proxy", "ca", ("/CN=proxy", "extendedKeyUsage=clientAuth"), 30);
    let proof = format!("tls_client_auth_subject_dn = \"{}\"", world.subject("proxy"));
    let settings = machine("proxy", &proof);
    let running = world.start_behind("127.0.0.0/8", CA, &settings).await;
    refused(&running.token(Some("proxy"), "proxy").await);
}

/// Every order of many that could each be the next one's issuer would be tried.
#[tokio::test]
async fn a_chain_of_more_certificates_than_anybody_needs_is_not_looked_at() {
    let world = World::new();
    world.issued("nightly", "ca", ("/CN=nightly", "extendedKeyUsage=clientAuth"), 30);
    let proof = format!("tls_client_auth_subject_dn = \"{}\"", world.subject("nightly"));
    world.issued("long", "ca", ("/CN=nightly", "extendedKeyUsage=clientAuth"), 30);
    for _ in 0..5 {
        world.comes_with("long", "ca");
    }
    let running = world.start(CA, &machine("nightly", &proof)).await;
    token_of(running.token(Some("nightly"), "nightly").await);
    refused(&running.token(Some("long"), "nightly").await);
}

// RFC 8705 §2.1
#[tokio::test]
async fn a_client_is_known_by_one_name_in_a_certificate_of_the_authority() {
    let world = World::new();
    world.issued("nightly", "ca", ("/C=DE/O=Example,Inc/CN=nightly", NAMES), 30);
    world.issued(
        "daily",
        "ca",
        ("/C=DE/O=Example,Inc/CN=daily", "extendedKeyUsage=clientAuth"),
        30,
    );
    let subject = world.subject("nightly");
    let kinds = [
        ("subject_dn", subject.as_str()),
        ("san_dns", "nightly.example"),
        ("san_uri", "spiffe://example/nightly"),
        ("san_ip", "192.0.2.7"),
        ("san_email", "nightly@example.com"),
    ];
    let one =
        |(kind, name): &(&str, &str)| machine(kind, &format!("tls_client_auth_{kind} = '{name}'"));
    let running = world.start(CA, &kinds.iter().map(one).collect::<String>()).await;
    for (client_id, _) in kinds {
        let token = token_of(running.token(Some("nightly"), client_id).await);
        assert_eq!(claims(&token).get("cnf"), None, "bound only where it is asked for");
        refused(&running.token(Some("daily"), client_id).await);
        refused(&running.token(None, client_id).await);
    }
}

// RFC 8705 §2.1, §7.3
#[tokio::test]
async fn a_right_name_in_a_certificate_that_is_worth_nothing_is_nobody() {
    let world = World::new();
    let (subject, client) = ("/CN=nightly", "extendedKeyUsage=clientAuth");
    world.issued("good", "ca", (subject, client), 30);
    world.issued("stranger", "other", (subject, client), 30);
    world.issued("server_only", "ca", (subject, "extendedKeyUsage=serverAuth"), 30);
    world.issued("below_leaf", "good", (subject, client), 30);
    world.comes_with("below_leaf", "good");
    world.self_signed("self", subject);
    let settings = machine("nightly", "tls_client_auth_subject_dn = \"CN=nightly\"");
    let running = world.start(&format!("{CA}\n{SELF_SIGNED}"), &settings).await;
    token_of(running.token(Some("good"), "nightly").await);
    for name in ["stranger", "server_only", "below_leaf", "self"] {
        refused(&running.token(Some(name), "nightly").await);
    }
}

// RFC 5280 §6.1.3
#[tokio::test]
async fn a_certificate_is_good_for_its_time_by_our_clock() {
    let world = World::new();
    world.issued("nightly", "ca", ("/CN=nightly", "extendedKeyUsage=clientAuth"), 20);
    let settings = machine("nightly", "tls_client_auth_subject_dn = \"CN=nightly\"");
    let clock = Arc::new(FixedClock::at(SystemClock.now().plus(Duration::from_hours(24))));
    let running = world.start_at(CA, &settings, clock.clone()).await;
    token_of(running.token(Some("nightly"), "nightly").await);
    clock.advance(Duration::from_hours(24 * 20));
    refused(&running.token(Some("nightly"), "nightly").await);
}

// RFC 8705 §6.5
#[tokio::test]
async fn a_header_is_no_certificate() {
    let world = World::new();
    world.issued("good", "ca", ("/CN=nightly", "extendedKeyUsage=clientAuth"), 30);
    let settings = machine("nightly", "tls_client_auth_subject_dn = \"CN=nightly\"");
    let settings = format!("{settings}tls_client_certificate_bound_access_tokens = true\n");
    let running = world.start(CA, &settings).await;
    let x5c = running.world.x5c("good");
    let token = token_of(running.token(Some("good"), "nightly").await);
    for name in ["x-client-cert", "client-cert", "x-forwarded-client-cert", "x-ssl-client-cert"] {
        let written = [(name, format!(":{x5c}:")), ("x-ssl-client-verify", "SUCCESS".to_owned())];
        let client = running.client(None);
        refused(&running.token_with(&client, "nightly", &written).await);
        let params = json!({});
        let request = client.post(format!("{URL}/mcp")).json(&params).bearer_auth(&token);
        let answer = request.header(name, format!(":{x5c}:")).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{name}");
    }
}

// RFC 8705 §2.2
#[tokio::test]
async fn a_certificate_that_nobody_issued_is_known_by_itself() {
    let world = World::new();
    world.self_signed("mine", "/CN=report");
    world.self_signed("same_name", "/CN=report");
    std::fs::write(world.directory.path().join("keys.json"), world.jwks("mine").to_string())
        .unwrap();
    let host = FakeHttp::start(Reply::json(world.jwks("mine").to_string())).await;
    let settings = [
        machine("inline", "jwks_file = \"keys.json\"\nself_signed_tls_client_auth = true"),
        machine(
            "remote",
            &format!("jwks_uri = \"{}keys\"\nself_signed_tls_client_auth = true", host.url()),
        ),
        machine("signs", "jwks_file = \"keys.json\""),
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n".to_owned(),
    ];
    let running = world.start(SELF_SIGNED, &settings.concat()).await;
    for client_id in ["inline", "remote"] {
        token_of(running.token(Some("mine"), client_id).await);
        refused(&running.token(Some("same_name"), client_id).await);
        refused(&running.token(None, client_id).await);
    }
    // A certificate in the key set of a client that signs is not its proof.
    refused(&running.token(Some("mine"), "signs").await);
}

// RFC 8705 §3.3, RFC 8414 §2
#[tokio::test]
async fn metadata_says_what_there_is_and_nobody_has_to_have_a_certificate() {
    for (tls, named, own) in [(CA, true, false), (SELF_SIGNED, false, true), ("", false, false)] {
        let running = World::new().start(tls, "").await;
        let url = format!("{URL}/.well-known/oauth-authorization-server");
        let (status, document) = told(running.client(None).get(url)).await;
        assert_eq!(status, 200);
        let has = |method: &str| {
            let methods = &document["token_endpoint_auth_methods_supported"];
            methods.as_array().unwrap().contains(&json!(method))
        };
        assert_eq!((has("tls_client_auth"), has("self_signed_tls_client_auth")), (named, own));
        let binds = document.get("tls_client_certificate_bound_access_tokens");
        assert_eq!(binds, (named || own).then_some(&json!(true)));
    }
}

// RFC 8705 §2.1.2, §2.2.2
#[tokio::test]
async fn clients_of_the_api_and_those_that_register_prove_themselves_like_this_too() {
    let world = World::new();
    world.issued("nightly", "ca", ("/CN=nightly", NAMES), 30);
    world.self_signed("mine", "/CN=mine");
    let jwks = world.jwks("mine");
    let settings = "[authorization_server]\ndynamic_registration = \"open\"\n\
        [authorization_server.administrators]\nsubjects = [\"ada\"]\n";
    let running = world.start(&format!("{CA}\n{SELF_SIGNED}"), settings).await;
    let admin = running.product.token(&["broker:admin"]);
    let add = async |members: Value| {
        let mut new = json!({
            "client_name": "Report", "grant_types": ["client_credentials"], "scope": "public:read",
            "tls_client_certificate_bound_access_tokens": true,
        });
        for (name, value) in members.as_object().unwrap() {
            new[name] = value.clone();
        }
        let request = running.client(None).post(format!("{URL}/api/v1/clients"));
        told(request.bearer_auth(&admin).json(&new)).await
    };
    for (members, certificate) in [
        (json!({ "tls_client_auth_san_dns": "nightly.example" }), "nightly"),
        (json!({ "self_signed_tls_client_auth": true, "jwks": jwks }), "mine"),
    ] {
        let (status, added) = add(members).await;
        assert_eq!((status, &added["client_secret"]), (201, &Value::Null), "{added}");
        assert_eq!(added["client"]["confidential"], true, "{added}");
        let id = added["client"]["client_id"].as_str().unwrap();
        let token = token_of(running.token(Some(certificate), id).await);
        let thumbprint = running.world.thumbprint(certificate);
        assert_eq!(claims(&token)["cnf"]["x5t#S256"], json!(thumbprint));
        refused(&running.token(None, id).await);
    }
    let two =
        json!({ "tls_client_auth_san_dns": "a.example", "tls_client_auth_san_ip": "192.0.2.7" });
    for (wrong, field) in [
        (two, "tls_client_auth_san_ip"),
        (json!({ "tls_client_auth_subject_dn": "nightly" }), "tls_client_auth_subject_dn"),
        (json!({ "self_signed_tls_client_auth": true }), "self_signed_tls_client_auth"),
    ] {
        let (status, told) = add(wrong).await;
        assert_eq!(status, 422, "{told}");
        assert!(told.to_string().contains(field), "{told}");
    }
    let register = async |members: Value| {
        let mut asked = json!({ "redirect_uris": ["https://app.example/cb"] });
        for (name, value) in members.as_object().unwrap() {
            asked[name] = value.clone();
        }
        told(running.client(None).post(format!("{URL}/register")).json(&asked)).await
    };
    let method = |method: &str| json!({ "token_endpoint_auth_method": method });
    let mut by_name = method("tls_client_auth");
    assert_eq!(register(by_name.clone()).await.0, 400, "without a name");
    by_name["tls_client_auth_san_dns"] = json!("nightly.example");
    let (status, registered) = register(by_name).await;
    assert_eq!((status, &registered["client_secret"]), (201, &Value::Null), "{registered}");
    assert_eq!(registered["tls_client_auth_san_dns"], "nightly.example");
    // Authenticated, and not registered for this grant: another answer than for who is nobody.
    let id = registered["client_id"].as_str().unwrap();
    assert_eq!(running.token(Some("nightly"), id).await.1["error"], "unauthorized_client");
    refused(&running.token(Some("mine"), id).await);
    assert_eq!(register(method("self_signed_tls_client_auth")).await.0, 400, "without keys");
}

/// A client whose certificate nobody asks for could never get anything.
#[tokio::test]
async fn administration_makes_no_client_that_could_never_prove_itself_and_names_the_setting() {
    let jwks = {
        let world = World::new();
        world.self_signed("mine", "/CN=mine");
        world.jwks("mine")
    };
    let named = ("tls_client_auth_san_dns", json!("nightly.example"));
    let own = ("self_signed_tls_client_auth", json!(true));
    let bound = ("tls_client_certificate_bound_access_tokens", json!(true));
    let both = "server.tls.client_ca_file or server.tls.self_signed_client_certificates";
    let own_setting = "server.tls.self_signed_client_certificates = true";
    for (tls, (member, value), setting) in [
        ("", &named, Some("server.tls.client_ca_file")),
        (SELF_SIGNED, &named, Some("server.tls.client_ca_file")),
        (CA, &named, None),
        ("", &own, Some(own_setting)),
        (CA, &own, Some(own_setting)),
        (SELF_SIGNED, &own, None),
        ("", &bound, Some(both)),
        (CA, &bound, None),
        (SELF_SIGNED, &bound, None),
    ] {
        let settings = "[authorization_server.administrators]\nsubjects = [\"ada\"]\n";
        let running = World::new().start(tls, settings).await;
        let mut new = json!({ "client_name": "a", "grant_types": ["client_credentials"] });
        new[*member] = value.clone();
        if *member == own.0 {
            new["jwks"] = jwks.clone();
        }
        let request = running.client(None).post(format!("{URL}/api/v1/clients")).json(&new);
        let request = request.bearer_auth(running.product.token(&["broker:admin"]));
        let (status, told) = told(request).await;
        assert_eq!(status, if setting.is_some() { 422 } else { 201 }, "{tls} {told}");
        assert_eq!(told.get("field"), setting.map(|_| json!(member)).as_ref(), "{tls} {told}");
        let hint = told["hint"].as_str().unwrap_or_default();
        assert!(setting.is_none_or(|setting| hint.contains(setting)), "{tls} {told}");
    }
}
