//! The broker's own OAuth client, driven by the official conformance suite (`scripts/conformance-client`).
//!
//! Does by itself what a person's browser does in the product: follows the one redirect of the authorization endpoint.
//! Everything else, from the 401 to the token, is `oauth_client`. The suite names the server as the last argument, the
//! scenario and its particulars in the environment.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use mcp_auth_broker::config::Environment;
use mcp_auth_broker::oauth_client::{
    Authorization, BearerChallenge, Callback, ClientIdentity, Held, Registered, discover, register,
};
use mcp_auth_broker::outbound::{Answer, Call, Limits, Outbound, OutboundSettings};
use mcp_auth_broker::random::SystemRandom;
use mcp_auth_broker::secret_text::SecretText;
use mcp_auth_broker::time::{Clock, SystemClock};
use serde_json::{Value, json};
use url::Url;

type Failure = Box<dyn Error + Send + Sync>;

const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_bytes: 1024 * 1024 };
/// How often one client asks a person in a row: a server that is never satisfied must not be asked for ever.
const MOST_LOGINS: usize = 3;

const REDIRECT: &str = "http://localhost:3000/callback";

/// A client that speaks as much MCP as it takes to meet a server's guard.
struct Client {
    url: Url,
    version: String,
    /// What the suite registered beforehand, where it did.
    known: Option<(String, Option<String>)>,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    registered: Option<Registered>,
    token: Option<SecretText>,
    scope: Option<String>,
    session: Option<HeaderValue>,
    logins: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut client = Client::new()?;
    let outcome = client.run().await;
    if let Err(error) = &outcome {
        writeln!(std::io::stderr(), "error: {error}")?;
    }
    outcome
}

impl Client {
    fn new() -> Result<Self, Failure> {
        let variables = Environment::capture();
        let url = std::env::args().next_back().unwrap_or_default().parse()?;
        let context: Value = match variables.get("MCP_CONFORMANCE_CONTEXT") {
            Some(text) => serde_json::from_str(text)?,
            None => Value::Null,
        };
        let text = |name: &str| context.get(name).and_then(Value::as_str).map(str::to_owned);
        let version = variables.get("MCP_CONFORMANCE_PROTOCOL_VERSION");
        let allow_private =
            ["127.0.0.1", "localhost"].iter().filter_map(|host| host.parse().ok()).collect();
        let settings = OutboundSettings { allow_private, ..OutboundSettings::default() };
        Ok(Self {
            url,
            version: version.unwrap_or("2025-11-25").to_owned(),
            known: text("client_id").map(|id| (id, text("client_secret"))),
            outbound: Outbound::new(&settings)?,
            clock: Arc::new(SystemClock),
            registered: None,
            token: None,
            scope: None,
            session: None,
            logins: 0,
        })
    }

    async fn run(&mut self) -> Result<(), Failure> {
        if self.is_modern() {
            self.request("server/discover", json!({})).await?;
        } else {
            let about = json!({
                "protocolVersion": self.version, "capabilities": {},
                "clientInfo": { "name": "mcp-auth-broker", "version": env!("CARGO_PKG_VERSION") },
            });
            self.request("initialize", about).await?;
            self.send("notifications/initialized", None, json!({})).await?;
        }
        self.request("tools/list", json!({})).await?;
        self.request("tools/call", json!({ "name": "test-tool", "arguments": {} })).await?;
        Ok(())
    }

    fn is_modern(&self) -> bool {
        self.version.as_str() >= "2026"
    }

    /// Asks until the server is content with the token, or has refused too often.
    async fn request(&mut self, method: &str, params: Value) -> Result<(), Failure> {
        loop {
            let answer = self.send(method, Some(1), params.clone()).await?;
            let challenge = BearerChallenge::of(&answer.headers);
            let step_up = answer.status == StatusCode::FORBIDDEN && challenge.wants_more_scopes();
            if answer.status != StatusCode::UNAUTHORIZED && !step_up {
                return Ok(());
            }
            if self.logins >= MOST_LOGINS {
                return Err("the server is never satisfied".into());
            }
            self.logins += 1;
            self.log_in(&challenge).await?;
        }
    }

    async fn send(
        &mut self,
        method: &str,
        id: Option<u32>,
        mut params: Value,
    ) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
        headers.insert("mcp-protocol-version", self.version.parse()?);
        if self.is_modern() {
            headers.insert("mcp-method", method.parse()?);
            if let Some(name) = params.get("name").and_then(Value::as_str) {
                headers.insert("mcp-name", name.parse()?);
            }
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "mcp-auth-broker", "version": env!("CARGO_PKG_VERSION") },
            });
            if let Some(members) = params.as_object_mut() {
                members.insert("_meta".to_owned(), meta);
            }
        }
        if let Some(session) = &self.session {
            headers.insert("mcp-session-id", session.clone());
        }
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, format!("Bearer {}", token.expose()).parse()?);
        }
        let message = match id {
            Some(id) => json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
            None => json!({ "jsonrpc": "2.0", "method": method, "params": params }),
        };
        let body = message.to_string().into();
        let call = Call { method: Method::POST, url: self.url.clone(), headers, body };
        let answer = self.outbound.send(call, LIMITS).await?;
        if let Some(session) = answer.headers.get("mcp-session-id") {
            self.session = Some(session.clone());
        }
        Ok(answer)
    }

    /// From a challenge to a token.
    async fn log_in(&mut self, challenge: &BearerChallenge) -> Result<(), Failure> {
        let discovered = discover(&self.url, challenge, &self.outbound).await?;
        let client = self.client(&discovered.server).await?;
        let authorization = Authorization {
            server: discovered.server.clone(),
            client,
            resource: discovered.resource.clone(),
            redirect_uri: REDIRECT.parse()?,
            outbound: self.outbound.clone(),
            clock: Arc::clone(&self.clock),
        };
        let scope = authorization.scope(challenge, &discovered, self.scope.as_deref());
        let request = authorization.request(scope.as_deref(), &SystemRandom::new());
        let came_back = self.outbound.send(Call::get(request.url), LIMITS).await?;
        let location: Url = came_back.header(&header::LOCATION).unwrap_or_default().parse()?;
        let callback = Callback::parse(location.query().unwrap_or_default()).ok_or("twice")?;
        if callback.state.as_deref() != Some(request.state.expose()) {
            return Err("the state is another's".into());
        }
        let granted = authorization.finish(&callback, &request.code_verifier).await?;
        self.token = Some(granted.access_token);
        self.scope = scope;
        Ok(())
    }

    /// Registered once at each authorization server.
    async fn client(
        &mut self,
        server: &mcp_auth_broker::oauth_client::ServerMetadata,
    ) -> Result<Registered, Failure> {
        if let Some((id, secret)) = &self.known {
            let secret = secret.clone().map(|secret| Held::Text(secret.into()));
            return Ok(Registered::configured(server, id, secret));
        }
        if let Some(known) = &self.registered
            && known.issuer == server.issuer
        {
            return Ok(known.clone());
        }
        // Of another issuer: nothing that was granted there counts here.
        (self.token, self.scope) = (None, None);
        let registered = register(&identity()?, server, &self.outbound).await?;
        self.registered = Some(registered.clone());
        Ok(registered)
    }
}

fn identity() -> Result<ClientIdentity, url::ParseError> {
    Ok(ClientIdentity {
        document: "https://conformance-test.local/client-metadata.json".parse()?,
        redirect_uris: vec![REDIRECT.parse()?],
        name: "MCP Auth Broker".to_owned(),
        home: None,
    })
}
