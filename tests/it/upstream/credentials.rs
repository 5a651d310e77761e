//! Tokens that the broker obtains for a caller: who is told what for them, and who sees them.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::behind::{GET, PATH, broker, call, token};
use crate::support::fake_http::{Asked, FakeHttp, Reply};
use crate::support::product::{Product, WIRES, Wire, mcp};
use crate::support::raw_http::Answer;
use crate::support::tokens::{SigningKey, encode};

const RESULT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn granted(token: &str) -> Reply {
    let granted = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 3600, "issued_token_type": ACCESS_TOKEN,
    });
    Reply::json(granted.to_string())
}

/// The server, its authorization server and its identity provider: one fake, told apart by their paths.
async fn fake() -> FakeHttp {
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

async fn calls(product: &Product) -> Answer {
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

/// An identity provider like Entra at `fake`, whose tokens for `api://broker` are taken at the server.
const TENANT: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";

fn entra(fake: &FakeHttp, credential: &str) -> String {
    let url = fake.url();
    format!(
        "audiences = [\"api://broker\"]\ncredential = {{ {credential} }}\n{GET}
[[resource_server.issuer]]
issuer = \"{url}{TENANT}/v2.0\"
jwks_uri = \"{url}keys\"
audiences = [\"api://broker\"]
entra = true
[graph]
mode = \"live\"
cloud = \"custom\"
custom_cloud = {{ login_url = \"{url}\", graph_url = \"{url}\" }}
[[graph.profile]]
name = \"broker\"
tenant_id = \"{TENANT}\"
client_id = \"broker-app\"
credential = {{ client_secret = \"app-secret\" }}
"
    )
}

const OBO: &str = "entra_obo = { profile = \"broker\", scopes = [\"api://weather/read\"] }";
const OBO_ENDPOINT: &str = "/0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b/oauth2/v2.0/token";

/// A token of that provider.
fn of_entra(fake: &FakeHttp, key: &SigningKey, changes: &Value) -> String {
    let now = SystemClock.now().unix_seconds();
    let mut claims = json!({
        "iss": format!("{}{TENANT}/v2.0", fake.url()), "aud": "api://broker", "sub": "pairwise",
        "oid": "9f0a1b2c-3d4e-4f60-8192-a3b4c5d6e7f8", "tid": TENANT, "azp": "agent", "ver": "2.0",
        "scp": "weather:read", "iat": now, "nbf": now, "exp": now + 600, "uti": "u1",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    key.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }), &claims)
}

struct Entra {
    fake: FakeHttp,
    key: SigningKey,
    product: Product,
}

impl Entra {
    async fn start(credential: &str) -> Self {
        let (fake, key) = (fake().await, SigningKey::ec());
        fake.answers_at("/keys", Reply::json(key.jwks("k1")));
        fake.answers_at(OBO_ENDPOINT, granted("on-behalf-of-ada"));
        let product = broker(fake.url().as_str(), &entra(&fake, credential), "").await;
        Self { fake, key, product }
    }

    async fn calls(&self, changes: &Value) -> (String, Answer) {
        let token = of_entra(&self.fake, &self.key, changes);
        let params = json!({ "name": "get_weather", "arguments": {} });
        let request = mcp(Wire::Modern, Some(&token), "tools/call", params).path(PATH);
        (token, self.product.send(request).await)
    }

    /// What came to this path.
    fn at(&self, path: &str) -> Vec<Asked> {
        self.fake.asked().into_iter().filter(|asked| asked.path == path).collect()
    }
}

#[tokio::test]
async fn entra_exchanges_a_persons_token_for_one_of_the_servers() {
    let entra = Entra::start(OBO).await;
    let (token, answer) = entra.calls(&json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked = &entra.at(OBO_ENDPOINT)[0];
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("assertion", &token),
        ("scope", "api://weather/read"),
        ("client_id", "broker-app"),
        ("client_secret", "app-secret"),
    ] {
        assert_eq!(form(asked, name), value, "{name}");
    }
    let seen = &entra.at("/")[0];
    assert_eq!(seen.headers["authorization"], "Bearer on-behalf-of-ada");
    assert!(!format!("{:?}", seen.headers).contains(&token));
    entra.calls(&json!({ "uti": "u2" })).await;
    assert_eq!(entra.at(OBO_ENDPOINT).len(), 2, "another token of the caller, another exchange");
}

/// AADSTS7000114: an application has nobody on whose behalf it could act.
#[tokio::test]
async fn a_token_that_is_no_persons_of_this_tenant_goes_to_nobody() {
    let entra = Entra::start(OBO).await;
    let (_, application) = entra.calls(&json!({ "scp": null, "idtyp": "app", "roles": ["r"], "mcp_tool_scopes": "weather:read" })).await;
    assert!(application.body.contains("provider.auth_failed"), "{application:?}");
    let own = entra.product.send(call(&entra.product, &["weather:read"], "get_weather")).await;
    assert!(own.body.contains("provider.auth_failed"), "a token of our own issuer: {own:?}");
    assert_eq!((entra.at(OBO_ENDPOINT).len(), entra.at("/").len()), (0, 0));
}

/// Microsoft identity platform, "Claims challenges".
#[tokio::test]
async fn what_entra_wants_the_person_to_do_reaches_their_client() {
    let entra = Entra::start(OBO).await;
    let claims = r#"{"access_token":{"polids":{"essential":true,"values":["9ab03e19"]}}}"#;
    let refused = json!({
        "error": "interaction_required", "error_codes": [50076], "error_description": "CANARY", "claims": claims,
    });
    let json = vec![("content-type", "application/json".to_owned())];
    entra.fake.answers_at(OBO_ENDPOINT, Reply::Answer(400, json, refused.to_string().into()));
    let (_, answer) = entra.calls(&json!({})).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.starts_with("Bearer error=\"insufficient_claims\", claims=\""),
        "{challenge}"
    );
    assert!(!answer.body.contains("CANARY"));
    let ended = entra.product.audited(|event| event["event_type"] == "result.emitted").await;
    assert_eq!(ended["payload"]["error_code"], "provider.auth_failed");
}

// RFC 8693 §2.1
#[tokio::test]
async fn the_issuer_of_the_callers_token_gets_it_back_and_nobody_else() {
    let fake_credential = |fake: &FakeHttp| {
        let url = fake.url();
        format!(
            "token_exchange = {{ token_url = \"{url}token\", issuer = \"{url}{TENANT}/v2.0\", client_id = \"us\", client_secret = \"ours\" }}"
        )
    };
    let (fake, key) = (fake().await, SigningKey::ec());
    fake.answers_at("/keys", Reply::json(key.jwks("k1")));
    let table = entra(&fake, &fake_credential(&fake));
    let product = broker(fake.url().as_str(), &table, "").await;
    let entra = Entra { fake, key, product };
    let (token, answer) = entra.calls(&json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let theirs = &entra.at("/token")[0];
    assert_eq!(
        (form(theirs, "subject_token"), form(theirs, "subject_token_type")),
        (token.clone(), ACCESS_TOKEN.to_owned())
    );
    assert!(!format!("{:?}", entra.at("/")[0].headers).contains(&token));
    calls(&entra.product).await;
    assert_eq!(
        form(&entra.at("/token")[1], "subject_token_type"),
        JWT,
        "about a caller of ours, our word"
    );
}

/// A bound token is of no use to who cannot prove that it has the key (RFC 9449 §7.1): the broker's word stands for it.
// RFC 9449 §7.1, RFC 8693 §2.1
#[tokio::test]
async fn a_bound_token_is_exchanged_for_by_our_word_and_goes_nowhere() {
    let (fake, key, own) = (fake().await, SigningKey::ec(), SigningKey::ec());
    fake.answers_at("/keys", Reply::json(key.jwks("k1")));
    let url = fake.url();
    let credential = format!(
        "token_exchange = {{ token_url = \"{url}token\", issuer = \"{url}{TENANT}/v2.0\", client_id = \"us\", client_secret = \"ours\" }}"
    );
    let table = format!("{}[resource_server]\ndpop = \"allowed\"\n", entra(&fake, &credential));
    let product = broker(fake.url().as_str(), &table, "").await;
    let digest =
        |text: &str| encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    let jwk = own.jwk("k");
    let thumbprint =
        digest(&format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]));
    let token = of_entra(&fake, &key, &json!({ "cnf": { "jkt": thumbprint } }));
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
    for jti in ["1", "2"] {
        let claims = json!({ "htm": "POST", "htu": product.url(PATH), "iat": SystemClock.now().unix_seconds(), "jti": jti, "ath": digest(&token) });
        let params = json!({ "name": "get_weather", "arguments": {} });
        let request = mcp(Wire::Modern, None, "tools/call", params).path(PATH);
        let request = request.header("authorization", &format!("DPoP {token}"));
        let answer = product.send(request.header("dpop", &own.sign(&header, &claims))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let entra = Entra { fake, key, product };
    let asked = entra.at("/token");
    assert_eq!(asked.len(), 1, "what was obtained is found again");
    assert_eq!(form(&asked[0], "subject_token_type"), JWT);
    assert!(!format!("{:?}", entra.fake.asked()).contains(&token));
    assert_eq!(entra.at("/").last().unwrap().headers["authorization"], "Bearer for-ada");
}

/// Which audiences a server takes is said for it: a token for `api://broker` opens no other.
// RFC 8707 §2 — N64
#[tokio::test]
async fn another_audience_counts_only_where_the_server_names_it() {
    let (fake, key) = (fake().await, SigningKey::ec());
    fake.answers_at("/keys", Reply::json(key.jwks("k1")));
    let table = entra(&fake, "bearer = \"x\"")
        .replace("audiences = [\"api://broker\"]\ncredential", "credential");
    let product = broker(fake.url().as_str(), &table, "").await;
    let entra = Entra { fake, key, product };
    assert_eq!(entra.calls(&json!({})).await.1.status, 401);
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

/// At `/mcp`, too, the token goes to the tenant that issued it, and what was obtained to the server alone.
#[tokio::test]
async fn a_folded_tool_is_called_on_behalf_of_its_caller() {
    let (fake, key) = (fake().await, SigningKey::ec());
    fake.answers_at("/keys", Reply::json(key.jwks("k1")));
    fake.answers_at(OBO_ENDPOINT, granted("on-behalf-of-ada"));
    let table = format!("fold = true\n{}", entra(&fake, OBO));
    let product = broker(fake.url().as_str(), &table, "").await;
    let entra = Entra { fake, key, product };
    let token = of_entra(&entra.fake, &entra.key, &json!({}));
    for wire in WIRES {
        let params = json!({ "name": "weather.get_weather", "arguments": {} });
        let answer = entra.product.send(mcp(wire, Some(&token), "tools/call", params)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = entra.at("/");
        assert_eq!(seen.last().unwrap().headers["authorization"], "Bearer on-behalf-of-ada");
        assert!(!format!("{seen:?}").contains(&token));
    }
    assert_eq!(form(&entra.at(OBO_ENDPOINT)[0], "assertion"), token);
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
