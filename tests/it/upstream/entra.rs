//! Callers whose tokens are Entra's: exchanged on their behalf, and shown to nobody else.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::behind::{GET, PATH, broker, call};
use super::credentials::{ACCESS_TOKEN, JWT, calls, fake, form, granted};
use crate::support::child::command_beside;
use crate::support::fake_http::{Asked, FakeHttp, Reply};
use crate::support::product::{Product, WIRES, Wire, mcp};
use crate::support::raw_http::Answer;
use crate::support::tokens::{SigningKey, encode};
use crate::support::until::until;

/// An identity provider like Entra at `fake`, whose tokens for `api://broker` are taken at the server.
const TENANT: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";

fn entra(fake: &FakeHttp, credential: &str) -> String {
    let url = fake.url();
    let url = url.as_str();
    let table = format!("audiences = [\"api://broker\"]\ncredential = {{ {credential} }}\n{GET}");
    table + &provider(url)
}

/// The identity provider, and our application there.
fn provider(url: &str) -> String {
    format!(
        "
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

/// The same for a server that is registered while the broker runs. Which tokens it may take the settings say, with its credential.
#[tokio::test]
async fn a_registered_server_is_shown_a_token_on_behalf_of_its_caller() {
    let (fake, key) = (fake().await, SigningKey::ec());
    fake.answers_at("/keys", Reply::json(key.jwks("k1")));
    fake.answers_at(OBO_ENDPOINT, granted("on-behalf-of-ada"));
    let url = fake.url().to_string();
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("policy.toml");
    std::fs::write(&rules, REGISTERED).unwrap();
    let settings = format!(
        "[outbound]\nallow_private = [\"127.0.0.1\"]\n[[upstream.credential]]\nname = \"people\"\nurls = [\"{url}\"]\n\
         audiences = [\"api://broker\"]\ncredential = {{ {OBO} }}\n{}",
        provider(&url)
    );
    let overrides = [format!("policy.file={}", rules.display())];
    let product = Product::start_in(directory, &settings, &overrides).await;
    for (id, more) in [("weather", ["--credential", "people"]), ("other", ["--era", "both"])] {
        let add = ["server", "add", id, "--url", &url, "--scope", "weather:read"];
        let done = command_beside(
            product.directory.path(),
            &product.authority,
            &[&add[..], &more, &["--json"]].concat(),
        );
        assert!(done.status.success(), "{done:?}");
    }
    let calls = async |path: &str| {
        let token = of_entra(&fake, &key, &json!({}));
        let params = json!({ "name": "get_weather", "arguments": {} });
        product.send(mcp(Wire::Modern, Some(&token), "tools/call", params).path(path)).await
    };
    let answer =
        until("it is served", async || Some(calls(PATH).await).filter(|it| it.status == 200)).await;
    assert!(answer.body.contains("\"result\""), "{answer:?}");
    let seen = fake.asked().into_iter().rfind(|asked| asked.path == "/").unwrap();
    assert_eq!(seen.headers["authorization"], "Bearer on-behalf-of-ada");
    let other = calls("/servers/other/mcp").await;
    assert_eq!(other.status, 401, "its audiences are its own URL alone: {other:?}");
}

const REGISTERED: &str = "version = \"t\"\ndefault = \"deny\"\n[[rule]]\nid = \"weather\"\neffect = \"allow\"\ntools = [\"weather\\\\.get_.*\"]\nscopes = [\"weather:read\"]\n";

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
