//! The Rust SDK's own client, from nothing but a URL to a step-up, for a person in a real browser (`scripts/authorization`).
//!
//! Arguments: the MCP endpoint, the redirect URI, and the URL of a metadata document where the client is named by one. It prints
//! a line for each step; after `OPEN URL` it reads the URL that the browser was sent to from its input.

use std::error::Error;
use std::io::{BufRead as _, Write as _};

use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransportConfig, StreamableHttpError,
};
use url::Url;

type Failure = Box<dyn Error + Send + Sync>;
type Client = RunningService<RoleClient, ()>;

struct Application {
    endpoint: String,
    redirect_uri: String,
    document: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().ok_or("which endpoint?")?;
    let redirect_uri = arguments.next().ok_or("which redirect URI?")?;
    Application { endpoint, redirect_uri, document: arguments.next() }.walk().await
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// The person's part: where the browser was sent with the answer.
fn opens(url: &str) -> Result<String, Failure> {
    say(&format!("OPEN {url}"))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

impl Application {
    fn config(&self) -> StreamableHttpClientTransportConfig {
        StreamableHttpClientTransportConfig::with_uri(self.endpoint.clone())
    }

    async fn walk(&self) -> Result<(), Failure> {
        let challenge = self.is_challenged().await?;
        say("CHALLENGED")?;
        let mut state = OAuthState::new(self.endpoint.clone(), None).await?;
        let mut request = AuthorizationRequest::new(self.redirect_uri.clone())
            .with_client_name("an application on rmcp")
            .with_application_type("native")
            .with_challenge(&challenge);
        if let Some(document) = &self.document {
            request = request.with_client_metadata_url(document);
        }
        state.start_authorization(request).await?;
        let answer = opens(&state.get_authorization_url().await?)?;
        state.handle_callback_url(&answer).await?;
        let manager = state.into_authorization_manager().ok_or("not authorized")?;
        say("AUTHORIZED")?;
        let auth = AuthClient::new(reqwest::Client::default(), manager);
        let transport = StreamableHttpClientTransport::with_client(auth.clone(), self.config());
        let client = ().serve(transport).await?;
        let tools = client.list_all_tools().await?;
        let tools: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        say(&format!("LISTED {}", tools.join(" ")))?;
        called(&client, "get_public_info").await?;
        let Err(refused) = called(&client, "get_confidential_info").await else {
            return Err("called without the scope".into());
        };
        let scope = missing_scope(&refused).ok_or("refused without a scope that would help")?;
        say(&format!("REFUSED {scope}"))?;
        let manager = auth.auth_manager.lock().await;
        let answer: Url = opens(&manager.request_scope_upgrade(&scope).await?)?.parse()?;
        let told = |name: &str| {
            let found = answer.query_pairs().find(|(known, _)| known == name);
            found.map(|(_, value)| value.into_owned())
        };
        let (code, state) = (told("code").ok_or("no code")?, told("state").ok_or("no state")?);
        let issuer = told("iss");
        manager.exchange_code_for_token_with_issuer(&code, &state, issuer.as_deref()).await?;
        drop(manager);
        called(&client, "get_confidential_info").await?;
        called(&client, "get_public_info").await?;
        say("DONE")
    }

    /// The challenge that a client without a token meets.
    async fn is_challenged(&self) -> Result<String, Failure> {
        let plain = reqwest::Client::default();
        let transport = StreamableHttpClientTransport::with_client(plain, self.config());
        match ().serve(transport).await {
            Ok(_) => Err("let in without a token".into()),
            Err(refused) => Ok(refused.auth_challenge().ok_or("no challenge")?.to_owned()),
        }
    }
}

async fn called(client: &Client, tool: &'static str) -> Result<(), ServiceError> {
    client.call_tool(CallToolRequestParams::new(tool)).await.map(drop)
}

/// The scope that a refused call asks for (MCP, step-up authorization).
fn missing_scope(error: &ServiceError) -> Option<String> {
    let ServiceError::TransportSend(transport) = error else { return None };
    let refused = transport.error.downcast_ref::<StreamableHttpError<reqwest::Error>>();
    let Some(StreamableHttpError::InsufficientScope(refused)) = refused else { return None };
    refused.required_scope.clone()
}
