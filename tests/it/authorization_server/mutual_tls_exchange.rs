//! A caller's token that is bound to a certificate, where the broker obtains tokens for callers: it goes to nobody.

use mcp_auth_broker::time::{Clock as _, SystemClock};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::fake_http::{Asked, FakeHttp, Reply};
use crate::support::product::{Wire, mcp};
use crate::support::tokens::SigningKey;

use super::mutual_tls_world::{Running, URL, World};

const PATH: &str = "/servers/weather/mcp";
const TENANT: &str = "0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b";

/// The server, its authorization server, and the issuer of the caller's token.
struct Others {
    fake: FakeHttp,
    key: SigningKey,
}

impl Others {
    async fn start() -> Self {
        let result = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
        let (fake, key) = (FakeHttp::start(Reply::json(result)).await, SigningKey::ec());
        fake.answers_at("/keys", Reply::json(key.jwks("k1")));
        let granted =
            json!({ "access_token": "for-ada", "token_type": "Bearer", "expires_in": 3600 });
        fake.answers_at("/token", Reply::json(granted.to_string()));
        Self { fake, key }
    }

    /// A broker that ends TLS, with this credential for the server behind it.
    async fn broker(&self, credential: &str) -> Running {
        let world = World::new();
        let extensions = "extendedKeyUsage=clientAuth";
        world.issued("nightly", "ca", ("/CN=nightly", extensions), 30);
        let url = self.fake.url();
        let settings = format!(
            "[outbound]\nallow_private = [\"127.0.0.1\"]\n\
             [[resource_server.issuer]]\nissuer = \"{url}{TENANT}/v2.0\"\njwks_uri = \"{url}keys\"\nentra = true\naudiences = [\"api://broker\"]\n\
             [graph]\nmode = \"live\"\ncloud = \"custom\"\ncustom_cloud = {{ login_url = \"{url}\", graph_url = \"{url}\" }}\n\
             [[graph.profile]]\nname = \"broker\"\ntenant_id = \"{TENANT}\"\nclient_id = \"broker-app\"\ncredential = {{ client_secret = \"app-secret\" }}\n\
             [[upstream.server]]\nid = \"weather\"\nurl = \"{url}\"\nera = \"both\"\naudiences = [\"api://broker\"]\ncredential = {{ {credential} }}\n\
             [[upstream.server.tool]]\nname = \"get_.*\"\nscopes = [\"weather:read\"]\n"
        );
        world.start("client_ca_file = \"ca.pem\"", &settings).await
    }

    /// A token of the issuer's, bound to this certificate where there is one.
    fn token(&self, thumbprint: Option<&str>) -> String {
        let now = SystemClock.now().unix_seconds();
        let mut claims = json!({
            "iss": format!("{}{TENANT}/v2.0", self.fake.url()), "aud": "api://broker", "sub": "pairwise",
            "oid": "9f0a1b2c-3d4e-4f60-8192-a3b4c5d6e7f8", "tid": TENANT, "azp": "agent", "ver": "2.0",
            "scp": "weather:read", "iat": now, "nbf": now, "exp": now + 600, "uti": "u1",
        });
        if let Some(thumbprint) = thumbprint {
            claims["cnf"] = json!({ "x5t#S256": thumbprint });
        }
        self.key.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" }), &claims)
    }

    /// What came to the token endpoint.
    fn exchanged(&self) -> Vec<Asked> {
        self.fake.asked().into_iter().filter(|asked| asked.path.ends_with("token")).collect()
    }
}

/// A tool's call with this token, on a connection with the certificate; status and body.
async fn call(client: &Client, token: &str) -> (u16, String) {
    let params = json!({ "name": "get_weather", "arguments": {} });
    let request = mcp(Wire::Modern, Some(token), "tools/call", params).path(PATH);
    let (path, headers, body) = request.parts();
    let mut sent = client.post(format!("{URL}{path}")).body(body.to_vec());
    for (name, value) in headers {
        sent = sent.header(name, value);
    }
    let answer = sent.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn field(asked: &Asked, name: &str) -> Value {
    let mut fields = url::form_urlencoded::parse(asked.body.as_bytes());
    json!(fields.find(|(known, _)| known == name).map(|(_, value)| value.into_owned()))
}

// RFC 8705 §3, RFC 8693 §2.1
#[tokio::test]
async fn our_word_stands_for_a_token_that_is_bound_to_a_certificate() {
    let others = Others::start().await;
    let url = others.fake.url();
    let credential = format!(
        "token_exchange = {{ token_url = \"{url}token\", issuer = \"{url}{TENANT}/v2.0\", client_id = \"us\", client_secret = \"ours\" }}"
    );
    let running = others.broker(&credential).await;
    let client = running.client(Some("nightly"));
    let bound = others.token(Some(&running.world.thumbprint("nightly")));
    let (status, body) = call(&client, &bound).await;
    assert_eq!(status, 200, "{body}");
    let asked = others.exchanged();
    assert_eq!(field(&asked[0], "subject_token_type"), "urn:ietf:params:oauth:token-type:jwt");
    assert!(!format!("{:?}", others.fake.asked()).contains(&bound), "it went to nobody");
    let plain = others.token(None);
    assert_eq!(call(&client, &plain).await.0, 200);
    let asked = others.exchanged();
    assert_eq!(field(&asked[1], "subject_token"), plain, "one that is not bound is its issuer's");
}

// RFC 8705 §3
#[tokio::test]
async fn entra_is_not_shown_a_token_that_is_bound_to_a_certificate() {
    let others = Others::start().await;
    let credential = "entra_obo = { profile = \"broker\", scopes = [\"api://weather/read\"] }";
    let running = others.broker(credential).await;
    let client = running.client(Some("nightly"));
    let bound = others.token(Some(&running.world.thumbprint("nightly")));
    let (_, body) = call(&client, &bound).await;
    assert!(body.contains("provider.auth_failed"), "{body}");
    assert!(others.exchanged().is_empty(), "{:?}", others.exchanged());
}
