//! The Rust SDK's own client without a person at it: client credentials by a JWT, and what an enterprise's identity provider
//! vouches for (ID-JAG). The keys are openssl's.

use std::error::Error;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth_broker::id::RequestId;
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::time::{Clock as _, SystemClock};
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::enterprise::{
    EmaAuthorizationServer, EmaClientAssertion, EmaClientAssertionProvider,
    EmaClientAuthentication, EmaError, EmaExchangeRequest, EmaExchangeStage, EmaIdJag,
};
use rmcp::transport::auth::{
    AuthClient, AuthError, ClientCredentialsConfig, JwtSigningAlgorithm, OAuthState,
    default_oauth_http_client,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fake_http::{FakeHttp, Reply};
use crate::support::product::{Product, Wire, mcp};

use super::mutual_tls_world::openssl;

/// A key of `openssl genpkey`.
struct Key {
    pem: Vec<u8>,
    public: Value,
    algorithm: Algorithm,
}

impl Key {
    fn ec(folder: &Path) -> Self {
        openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec.pem");
        openssl(folder, "pkey -in ec.pem -pubout -outform DER -out ec.der");
        let public = std::fs::read(folder.join("ec.der")).unwrap();
        let point = &public[public.len() - 65..]; // SEC 1 §2.3.3: 4, then both halves
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        let public = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        let pem = std::fs::read(folder.join("ec.pem")).unwrap();
        Self { pem, public, algorithm: Algorithm::ES256 }
    }

    fn rsa(folder: &Path) -> Self {
        openssl(folder, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem");
        let modulus = openssl(folder, "rsa -in rsa.pem -noout -modulus");
        let digits = modulus.trim().strip_prefix("Modulus=").unwrap().as_bytes();
        let digit = |digit: u8| char::from(digit).to_digit(16).unwrap();
        let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap();
        let modulus: Vec<u8> = digits.chunks(2).map(byte).collect();
        let n = URL_SAFE_NO_PAD.encode(modulus);
        let public = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
        let pem = std::fs::read(folder.join("rsa.pem")).unwrap();
        Self { pem, public, algorithm: Algorithm::RS256 }
    }

    fn jwks(&self) -> String {
        json!({ "keys": [self.public] }).to_string()
    }

    fn sign(&self, typ: &str, mut claims: Value) -> String {
        let jti = RequestId::generate(&SystemClock, &SystemRandom::new()).to_string();
        let now = SystemClock.now().unix_seconds();
        (claims["iat"], claims["exp"], claims["jti"]) = (json!(now), json!(now + 200), json!(jti));
        let mut header = Header::new(self.algorithm);
        header.typ = Some(typ.to_owned());
        let key = match self.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(&self.pem),
            _ => EncodingKey::from_ec_pem(&self.pem),
        };
        jsonwebtoken::encode(&header, &claims, &key.unwrap()).unwrap()
    }
}

type Made<'a> = Pin<
    Box<dyn Future<Output = Result<EmaClientAssertion, Box<dyn Error + Send + Sync>>> + Send + 'a>,
>;

/// The key of the client `keyed`.
impl EmaClientAssertionProvider for Key {
    fn create_assertion<'it, 'server, 'made>(
        &'it self,
        server: &'server EmaAuthorizationServer,
    ) -> Made<'made>
    where
        'it: 'made,
        'server: 'made,
        Self: 'made,
    {
        let id = &server.client_id;
        let claims = json!({ "iss": id, "sub": id, "aud": server.issuer });
        let assertion = self.sign("client-authentication+jwt", claims);
        Box::pin(async move { Ok(EmaClientAssertion::new(assertion)) })
    }
}

/// Lets whoever has this token call a tool.
async fn opens(product: &Product, token: &str) {
    let params = json!({ "name": "get_public_info", "arguments": {} });
    let called = product.send(mcp(Wire::Modern, Some(token), "tools/call", params)).await;
    assert_eq!(called.status, 200, "{called:?}");
}

async fn signs(
    product: &Product,
    key: &Key,
    (algorithm, audience): (JwtSigningAlgorithm, Option<String>),
) -> Result<OAuthState, AuthError> {
    let mut state = OAuthState::new(product.url("/mcp"), None).await.unwrap();
    let config = ClientCredentialsConfig::PrivateKeyJwt {
        client_id: "nightly".to_owned(),
        signing_key: key.pem.clone(),
        signing_algorithm: algorithm,
        token_endpoint_audience: audience,
        scopes: vec!["public:read".to_owned()],
        resource: Some(product.url("/mcp")),
    };
    state.authenticate_client_credentials(config).await.map(|()| state)
}

// RFC 7523 §2.2, MCP OAuth client credentials
#[tokio::test]
async fn the_rust_sdk_signs_for_its_token_with_a_key_of_openssl_and_calls_a_tool() {
    for (make, algorithm) in [
        (Key::ec as fn(&Path) -> Key, JwtSigningAlgorithm::ES256),
        (Key::rsa, JwtSigningAlgorithm::RS256),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let key = make(folder.path());
        std::fs::write(folder.path().join("keys.json"), key.jwks()).unwrap();
        let settings = "[[authorization_server.client]]\nclient_id = \"nightly\"\n\
            grants = [\"client_credentials\"]\nscopes = [\"public:read\"]\njwks_file = \"keys.json\"\n";
        let product = Product::start_in(folder, settings, &[]).await;
        // The issuer, which is what the SDK says unasked, and the endpoint that it can be told to name.
        for audience in [None, Some(product.url("/token"))] {
            let state = signs(&product, &key, (algorithm, audience)).await.unwrap();
            let manager = state.into_authorization_manager().unwrap();
            let at = StreamableHttpClientTransportConfig::with_uri(product.url("/mcp"));
            let client = AuthClient::new(reqwest::Client::default(), manager);
            let transport = StreamableHttpClientTransport::with_client(client, at);
            let client = ().serve(transport).await.unwrap();
            client.call_tool(CallToolRequestParams::new("get_public_info")).await.unwrap();
        }
        let other = make(tempfile::tempdir().unwrap().path());
        let Err(refused) = signs(&product, &other, (algorithm, None)).await else {
            panic!("taken for the client with another key")
        };
        assert!(refused.to_string().contains("invalid_client"), "{refused}");
    }
}

/// An enterprise: its provider, which vouches for ada, and a broker that trusts it.
struct Enterprise {
    provider: FakeHttp,
    /// The provider's.
    key: Key,
    /// The client's that has one.
    agent: Arc<Key>,
    product: Product,
    _folder: TempDir,
}

impl Enterprise {
    async fn new() -> Self {
        let (folder, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (key, agent) = (Key::rsa(theirs.path()), Key::ec(theirs.path()));
        let provider = FakeHttp::start(Reply::status(404)).await;
        let issuer = issuer(&provider);
        let keys = provider.url().join("keys").unwrap();
        let metadata = json!({ "issuer": issuer, "jwks_uri": keys }).to_string();
        provider.answers_at("/.well-known/openid-configuration", Reply::json(metadata));
        provider.answers_at("/keys", Reply::json(key.jwks()));
        std::fs::write(folder.path().join("keys.json"), agent.jwks()).unwrap();
        let client = |id: &str, proof: &str| {
            format!(
                "[[authorization_server.client]]\nclient_id = \"{id}\"\n{proof}\ngrants = [\"jwt_bearer\"]\n"
            )
        };
        let settings = [
            "[outbound]\nallow_private = [\"127.0.0.1\"]\n".to_owned(),
            format!(
                "[[authorization_server.identity_provider]]\nid = \"idp\"\nissuer = \"{issuer}\"\n\
                 client_id = \"broker\"\nidentity_assertions = {{ algorithms = [\"RS256\"] }}\n"
            ),
            client("secret", "secret = \"agent-secret\""),
            client("keyed", "jwks_file = \"keys.json\""),
        ];
        let product = Product::start_in(folder, &settings.concat(), &[]).await;
        Self { provider, key, agent: Arc::new(agent), product, _folder: theirs }
    }

    /// From now on the provider vouches for this client, so, and says that again to whoever asks again.
    fn vouches_for(&self, client_id: &str) {
        let claims = json!({
            "iss": issuer(&self.provider), "aud": self.product.url(""), "sub": "ada",
            "client_id": client_id, "scope": "public:read", "resource": self.product.url("/mcp"),
        });
        let answer = json!({
            "access_token": self.key.sign("oauth-id-jag+jwt", claims), "token_type": "N_A",
            "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag", "expires_in": 200,
        });
        self.provider.answers_at("/exchange", Reply::json(answer.to_string()));
    }

    /// RFC 8693 at the provider, with an ID token.
    async fn vouched(&self, client_id: &str, by: EmaClientAuthentication) -> EmaIdJag {
        let at = self.provider.url().join("exchange").unwrap();
        let idp = EmaAuthorizationServer::new(issuer(&self.provider), at, "agent");
        let (us, token) = (self.product.url(""), self.product.url("/token"));
        let us = EmaAuthorizationServer::new(us, token, client_id).with_client_authentication(by);
        let resource = self.product.url("/mcp");
        let request = EmaExchangeRequest::new_with_id_token(idp, us, &resource, "an-id-token");
        let request = request.with_scopes(["public:read"]);
        request.exchange_id_jag(&default_oauth_http_client().unwrap()).await.unwrap()
    }
}

fn issuer(provider: &FakeHttp) -> String {
    provider.url().as_str().trim_end_matches('/').to_owned()
}

// MCP Enterprise-Managed Authorization §4, §5 — N86
#[tokio::test]
async fn the_rust_sdk_gets_a_token_for_whom_the_identity_provider_vouches_and_once() {
    let enterprise = Enterprise::new().await;
    let secret = || serde_json::from_value(json!("agent-secret")).unwrap();
    let keyed = Arc::clone(&enterprise.agent) as Arc<dyn EmaClientAssertionProvider>;
    for (client_id, by) in [
        ("secret", EmaClientAuthentication::ClientSecretBasic(secret())),
        ("secret", EmaClientAuthentication::ClientSecretPost(secret())),
        ("keyed", EmaClientAuthentication::JwtAssertion(keyed)),
    ] {
        enterprise.vouches_for(client_id);
        let http = default_oauth_http_client().unwrap();
        let id_jag = enterprise.vouched(client_id, by.clone()).await;
        let given = id_jag.exchange(&http).await.unwrap();
        assert!(given.scopes.contains("public:read"), "{by:?}");
        opens(&enterprise.product, given.access_token.secret()).await;
        let again = enterprise.vouched(client_id, by).await.exchange(&http).await.unwrap_err();
        let stage = EmaExchangeStage::ResourceAuthorizationServer;
        assert_eq!(again, EmaError::InvalidGrant(stage));
    }
}

// MCP Enterprise-Managed Authorization §5.1 — N42
#[tokio::test]
async fn what_was_vouched_for_a_client_is_of_no_use_to_who_is_not_that_client() {
    let enterprise = Enterprise::new().await;
    enterprise.vouches_for("secret");
    let wrong = serde_json::from_value(json!("wrong-secret")).unwrap();
    let by = EmaClientAuthentication::ClientSecretBasic(wrong);
    let claimed = enterprise.vouched("secret", by).await;
    let refused = claimed.exchange(&default_oauth_http_client().unwrap()).await.unwrap_err();
    let EmaError::OAuthRejected { status, code, .. } = refused else { panic!("{refused}") };
    assert_eq!((status, code), (401, "invalid_client"));
}
