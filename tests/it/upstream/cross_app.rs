//! Cross-app access: an identity provider vouches for a person to a server's authorization server; and authorization
//! servers that are found by their issuer.

use serde_json::{Value, json};

use super::behind::{GET, PATH, broker, call, token};
use super::credentials::{form, said};
use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Answer;

const RESULT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const METADATA: &str = "/.well-known/oauth-authorization-server/as";

fn assertion(changes: &Value) -> Reply {
    let mut granted = json!({
        "access_token": "id-jag-CANARY", "token_type": "N_A", "expires_in": 300, "issued_token_type": ID_JAG,
    });
    for (name, value) in changes.as_object().unwrap() {
        granted[name] = value.clone();
    }
    Reply::json(granted.to_string())
}

fn granted(kind: &str) -> Reply {
    let granted = json!({ "access_token": "for-ada", "token_type": kind, "expires_in": 3600 });
    Reply::json(granted.to_string())
}

/// The server, its authorization server and the identity provider: one fake, told apart by their paths.
async fn fake() -> FakeHttp {
    let fake = FakeHttp::start(Reply::json(RESULT)).await;
    let url = fake.url();
    fake.answers_at("/idp", assertion(&json!({})));
    fake.answers_at("/as/token", granted("Bearer"));
    let issuer = format!("{url}as");
    let metadata = json!({ "issuer": issuer, "token_endpoint": format!("{url}as/token") });
    fake.answers_at(METADATA, Reply::json(metadata.to_string()));
    fake
}

fn table(fake: &FakeHttp) -> String {
    let url = fake.url();
    format!(
        "credential.id_jag.token_url = \"{url}idp\"\ncredential.id_jag.client_id = \"at-idp\"\ncredential.id_jag.client_secret = \"idp-secret\"\n\
         credential.id_jag.scopes = [\"w\"]\n\
         credential.id_jag.server = {{ issuer = \"{url}as\", client_id = \"at-as\", client_secret = \"as-secret\" }}\n{GET}"
    )
}

async fn calls(product: &Product) -> Answer {
    product.send(call(product, &["weather:read"], "get_weather")).await
}

fn paths(fake: &FakeHttp) -> Vec<String> {
    fake.asked().into_iter().map(|asked| asked.path).collect()
}

fn basic(pair: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

// MCP Enterprise-Managed Authorization §4, RFC 8693 §2.1, RFC 7523 §2.1 — N116
#[tokio::test]
async fn the_identity_provider_vouches_for_the_caller_to_the_servers_authorization_server() {
    let fake = fake().await;
    let product = broker(fake.url().as_str(), &table(&fake), "").await;
    let presented = token(&product, &["weather:read"]);
    let params = json!({ "name": "get_weather", "arguments": {} });
    let request = mcp(Wire::Modern, Some(&presented), "tools/call", params).path(PATH);
    assert_eq!(product.send(request).await.status, 200);
    assert_eq!(paths(&fake), ["/idp", METADATA, "/as/token", "/"]);
    let asked = fake.asked();
    let issuer = format!("{}as", fake.url());
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", ID_JAG),
        ("audience", &*issuer),
        ("resource", fake.url().as_str()),
        ("scope", "w"),
    ] {
        assert_eq!(form(&asked[0], name), value, "{name}");
    }
    assert_eq!(asked[0].headers["authorization"], basic("at-idp:idp-secret"));
    let word = form(&asked[0], "subject_token");
    assert_eq!((&said(&word)["sub"], &said(&word)["client_id"]), (&json!("ada"), &json!("agent")));
    assert_eq!(form(&asked[2], "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form(&asked[2], "assertion"), "id-jag-CANARY");
    assert_eq!(asked[2].headers["authorization"], basic("at-as:as-secret"));
    assert_eq!(asked[3].headers["authorization"], "Bearer for-ada");
    assert!(!format!("{asked:?}").contains(&presented), "the caller's token went nowhere");
    assert!(!format!("{:?}", asked[3]).contains("CANARY"), "the server does not see the ID-JAG");
    assert!(!product.audit_lines().join("\n").contains("CANARY"));
    calls(&product).await;
    assert_eq!(paths(&fake).iter().filter(|path| *path == METADATA).count(), 1);
}

// RFC 8693 §2.2.1, MCP Enterprise-Managed Authorization §4.2 — N66
#[tokio::test]
async fn what_is_no_id_jag_goes_no_further() {
    for odd in [
        json!({ "issued_token_type": "urn:ietf:params:oauth:token-type:access_token" }),
        json!({ "issued_token_type": null }),
        json!({ "token_type": "Bearer" }),
        json!({ "access_token": "" }),
    ] {
        let fake = fake().await;
        fake.answers_at("/idp", assertion(&odd));
        let product = broker(fake.url().as_str(), &table(&fake), "").await;
        assert!(calls(&product).await.body.contains("provider.bad_response"), "{odd}");
        assert_eq!(paths(&fake), ["/idp"], "{odd}");
    }
    let fake = fake().await;
    fake.answers_at("/as/token", granted("N_A"));
    let product = broker(fake.url().as_str(), &table(&fake), "").await;
    assert!(calls(&product).await.body.contains("provider.bad_response"));
    assert!(!paths(&fake).contains(&"/".to_owned()));
}

// RFC 8414 §3.3
#[tokio::test]
async fn metadata_of_another_issuer_gets_neither_secret_nor_assertion() {
    let fake = fake().await;
    let other = json!({ "issuer": "https://other.example", "token_endpoint": format!("{}as/token", fake.url()) });
    fake.answers_at(METADATA, Reply::json(other.to_string()));
    let product = broker(fake.url().as_str(), &table(&fake), "").await;
    assert!(calls(&product).await.body.contains("provider.bad_response"));
    assert_eq!(paths(&fake), ["/idp", METADATA]);
}

// RFC 6749 §4.4, RFC 8414 §3, RFC 8707 §2
#[tokio::test]
async fn our_own_token_comes_from_the_issuer_that_the_settings_name_and_no_other() {
    let fake = fake().await;
    let url = fake.url();
    let credential = format!(
        "credential = {{ client_credentials = {{ issuer = \"{url}as\", client_id = \"us\", client_secret = \"ours\" }} }}\n{GET}"
    );
    let product = broker(url.as_str(), &credential, "").await;
    assert_eq!(calls(&product).await.status, 200);
    assert_eq!(paths(&fake), [METADATA, "/as/token", "/"]);
    let asked = fake.asked();
    assert_eq!(form(&asked[1], "resource"), url.as_str());
    assert_eq!(asked[2].headers["authorization"], "Bearer for-ada");
}

/// Beside the broker's own tools, too: what is noted of the caller is for their server's credential.
// RFC 8693 §2.1
#[tokio::test]
async fn a_folded_tool_is_called_with_the_token_for_its_caller() {
    let fake = fake().await;
    let list = r#"{"jsonrpc":"2.0","id":"list","result":{"tools":[{"name":"get_weather","inputSchema":{"type":"object"}}]}}"#;
    let product = broker(fake.url().as_str(), &format!("fold = true\n{}", table(&fake)), "").await;
    let ada = product.token(&["weather:read"]);
    let params = json!({ "name": "weather.get_weather", "arguments": {} });
    let answer = product.rpc(Wire::Modern, &ada, "tools/call", params).await;
    assert_eq!(answer.json()["result"]["content"], json!([]), "{answer:?}");
    let asked = fake.asked();
    assert_eq!(asked.last().unwrap().headers["authorization"], "Bearer for-ada");
    assert!(!format!("{asked:?}").contains(&ada));
    fake.answers(Reply::json(list));
    let listed = product.rpc(Wire::Modern, &ada, "tools/list", json!({})).await;
    assert!(listed.body.contains("weather.get_weather"), "{listed:?}");
    let exchanges = paths(&fake).iter().filter(|path| *path == "/idp").count();
    assert_eq!(exchanges, 1, "one token for the list and the call");
}
