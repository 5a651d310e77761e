//! Tokens that the broker obtains for a caller: who is told what for them, and who sees them.

use serde_json::{Value, json};

use super::behind::{GET, PATH, broker, call, token};
use crate::support::fake_http::{Asked, FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};
use crate::support::raw_http::Answer;

const RESULT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) fn granted(token: &str) -> Reply {
    let granted = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 3600, "issued_token_type": ACCESS_TOKEN,
    });
    Reply::json(granted.to_string())
}

/// The server, its authorization server and its identity provider: one fake, told apart by their paths.
pub(super) async fn fake() -> FakeHttp {
    let fake = FakeHttp::start(Reply::json(RESULT)).await;
    fake.answers_at("/token", granted("for-ada"));
    fake
}

fn exchanging(fake: &FakeHttp, more: &str) -> String {
    let url = fake.url();
    format!(
        "credential = {{ token_exchange = {{ token_url = \"{url}token\", client_id = \"us\", \
         client_secret = \"ours\", scopes = [\"w\"]{more} }} }}\n{GET}"
    )
}

pub(super) async fn calls(product: &Product) -> Answer {
    product.send(call(product, &["weather:read"], "get_weather")).await
}

/// What a request with a form said.
pub(super) fn form(asked: &Asked, name: &str) -> String {
    let fields = url::form_urlencoded::parse(asked.body.as_bytes());
    let mut found = fields.filter(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    let value = found.next().unwrap_or_default();
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

pub(super) fn said(jwt: &str) -> Value {
    use base64::Engine as _;
    let part = jwt.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&json).unwrap()
}

// RFC 8693 §2.1, MCP authorization, token passthrough — N116
#[tokio::test]
async fn an_authorization_server_that_did_not_issue_the_callers_token_gets_our_word_instead() {
    let fake = fake().await;
    let table = exchanging(&fake, ", audience = \"weather\"");
    let product = broker(fake.url().as_str(), &table, "").await;
    let presented = token(&product, &["weather:read"]);
    let params = json!({ "name": "get_weather", "arguments": {} });
    let request = mcp(Wire::Modern, Some(&presented), "tools/call", params).path(PATH);
    assert_eq!(product.send(request).await.status, 200);
    let asked = fake.asked();
    let word = form(&asked[0], "subject_token");
    assert_eq!(form(&asked[0], "subject_token_type"), JWT);
    assert_eq!((&said(&word)["sub"], &said(&word)["client_id"]), (&json!("ada"), &json!("agent")));
    assert_eq!(said(&word)["aud"], format!("{}token", fake.url()));
    assert_eq!(
        (form(&asked[0], "resource"), form(&asked[0], "audience")),
        (fake.url().to_string(), "weather".to_owned())
    );
    assert_eq!(form(&asked[0], "scope"), "w");
    assert_eq!(asked[1].headers["authorization"], "Bearer for-ada");
    let all = format!("{asked:?}");
    assert!(!all.contains(&presented), "the caller's token went nowhere");
    let log = product.audit_lines().join("\n");
    assert!(!log.contains("for-ada") && !log.contains(&word));
}

// RFC 8693 §2.1
#[tokio::test]
async fn a_caller_has_one_exchange_and_another_caller_another_one() {
    let fake = fake().await;
    let product = broker(fake.url().as_str(), &exchanging(&fake, ""), "").await;
    let ada = token(&product, &["weather:read"]);
    let params = json!({ "name": "get_weather", "arguments": {} });
    let send = async |token: &str| {
        product.send(mcp(Wire::Modern, Some(token), "tools/call", params.clone()).path(PATH)).await
    };
    let all = futures_util::future::join_all((0..10).map(|_| send(&ada))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    let exchanges = || fake.asked().iter().filter(|asked| asked.path == "/token").count();
    assert_eq!(exchanges(), 1, "ten calls at once wait for one exchange");
    send(&token(&product, &["weather:read"])).await;
    assert_eq!(exchanges(), 2);
    fake.answers(Reply::status(401));
    assert!(send(&ada).await.body.contains("provider.auth_failed"));
    fake.answers(Reply::json(RESULT));
    send(&ada).await;
    assert_eq!(exchanges(), 3, "what the server refused is obtained anew");
}

// RFC 8693 §2.2.2
#[tokio::test]
async fn an_exchange_that_is_refused_is_a_clear_error_and_not_asked_again_at_once() {
    let fake = fake().await;
    let words = r#"{"error":"invalid_grant","error_description":"CANARY"}"#;
    let refused =
        Reply::Answer(400, vec![("content-type", "application/json".to_owned())], words.into());
    fake.answers_at("/token", refused);
    let product = broker(fake.url().as_str(), &exchanging(&fake, ""), "").await;
    let ada = token(&product, &["weather:read"]);
    let params = json!({ "name": "get_weather", "arguments": {} });
    let list = || mcp(Wire::Modern, Some(&ada), "tools/call", params.clone()).path(PATH);
    for _ in 0..2 {
        let answer = product.send(list()).await;
        assert!(answer.body.contains("provider.auth_failed"), "{answer:?}");
        assert!(!answer.body.contains("CANARY"));
    }
    let paths: Vec<String> = fake.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/token"], "the server was not called without a token");
}

// RFC 8693 §2.2.1
#[tokio::test]
async fn what_is_no_access_token_is_not_shown_to_the_server() {
    let of = |kind: &str, member: Value| {
        let mut granted = json!({ "access_token": "x", "token_type": "Bearer", "expires_in": 60 });
        granted[kind] = member;
        Reply::json(granted.to_string())
    };
    for odd in [
        of("token_type", json!("DPoP")),
        of("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
        of("access_token", json!("")),
        Reply::json("<html>"),
    ] {
        let fake = fake().await;
        fake.answers_at("/token", odd);
        let product = broker(fake.url().as_str(), &exchanging(&fake, ""), "").await;
        assert!(calls(&product).await.body.contains("provider.bad_response"));
        assert_eq!(fake.count(), 1);
    }
}

// RFC 8693 §2.1
#[tokio::test]
async fn an_actor_token_is_our_own_clients() {
    let fake = fake().await;
    let product = broker(fake.url().as_str(), &exchanging(&fake, ", actor = true"), "").await;
    assert_eq!(calls(&product).await.status, 200);
    let asked = fake.asked();
    assert_eq!(form(&asked[0], "grant_type"), "client_credentials");
    assert_eq!(form(&asked[1], "actor_token"), "for-ada");
    assert_eq!(form(&asked[1], "actor_token_type"), ACCESS_TOKEN);
}

#[tokio::test]
async fn who_gets_no_credential_keeps_nobody_from_having_a_pinned_tool_looked_at() {
    let fake = fake().await;
    let pin = format!(
        "[[upstream.server.pin]]\ntool = \"get_weather\"\ndigest = \"sha256:{}\"\n",
        "0".repeat(64)
    );
    let table = format!("on_change = \"hide\"\n{}{pin}", exchanging(&fake, ""));
    let product = broker(fake.url().as_str(), &table, "").await;
    fake.answers_at("/token", Reply::status(400));
    calls(&product).await;
    let looks = || fake.asked().iter().filter(|asked| asked.body.contains("tools/list")).count();
    assert_eq!(looks(), 0);
    fake.answers_at("/token", granted("for-ada"));
    calls(&product).await;
    assert_eq!(looks(), 1, "another caller's look reaches the server at once");
}

/// A server that repeats the headers of its request shows its credential to nobody.
// CWE-522
#[tokio::test]
async fn an_answer_that_repeats_the_brokers_credential_is_not_handed_on() {
    const SECRET: &str = "s3cret/of-the-broker";
    let text = |text: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#
        )
    };
    let (plain, escaped) = (text(SECRET), text(&SECRET.replace('/', "\\/")));
    let stream = vec![("content-type", "text/event-stream".to_owned())];
    for (reply, shown) in [
        (Reply::json(plain.clone()), false),
        (Reply::json(escaped), false),
        (Reply::Answer(200, stream, format!("data: {plain}\n\n").into()), false),
        (Reply::json(RESULT).header("mcp-session-id", SECRET), false),
        (Reply::json(text("s3cret")), true),
    ] {
        let fake = FakeHttp::start(reply).await;
        let table = format!(
            "credential = {{ header = {{ name = \"x-key\", value = \"{SECRET}\" }} }}\n{GET}"
        );
        let product = broker(fake.url().as_str(), &table, "").await;
        let answer = calls(&product).await;
        assert!(!answer.body.contains("of-the-broker"), "{answer:?}");
        assert_eq!(answer.body.contains("provider.bad_response"), !shown, "{answer:?}");
        assert_eq!(fake.asked()[0].headers["x-key"], SECRET);
        let ended = product.audited(|event| event["event_type"] == "result.emitted").await;
        assert_eq!(
            ended["payload"]["error_code"],
            if shown { Value::Null } else { json!("provider.bad_response") }
        );
    }
}
